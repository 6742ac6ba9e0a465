"""Browser sessions without a browser: what a page asks of the server, and what is answered."""

import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

LONGEST = 120.0  # seconds that one answer may take
EARLY = ForwardMsg.FINISHED_EARLY_FOR_RERUN


class Session:
    """One visitor of the app: opens a page, clicks, and goes.

    `troubles` holds every error that a page showed, traceback or sentence.
    """

    def __init__(self, url: str, page: str = "", **query: str) -> None:
        self.troubles: list[str] = []
        self.texts: list[str] = []  # of the last answer
        self.buttons: dict[str, str] = {}  # label -> the last one's identity
        self._field, self._fragment, self._page = "", "", ""
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(
                f"ws://{urlsplit(url).netloc}/_stcore/stream",
                subprotocols=["streamlit"],
                max_size=None,
                ping_interval=None,  # a session that is left alone does not read what it is sent
            )
        )
        self._query, self._name = urlencode(query), page
        self.opened = self._run()

    def open(self, page: str = "", **query: str) -> float:
        """Go to a page by its address; seconds until it is drawn."""
        self._query, self._name, self._page, self.buttons = urlencode(query), page, "", {}
        return self._run()

    def cut(self, *names: str) -> float:
        """Switch exactly these nodes off, as a double click does; seconds until it is drawn."""
        message = self._message()
        message.rerun_script.fragment_id = self._fragment
        state = message.rerun_script.widget_states.widgets.add(id=self._field)
        state.string_array_value.data.extend(names)
        return self._ask(message)

    def press(self, label: str) -> float:
        """Press the button of that label; seconds until the page is drawn."""
        message = self._message()
        message.rerun_script.widget_states.widgets.add(
            id=self.buttons.pop(label), trigger_value=True
        )
        return self._ask(message)

    def close(self) -> None:
        self._open.close()

    def _run(self) -> float:
        return self._ask(self._message())

    def _message(self) -> BackMsg:
        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_name = "" if self._page else self._name
        message.rerun_script.page_script_hash = self._page
        return message

    def _ask(self, message: BackMsg) -> float:
        self.texts = []
        began = time.monotonic()
        self._socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg()
            answer.ParseFromString(self._socket.recv(timeout=LONGEST))
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self._page = answer.new_session.page_script_hash
            elif kind == "delta":
                self._see(answer.delta)
            elif kind == "script_finished" and answer.script_finished != EARLY:
                return time.monotonic() - began

    def _see(self, delta) -> None:
        element = delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.troubles.append(f"{element.exception.type}: {element.exception.message}")
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.troubles.append(element.alert.body)
        elif kind == "markdown":
            self.texts.append(element.markdown.body)
        elif kind == "button":
            self.buttons[element.button.label] = element.button.id
        elif kind == "multiselect" and element.multiselect.label == "Switched off":
            self._field, self._fragment = element.multiselect.id, delta.fragment_id


def process_of(url: str) -> int:
    """The server that listens at ``url``, by its command line."""
    wanted = f"--server.port={url.rsplit(':', 1)[1]}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "cmdline").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue  # it ended meanwhile, or is not ours to read
    pytest.skip("LOUD SKIP: no /proc here to read the server's memory from")


def resident(process: int) -> int:
    """Resident memory in kB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
