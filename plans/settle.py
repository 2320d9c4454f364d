"""Give the beamline another setting, and wait until what is read says that it has it: fail-closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from bluesky.utils import FailedStatus, Msg

from microarpes.devices.channel_access import Reading
from microarpes.plans.guard_limits import GuardLimits
from microarpes.plans.guards import Guard

#: s between two looks; a gap between looks that is longer was a pause, and does not count against the deadline.
LOOK, PAUSE = 0.2, 5.0


class NotSettled(RuntimeError):
    """A setting was refused, or not reached in time; the message says what was asked for and what was found."""


def settle(
    what: str,
    signal: Any,
    value: float | str,
    read: Callable[[], Reading | Exception],
    limits: GuardLimits,
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Msg, Any, None]:
    """Set a signal, and wait until its readback was well for a time.

    A readback is well by the rules of a guard: within limits, a number, not INVALID, answered for, and updated;
    whatever is in doubt begins the time anew. It may be paused at any moment, and goes on waiting.

    Parameters
    ----------
    what : str
        Name with unit, for messages: ``temperature``.
    signal : ophyd.Signal
        What is set.
    value : float or str
        To what.
    read : callable
        Returns the readback by an explicit get, or the error instead.
    limits : GuardLimits
        Its `delay` is the time, s.
    deadline : float
        s after which it has failed; pauses do not count.
    clock : callable
        s.

    Raises
    ------
    NotSettled
        The signal was not set, or its readback was not well for so long in time. Nothing is set back.
    """
    yield Msg("checkpoint")
    try:
        yield Msg("set", signal, value, group="setting")
        yield Msg("wait", None, group="setting")
    except FailedStatus as error:
        raise NotSettled(f"{what} could not be set to {value}: {error.__cause__ or error}") from error
    guard = Guard(what, limits)
    # A guard is over only after its delay once it has tripped: what was read before the setting changed tells nothing.
    guard.look(ConnectionError("not asked since it was set"), clock(), exposing=False)
    waited, last = 0.0, clock()
    while not guard.clear:
        now = clock()
        waited += now - last if now - last < PAUSE else 0.0
        last = now
        found = read()
        guard.look(found, now, exposing=False)
        if not guard.clear and waited > deadline:
            raise NotSettled(
                f"{what} was to be {value} for {limits.delay:g} s within {deadline:g} s: {_found(found, limits)}"
            )
        yield Msg("checkpoint")
        if not guard.clear:
            yield Msg("sleep", None, LOOK)


def _found(found: Reading | Exception, limits: GuardLimits) -> str:
    if isinstance(found, Exception):
        return f"it cannot be read: {found}"
    return f"it {limits.refusal(found['value'], tripped=True) or 'was not steady, or its readback is dead or INVALID'}"
