"""A container behind HTTP: Azure's blob service, or a plain server that only hands out files."""

import contextlib
import email.utils
import io
import os
import time
import xml.etree.ElementTree as etree  # for the type and the error; never for parsing
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import defusedxml
import defusedxml.ElementTree
import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from circuit_sparsity.store import paths
from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.errors import Later, NotFound, NotListable, Refused, Replaced
from circuit_sparsity.store.remote import Answer, Version, public_url
from circuit_sparsity.store.retry import RetryPolicy

PagesOf = Callable[[str, str], bytes]  # (prefix, marker) -> XML
_MOST_PAGES = 10_000
_DEEPEST = 16  # tags inside one another; a listing has five


def _count(text: str | None) -> int | None:
    """A number of bytes from a header or a listing; None for what is none, or is beyond 10^18.

    >>> _count(" 12"), _count("-1"), _count("9" * 5000), _count(None)
    (12, None, None, None)
    """
    digits = (text or "").strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None


@dataclass(frozen=True)
class Page:
    """One answer: blobs, folders where a delimiter was given, and the marker of the next page."""

    blobs: tuple[tuple[str, Blob], ...]
    folders: tuple[str, ...]
    next_marker: str


def list_all(page_of: PagesOf) -> tuple[dict[str, Blob], int]:
    """Every blob of the layout, and the number of names that are not let in."""
    files: dict[str, Blob] = {}
    left_out = 0
    for top in paths.TOPS:
        for page in pages(page_of, f"{top}/"):
            for name, blob in page.blobs:
                if paths.is_allowed(name) and "/" in name:
                    files[name] = blob
                else:
                    left_out += 1
    return files, left_out


def pages(page_of: PagesOf, prefix: str) -> Iterator[Page]:
    """The pages of one prefix, until the service names no next one."""
    marker = ""
    seen: set[str] = set()
    while True:
        page = read_page(page_of(prefix, marker))
        yield page
        marker = page.next_marker
        if not marker:
            return
        if marker in seen or len(seen) > _MOST_PAGES:
            raise NotListable(f"the list of {prefix} goes round in circles")
        seen.add(marker)


def read_page(xml: bytes) -> Page:
    """
    >>> page = read_page(b'''<EnumerationResults><Blobs>
    ... <Blob><Name>models/m/x</Name><Properties><Content-Length>5</Content-Length>
    ... <Etag>0x8D</Etag></Properties></Blob>
    ... <BlobPrefix><Name>models/n/</Name></BlobPrefix></Blobs>
    ... <NextMarker/></EnumerationResults>''')
    >>> page.blobs, page.folders, page.next_marker
    ((('models/m/x', Blob(size=5, etag='0x8D', md5=None)),), ('models/n/',), '')
    """
    try:
        root = _parsed(xml)
    except NotListable:
        raise
    except (etree.ParseError, defusedxml.DefusedXmlException, ValueError) as error:
        raise NotListable("the answer is no list") from error
    if root.tag != "EnumerationResults":
        raise NotListable(f"the answer is no list but <{root.tag[:40]}>")
    return Page(
        blobs=tuple((_name(blob), _properties(blob)) for blob in root.iterfind("Blobs/Blob")),
        folders=tuple(_name(folder) for folder in root.iterfind("Blobs/BlobPrefix")),
        next_marker=root.findtext("NextMarker") or "",
    )


def _parsed(xml: bytes) -> etree.Element:
    """The tree of a listing; one that is nested without end is refused while it is read."""
    depth, root = 0, None
    events = defusedxml.ElementTree.iterparse(io.BytesIO(xml), events=("start", "end"))
    for event, element in events:
        root = element if root is None else root
        depth += 1 if event == "start" else -1
        if depth > _DEEPEST:
            raise NotListable("the answer is no list: it is nested too deep")
    if root is None:
        raise NotListable("the answer is no list: it is empty")
    return root


def _name(element: etree.Element) -> str:
    name = element.find("Name")
    if name is None or not name.text:
        return ""
    # Names that XML cannot hold come percent-encoded and marked so (from version 2021-02-12 on).
    return unquote(name.text) if name.get("Encoded") == "true" else name.text


def _properties(blob: etree.Element) -> Blob:
    return Blob(
        size=_count(blob.findtext("Properties/Content-Length")),
        etag=blob.findtext("Properties/Etag") or None,
        md5=blob.findtext("Properties/Content-MD5") or None,
    )


# Without this header Azure answers an anonymous request by its rules of 2009: ETags without quotes
# and no open ranges. Plain servers do not mind it. From 2021-02-12 on odd names come encoded.
HEADERS = {
    "x-ms-version": "2021-12-02",
    "User-Agent": "circuit-sparsity",
    "Connection": "close",
}
_BLOCK = 1 << 18
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_LARGEST_PAGE = 32 << 20  # bytes of one page of a listing; Azure's are below 5 MB


