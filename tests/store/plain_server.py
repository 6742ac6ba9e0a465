"""A plain HTTP server whose habits can be set: what a mirror may do that Azure does not."""

import base64
import hashlib
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def md5_of(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


class PlainServer:
    """Serves `files` by path and lists nothing; unless told otherwise without ETag and Range."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.headers: dict[str, str] = {}  # sent with every file
        self.ranges = False
        self.shift = 0  # bytes by which a range starts elsewhere than asked
        self.says_length = True
        self.cuts: list[int] = []  # bytes after which the next answers end
        self.listing: tuple[int, bytes] = (404, b"")
        self.asked: list[dict[str, str]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.plain = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/mirror"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "PlainServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    plain: PlainServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 20

    def do_GET(self) -> None:
        plain = self.server.plain
        if "comp=list" in self.path:
            self._send(plain.listing[0], plain.listing[1], {})
            return
        asked = {name.lower(): value for name, value in self.headers.items()}
        plain.asked.append(asked)
        content = plain.files.get(self.path.removeprefix("/mirror/"))
        if content is None:
            self._send(404, b"", {})
            return
        start = int(asked.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if not (start and plain.ranges):
            self._send(200, content, plain.headers)
            return
        start += plain.shift
        if start >= len(content):
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers = {**plain.headers, "Content-Range": span}
        if "Content-MD5" in headers:  # of the part, by the rules of HTTP
            headers["Content-MD5"] = md5_of(content[start:])
        self._send(206, content[start:], headers)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        plain = self.server.plain
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if plain.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = plain.cuts.pop(0) if plain.cuts and status in (200, 206) else len(body)
        self.wfile.write(body[:cut])
