"""A row taken in flight: exposures one after another while the axis moves, each judged when it is known where it was.

As in `take_point`, all of it is in a section the RunEngine may not rewind. The frame before is judged, stored and
emitted while the next exposure is under way. What interrupts the row stops the axis and makes the frames that are not
judged yet void; the rest of the row is flown again. A pixel whose frame was refused, or that was never flown over, is
taken at rest by `take_point` behind its row.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bluesky.run_engine import WaitForTimeoutError
from bluesky.utils import Msg

from microarpes.devices.evidence import Evidence, Flown
from microarpes.devices.flight import Flight, Leg
from microarpes.plans.grid import RasterPoint
from microarpes.plans.pace import Pace, flown_axis, stretches
from microarpes.plans.refusals import pause_with_reason
from microarpes.plans.take_point import (
    INTERRUPTED,
    MsgGenerator,
    PointTaker,
    come_to_rest,
    emit_point,
    expose,
    judge,
    reject,
    take_point,
    wait_until_ready,
)

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Seconds between two looks at what has to be waited for in flight.
LOOK = 0.005
#: Part of a step by which the axis may be beyond where an exposure should have begun: the gate would refuse more.
LATE = 0.4
#: Part of an exposure in which the one before may still be judged.
SHARE = 0.8
#: Seconds an aborted run waits for the axis to have its velocity again; it is put back in any case.
PATIENCE = 1.0


@dataclass(frozen=True)
class Flyer:
    """What `fly_row` needs besides the row.

    Parameters
    ----------
    flight : Flight
    pace : Pace
    """

    flight: Flight
    pace: Pace


@dataclass
class _Shot:
    """An exposure that is not judged yet."""

    pixel: int
    evidence: Evidence


@dataclass
class _Pass:
    """One flight over what is left of a row."""

    taker: PointTaker
    flyer: Flyer
    leg: Leg
    #: Pixels whose event was emitted, and those of which an exposure was refused or void.
    done: set[int]
    refused: set[int]
    #: How many pixels the axis has come to, whatever became of them.
    reached: int = 0
    pending: _Shot | None = None
    refused_in_a_row: int = 0
    overheads: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = self._count()

    def _count(self) -> tuple[int, int]:
        return self.taker.accepted.interruptions, self.taker.guards.trips

    def interrupted(self) -> bool:
        """Tell whether a pause, a suspension or a guard made this flight void."""
        return self._count() != self._before

    @property
    def goes_on(self) -> bool:
        """Whether the next pixel can be flown over."""
        return (
            not self.interrupted()
            and self.flyer.flight.flying
            and self.refused_in_a_row < self.taker.gate.limits.max_attempts
            and not self.taker.station.over_counted
            and not self.taker.guards.holding()
        )


def fly_row(
    taker: PointTaker,
    flyer: Flyer,
    row: Sequence[RasterPoint],
    target: Callable[[RasterPoint], Mapping[str, float]],
) -> MsgGenerator:
    """Take the pixels of a row in flight, and at rest those of which that gave no good frame.

    Parameters
    ----------
    taker : PointTaker
    flyer : Flyer
    row : sequence of RasterPoint
        In the order of the visit.
    target : callable
        Returns where the axes have to be for a pixel, axis to um and deg.
    """
    for stretch in stretches(row):
        done: set[int] = set()
        refused: set[int] = set()
        left = list(stretch)
        yield Msg("checkpoint")
        yield Msg("rewindable", None, False)
        while (axis := flown_axis(left)) is not None:
            yield from wait_until_ready(taker)
            left = yield from _fly_over(taker, flyer, left, axis, target, done, refused)
        yield Msg("rewindable", None, True)
        for point in stretch:
            if point.pixel not in done:
                attempt = 2 if point.pixel in refused else 1
                yield from take_point(taker, point.pixel, target(point), attempt=attempt)


def _fly_over(
    taker: PointTaker,
    flyer: Flyer,
    points: list[RasterPoint],
    axis: str,
    target: Callable[[RasterPoint], Mapping[str, float]],
    done: set[int],
    refused: set[int],
) -> Generator[Msg, Any, list[RasterPoint]]:
    """Fly over pixels once; return those that are to be flown over again."""
    requests = [dict(target(point)) for point in points]
    flight = flyer.flight
    try:
        leg = flyer.pace.leg(taker.station, requests, axis)
    except Exception as error:  # noqa: BLE001 - taken at rest, where the gate says what is wrong
        logger.warning("a row is taken at rest: %s", error)
        return []
    over = _Pass(taker, flyer, leg, done, refused)
    yield Msg("set", taker.station, {**requests[0], axis: leg.start}, group="move")
    yield Msg("wait", None, group="move")
    if not over.interrupted():
        yield Msg("set", flight, leg, group="flight")
        yield Msg("wait", None, group="flight")
    for point, request in zip(points, requests, strict=True):
        if not (yield from _wait_for(over, request[axis])):
            break
        yield from _come_to(over, point, request)
    yield from _judge_the_last(over)
    if over.interrupted() or over.reached < len(points):
        yield Msg("stop", flight)
    yield from land(taker, flight)
    flyer.pace.note(over.overheads)
    if over.interrupted():
        yield from come_to_rest(taker)
        return points[over.reached :]
    if over_counted := taker.station.over_counted:
        yield from pause_with_reason(taker, f"in a row that was flown over: {over_counted}; the shutter is closed")
    if rest := points[over.reached :]:
        logger.warning("%d pixels of a row are taken at rest: %s", len(rest), flight.error or "the flight ended early")
    return []


def _wait_for(over: _Pass, centre: float) -> Generator[Msg, Any, bool]:
    """Wait until the exposure of a pixel is to begin; False where the flight does not go on."""
    half_way = 0.5 * over.leg.velocity * over.flyer.pace.exposure
    while over.goes_on:
        seconds = over.flyer.flight.seconds_until(centre - over.leg.way * half_way)
        if seconds is not None and seconds <= 0.0:
            return True
        # Looked at again and again: a readback that comes meanwhile knows better.
        yield Msg("sleep", None, LOOK if seconds is None else min(seconds, 10.0 * LOOK))
    return False


def _come_to(over: _Pass, point: RasterPoint, request: Mapping[str, float]) -> MsgGenerator:
    """Expose a pixel, unless it lies behind already, and then judge the one before if that is still to be done."""
    began, flight = time.perf_counter(), over.flyer.flight
    half_way = 0.5 * over.leg.velocity * over.flyer.pace.exposure
    seconds = flight.seconds_until(request[over.leg.axis] - over.leg.way * half_way)
    over.reached += 1
    if seconds is not None and seconds * over.leg.velocity < -LATE * over.leg.step:
        return
    evidence = yield from _shoot(over, request)
    if evidence is None:
        if over.pending is not None:
            yield from _void(over, over.pending)
        yield from _void(over, _Shot(point.pixel, Evidence(request=dict(request))))
        return
    over.overheads.append(time.perf_counter() - began - over.flyer.pace.exposure)
    # It holds a readback from after the exposure before.
    flight.locate(evidence)
    if over.pending is not None and not over.interrupted():
        yield from _judge(over, over.pending)
    if over.pending is not None:
        yield from _void(over, over.pending)
    over.pending = _Shot(point.pixel, evidence)


def _shoot(over: _Pass, request: Mapping[str, float]) -> Generator[Msg, Any, Evidence | None]:
    """Expose once; None where that was interrupted."""
    taker, flown = over.taker, Flown(over.leg.axis, tolerance=0.5 * over.leg.step)
    yield Msg("set", taker.station, dict(request), flown=flown, group="move")
    yield Msg("wait", None, group="move")
    if not over.interrupted():
        yield from expose(taker, over.interrupted, lambda: _judge_meanwhile(over))
    if over.interrupted():
        return None
    reading = yield Msg("read", taker.station)
    return None if reading is None or over.interrupted() else reading["evidence"]["value"]


def _judge_meanwhile(over: _Pass) -> MsgGenerator:
    """Judge the exposure before, while another is under way, once it is known where it was made."""
    deadline = time.perf_counter() + SHARE * over.flyer.pace.exposure
    while over.pending is not None and not over.interrupted():
        if over.flyer.flight.locate(over.pending.evidence):
            yield from _judge(over, over.pending)
        elif time.perf_counter() > deadline:
            return
        else:
            yield Msg("sleep", None, LOOK)


def _judge_the_last(over: _Pass) -> MsgGenerator:
    """Judge the last exposure of a flight, once the readback after it has come, or will not come any more."""
    flight = over.flyer.flight
    while over.pending is not None and not over.interrupted():
        if flight.locate(over.pending.evidence) or not flight.flying:
            yield from _judge(over, over.pending)
        else:
            yield Msg("sleep", None, LOOK)
    if over.pending is not None:
        yield from _void(over, over.pending)


def _judge(over: _Pass, shot: _Shot) -> MsgGenerator:
    over.pending = None
    if reasons := judge(over.taker, shot.evidence):
        over.refused_in_a_row += 1
        over.refused.add(shot.pixel)
        yield from reject(over.taker, shot.evidence, shot.pixel, 1, reasons)
        return
    over.refused_in_a_row = 0
    over.taker.gate.accept(shot.evidence)
    yield from emit_point(over.taker, shot.evidence, shot.pixel, 1)
    over.done.add(shot.pixel)


def _void(over: _Pass, shot: _Shot) -> MsgGenerator:
    over.pending = None
    over.refused.add(shot.pixel)
    reasons = over.taker.guards.tripped_by_exposure() or [INTERRUPTED]
    yield from reject(over.taker, shot.evidence, shot.pixel, 1, reasons)


def land(taker: PointTaker, flight: Flight) -> MsgGenerator:
    """Wait until the axis is at rest and has its velocity again; a pause makes waits return early."""
    while True:
        before = taker.accepted.interruptions
        yield Msg("set", flight, None, group="flight")
        yield Msg("wait", None, group="flight")
        if taker.accepted.interruptions == before:
            return


def with_velocity(flight: Flight, plan: Generator[Msg, Any, Result]) -> Generator[Msg, Any, Result]:
    """Run a plan and put the velocity back however it ends; where it is aborted, without waiting long."""
    try:
        result = yield from plan
        if flight.velocities:
            # The axis was away when a row ended.
            yield Msg("set", flight, None, group="velocity")
            yield Msg("wait", None, group="velocity")
        return result
    except Exception:
        yield Msg("stop", flight)
        yield Msg("set", flight, None, group="velocity")
        # Its own thread puts the velocity back, however long the axis is away.
        with contextlib.suppress(WaitForTimeoutError):
            yield Msg("wait", None, group="velocity", timeout=PATIENCE)
        raise
    except GeneratorExit:
        # Halted: nothing can be asked of the engine any more.
        flight.stop()
        flight.set(None)
        raise
    finally:
        flight.destroy()
