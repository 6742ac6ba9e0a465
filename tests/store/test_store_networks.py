"""Networks of real places: a proxy, certificates of one's own, SOCKS."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests.adapters
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from circuit_sparsity.store import NotFound, Refused, Store, Unreachable
from tests.store.plain_server import PlainServer

WEIGHTS = "models/m/weights.bin"
CONTENT = bytes(range(256)) * 100
FAR = "http://models.example/mirror"  # a name that nobody here resolves: only a proxy can


@pytest.fixture(autouse=True)
def no_settings(monkeypatch) -> None:
    """Nothing of this machine's own network."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


class _Proxy(BaseHTTPRequestHandler):
    """Knows one file, at whatever host; wants a password for secure ones."""

    def do_GET(self) -> None:
        found = self.path == f"{FAR}/{WEIGHTS}"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()
        self.wfile.write(CONTENT if found else b"")

    def do_CONNECT(self) -> None:
        self.send_response(407)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_goes_through_the_proxy_and_messages_name_it(store, proxy, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{proxy}")
    far = replace(store, url=FAR)
    assert far.fetch(WEIGHTS).read_bytes() == CONTENT
    with pytest.raises(NotFound) as caught:
        far.fetch("models/m/other.bin")
    assert f"is not in {FAR} (through the proxy http://{proxy})" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert f"(through the proxy http://{proxy})" in far.refresh().note


def test_a_proxy_where_nobody_listens_is_named(store, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"through the proxy http://127.0.0.1:9\): the proxy giv"):
        replace(store, url=FAR).fetch(WEIGHTS)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(Unreachable) as caught:  # asked directly, so no proxy is to blame
        store.fetch(WEIGHTS)
    assert "proxy" not in str(caught.value)


def test_a_proxy_that_wants_a_password_is_asked_once(store, proxy, monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
    with pytest.raises(Refused, match="asks for a name and a password: write them into HTTPS_PR"):
        replace(store, url=FAR.replace("http:", "https:")).fetch(WEIGHTS)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate of its own: its address, and the certificate's file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "own.pem", tmp_path / "own.key"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    private.write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    server = PlainServer({WEIGHTS: CONTENT})
    inner = server._server
    inner.socket = context.wrap_socket(inner.socket, server_side=True)
    inner.handle_error = lambda *_: None  # a client that does not accept the certificate
    with server:
        yield server.url.replace("http:", "https:"), certificate


def test_certificates_of_ones_own_are_named_in_the_environment(store, secure, monkeypatch) -> None:
    url, certificate = secure
    there = replace(store, url=url)
    message = r"certificate is not accepted \(.*self.signed.*name their file in REQUESTS_CA_BUNDLE"
    with pytest.raises(Refused, match=message):
        there.fetch(WEIGHTS)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_name("none.pem")))
    with pytest.raises(Refused, match=r"REQUESTS_CA_BUNDLE is .*none.pem, and nothing is there"):
        there.fetch(WEIGHTS)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert there.fetch(WEIGHTS).read_bytes() == CONTENT


def _socks(listener: socket.socket, asked: list[str]) -> None:
    """Serve one client by RFC 1928: note the name it asks for, and be the far server too."""
    client, _ = listener.accept()
    with client, client.makefile("rb") as said:
        methods = said.read(2)[1]
        said.read(methods)
        client.sendall(b"\x05\x00")
        said.read(4)  # version, connect, reserved, a name follows
        asked.append(said.read(said.read(1)[0]).decode())
        said.read(2)
        client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        while said.readline().strip():
            pass
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode() + CONTENT)


def test_a_socks_proxy_is_gone_through_and_resolves_the_name(store, monkeypatch) -> None:
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_socks, args=(listener, asked), daemon=True)
        thread.start()
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{listener.getsockname()[1]}")
        assert replace(store, url=FAR).fetch(WEIGHTS).read_bytes() == CONTENT
        thread.join()
    assert asked == ["models.example"]


def test_socks_without_its_package_says_which_one(store: Store, monkeypatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr(requests.adapters, "SOCKSProxyManager", missing)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    with pytest.raises(Refused, match=r"pip install 'circuit-sparsity\[socks\]'"):
        replace(store, url=FAR).fetch(WEIGHTS)
