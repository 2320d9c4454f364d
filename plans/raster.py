"""`gap_raster`: prepare the region, then take every pixel of a grid through `take_point`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg
from numpy.typing import NDArray

from microarpes.devices.accepted_point import AcceptedPoint
from microarpes.devices.end_station import EndStation
from microarpes.devices.flat_field import FlatField, window_factors
from microarpes.devices.frame_file import FrameFile
from microarpes.devices.region import AngleWindow, Region
from microarpes.devices.rejected_frames import RejectedFrames
from microarpes.plans.gate import Gate
from microarpes.plans.grid import RasterGrid, RasterPoint
from microarpes.plans.limits import GateLimits
from microarpes.plans.point_event import PointEvent
from microarpes.plans.sub_frames import split
from microarpes.plans.take_point import MsgGenerator, PointTaker, come_to_rest, take_point

#: Seconds a region may take to be set.
REGION_TIMEOUT = 60.0


def check_raster(station: EndStation, grid: RasterGrid) -> list[str]:
    """Return everything that forbids this raster here and now, before any motor moves; an empty list allows it."""
    problems: list[str] = []
    for name, line in (("x", grid.x), ("y", grid.y)):
        axis = getattr(station.manipulator, name)
        for position in {line.start, line.stop}:
            try:
                axis.check_value(position)
            except ValueError as error:
                problems.append(str(error))
        if line.num > 1 and abs(line.step) <= axis.tolerance / 10:
            problems.append(
                f"step of {abs(line.step):g} um along {name} is below a tenth of its tolerance, "
                f"{axis.tolerance:g} um: neighbours could not be told apart"
            )
    for axis in station.manipulator.axes.values():
        try:
            axis.check_units()
        except ValueError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def check_beam(station: EndStation, limits: GateLimits) -> list[str]:
    """Return why the beam cannot be judged as the limits ask; an empty list says that it can."""
    problems = []
    if station.beam.check != limits.beam_check:
        problems.append(
            f"beam_check = {limits.beam_check!r} was asked for, the devices of the beam are for {station.beam.check!r}"
        )
    if limits.top_up != "ignore" and station.top_up is None:
        problems.append(f"top_up = {limits.top_up!r} needs the ring's countdown to the next injection; name its PV")
    return problems


def check_region(station: EndStation, region: Region) -> list[str]:
    """Return everything that forbids measuring gaps with this region; nothing is written."""
    problems = station.analyser.refusals(region)
    if not station.analyser.pvs.angular(region.lens_mode):
        problems.append(
            f"lens_mode = {region.lens_mode} images places along the slit, not angles: there is no window at k_F in "
            "it; take an angular lens mode"
        )
    return problems


def gap_raster(
    station: EndStation,
    grid: RasterGrid,
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    *,
    directory: Path,
    limits: GateLimits | None = None,
    storage_error: Callable[[], Exception | None] = lambda: None,
    beam_at: Callable[[Sequence[float]], Mapping[str, Any]] = lambda angles: {},
    flat_field: FlatField | None = None,
    row_stop: Callable[[], bool] = lambda: False,
    announce: Callable[[str], None] = lambda reason: None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator:
    """Raster a sample and emit one event a pixel.

    Parameters
    ----------
    station : EndStation
        Connected.
    grid : RasterGrid
        Pixels, um.
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
    beam_at : callable, optional
        Returns what the start document says under ``beam`` at polar, tilt and azimuth (deg): incidence, footprint.
    flat_field : FlatField, optional
        Of the detector in this region: its mean over each window goes into the calibration record, and all of it into
        the frame file. A sweep averages it out: then it is not asked for.
    row_stop : callable, optional
        Asked after each row but the last whether to end there. The run is then a success that says so in its
        ``reason``: it has fewer events than the start document's ``num_points``.
    announce : callable, optional
        Told why the plan is about to pause by itself.
    md : mapping, optional
        Goes into the start document: sample, operator and the like.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    ValueError
        The raster cannot be done; the message lists every reason and no motor has moved.
    """
    limits = limits or GateLimits()
    problems = [*check_raster(station, grid), *check_region(station, region), *check_beam(station, limits)]
    if problems:
        raise ValueError("; ".join(problems))
    yield from _set_region(station, region)
    # How long a sweep takes is known only when it is set.
    sub_frames, part = split(region, station.exposure, limits.longest_exposure)
    if sub_frames > 1:
        yield from _set_region(station, part)
    if not station.analyser.images_angles:
        raise ValueError(
            f"lens_mode = {region.lens_mode} gives an angle axis that is not in deg: no window at k_F in it"
        )
    energy, angle = station.analyser.axes
    record = _calibration_record(calibration, len(windows), len(angle))
    event = PointEvent(windows, energy, angle, record, sub_frames=sub_frames, limits=limits)
    if region.swept:
        flat_field = None
    if flat_field is not None:
        if problems := flat_field.refusals((len(angle), len(energy))):
            raise ValueError("; ".join(problems))
        record["flat_field"] = window_factors(flat_field.factors, event.channels, event.row_shift).tolist()
    gate = Gate.of(station, limits)
    start = _start_document(station, grid, windows, record, (energy, angle), limits)
    # The region is what was asked for, not the part of it the analyser takes at a time.
    start["region"] |= {"iterations": region.iterations, "acquire_time": region.acquire_time}
    start["sub_frames"] = {"number": sub_frames, "iterations": part.iterations, "acquire_time": part.acquire_time}
    start |= {"beam": dict(beam_at(station.manipulator.angles())), **(md or {})}

    def raster() -> MsgGenerator:
        uid: str = yield from bps.open_run(start)
        folder = directory / uid
        folder.mkdir(parents=True, exist_ok=True)
        flat = None if flat_field is None else flat_field.factors
        frames = FrameFile(folder / start["frame_file"], energy, angle, station.analyser.frame_dtype, flat)
        accepted = AcceptedPoint("accepted_point", event.data_keys(), frames)
        rejected = RejectedFrames("rejected_frames", frames)
        taker = PointTaker(station, gate, accepted, rejected, event.compose, storage_error, sub_frames, announce)
        yield Msg("stage", accepted)
        # Describes the device now: later, between create and save, nothing is left at which a pause could cut in.
        yield from bps.declare_stream(accepted, name="primary")
        try:
            ended_early = yield from take_rows(taker, grid, row_stop)
        finally:
            yield Msg("unstage", accepted)
        yield from bps.close_run(reason=ended_early)
        return uid

    return (yield from bpp.finalize_wrapper(_with_shutter(station, raster()), _close_shutter(station)))


def take_rows(
    taker: PointTaker, grid: RasterGrid, row_stop: Callable[[], bool] = lambda: False
) -> Generator[Msg, Any, str | None]:
    """Take every pixel, row by row, until `row_stop` says to end after a row; return after which, None after the last.

    No axis is on its way when it returns early: where the wish came before the last pixel of the row, none sets out for
    the next row; where it came later, those that had set out have arrived, or failed, and are at rest.
    """
    rows = grid.rows()
    for number, (row, next_row) in enumerate(zip(rows, [*rows[1:], []], strict=True), 1):
        for point, after in itertools.zip_longest(row, [*row[1:], *next_row[:1]]):
            ahead = None if after is None or (point is row[-1] and row_stop()) else _position(after)
            yield from take_point(taker, point.pixel, _position(point), ahead)
        if number < len(rows) and row_stop():
            yield from come_to_rest(taker)
            return f"stopped after row {number} of {len(rows)} by the operator"
    return None


def _position(point: RasterPoint) -> dict[str, float]:
    return {"x": point.x, "y": point.y}


def _set_region(station: EndStation, region: Region) -> MsgGenerator:
    yield Msg("set", station.analyser, region, group="region")
    yield Msg("wait", None, group="region", timeout=REGION_TIMEOUT)


def _with_shutter(station: EndStation, plan: MsgGenerator) -> MsgGenerator:
    yield Msg("set", station.shutter, "open", group="shutter")
    yield Msg("wait", None, group="shutter", timeout=20.0)
    return (yield from plan)


def _close_shutter(station: EndStation) -> MsgGenerator:
    yield Msg("set", station.shutter, "close", group="shutter")
    yield Msg("wait", None, group="shutter", timeout=20.0)


def _calibration_record(calibration: Mapping[str, Any], n_window: int, n_angle: int) -> dict[str, Any]:
    record = dict(calibration)
    record.setdefault("row_shift", [0] * n_angle)
    for name in ("ef", "ef_error"):
        values = list(np.broadcast_to(np.asarray(record[name], dtype=np.float64), (n_window,)))
        record[name] = [float(value) for value in values]
    record["row_shift"] = [int(shift) for shift in record["row_shift"]]
    return record


def _start_document(
    station: EndStation,
    grid: RasterGrid,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    axes: tuple[NDArray[np.float64], NDArray[np.float64]],
    limits: GateLimits,
) -> dict[str, Any]:
    energy, angle = axes
    source, described = station.source.settings(), station.analyser.describe_region()
    if described["excitation_energy"] is None:
        described["excitation_energy"] = source["photon_energy"]
    return {
        "plan_name": "gap_raster",
        "grid": grid.document(),
        "shape": list(grid.shape),
        "extents": [[grid.y.start, grid.y.stop], [grid.x.start, grid.x.stop]],
        "num_points": grid.num_points,
        "motors": ["manipulator_y", "manipulator_x"],
        "region": described,
        "windows": [window.model_dump() for window in windows],
        "energy_axis": energy.tolist(),
        "angle_axis": angle.tolist(),
        "calibration": dict(calibration),
        "source": source,
        "gate": limits.model_dump(),
        "frame_file": "frames.h5",
    }
