"""The beam attenuated for a while: set whatever pauses meanwhile, put back however a plan ends."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from typing import Any, TypeVar

from bluesky.run_engine import WaitForTimeoutError
from bluesky.utils import Msg

from microarpes.plans.take_point import PointTaker

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Seconds an attenuator gets to say that it is back when a run is aborted: it was told to, and may be away.
PATIENCE_ON_ABORT = 0.5


def with_transmission(
    taker: PointTaker, transmission: float, plan: Generator[Msg, Any, Result]
) -> Generator[Msg, Any, Result]:
    """Run a plan and set the transmission afterwards, however it ends; where it is aborted, without waiting long."""
    source = taker.station.source
    try:
        result = yield from plan
    except Exception:
        yield Msg("set", source, transmission, group="attenuator back")
        # Its own thread sees to it, however long the attenuator takes.
        with contextlib.suppress(WaitForTimeoutError):
            yield Msg("wait", None, group="attenuator back", timeout=PATIENCE_ON_ABORT)
        raise
    except GeneratorExit:
        # Halted: nothing can be asked of the engine any more.
        source.set(transmission)
        raise
    if problem := (yield from attenuate(taker, transmission)):
        logger.error("the beam is not as it was before the check: %s", problem)
    return result


def attenuate(taker: PointTaker, transmission: float) -> Generator[Msg, Any, str]:
    """Set the transmission, whatever pauses meanwhile; return why it is not what was asked for."""
    source = taker.station.source
    while True:
        before = taker.accepted.interruptions
        yield Msg("set", source, transmission, group="attenuator")
        yield Msg("wait", None, group="attenuator")
        if taker.accepted.interruptions == before:
            return str(source.error)
