"""The one stub through which every point goes: move, expose, read, judge, and only then an event.

All hardware work happens outside a bundle in a section the RunEngine may not rewind. A pause or a suspension in
it makes the attempt void and the loop here takes the point again; what passed the gate is put into a soft device
and emitted by create, read, save with no message between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from bluesky.utils import Msg

from microarpes.devices.accepted_point import AcceptedPoint
from microarpes.devices.end_station import EndStation, Evidence
from microarpes.devices.rejected_frames import RejectedFrames, Rejection
from microarpes.plans.gate import Gate

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
    """

    station: EndStation
    gate: Gate
    accepted: AcceptedPoint
    rejected: RejectedFrames
    compose: Callable[[Evidence, int, int], tuple[dict[str, Any], dict[str, float]]]
    storage_error: Callable[[], Exception | None]


def take_point(taker: PointTaker, pixel: int, request: Mapping[str, float]) -> MsgGenerator:
    """Take one point and emit its event; retake what the gate refuses, then pause with the reason.

    Parameters
    ----------
    taker : PointTaker
    pixel : int
        Planned pixel.
    request : mapping
        Axis to position, um and deg.
    """
    yield Msg("checkpoint")
    yield Msg("rewindable", None, False)
    attempt = failures = 0
    while True:
        yield from _wait_for_storage(taker)
        if taker.station.lost:
            yield Msg("prepare", taker.station, group="prepare")
            yield Msg("wait", None, group="prepare")
        attempt += 1
        evidence, reasons = yield from _attempt(taker, request)
        if not reasons:
            stored = yield from _store(taker, evidence, pixel, attempt)
            if stored:
                break
            continue
        yield from _reject(taker, evidence, pixel, attempt, reasons)
        if reasons == [INTERRUPTED]:
            continue
        failures += 1
        if taker.station.over_counted:
            # Never retaken by itself: somebody has to see what shone so brightly, and open the shutter again.
            yield from _pause(f"pixel {pixel}: {taker.station.over_counted}; the shutter is closed")
            failures = 0
        elif failures >= taker.gate.limits.max_attempts:
            yield from _pause(f"pixel {pixel} failed {failures} times, last: {'; '.join(reasons)}")
            failures = 0
        yield Msg("sleep", None, RETAKE_DELAYS[min(failures, len(RETAKE_DELAYS)) - 1] if failures else 0.0)
    yield Msg("create", None, name="primary")
    yield Msg("read", taker.accepted)
    yield Msg("save")
    yield Msg("rewindable", None, True)


#: Seconds before the retake after the first, second, ... failure: most faults of a beamline pass by themselves.
RETAKE_DELAYS = (0.0, 0.2, 1.0, 3.0)
#: Reason of an attempt in which the RunEngine paused or suspended: retaken, not counted as a failure.
INTERRUPTED = "the RunEngine paused or suspended during the attempt"


def _attempt(taker: PointTaker, request: Mapping[str, float]) -> Generator[Msg, Any, tuple[Evidence, list[str]]]:
    before = taker.accepted.interruptions

    def interrupted() -> bool:
        return taker.accepted.interruptions != before

    yield Msg("set", taker.station, dict(request), group="move")
    yield Msg("wait", None, group="move")
    if not interrupted():
        yield Msg("trigger", taker.station, group="expose")
        yield Msg("wait", None, group="expose")
    reading = None
    if not interrupted():
        reading = yield Msg("read", taker.station)
    if reading is None or interrupted():
        yield from _come_to_rest(taker)
        return Evidence(request=dict(request)), [INTERRUPTED]
    evidence: Evidence = reading["evidence"]["value"]
    started = time.perf_counter()
    reasons = taker.gate.judge(evidence)
    evidence.ledger["time_gate"] = time.perf_counter() - started
    return evidence, reasons


def _come_to_rest(taker: PointTaker) -> MsgGenerator:
    """Wait until nothing of an interrupted attempt is under way; its own waits returned early."""
    taker.station.forget_arrivals()
    while True:
        before = taker.accepted.interruptions
        yield Msg("set", taker.station, {}, group="rest")
        yield Msg("wait", None, group="rest")
        if taker.accepted.interruptions == before:
            return


def _store(taker: PointTaker, evidence: Evidence, pixel: int, attempt: int) -> Generator[Msg, Any, bool]:
    values, timestamps = taker.compose(evidence, pixel, attempt)
    yield Msg("set", taker.accepted, evidence.frame, values, timestamps, group="store")
    yield Msg("wait", None, group="store")
    if taker.accepted.error is not None:
        yield from _pause(f"the frame of pixel {pixel} could not be written: {taker.accepted.error}")
        return False
    taker.gate.accept(evidence)
    return True


def _reject(taker: PointTaker, evidence: Evidence, pixel: int, attempt: int, reasons: list[str]) -> MsgGenerator:
    taker.station.forget_arrivals()
    reason = "; ".join(reasons)
    logger.warning("pixel %d, attempt %d not accepted: %s", pixel, attempt, reason)
    frame_id = int(evidence.value("frame_id")) if "frame_id" in evidence.readings else -1
    yield Msg("set", taker.rejected, Rejection(pixel, frame_id, evidence.frame, reason), group="reject")
    yield Msg("wait", None, group="reject")


def _wait_for_storage(taker: PointTaker) -> MsgGenerator:
    while (error := taker.storage_error()) is not None:
        yield from _pause(f"documents cannot be stored: {error}; free the disk, then resume")


def _pause(reason: str) -> MsgGenerator:
    logger.error("paused: %s", reason)
    yield Msg("pause", None, defer=False)
