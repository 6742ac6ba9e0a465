"""Azure's list of blobs: pages of XML, read by a parser that refuses tricks."""

import xml.etree.ElementTree as etree  # for the type and the error; never for parsing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import defusedxml
import defusedxml.ElementTree

from circuit_sparsity.store import paths
from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.errors import NotListable

PagesOf = Callable[[str, str], bytes]  # (prefix, marker) -> XML
_MOST_PAGES = 10_000


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
    marker, seen = "", set()
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
        root = defusedxml.ElementTree.fromstring(xml)
    except (etree.ParseError, defusedxml.DefusedXmlException, ValueError) as error:
        raise NotListable("the answer is no list") from error
    if root.tag != "EnumerationResults":
        raise NotListable(f"the answer is no list but <{root.tag[:40]}>")
    return Page(
        blobs=tuple((_name(blob), _properties(blob)) for blob in root.iterfind("Blobs/Blob")),
        folders=tuple(_name(folder) for folder in root.iterfind("Blobs/BlobPrefix")),
        next_marker=root.findtext("NextMarker") or "",
    )


def _name(element: etree.Element) -> str:
    name = element.find("Name")
    if name is None or not name.text:
        return ""
    # Names that XML cannot hold come percent-encoded and marked so (from version 2021-02-12 on).
    return unquote(name.text) if name.get("Encoded") == "true" else name.text


def _properties(blob: etree.Element) -> Blob:
    size = (blob.findtext("Properties/Content-Length") or "").strip()
    return Blob(
        size=int(size) if size.isdecimal() else None,
        etag=blob.findtext("Properties/Etag") or None,
        md5=blob.findtext("Properties/Content-MD5") or None,
    )
