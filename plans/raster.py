"""`gap_raster`: prepare the region, then take every pixel of a shape through `take_point`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from microarpes.devices.end_station import EndStation
from microarpes.devices.flat_field import FlatField
from microarpes.devices.flight import Flight
from microarpes.devices.region import AngleWindow, Region
from microarpes.plans.estimate import estimate
from microarpes.plans.fly import Fly
from microarpes.plans.fly_row import Flyer, with_velocity
from microarpes.plans.guarded import with_shutter
from microarpes.plans.guards import Guards
from microarpes.plans.interruptions import InterruptionLog
from microarpes.plans.limits import GateLimits
from microarpes.plans.pace import Pace, axes_of, check_fly, describe, too_slow
from microarpes.plans.preflight import check_beam, check_kinds, check_metadata, check_raster, check_region
from microarpes.plans.prepared import prepare_region
from microarpes.plans.rows import Interleaved, TakeRows, take_rows
from microarpes.plans.run_of_points import run_of_points
from microarpes.plans.shapes import Shape
from microarpes.plans.start_document import raster_document
from microarpes.plans.take_point import MsgGenerator, PointTaker
from microarpes.plans.targets import Target, angles_there, planned_position

logger = logging.getLogger(__name__)


def gap_raster(
    station: EndStation,
    shape: Shape,
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    *,
    directory: Path,
    limits: GateLimits | None = None,
    storage_error: Callable[[], Exception | None] = lambda: None,
    at_angles: Callable[[Sequence[float]], Mapping[str, Any]] = lambda angles: {},
    flat_field: FlatField | None = None,
    row_stop: Callable[[], bool] = lambda: False,
    announce: Callable[[str], None] = lambda reason: None,
    interleaved: Sequence[Interleaved] = (),
    target: Target = planned_position,
    shift_of: Callable[[int], tuple[float, float]] | None = None,
    done: Set[int] = frozenset(),
    backwards: bool = False,
    take: TakeRows = take_rows,
    objections: Callable[[Mapping[str, Any]], Sequence[str]] = lambda start: (),
    guards: Guards | None = None,
    interruptions: InterruptionLog | None = None,
    close_shutter: bool = True,
    fly: Fly | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator:
    """Raster a sample and emit one event a pixel.

    Parameters
    ----------
    station : EndStation
        Connected.
    shape : Shape
        A `RasterGrid` or another of the shapes: pixels, um, and the order of the visit.
    region : Region
        Set on the analyser before the first motion.
    windows : sequence of AngleWindow
        Summed into ``edc``.
    calibration : mapping
        ``ef`` (eV kinetic, one a window), ``ef_error``, ``resolution`` (FWHM, eV), ``temperature`` (K), ...; a missing
        ``row_shift`` is no shift.
    directory : Path
        Holds one folder a run, named by its uid; the frame file goes there.
    limits : GateLimits, optional
    storage_error : callable, optional
        Returns why documents cannot be stored now, or None; asked before every exposure.
    at_angles : callable, optional
        Returns what else the start document says at polar, tilt and azimuth (deg) of the first pixel: the beam's
        footprint, momenta.
    flat_field : FlatField, optional
        Of the detector in this region: its mean over each window goes into the calibration record, and all of it into
        the frame file. A sweep averages it out: then it is not asked for.
    row_stop : callable, optional
        Asked after each row but the last whether to end there. The run is then a success that says so in its
        ``reason``: it has fewer events than the start document's ``num_points``.
    announce : callable, optional
        Told why the plan is about to pause by itself.
    interleaved : sequence of Interleaved, optional
        Measured between the rows when they are due: references, landmarks, control pixels.
    target : callable, optional
        Returns where the axes have to be for a pixel, axis to um and deg; by default its planned position.
    shift_of : callable, optional
        Returns for a pixel the shift, um along x and y, by which its target followed the sample; goes into its event.
    done : set of int, optional
        Pixels that an earlier run has: they are left out, they are not counted in the start document's ``num_points``.
    backwards : bool, optional
        The last pixel of the shape is visited first.
    take : callable, optional
        Takes the rows; by default every pixel once.
    objections : callable, optional
        Shown the start document when all is set and no motor has moved; what it returns forbids the run.
    guards : Guards, optional
        Hold the run while one of them is tripped.
    interruptions : InterruptionLog, optional
        Where pauses by hand are noted; what held the run up is told in the stream ``interruptions``.
    close_shutter : bool, optional
        Close the shutter at the end of the run, however it ends.
    fly : Fly, optional
        Take the rows in flight, in Fixed mode: the start document's ``plan_name`` is then ``gap_fly``.
    md : mapping, optional
        Goes into the start document: sample, operator and the like; JSON, below 1 MB.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    ValueError
        The raster cannot be done; the message lists every reason and no motor has moved.
    TypeError
        What was handed over is something else than asked for, such as a device for a shape.
    """
    limits = limits or GateLimits()
    if wrong := check_kinds(station, shape, region, windows):
        raise TypeError("; ".join(wrong))
    problems = [
        *check_raster(station, shape),
        *check_region(station, region),
        *check_beam(station, limits),
        *check_metadata(md or {}),
        *([] if fly is None else check_fly(station, shape, region, limits, fly)),
    ]
    if problems:
        raise ValueError("; ".join(problems))
    flown = [] if fly is None else axes_of(shape)
    prepared = yield from prepare_region(
        station, region, windows, calibration, limits, flat_field, shift_of=shift_of, flown=flown
    )
    start = {**prepared.document, **raster_document(shape)}
    rows = [left for row in shape.rows() if (left := [point for point in row if point.pixel not in done])]
    start["num_points"] = sum(map(len, rows))
    if backwards:
        rows = [row[::-1] for row in rows[::-1]]
        start["backwards"] = True
    pace = None if fly is None else Pace(fly, prepared.exposure)
    if pace is not None:
        start |= {"plan_name": "gap_fly", "fly": describe(station, shape, pace)}
    guards, log = guards or Guards(), interruptions or InterruptionLog()
    start["guards"] = guards.document()
    # A resumed raster turns axes back that have been turned since: those angles are meant, and nothing has moved yet.
    angles = angles_there(station.manipulator.angles(), target(rows[0][0]) if rows else {})
    start |= {**at_angles(angles), **(md or {})}
    outlook = estimate(station, rows, prepared.exposure, directory, start.get("beam", {}))
    if problems := [*objections(start), *outlook.refusals]:
        raise ValueError("; ".join(problems))
    for warning in outlook.warnings:
        logger.warning(warning)
    flyer = None
    if pace is not None:
        flight = Flight({name: getattr(station.manipulator, name) for name in flown})
        if problems := too_slow(flight, station, shape, pace):
            flight.destroy()
            raise ValueError("; ".join(problems))
        flyer = Flyer(flight, pace)
        take = functools.partial(take_rows, flyer=flyer)

    def body(taker: PointTaker) -> MsgGenerator:
        return (yield from take(taker, rows, row_stop, interleaved, target))

    # Ended early, by the operator: `take` says after which row, and the stop document with it.
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
        reason=lambda ended_early: ended_early,
    )
    plan = run if flyer is None else with_velocity(flyer.flight, run)
    uid, _ = yield from with_shutter(station, plan, close_at_end=close_shutter)
    return uid
