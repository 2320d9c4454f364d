"""The one stub through which every point goes: move, expose, read, judge, and only then an event.

All hardware work happens outside a bundle in a section the RunEngine may not rewind. A pause or a suspension in
it makes the exposure under way void, and only that, and the loop here takes it again; what passed the gate is put
into a soft device and emitted by create, read, save with no message between.

A long exposure is a number of sub-frames. Each is an attempt of its own: the axes are where they were asked to be, it
is judged by itself, and a good one stays good whatever happens to the others. Their sum is made only of frames that
were judged, when the last of them was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bluesky.utils import Msg

from microarpes.devices.accepted_point import AcceptedPoint, JudgedPoint
from microarpes.devices.end_station import EndStation
from microarpes.devices.evidence import Evidence
from microarpes.devices.rejected_frames import RejectedFrames, Rejection
from microarpes.plans.gate import Gate
from microarpes.plans.guarded import wait_until_clear
from microarpes.plans.guards import Guards
from microarpes.plans.interruptions import InterruptionLog, tell_interruptions
from microarpes.plans.refusals import Refusals, pause_with_reason
from microarpes.plans.sub_frames import overflow, total
from microarpes.plans.top_up import seconds_to_wait

logger = logging.getLogger(__name__)

MsgGenerator = Generator[Msg, Any, Any]


@dataclass(frozen=True)
class PointTaker:
    """What `take_point` needs besides the request.

    Parameters
    ----------
    station : EndStation
    gate : Gate
    accepted : AcceptedPoint
    rejected : RejectedFrames
    compose : callable
        ``(evidence, pixel, attempt) -> (values, timestamps)`` of an accepted point.
    storage_error : callable
        Returns why documents cannot be stored now, or None.
    sub_frames : int
        Exposures whose sum is a point.
    announce : callable
        Told why the plan is about to pause by itself.
    calibration : mapping
        Calibration record the run began with, for what measures another.
    guards : Guards
        No exposure begins while one holds the run, and one that trips makes the exposure under way void.
    interruptions : InterruptionLog
        Gets the plan's own pauses; those that are over are told before the next exposure.
    exposed : list of callable
        Each is told of every exposure that came to its end, whatever the gate says of it.
    """

    station: EndStation
    gate: Gate
    accepted: AcceptedPoint
    rejected: RejectedFrames
    compose: Callable[[Evidence, int, int], tuple[dict[str, Any], dict[str, float]]]
    storage_error: Callable[[], Exception | None]
    sub_frames: int = 1
    announce: Callable[[str], None] = lambda reason: None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    guards: Guards = field(default_factory=Guards)
    interruptions: InterruptionLog = field(default_factory=InterruptionLog)
    exposed: list[Callable[[Evidence], None]] = field(default_factory=list)


def take_point(
    taker: PointTaker,
    pixel: int,
    request: Mapping[str, float],
    following: Mapping[str, float] | None = None,
    attempt: int = 1,
) -> MsgGenerator:
    """Take one point and emit its event; retake what the gate refuses, then pause with the reason.

    A point has as many refusals as the gate's ``max_attempts`` in all its sub-frames.

    Parameters
    ----------
    taker : PointTaker
    pixel : int
        Planned pixel.
    request : mapping
        Axis to position, um and deg.
    following : mapping, optional
        That of the next point: the axes set out for it once this one is judged good, while it is stored. What becomes
        of their moves is judged with the next point.
    attempt : int
        Number of the first: above 1 where others were refused before.
    """
    yield Msg("checkpoint")
    yield Msg("rewindable", None, False)
    summed, attempt = yield from take_exposures(taker, pixel, request, attempt)
    if following is not None:
        yield Msg("set", taker.station, dict(following), ahead=True, group="move")
    yield from emit_point(taker, summed, pixel, attempt)
    yield Msg("rewindable", None, True)


def emit_point(taker: PointTaker, evidence: Evidence, pixel: int, attempt: int) -> MsgGenerator:
    """Store what was judged and emit its event; to be run where the RunEngine may not rewind."""
    yield from _store(taker, evidence, pixel, attempt)
    yield Msg("create", None, name="primary")
    yield Msg("read", taker.accepted)
    yield Msg("save")


def take_exposures(
    taker: PointTaker, pixel: int, request: Mapping[str, float], attempt: int = 1
) -> Generator[Msg, Any, tuple[Evidence, int]]:
    """Expose at a place until the gate has accepted what makes a point; return their sum and the attempts it took.

    What a reference or a landmark is made of too: nothing is stored but what was refused. To be run where the RunEngine
    may not rewind.

    Parameters
    ----------
    taker : PointTaker
    pixel : int
        What refused frames are filed under; negative for what is no pixel.
    request : mapping
        Axis to position, um and deg.
    attempt : int
        Number of the first.
    """
    good: list[Evidence] = []
    refusals = Refusals(pixel, taker.gate.limits.max_attempts, attempt)
    while len(good) < taker.sub_frames:
        yield from wait_until_ready(taker)
        evidence, reasons = yield from _attempt(taker, request)
        reasons = reasons or overflow(good, evidence)
        if not reasons:
            taker.gate.accept(evidence)
            good.append(evidence)
            refusals.in_a_row = 0
            continue
        refusals.attempt += 1
        yield from reject(taker, evidence, pixel, refusals.attempt - 1, reasons)
        if reasons != [INTERRUPTED]:
            yield from refusals.pause_or_delay(taker, reasons)
    return total(good), refusals.attempt


def wait_until_ready(taker: PointTaker) -> MsgGenerator:
    """Wait until what is measured can be stored, no guard holds the run, and the beamline is there."""
    yield from _wait_for_storage(taker)
    yield from _wait_for_guards(taker)
    yield from tell_interruptions(taker.interruptions)
    if taker.station.lost:
        yield Msg("prepare", taker.station, group="prepare")
        yield Msg("wait", None, group="prepare")
    if taker.station.approach_stopped:
        yield from come_to_rest(taker)


#: Under which number refused frames of what is no pixel are filed.
NO_PIXEL = -1
#: Reason of an attempt in which the RunEngine paused or a guard tripped: retaken, not counted as a failure.
INTERRUPTED = "a pause or a guard interrupted the attempt"
#: Intervals of the top-up after which an exposure is made though the countdown never allowed it: the gate will judge.
INJECTION_PATIENCE = 3.0


def _attempt(taker: PointTaker, request: Mapping[str, float]) -> Generator[Msg, Any, tuple[Evidence, list[str]]]:
    guards = taker.guards
    before = taker.accepted.interruptions, guards.trips

    def interrupted() -> bool:
        return (taker.accepted.interruptions, guards.trips) != before

    if guards.holding():
        return Evidence(request=dict(request)), [INTERRUPTED]
    yield Msg("set", taker.station, dict(request), group="move")
    yield Msg("wait", None, group="move")
    if taker.gate.limits.top_up == "gate" and not interrupted():
        yield from _wait_for_injection(taker, interrupted)
    if not interrupted():
        yield from expose(taker, interrupted)
    reading = None
    if not interrupted():
        reading = yield Msg("read", taker.station)
    if reading is None or interrupted():
        yield from come_to_rest(taker)
        return Evidence(request=dict(request)), guards.tripped_by_exposure() or [INTERRUPTED]
    evidence: Evidence = reading["evidence"]["value"]
    return evidence, judge(taker, evidence)


def judge(taker: PointTaker, evidence: Evidence) -> list[str]:
    """Return why the gate refuses an attempt; an empty list accepts it."""
    for tell in taker.exposed:
        tell(evidence)
    started = time.perf_counter()
    reasons = taker.gate.judge(evidence)
    evidence.ledger["time_gate"] = time.perf_counter() - started
    return reasons


def expose(
    taker: PointTaker, interrupted: Callable[[], bool], meanwhile: Callable[[], MsgGenerator] | None = None
) -> MsgGenerator:
    """Expose once, with the guards told of it; `meanwhile` is done while the exposure is under way."""
    taker.guards.exposing = True
    try:
        yield Msg("trigger", taker.station, group="expose")
        if interrupted():
            # A guard that tripped before the exposure had begun has stopped nothing.
            taker.station.stop_exposure()
        elif meanwhile is not None:
            yield from meanwhile()
        yield Msg("wait", None, group="expose")
    finally:
        taker.guards.exposing = False


def _wait_for_injection(taker: PointTaker, interrupted: Callable[[], bool]) -> MsgGenerator:
    """Wait until an exposure fits in before the next injection; not for ever, the gate sees whether it did."""
    limits, top_up = taker.gate.limits, taker.station.top_up
    deadline = time.monotonic() + INJECTION_PATIENCE * (limits.top_up_interval or 0.0)
    while top_up is not None and time.monotonic() < deadline and not interrupted():
        reading = yield Msg("read", top_up)
        if reading is None:
            return
        seconds = seconds_to_wait(reading[top_up.countdown.name], taker.station.exposure, limits)
        if seconds <= 0.0:
            return
        yield Msg("sleep", None, seconds)


def come_to_rest(taker: PointTaker) -> MsgGenerator:
    """Wait until nothing is under way, of an interrupted attempt, whose waits returned early, or of moves ahead."""
    taker.station.forget_arrivals()
    while True:
        before = taker.accepted.interruptions
        yield Msg("set", taker.station, {}, group="rest")
        yield Msg("wait", None, group="rest")
        if taker.accepted.interruptions == before:
            return


def _store(taker: PointTaker, evidence: Evidence, pixel: int, attempt: int) -> MsgGenerator:
    """Write the frame; while the disk refuses it, pause and write it again: it was judged, and is still here."""
    point = JudgedPoint(np.asarray(evidence.frame), *taker.compose(evidence, pixel, attempt))
    while True:
        yield Msg("set", taker.accepted, point, group="store")
        yield Msg("wait", None, group="store")
        if taker.accepted.error is None:
            return
        yield from pause_with_reason(taker, f"the frame of pixel {pixel} could not be written: {taker.accepted.error}")
        yield from _wait_for_storage(taker)


def reject(taker: PointTaker, evidence: Evidence, pixel: int, attempt: int, reasons: list[str]) -> MsgGenerator:
    """Keep a refused frame apart; the next attempt moves every axis again."""
    taker.station.forget_arrivals()
    reason = "; ".join(reasons)
    logger.warning("pixel %d, attempt %d not accepted: %s", pixel, attempt, reason)
    frame_id = int(evidence.value("frame_id")) if "frame_id" in evidence.readings else -1
    yield Msg("set", taker.rejected, Rejection(pixel, frame_id, evidence.frame, reason), group="reject")
    yield Msg("wait", None, group="reject")


def _wait_for_storage(taker: PointTaker) -> MsgGenerator:
    while (error := taker.storage_error()) is not None:
        yield from pause_with_reason(taker, f"documents cannot be stored: {error}; free the disk, then resume")


def _wait_for_guards(taker: PointTaker) -> MsgGenerator:
    while error := (yield from wait_until_clear(taker.station, taker.guards)):
        yield from pause_with_reason(taker, f"the shutter could not be opened again: {error}")