class HttpSource:
    """One container.

    Each request has a connection of its own. One that is kept for the next may be closed by the
    server at the very moment it is used again; and it would stay open as long as anything, such as
    the traceback of an error, still holds its pool. A file's transfer costs much more than opening.
    """

    def __init__(self, url: str, retry: RetryPolicy) -> None:
        self._url, self._retry = url, retry

    @contextlib.contextmanager
    def open(self, name: str, start: int, known: Version) -> Generator[Answer, None, None]:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-"} | _conditions(known)
        with self._answered("GET", self._address(name), headers) as response:
            self._judge(response, name)
            yield self._read_head(response, name, known)

    def look(self, name: str) -> Blob:
        headers = {"Accept-Encoding": "identity"}
        with self._answered("HEAD", self._address(name), headers) as response:
            self._judge(response, name)
            size = _count(response.headers.get("Content-Length"))
            return Blob(size, response.headers.get("ETag"), response.headers.get("Content-MD5"))

    def listing(self) -> tuple[Mapping[str, Blob], int]:
        return list_all(self.listing_page)

    def listing_page(self, prefix: str, marker: str, delimiter: str = "") -> bytes:
        """One page of Azure's listing, as XML."""
        query = {"restype": "container", "comp": "list", "prefix": prefix}
        query |= {"delimiter": delimiter} if delimiter else {}
        query |= {"marker": marker} if marker else {}
        with self._answered("GET", self._url, {}, query) as response:
            if response.status_code in _TRANSIENT:
                raise self._later(response)
            if response.status_code != 200:
                raise NotListable(f"{_status(response)}{self._through}")
            return self._page(response)

    def _page(self, response: requests.Response) -> bytes:
        """The body of a page of the listing, within bounds of length and time."""
        page, end = bytearray(), time.monotonic() + self._retry.grace
        while block := response.raw.read1(_BLOCK, decode_content=True):
            page += block
            if len(page) > _LARGEST_PAGE:
                raise NotListable(f"a page of the listing is longer than {_LARGEST_PAGE:,} bytes")
            if time.monotonic() > end:
                raise Later(f"{self._where} sends its list too slowly")
        return bytes(page)

    @property
    def _through(self) -> str:
        """Words for the proxy that the environment asks for, without its password; or none."""
        proxies = requests.utils.get_environ_proxies(self._url)
        proxy = requests.utils.select_proxy(self._url, proxies)
        if not proxy:
            return ""
        return f" (through the proxy {public_url(proxy if '://' in proxy else f'http://{proxy}')})"

    @property
    def _where(self) -> str:
        """The container as messages name it."""
        return f"{public_url(self._url)}{self._through}"

    def _address(self, name: str) -> str:
        parts = urlsplit(self._url)
        path = f"{parts.path.rstrip('/')}/{quote(name, safe='/')}"
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))

    @contextlib.contextmanager
    def _answered(
        self, method: str, url: str, headers: dict[str, str], query: dict[str, str] | None = None
    ) -> Generator[requests.Response, None, None]:
        """The answer to a request, its body unread; every trouble of the wire becomes `Later`.

        What no further try can mend is `Refused`: an address, a proxy, or certificates.
        """
        _check_certificates()
        timeout = (self._retry.connect, self._retry.read)
        headers = HEADERS | headers
        try:
            with (
                requests.Session() as session,
                session.request(
                    method, url, params=query, headers=headers, timeout=timeout, stream=True
                ) as response,
            ):
                yield response
        except requests.exceptions.InvalidSchema as error:
            raise Refused(f"{self._where} cannot be asked: {_what_lacks(error)}") from error
        except requests.exceptions.InvalidURL as error:
            where = f"{public_url(url)}{self._through}"
            raise Refused(f"{where} is no address that can be asked: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = _final_reason(error)
            if reason:
                raise Refused(f"{self._where}: {reason}") from error
            raise Later(f"{self._where}: {_in_words(error)}") from error

    def _judge(self, response: requests.Response, name: str) -> None:
        status, where = response.status_code, self._where
        if status in (200, 206):
            return
        if status == 407:
            raise Refused(f"{where}: {_PROXY_ASKS}")
        if status in _TRANSIENT or status >= 500:
            raise self._later(response)
        if status in (412, 416):
            raise Replaced(f"{name} was replaced in {where} ({status})")
        if status in (404, 410):
            code = response.headers.get("x-ms-error-code", "")
            if code in ("ContainerNotFound", "ContainerBeingDeleted", "ResourceNotFound"):
                raise Refused(f"{where} is no container ({_status(response)}): check the address")
            raise NotFound(f"{name} is not in {where} ({_status(response)})")
        raise Refused(f"{where} does not hand out {name} ({_status(response)})")

    def _later(self, response: requests.Response) -> Later:
        words = f"{self._where} answered {_status(response)}"
        return Later(words, _asked_wait(response.headers.get("Retry-After")))

    def _read_head(self, response: requests.Response, name: str, known: Version) -> Answer:
        headers, where = response.headers, public_url(self._url)
        coding = headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise Refused(
                f"{where} sends {name} compressed ({coding}) although asked for the plain bytes; "
                "set CIRCUIT_SPARSITY_URL to a server that does not"
            )
        start, total = _extent(response)
        # For a part of a blob, Content-MD5 would be the part's; Azure gives the whole one apart.
        md5 = headers.get("x-ms-blob-content-md5")
        if md5 is None and response.status_code == 200:
            md5 = headers.get("Content-MD5")
        version = Version(headers.get("ETag"), headers.get("Last-Modified"), md5, total)
        if start and _differs(known, version):
            raise Replaced(f"{name} was replaced in {where} meanwhile")
        return Answer(start, version, _blocks(response))


def _blocks(response: requests.Response) -> Iterator[bytes]:
    # read1 hands on what has arrived, so that a slow line still shows progress and obeys `cancel`.
    while block := response.raw.read1(_BLOCK, decode_content=False):
        yield block


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """Offset of the first byte of the body, and length of the whole file."""
    if response.status_code == 200:
        return 0, _count(response.headers.get("Content-Length"))
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    range_, _, total = span.partition("/")
    first, last = (_count(end) for end in (range_.partition("-")[0], range_.partition("-")[2]))
    if unit.lower() != "bytes" or first is None or last is None:
        raise Replaced("the server answered with a part of the file and did not say which")
    return first, _count(total)


def _conditions(known: Version) -> dict[str, str]:
    """Headers by which the server refuses (412) to go on with another content."""
    if known.etag and not known.etag.startswith("W/"):
        # Azure's rules of 2009 leave the quotes out; the condition needs them.
        quoted = known.etag if known.etag.startswith('"') else f'"{known.etag}"'
        return {"If-Match": quoted}
    return {"If-Unmodified-Since": known.modified} if known.modified else {}


def _differs(known: Version, now: Version) -> bool:
    pairs = [(known.etag, now.etag), (known.total, now.total), (known.md5, now.md5)]
    if known.etag is None:
        pairs.append((known.modified, now.modified))
    return any(old is not None and new is not None and old != new for old, new in pairs)


def _asked_wait(header: str | None, now: float | None = None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date.

    >>> _asked_wait("7"), _asked_wait("soon"), _asked_wait("Thu, 01 Jan 1970 00:01:00 GMT", 40.0)
    (7.0, None, 20.0)
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))


