"""Pause, resume, stop after this row, abort, from the page: for who has the operator's token, and only then."""

from __future__ import annotations

import hmac
import html
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bokeh.models import Button, ImportedStyleSheet, PasswordInput

from microarpes.beamline.control_client import ControlClient, ControlError, EngineGone, read_engine_state

#: Seconds between two looks at the RunEngine.
LOOK = 0.5


class EngineWatch:
    """The RunEngine's own state, looked at for all viewers by one thread.

    Parameters
    ----------
    directory : Path
        Where the engine keeps its runs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.latest: Mapping[str, Any] | None = None
        self.problem = ""
        threading.Thread(target=self._watch, name="watch the engine", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK):
            try:
                self.latest, self.problem = read_engine_state(self.directory), ""
            except EngineGone:
                self.latest, self.problem = None, ""
            except ControlError as error:
                self.latest, self.problem = None, str(error)

    def state_of(self, uid: str) -> str:
        """Return what the RunEngine says of a run, empty where it has another run or none, or there is no engine."""
        if self.latest is None or self.latest["run_uid"] != uid:
            return ""
        reason = f": {self.latest['reason']}" if self.latest["reason"] else ""
        row = ", ends after this row" if self.latest["row_stop"] else ""
        return f"{self.latest['state']}{reason}{row}"


class OperatorPanel:
    """Buttons of one viewer.

    Parameters
    ----------
    directory : Path
        Where the engine keeps its runs.
    token : str
        Of the operator.
    theme : str
    ask : callable, optional
        Sends one request to the engine and returns its reply; raises ControlError.
    """

    def __init__(
        self, directory: Path, token: str, theme: str, ask: Callable[..., Mapping[str, Any]] | None = None
    ) -> None:
        self._token, self._ask = token, ask or ControlClient(directory).ask
        self._unlocked = False
        self._said = "the operator's token opens the buttons"
        self._waiting: Future[str] | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="operator")
        look: dict[str, Any] = {"stylesheets": [ImportedStyleSheet(url="/assets/page.css")], "css_classes": [theme]}
        self.token = PasswordInput(title="operator's token", width=150, **look)
        self.token.on_change("value", self._unlock)
        self.buttons = {
            name: Button(label=label, width=width, **look)
            for name, label, width in (
                ("pause", "pause at the next point", 215), ("resume", "resume", 90),
                ("stop-after-row", "stop after this row", 185), ("go-on-after-row", "do not stop", 125),
                ("abort", "abort \N{HORIZONTAL ELLIPSIS}", 90), ("confirm", "yes, abort the run", 175),
                ("keep", "no, keep it", 120),
            )
        }  # fmt: skip
        self.buttons["confirm"].css_classes = ["danger"]
        for name in ("pause", "resume", "stop-after-row", "go-on-after-row"):
            self.buttons[name].on_click(lambda name=name: self._request(name))
        self.buttons["abort"].on_click(lambda: self._confirming(True))
        self.buttons["keep"].on_click(lambda: self._confirming(False))
        self.buttons["confirm"].on_click(self._abort)
        self._confirming(False)

    @property
    def unlocked(self) -> bool:
        """Whether this viewer has given the operator's token."""
        return self._unlocked

    @property
    def roots(self) -> dict[str, Any]:
        """Widgets by name."""
        return {"operator_token": self.token} | {f"operator_{name}": button for name, button in self.buttons.items()}

    def _unlock(self, attr: str, old: str, value: str) -> None:
        if not value:
            return
        self._unlocked = hmac.compare_digest(value.encode(), self._token.encode())
        self._said = "the buttons are open" if self._unlocked else "that is not the operator's token"
        self.token.value = ""

    def carry_out(self, what: str, call: Callable[[], str]) -> None:
        """Change something from another thread, so that the page goes on; refused without the operator's token.

        Parameters
        ----------
        what : str
            What is asked for, in a word.
        call : callable
            Does it, and returns what is to be told of it.
        """
        if not self._unlocked:
            self._said = f"{what} was not sent: it needs the operator's token"
            return
        self._said = f"{what} was sent at {time.strftime('%H:%M:%S')}"
        self._waiting = self._threads.submit(call)

    def _confirming(self, asked: bool) -> None:
        for name in ("confirm", "keep"):
            self.buttons[name].visible = asked
        self.buttons["abort"].visible = not asked

    def _abort(self) -> None:
        self._confirming(False)
        self._request("abort", reason="aborted on the page")

    def _request(self, do: str, **more: Any) -> None:
        self.carry_out(do, lambda: self._send(do, more))

    def _send(self, do: str, more: Mapping[str, Any]) -> str:
        try:
            return f"{do}: the engine is {self._ask(do, **more)['state']}"
        except ControlError as error:
            return str(error)

    def html(self) -> str:
        """Return what became of the last request, as HTML."""
        if self._waiting is not None and self._waiting.done():
            self._said, self._waiting = self._waiting.result(), None
        return f"<p role='status'>{html.escape(self._said)}</p>"

    def close(self) -> None:
        """Let the viewer's thread end."""
        self._threads.shutdown(wait=False)
