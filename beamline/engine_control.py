"""What an operator may ask of a RunEngine from another thread, and who answers for a run that is paused.

A paused run belongs to whoever waits for it: `microarpes.beamline.raster_run.drive`, or a prompt. In `drive` the answer
of this channel and that of the terminal are worth the same, whichever comes first. At a prompt resume is refused, for
``RE.resume()`` would then return where nobody reads it; abort is not.

Abort is a pause, then the abort of a paused run: RunEngine.abort looks from the calling thread whether the run is
paused, and a run that pauses at that instant would never go on.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from bluesky.utils import TransitionError

from microarpes.beamline.engine import Watcher

if TYPE_CHECKING:
    from bluesky import RunEngine

logger = logging.getLogger(__name__)

#: Seconds a request may take to have its effect.
PATIENCE = 20.0
#: Seconds between two looks at what has no way to tell.
LOOK = 0.1
#: Characters of a reason that are kept.
MAX_REASON = 300
ASKED = "asked for through the control channel"


class Refusal(Exception):
    """A request cannot be granted; the message is one line: what was asked, what was found, what to do."""


class EngineControl:
    """Grant or refuse requests to a RunEngine; any thread may ask.

    Parameters
    ----------
    engine : RunEngine
        Its ``state_hook`` is taken; a hook that was there is still called.
    row_stop : threading.Event
        Set while the run is to end after the row under way; a wish ends with its run.
    at_prompt : bool
        A prompt owns the run when it is paused, not `drive`.
    """

    def __init__(self, engine: RunEngine, row_stop: threading.Event, *, at_prompt: bool = False) -> None:
        self.engine = engine
        self.row_stop = row_stop
        self.at_prompt = at_prompt
        self._changed = threading.Condition()
        self._run: Mapping[str, Any] | None = None
        self._reason = ""
        self._pause_asked = False
        self._resume = False
        self._abort: str | None = None
        self._earlier_hook: Callable[[str, str], None] | None = engine.state_hook
        engine.state_hook = self._state_changed
        engine.subscribe(Watcher(self._document))
        self._requests: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "state": lambda request: None,
            "pause": lambda request: self._pause("pause", defer=True),
            "pause-now": lambda request: self._pause("pause-now", defer=False),
            "resume": lambda request: self._go_on(),
            "stop-after-row": lambda request: self._stop_after_row("stop-after-row", True),
            "go-on-after-row": lambda request: self._stop_after_row("go-on-after-row", False),
            "abort": self._end,
        }

    def do(self, request: Any) -> dict[str, Any]:
        """Return the reply to one request, after it has had its effect.

        Parameters
        ----------
        request : mapping
            ``do``: state, pause (at the next point), pause-now, resume, stop-after-row, go-on-after-row or abort; with
            abort a ``reason``.

        Returns
        -------
        dict
            ``ok`` and, where it is True, ``state``; where not, ``error``, one line.
        """
        try:
            name = request.get("do") if isinstance(request, Mapping) else None
            if not isinstance(name, str) or name not in self._requests:
                raise Refusal(f"do = {str(name)[:40]!r} was asked, which is none of: {', '.join(self._requests)}")
            self._requests[name](request)
        except Refusal as refusal:
            return {"ok": False, "error": str(refusal)}
        return {"ok": True, **(self.found() if name == "state" else {"state": self.state})}

    @property
    def state(self) -> str:
        """State of the RunEngine; ``pausing`` too where a pause was asked for and the next point is not yet reached."""
        state = str(self.engine.state)
        return "pausing" if state == "running" and self.engine.deferred_pause_requested else state

    def found(self) -> dict[str, Any]:
        """Return state, uid of the open run or None, why it pauses or None, and whether it is to end after the row."""
        with self._changed:
            state, run = self.state, self._run
            reason = self._reason if state in ("pausing", "paused") else ""
            return {
                "state": state,
                "run_uid": run["uid"] if run is not None else None,
                "reason": reason or None,
                "row_stop": self.row_stop.is_set(),
            }

    def of_raster(self) -> dict[str, Any]:
        """Return what `microarpes.plans.raster.gap_raster` needs of this."""
        return {"row_stop": self.row_stop.is_set, "announce": self.announce}

    def announce(self, reason: str) -> None:
        """Take note of why the plan is about to pause by itself."""
        with self._changed:
            self._reason = reason

    def question(self, *, wait: bool = False, terminal: TextIO | None = None) -> str:
        """Return what is to become of a paused run: ``resume``, or ``abort: why``.

        A pause that was asked for here waits for an answer, for somebody is there to give it. Any other waits where
        there is a terminal, or where `wait` says that somebody looks at this channel; else the answer is to abort.

        Parameters
        ----------
        wait : bool
            Wait for an answer through the channel, even where there is no terminal.
        terminal : file, optional
            Asked beside the channel; standard input where it is a terminal.
        """
        terminal = terminal or (sys.stdin if sys.stdin is not None and sys.stdin.isatty() else None)
        with self._changed:
            wait = wait or self._pause_asked or self._abort is not None
        if terminal is None and not wait:
            return "abort: paused with nobody to ask"
        typed: str | None = ""
        while (answer := self._answer()) is None:
            if terminal is None:
                with self._changed:
                    self._changed.wait(LOOK)
                continue
            if typed is not None:
                sys.stdout.write("the run is paused: resume or abort? ")
                sys.stdout.flush()
            typed = _typed(terminal)
            if typed == "resume":
                return "resume"
            if typed == "abort":
                return "abort: aborted by the operator"
            if typed == _CLOSED:
                terminal = None
                if not wait:
                    return "abort: the terminal was closed with the run paused"
        return answer

    def _answer(self) -> str | None:
        with self._changed:
            if self._abort is not None:
                return f"abort: {self._abort}"
            return "resume" if self._resume else None

    def _state_changed(self, new: str, old: str) -> None:
        with self._changed:
            # What was said of one pause is nothing to the next, and a wish ends with its run.
            if old == "paused" or new == "idle":
                self._reason, self._pause_asked, self._resume = "", False, False
            if new == "idle":
                self._abort = None
                self.row_stop.clear()
            self._changed.notify_all()
        if self._earlier_hook is not None:
            self._earlier_hook(new, old)

    def _document(self, name: str, doc: Mapping[str, Any]) -> None:
        with self._changed:
            if name == "start" and self._run is None:
                self._run = doc
            elif name == "stop" and self._run is not None and doc["run_start"] == self._run["uid"]:
                self._run = None

    def _refuse_without_run(self, asked: str) -> None:
        if self.engine.state in ("idle", "panicked"):
            raise Refusal(f"{asked} was asked, the engine is {self.engine.state}: there is no run; start one first")

    def _pause(self, asked: str, *, defer: bool) -> None:
        self._refuse_without_run(asked)
        state = self.engine.state
        if state == "paused":
            raise Refusal(f"{asked} was asked, the run is paused already; ask for resume or abort")
        with self._changed:
            before = self._pause_asked, self._reason
            self._pause_asked, self._reason = True, self._reason or ASKED
        if not self._request_pause(defer):
            with self._changed:
                self._pause_asked, self._reason = before
            raise Refusal(f"{asked} was asked, the run is {self.engine.state}; look at its state and ask again")

    def _request_pause(self, defer: bool) -> bool:
        try:
            self.engine.request_pause(defer)
        except TransitionError:
            return False
        return True

    def _go_on(self) -> None:
        with self._changed:
            self._refuse_without_run("resume")
            if (state := self.state) != "paused":
                raise Refusal(f"resume was asked, the run is {state}; only a paused run can be resumed")
            if self.at_prompt:
                raise Refusal(
                    "resume was asked, the paused run belongs to the prompt of its session; RE.resume() there"
                )
            self._resume = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: not self._resume, PATIENCE):
                self._resume = False
                raise Refusal(
                    f"resume was asked, nobody took it up within {PATIENCE:g} s; look at the engine's terminal"
                )

    def _stop_after_row(self, asked: str, stop: bool) -> None:
        with self._changed:
            self._refuse_without_run(asked)
            if self._run is not None and "grid" not in self._run:
                raise Refusal(f"{asked} was asked, the run under way has no rows; pause or abort it")
            if stop:
                self.row_stop.set()
            else:
                self.row_stop.clear()

    def _end(self, request: Mapping[str, Any]) -> None:
        why = request.get("reason", "")
        if not isinstance(why, str) or len(why) > MAX_REASON:
            raise Refusal(f"abort was asked with a reason that is no text of up to {MAX_REASON} characters; shorten it")
        said = " ".join(why.split())
        with self._changed:
            # Under the lock: a wish cannot be left behind by a run that ends here and now.
            self._refuse_without_run("abort")
            self._abort = f"abort {ASKED}" + (f": {said}" if said else "")
            self._changed.notify_all()
        deadline = time.monotonic() + PATIENCE
        while self._abort is not None:
            if time.monotonic() > deadline:
                found = self.engine.state
                raise Refusal(
                    f"abort was asked, the run is {found} after {PATIENCE:g} s and will end when it can; wait"
                )
            self._press()
            with self._changed:
                self._changed.wait(LOOK)

    def _press(self) -> None:
        """Bring a run that is to be aborted one step nearer to its end."""
        reason, state = self._abort, self.engine.state
        if reason is None:
            return
        if state == "running":
            self._request_pause(False)
        elif state == "paused" and self.at_prompt:
            try:
                self.engine.abort(reason)
            except TransitionError as error:  # the prompt was faster
                logger.warning("abort through the control channel: %s", error)


#: What is typed where a terminal is there no more.
_CLOSED = "\x04"


def _typed(terminal: TextIO) -> str | None:
    """Return the answer that was typed, or what else was, or None where nothing was for a while."""
    if not select.select([terminal], [], [], LOOK)[0]:
        return None
    # Past the buffer of the file, in which a second line would wait unseen by select.
    if not (received := os.read(terminal.fileno(), 4096)):
        return _CLOSED
    lines = [line.strip().lower() for line in received.decode(errors="replace").splitlines()]
    return next((line for line in lines if line in ("resume", "abort")), "")
