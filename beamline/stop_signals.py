"""What Ctrl-C, SIGTERM and SIGHUP mean to a run: pause, or an abort that leaves nothing moving and nothing open.

Once Ctrl-C pauses at once; the exposure under way is void and taken again. Twice within `TWICE` s, or at the question
what is to become of a paused run, it aborts. SIGTERM and SIGHUP abort. A handler only rings: the work is done in a
thread of its own, by way of `EngineControl`, for the RunEngine may be asked by any thread but the one that runs it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microarpes.beamline.engine_control import EngineControl

logger = logging.getLogger(__name__)

#: Seconds within which a second Ctrl-C aborts.
TWICE = 2.0
#: Seconds for which an abort lets nothing wait for an answer of the beamline.
HURRY = 10.0
#: Aborts a run; SIGHUP comes when its terminal is gone.
ENDING = (signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Answer signals for an engine while the context lasts.

    Parameters
    ----------
    control : EngineControl
    interrupt : bool
        Ctrl-C too. False where something else answers it, as a prompt does.
    """

    def __init__(self, control: EngineControl, *, interrupt: bool = True) -> None:
        self._control = control
        self._numbers = (*ENDING, signal.SIGINT) if interrupt else ENDING
        self._heard: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._last = float("-inf")
        #: The first signal that ended the run; None if none did.
        self.ended_by: int | None = None

    @contextlib.contextmanager
    def answered(self) -> Iterator[StopSignals]:
        """Answer them; in another thread than the main one, where Python allows no handler, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in self._numbers}
        # Who started this with nohup wants it to survive its terminal.
        taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        thread = threading.Thread(target=self._answer, name="signals", daemon=True)
        thread.start()
        for number in taken:
            signal.signal(number, self._on_signal)
        try:
            yield self
        finally:
            for number in taken:
                signal.signal(number, before[number])
            self._heard.put(0)
            thread.join(1.0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._control.has_run:
            self._heard.put(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)

    def _answer(self) -> None:
        while number := self._heard.get():
            try:
                self._answer_one(number)
            except Exception:
                logger.exception("signal %s could not be answered", signal.Signals(number).name)

    def _answer_one(self, number: int) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        if number != signal.SIGINT:
            self._abort(number, signal.Signals(number).name)
            return
        now, last = time.monotonic(), self._last
        self._last = now
        if now - last <= TWICE or self._control.state == "paused":
            self._abort(number, "Ctrl-C twice" if now - last <= TWICE else "Ctrl-C in a pause")
        else:
            tell("Ctrl-C: the run pauses; the exposure under way is taken again. Once more, quickly: abort")
            self._control.interrupt()

    def _abort(self, number: int, reason: str) -> None:
        if self.ended_by is None:
            self.ended_by = number
            tell(f"{reason}: the run is aborted")
            # In a thread of its own: this one has to hear of what comes next.
            threading.Thread(target=self._end_run, args=(reason,), name="abort", daemon=True).start()
            threading.Thread(target=self._hurry, name="hurry", daemon=True).start()

    def _hurry(self) -> None:
        """Let the RunEngine's thread wait for no answer of a beamline that may be frozen; it cannot be asked there."""
        gets = sys.modules.get("microarpes.devices.batched_gets")
        deadline = time.monotonic() + HURRY
        while gets is not None and self._control.has_run and time.monotonic() < deadline:
            gets.abandon_gets()
            time.sleep(0.1)

    def _end_run(self, reason: str) -> None:
        from microarpes.beamline.operator_hold import Refusal

        with contextlib.suppress(Refusal):  # it has ended meanwhile
            self._control.abort(reason)


def tell(line: str) -> None:
    """Say something at the terminal, if that can be."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"\n{line}\n")
        sys.stderr.flush()


def leave_terminal() -> None:
    """Write to nowhere what would go to a terminal that is gone: bluesky prints, and an error there stops an abort."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            handle = stream.fileno()
            try:
                os.ttyname(handle)
                gone = not _can_be_written(handle)
            except OSError:
                gone = os.path.realpath(f"/proc/self/fd/{handle}").startswith("/dev/pts")
            if gone:
                os.dup2(nowhere, handle)
    os.close(nowhere)


def _can_be_written(handle: int) -> bool:
    try:
        os.write(handle, b"\n")
    except OSError:
        return False
    return True
