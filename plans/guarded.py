"""A run under guards: held while one is tripped, the shutter closed where it is to be, all of it told at the end."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from bluesky.run_engine import WaitForTimeoutError
from bluesky.utils import IllegalMessageSequence, Msg

from microarpes.devices.end_station import EndStation
from microarpes.plans.guards import Guards
from microarpes.plans.interruptions import InterruptionLog, tell_interruptions

Result = TypeVar("Result")
MsgGenerator = Generator[Msg, Any, None]

#: Seconds between two looks at guards that are tripped.
LOOK = 0.05
#: Seconds a shutter gets to say that it is closed when a run is aborted: it was told to, and may be away.
PATIENCE_ON_ABORT = 0.5


def guarded(
    station: EndStation, guards: Guards, log: InterruptionLog, plan: Generator[Msg, Any, Result]
) -> Generator[Msg, Any, Result]:
    """Run a plan, inside an open run, with the guards watching; at its end tell what held it up.

    Parameters
    ----------
    station : EndStation
    guards : Guards
    log : InterruptionLog
    plan : generator
    """
    log.forget()
    with guards.watching(log, station.stop_exposure):
        try:
            result = yield from plan
            yield Msg("checkpoint")
            yield Msg("rewindable", None, False)
            yield from tell_interruptions(log, ending=True)
        except Exception:
            yield Msg("rewindable", None, False)
            # An abort may strike inside the bundle of a point, which is then lost; nothing may be created within it.
            try:
                yield Msg("drop")
                log.not_told()
            except IllegalMessageSequence:
                pass
            yield from tell_interruptions(log, ending=True)
            raise
    yield Msg("rewindable", None, True)
    return result


def wait_until_clear(station: EndStation, guards: Guards) -> Generator[Msg, Any, str]:
    """Wait until no guard holds the run and the shutter that was closed meanwhile is open; return why it is not.

    The answer is empty where all is well.
    """
    shutter = station.kept_shutter
    while guards.holding():
        if guards.close_shutter and not shutter.closed:
            yield Msg("set", shutter, "close", group="shutter")
            yield Msg("wait", None, group="shutter")
        yield Msg("sleep", None, LOOK)
    if not shutter.closed:
        return ""
    yield Msg("set", shutter, "open", group="shutter")
    yield Msg("wait", None, group="shutter")
    return str(shutter.error) if shutter.closed else ""


def with_shutter(
    station: EndStation, plan: Generator[Msg, Any, Result], *, close_at_end: bool = True
) -> Generator[Msg, Any, Result]:
    """Open the shutter, run a plan, close the shutter, however it ends; where it is aborted, without waiting long.

    Parameters
    ----------
    station : EndStation
    plan : generator
    close_at_end : bool
        False leaves the shutter as it is.
    """
    try:
        yield from _move_shutter(station, "open")
        result = yield from plan
    except Exception:
        if close_at_end:
            yield from _close_at_once(station)
        raise
    if close_at_end:
        yield from _move_shutter(station, "close")
    return result


def _move_shutter(station: EndStation, where: str) -> MsgGenerator:
    yield Msg("set", station.shutter, where, group="shutter")
    yield Msg("wait", None, group="shutter", timeout=20.0)


def _close_at_once(station: EndStation) -> MsgGenerator:
    yield Msg("set", station.kept_shutter, "close", group="shutter at once")
    try:
        yield Msg("wait", None, group="shutter at once", timeout=PATIENCE_ON_ABORT)
    except WaitForTimeoutError:
        return
