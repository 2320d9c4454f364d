"""Faults of the whole process: it freezes, or it starts again."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from microarpes.sim.faults import Faults

#: Carries over a reboot what a test must still be able to read: counts, and the place in each random sequence.
_STATE = "MICROARPES_SIM_FAULTS"

_command: list[str] = []


def remember_command(command: Sequence[str]) -> None:
    """Keep the command line that a reboot runs again."""
    _command[:] = command


def at_once(action: Callable[[float], None]) -> Callable[[float], Awaitable[None]]:
    """Return `action` as a coroutine function."""

    async def act(amount: float) -> None:
        action(amount)

    return act


def freeze(seconds: float) -> None:
    """Answer nothing for a while, as a process that was stopped: connections stay open, time goes on."""
    time.sleep(seconds)


def reboot(faults: Faults, seconds: float) -> None:
    """Replace this process by a new one of the same command on the same port, after at least `seconds`.

    Connections break, and every value is what it is at boot. Only the faults go on where they were.

    Raises
    ------
    RuntimeError
        The process was not started by a command.
    """
    if not _command:
        raise RuntimeError("this IOC cannot reboot: it was not started as python -m microarpes.sim")
    environment = {**os.environ, _STATE: json.dumps({**faults.state(), "down_until": time.time() + seconds})}
    sys.stdout.flush()
    os.execve(_command[0], _command, environment)  # noqa: S606 - our own program, no shell


def resume_faults(faults: Faults) -> None:
    """Go on with the faults of before a reboot; at a first start there are none."""
    saved = os.environ.pop(_STATE, None)
    if saved is not None:
        state = json.loads(saved)
        faults.restore(state)
        time.sleep(max(0.0, state["down_until"] - time.time()))