def _status(response: requests.Response) -> str:
    """
    >>> answer = requests.Response()
    >>> answer.status_code, answer.reason = 403, "Forbidden"
    >>> answer.headers["x-ms-error-code"] = "PublicAccessNotPermitted"
    >>> _status(answer)
    '403 Forbidden, PublicAccessNotPermitted'
    """
    headers: CaseInsensitiveDict[str] = response.headers
    code = headers.get("x-ms-error-code")
    words = f"{response.status_code} {response.reason or ''}".strip()
    return f"{words}, {code}" if code and code != response.reason else words


_PROXY_ASKS = (
    "the proxy asks for a name and a password: write them into HTTPS_PROXY (or HTTP_PROXY) as "
    "http://NAME:PASSWORD@HOST:PORT"
)


def _check_certificates() -> None:
    """Raise `Refused` where the environment names a file of certificates that is not there."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = os.environ.get(name)
        if path:
            if not os.path.exists(path):
                raise Refused(
                    f"{name} is {path}, and nothing is there; name the file of the certificates "
                    "that your network uses, or unset it"
                )
            return  # the first that is set counts


def _what_lacks(error: Exception) -> str:
    """Why a scheme cannot be spoken."""
    if "SOCKS" in str(error):
        return "SOCKS needs one more package: pip install 'circuit-sparsity[socks]'"
    return str(error)


def _final_reason(error: Exception) -> str | None:
    """What is wrong with certificates or the proxy's password; None where another try may help."""
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY" in str(error):
        return (
            f"no secure connection, the certificate is not accepted ({_last_cause(error)}); where "
            "a network has certificates of its own, name their file in REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, requests.exceptions.ProxyError) and " 407 " in str(error):
        return _PROXY_ASKS
    return None


def _last_cause(error: BaseException) -> str:
    """The innermost reason of an error that was wrapped again and again."""
    while error.args and isinstance(inner := getattr(error.args[0], "reason", None), Exception):
        error = inner
    return str(error)


def _in_words(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy gives no connection ({_last_cause(error)})"
    if isinstance(error, requests.exceptions.SSLError):
        return f"no secure connection ({error})"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return "the connection broke off"
