"""A proxy that stands before a server and makes the faults of a bad network."""

import http.client
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_CHUNK = 64 << 10


class FaultProxy:
    """Set the faults as attributes; each test starts with none.

    `url` leads to the same path of the server behind. `log` holds (method, path, headers) of every
    request, in order.
    """

    def __init__(self, behind: str) -> None:
        self.cuts: deque[int] = deque()  # bytes of body after which the next answers break off
        self.answers: deque[tuple[int, Mapping[str, str]]] = deque()  # given instead of asking
        self.flips: set[int] = set()  # offsets in the file whose byte arrives changed
        self.refuse_listing: int | None = None  # status
        self.pause = 0.0  # seconds after each 64 KiB
        self.reset = True  # break off with a TCP reset, or else with a quiet end
        self.drop: set[str] = set()  # headers, in lower case, that do not come through
        self.log: list[tuple[str, str, dict[str, str]]] = []
        parts = urlsplit(behind)
        assert parts.hostname
        assert parts.port
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy, self._server.behind = self, (parts.hostname, parts.port)
        self.url = f"http://127.0.0.1:{self._server.server_port}{parts.path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def requests(self, method: str = "GET") -> list[dict[str, str]]:
        """Headers of the requests for files, in order."""
        return [
            headers for verb, path, headers in self.log if verb == method and "comp=" not in path
        ]

    def starts(self) -> list[int]:
        """The offset that each request for a file asked for."""
        ranges = (headers.get("range", "bytes=0-") for headers in self.requests())
        return [int(span.removeprefix("bytes=").rstrip("-")) for span in ranges]


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    proxy: FaultProxy
    behind: tuple[str, int]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 20

    def do_GET(self) -> None:
        proxy = self.server.proxy
        headers = {name.lower(): value for name, value in self.headers.items()}
        proxy.log.append((self.command, self.path, headers))
        is_listing = "comp=list" in self.path
        if is_listing and proxy.refuse_listing:
            self._say(proxy.refuse_listing, {})
        elif proxy.answers and not is_listing:
            self._say(*proxy.answers.popleft())
        else:
            self._pass_on(headers, is_listing)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _say(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _pass_on(self, headers: dict[str, str], is_listing: bool) -> None:
        proxy = self.server.proxy
        connection = http.client.HTTPConnection(*self.server.behind, timeout=20)
        try:
            connection.request(self.command, self.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            keep = name.lower() not in ("transfer-encoding", "content-length", "connection")
            if keep and name.lower() not in proxy.drop:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if is_listing or answer.status not in (200, 206):
            self.wfile.write(body)
        elif self.command == "GET":
            self._send_file(body, answer.getheader("Content-Range"))

    def _send_file(self, body: bytes, content_range: str | None) -> None:
        proxy = self.server.proxy
        start = int(content_range.split()[1].split("-")[0]) if content_range else 0
        changed = bytearray(body)
        for offset in proxy.flips:
            if start <= offset < start + len(body):
                changed[offset - start] ^= 0xFF
        cut = proxy.cuts.popleft() if proxy.cuts else len(body)
        try:
            for first in range(0, min(cut, len(body)), _CHUNK):
                self.wfile.write(changed[first : min(first + _CHUNK, cut)])
                time.sleep(proxy.pause)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client went away
            return
        if cut < len(body):
            self._break_off()

    def _break_off(self) -> None:
        self.close_connection = True
        if self.server.proxy.reset:
            now = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.connection.close()
