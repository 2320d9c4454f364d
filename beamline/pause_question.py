"""Ask what is to become of a paused run: at the terminal and through the control channel, whichever answers first."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from microarpes.beamline.engine_control import EngineControl

#: Seconds between two looks at what has no way to tell.
LOOK = 0.1


def ask(control: EngineControl, *, wait: bool = False, terminal: TextIO | None = None) -> str:
    """Return ``resume``, or ``abort: why``; see `microarpes.beamline.engine_control.EngineControl.question`."""
    terminal = terminal or (sys.stdin if sys.stdin is not None and sys.stdin.isatty() else None)
    wait = wait or control.waits_for_answer()
    if terminal is None and not wait:
        return "abort: paused with nobody to ask"
    typed: str | None = ""
    while (answer := control.answer()) is None:
        if terminal is None:
            control.wait_for_change(LOOK)
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


#: What is typed where a terminal is there no more.
_CLOSED = "\x04"


def _typed(terminal: TextIO) -> str | None:
    """Return the answer that was typed, or what else was, or None where nothing was for a while."""
    if not select.select([terminal], [], [], LOOK)[0]:
        return None
    # Past the buffer of the file, in which a second line would wait unseen by select.
    try:
        received = os.read(terminal.fileno(), 4096)
    except OSError:  # a terminal that hung up
        received = b""
    if not received:
        return _CLOSED
    lines = [line.strip().lower() for line in received.decode(errors="replace").splitlines()]
    return next((line for line in lines if line in ("resume", "abort")), "")
