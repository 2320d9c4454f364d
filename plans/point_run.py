"""A run that takes points which are no pixels of a raster: a focus scan, an alignment, a map of the Fermi surface.

Region, gate, guards, frame file and events are those of a raster; what is taken and what is found is the plan's.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bluesky.utils import Msg

from microarpes.devices.end_station import EndStation
from microarpes.devices.evidence import Evidence
from microarpes.devices.flat_field import FlatField
from microarpes.devices.region import AngleWindow, Region
from microarpes.devices.soft_record import SoftRecord
from microarpes.plans.guarded import with_shutter
from microarpes.plans.guards import Guards
from microarpes.plans.interruptions import InterruptionLog
from microarpes.plans.limits import GateLimits
from microarpes.plans.preflight import check_beam, check_metadata, check_region
from microarpes.plans.prepared import prepare_region
from microarpes.plans.reference_measurement import resting_place
from microarpes.plans.run_of_points import run_of_points
from microarpes.plans.take_point import MsgGenerator, PointTaker, come_to_rest
from microarpes.plans.targets import angles_there

logger = logging.getLogger(__name__)

Request = Mapping[str, float]
#: Takes the points; what it returns is what the plan returns.
Body = Callable[[PointTaker], Generator[Msg, Any, Any]]


def point_run(
    station: EndStation,
    body: Body,
    requests: Sequence[Request],
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    described: Mapping[str, Any],
    *,
    directory: Path,
    limits: GateLimits | None = None,
    storage_error: Callable[[], Exception | None] = lambda: None,
    at_angles: Callable[[Sequence[float]], Mapping[str, Any]] = lambda angles: {},
    flat_field: FlatField | None = None,
    announce: Callable[[str], None] = lambda reason: None,
    guards: Guards | None = None,
    interruptions: InterruptionLog | None = None,
    close_shutter: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator:
    """Open a run, let `body` take its points, close the run.

    Parameters
    ----------
    station : EndStation
        Connected.
    body : callable
        ``(taker) -> generator``; takes the points by `take_point`.
    requests : sequence of mapping
        All that `body` may ask for, axis to um and deg: checked before anything moves.
    region, windows, calibration
        As of `gap_raster`.
    described : mapping
        What the start document says of this plan, its ``plan_name`` and ``num_points`` among it.
    directory, limits, storage_error, at_angles, flat_field, announce, guards, interruptions, close_shutter, md
        As of `gap_raster`.

    Returns
    -------
    tuple
        The run's uid, and what `body` returns.

    Raises
    ------
    ValueError
        It cannot be done; the message lists every reason and no motor has moved.
    """
    limits = limits or GateLimits()
    problems = [
        *check_requests(station, requests),
        *check_region(station, region),
        *check_beam(station, limits),
        *check_metadata(md or {}),
    ]
    if problems:
        raise ValueError("; ".join(problems))
    prepared = yield from prepare_region(station, region, windows, calibration, limits, flat_field)
    guards, log = guards or Guards(), interruptions or InterruptionLog()
    start = {
        **prepared.document,
        **described,
        "guards": guards.document(),
        **at_angles(angles_there(station.manipulator.angles(), requests[0] if requests else {})),
        **(md or {}),
    }
    run = run_of_points(
        station,
        prepared,
        start,
        body,
        directory=directory,
        storage_error=storage_error,
        announce=announce,
        guards=guards,
        interruptions=log,
    )
    return (yield from with_shutter(station, run, close_at_end=close_shutter))


def check_requests(station: EndStation, requests: Sequence[Request]) -> list[str]:
    """Return why axes cannot go where they would be asked to, each reason once; nothing moves."""
    problems, axes = [], station.manipulator.axes
    for name in dict.fromkeys(name for request in requests for name in request):
        try:
            axes[name].check_units()
        except ValueError as error:
            problems.append(str(error))
        places = [request[name] for request in requests if name in request]
        for place in dict.fromkeys((min(places), max(places))):
            try:
                axes[name].check_value(place)
            except ValueError as error:
                problems.append(str(error))
    return list(dict.fromkeys(problems))


def remembering(taker: PointTaker) -> tuple[PointTaker, list[Evidence]]:
    """Return a taker, and the list to which the evidence of each of its points is added."""
    kept: list[Evidence] = []

    def compose(evidence: Evidence, pixel: int, attempt: int) -> tuple[dict[str, Any], dict[str, float]]:
        kept.append(evidence)
        return taker.compose(evidence, pixel, attempt)

    return dataclasses.replace(taker, compose=compose), kept


def go_to(taker: PointTaker, place: Request) -> Generator[Msg, Any, bool]:
    """Move axes between points, whatever pauses meanwhile; return whether they arrived."""
    while place:
        before = taker.accepted.interruptions
        yield Msg("set", taker.station, dict(place), group="move")
        yield Msg("wait", None, group="move")
        if taker.accepted.interruptions == before:
            break
        yield from come_to_rest(taker)
    axes = taker.station.manipulator.axes
    left = {n: at for n, at in resting_place(taker, list(place)).items() if abs(at - place[n]) > axes[n].tolerance}
    for name, position in left.items():
        logger.error("%s stayed at %g, it was to go to %g", name, position, place[name])
    return not left


def tell(device: SoftRecord, stream: str, values: Any) -> MsgGenerator:
    """Emit an event of what a record is set to; a record is one thing, nothing may come between."""
    yield Msg("checkpoint")
    yield Msg("rewindable", None, False)
    yield Msg("set", device, values, group=stream)
    yield Msg("wait", None, group=stream)
    yield Msg("create", None, name=stream)
    yield Msg("read", device)
    yield Msg("save")
    yield Msg("rewindable", None, True)
