"""A small repository of the Hugging Face Hub, served on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch

from circuit_sparsity import from_pretrained, load_model
from circuit_sparsity.__main__ import main
from circuit_sparsity.core.checkpoint import save_model
from circuit_sparsity.core.model import GPT
from circuit_sparsity.store import NotFound, Store, StoreError, Unreachable
from tests.core.test_weight_files import SHAPE, TOKENS, of_hub

NAME = "somebody/small-circuit"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(ThreadingHTTPServer):
    files: dict[str, bytes]
    asked: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: _Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        files = self.server.files
        facts = {
            f"/api/models/{NAME}/revision/main": {
                "id": NAME, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]
            },
            f"/api/models/{NAME}/tree/{COMMIT}": [
                {"type": "file", "path": name, "size": len(content), "oid": f"{i:040x}"}
                for i, (name, content) in enumerate(files.items())
            ],
        }  # fmt: skip
        told = facts.get(self.path.partition("?")[0])
        if told is not None:
            self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})
            return
        start = f"/{NAME}/resolve/{COMMIT}/"
        content = files.get(self.path.removeprefix(start))
        if not self.path.startswith(start) or content is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        self._send(200, content, {"ETag": f'"{hash(content):x}"', "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    return GPT(SHAPE).eval()


@pytest.fixture(autouse=True)
def hub(model: GPT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Hub]:
    """The Hub with one repository of two parts and code, and empty folders for what is fetched."""
    folder = tmp_path / "repository"
    folder.mkdir()
    of_hub(folder, model, parts=2)
    (folder / "modeling_circuitgpt.py").write_text("raise SystemError('ran')")
    server = _Hub(("127.0.0.1", 0), _Handler)
    server.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/none")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_repository_opens_and_no_code_is_fetched(hub: _Hub, model: GPT) -> None:
    opened = from_pretrained(NAME)
    torch.testing.assert_close(opened(TOKENS)[0], model(TOKENS)[0])
    assert not any("modeling" in path for path in hub.asked)
    fetched = sum("/resolve/" in path for path in hub.asked)
    from_pretrained(f"hf:{NAME}")
    assert sum("/resolve/" in path for path in hub.asked) == fetched


def test_a_folder_opens_too(model: GPT, tmp_path: Path) -> None:
    save_model(model, tmp_path / "own")
    torch.testing.assert_close(from_pretrained(tmp_path / "own")(TOKENS)[0], model(TOKENS)[0])


@pytest.mark.parametrize("own_name", [None, "csp_yolo2"])
def test_fetch_puts_it_among_the_models(model: GPT, capsys, own_name: str | None) -> None:
    asked = ["fetch", f"hf:{NAME}", "--json", *(["--as", own_name] if own_name else [])]
    assert main(asked) == 0
    out, err = capsys.readouterr()
    name = own_name or "somebody--small-circuit"
    assert set(json.loads(out)["fetched"]) == {
        f"models/{name}/beeg_config.json", f"models/{name}/model.safetensors"
    }  # fmt: skip
    assert err == ""
    store = Store.from_environment()
    folder = store.path_of_model(name)
    assert folder is not None
    torch.testing.assert_close(load_model(folder)(TOKENS)[0], model(TOKENS)[0])
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["fetched"], len(told["already_here"])) == ([], 2)
    assert main(["list", "--model", name, "--here"]) == 0
    assert "downloaded" in capsys.readouterr().out
    assert store.remove(f"models/{name}") > 0


def test_what_cannot_be_had_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="there is no somebody/other on http://127.0.0.1"):
        from_pretrained("somebody/other")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://models.example")
    with pytest.raises(
        Unreachable, match="on http://models.example could not be (fetched|reached)"
    ):
        from_pretrained(NAME)
    with pytest.raises(StoreError, match="'nobody' is no repository .* expected OWNER/NAME"):
        from_pretrained("nobody")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="is not in the cache of huggingface_hub"):
        from_pretrained(NAME)


def test_a_missing_library_says_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, huggingface_hub.__name__, None)
    with pytest.raises(StoreError, match=r"pip install 'circuit-sparsity\[hub\]'"):
        from_pretrained(NAME)
