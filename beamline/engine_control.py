"""What an operator may ask of a RunEngine from another thread, and who answers for a run that is paused.

A paused run belongs to whoever waits for it: `microarpes.beamline.raster_run.drive`, or a prompt. In `drive` the answer
of this channel and that of the terminal are worth the same, whichever comes first. At a prompt resume is refused, for
``RE.resume()`` would then return where nobody reads it; abort is not.

Abort is a pause, then the abort of a paused run: RunEngine.abort looks from the calling thread whether the run is
paused, and a run that pauses at that instant would never go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from bluesky.utils import TransitionError

from microarpes.beamline.operator_hold import MAX_REASON, OperatorHold, Refusal
from microarpes.beamline.pause_question import ask
from microarpes.plans.interruptions import OPERATOR, PLAN, Interruption, InterruptionLog

if TYPE_CHECKING:
    from bluesky import RunEngine

    from microarpes.plans.guards import Guards

logger = logging.getLogger(__name__)

#: Seconds a request may take to have its effect.
PATIENCE = 20.0
#: Seconds between two looks at what has no way to tell.
LOOK = 0.1
ASKED = "asked for through the control channel"


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
        self._hold = OperatorHold()
        self._pause: Interruption | None = None
        #: Pauses by hand, for the stream of the run.
        self.interruptions = InterruptionLog()
        #: Of the raster under way.
        self.guards: Guards | None = None
        self._earlier_hook: Callable[[str, str], None] | None = engine.state_hook
        engine.state_hook = self._state_changed
        # Not the bound method: of that a RunEngine keeps a weak reference only.
        engine.subscribe(lambda name, doc: self._document(name, doc))
        self._requests: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "state": lambda request: None,
            "pause": lambda request: self._ask_for_pause("pause", defer=True),
            "pause-now": lambda request: self._ask_for_pause("pause-now", defer=False),
            "resume": lambda request: self._go_on(),
            "stop-after-row": lambda request: self._stop_after_row("stop-after-row", True),
            "go-on-after-row": lambda request: self._stop_after_row("go-on-after-row", False),
            "hold": self._take_hold,
            "release": self._release,
            "abort": self._end,
        }

    def do(self, request: Any) -> dict[str, Any]:
        """Return the reply to one request, after it has had its effect.

        Parameters
        ----------
        request : mapping
            ``do``: state, pause (at the next point), pause-now, resume, stop-after-row, go-on-after-row, hold, release
            or abort; with abort a ``reason``, with hold a ``text``.

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
        """Return state, uid of the open run, why it pauses, whether it ends after the row, why guards hold it."""
        with self._changed:
            state, run = self.state, self._run
            reason = self._reason if state in ("pausing", "paused") else ""
            return {
                "state": state,
                "run_uid": run["uid"] if run is not None else None,
                "reason": reason or None,
                "row_stop": self.row_stop.is_set(),
                "holding": self.guards.holding() if self.guards is not None and run is not None else {},
            }

    def of_raster(self) -> dict[str, Any]:
        """Return what `microarpes.plans.raster.gap_raster` needs of this."""
        return {"row_stop": self.row_stop.is_set, "announce": self.announce, "interruptions": self.interruptions}

    def held(self) -> str:
        """Return the text with which an operator holds the run; empty where none does."""
        return self._hold.text

    @property
    def has_run(self) -> bool:
        """Whether a plan runs, or is paused, or is about to be either."""
        return self.engine.state not in ("idle", "panicked")

    def interrupt(self) -> None:
        """Pause at once, by hand at the terminal; nothing happens where that cannot be."""
        with self._changed:
            self._reason = self._reason or "Ctrl-C"
        self._request_pause(False)

    def abort(self, reason: str, patience: float = float("inf")) -> None:
        """Abort the run, with exactly this reason, as soon as it can be.

        Raises
        ------
        Refusal
            There is none, or it has not ended within `patience` s; it will, when it can.
        """
        with self._changed:
            # Under the lock: a wish cannot be left behind by a run that ends here and now.
            self._refuse_without_run("abort")
            self._abort = reason
            self._changed.notify_all()
        deadline = time.monotonic() + patience
        while self._abort is not None:
            if time.monotonic() > deadline:
                found = self.engine.state
                raise Refusal(
                    f"abort was asked, the run is {found} after {patience:g} s and will end when it can; wait"
                )
            self._press()
            self.wait_for_change(LOOK)

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
        return ask(self, wait=wait, terminal=terminal)

    def waits_for_answer(self) -> bool:
        """Tell whether somebody who asked through this channel is there to answer."""
        with self._changed:
            return self._pause_asked or self._abort is not None

    def wait_for_change(self, seconds: float) -> None:
        """Wait until something changes, at most so many seconds."""
        with self._changed:
            self._changed.wait(seconds)

    def answer(self) -> str | None:
        """Return what is to become of a paused run, as `question` does; None while nobody has said."""
        with self._changed:
            if self._abort is not None:
                return f"abort: {self._abort}"
            return "resume" if self._resume else None

    def _state_changed(self, new: str, old: str) -> None:
        with self._changed:
            self._note_pause(new, old)
            # What was said of one pause is nothing to the next, and a wish ends with its run.
            if old == "paused" or new == "idle":
                self._reason, self._pause_asked, self._resume = "", False, False
            if new == "idle":
                self._abort = None
                self._hold.text = ""
                self.row_stop.clear()
            self._changed.notify_all()
        if self._earlier_hook is not None:
            self._earlier_hook(new, old)

    def _note_pause(self, new: str, old: str) -> None:
        # The pause by which an abort begins holds nothing up.
        if new == "pausing" and self._abort is None and not self.interruptions.lasts(PLAN):
            self._pause = self.interruptions.begin(OPERATOR, self._reason or "a pause by hand")
        elif self._pause is not None and old == "paused" and new == "running":
            self.interruptions.end(self._pause)
            self._pause = None

    def _document(self, name: str, doc: Mapping[str, Any]) -> None:
        with self._changed:
            if name == "start" and self._run is None:
                self._run = doc
            elif name == "stop" and self._run is not None and doc["run_start"] == self._run["uid"]:
                self._run = None

    def _refuse_without_run(self, asked: str) -> None:
        if self.engine.state in ("idle", "panicked"):
            raise Refusal(f"{asked} was asked, the engine is {self.engine.state}: there is no run; start one first")

    def _ask_for_pause(self, asked: str, *, defer: bool) -> None:
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

    def _take_hold(self, request: Mapping[str, Any]) -> None:
        with self._changed:
            self._refuse_without_run("hold")
            if self.guards is None:
                raise Refusal("hold was asked, the run under way has no guards; pause it")
            self._hold.take(request)

    def _release(self, request: Mapping[str, Any]) -> None:
        with self._changed:
            self._refuse_without_run("release")
            self._hold.release()

    def _end(self, request: Mapping[str, Any]) -> None:
        why = request.get("reason", "")
        if not isinstance(why, str) or len(why) > MAX_REASON:
            raise Refusal(f"abort was asked with a reason that is no text of up to {MAX_REASON} characters; shorten it")
        said = " ".join(why.split())
        self.abort(f"abort {ASKED}" + (f": {said}" if said else ""), PATIENCE)

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
