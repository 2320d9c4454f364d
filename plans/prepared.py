"""The analyser set to a region, and what follows from the axes it then has: before the run is open, before motion."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluesky.utils import Msg
from numpy.typing import NDArray

from microarpes.devices.end_station import EndStation
from microarpes.devices.flat_field import FlatField, window_factors
from microarpes.devices.region import AngleWindow, Region
from microarpes.plans.gate import Gate
from microarpes.plans.limits import GateLimits
from microarpes.plans.point_event import PointEvent
from microarpes.plans.start_document import calibration_record, instrument_document
from microarpes.plans.sub_frames import split
from microarpes.plans.take_point import MsgGenerator

#: Seconds a region may take to be set.
REGION_TIMEOUT = 60.0


@dataclass(frozen=True)
class Prepared:
    """An analyser that is ready to count.

    Parameters
    ----------
    event : PointEvent
    record : dict
        The calibration record the run begins with.
    gate : Gate
    factors : ndarray, shape (n_angle, n_energy), or None
        Flat field.
    sub_frames : int
        Exposures whose sum is a point.
    exposure : float, s
        Of a point, with all its sub-frames.
    document : dict
        What the start document says of all this.
    """

    event: PointEvent
    record: dict[str, Any]
    gate: Gate
    factors: NDArray[Any] | None
    sub_frames: int
    exposure: float
    document: dict[str, Any]


def prepare_region(
    station: EndStation,
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    limits: GateLimits,
    flat_field: FlatField | None = None,
    *,
    shift_of: Callable[[int], tuple[float, float]] | None = None,
    flown: Sequence[str] = (),
) -> Generator[Msg, Any, Prepared]:
    """Set a region, in sub-frames where an exposure is too long for one, and return what follows from it.

    Parameters
    ----------
    station, region, windows, calibration, limits, flat_field, shift_of
        As of `gap_raster`.
    flown : sequence of str
        Axes that move during an exposure.

    Raises
    ------
    ValueError
        The lens mode images no angles, or the flat field is not of this detector.
    """
    yield from set_region(station, region)
    # How long a sweep takes is known only when it is set.
    exposure = station.exposure
    sub_frames, part = split(region, exposure, limits.longest_exposure)
    if sub_frames > 1:
        yield from set_region(station, part)
    if not station.analyser.images_angles:
        raise ValueError(
            f"lens_mode = {region.lens_mode} gives an angle axis that is not in deg: no window at k_F in it"
        )
    energy, angle = station.analyser.axes
    record = calibration_record(calibration, len(windows), len(angle))
    event = PointEvent(
        windows, energy, angle, record, sub_frames=sub_frames, limits=limits, shift_of=shift_of, flown=flown
    )
    # A sweep averages a flat field out: then it is not asked for.
    flat = None if region.swept else flat_field
    if flat is not None:
        if problems := flat.refusals((len(angle), len(energy))):
            raise ValueError("; ".join(problems))
        record["flat_field"] = window_factors(flat.factors, event.channels, event.row_shift).tolist()
    document = instrument_document(station, windows, record, (energy, angle), limits)
    # The region is what was asked for, not the part of it the analyser takes at a time.
    document["region"] |= {"iterations": region.iterations, "acquire_time": region.acquire_time}
    document["sub_frames"] = {"number": sub_frames, "iterations": part.iterations, "acquire_time": part.acquire_time}
    factors = None if flat is None else flat.factors
    return Prepared(event, record, Gate.of(station, limits), factors, sub_frames, exposure, document)


def set_region(station: EndStation, region: Region) -> MsgGenerator:
    """Set a region on the analyser and wait until it is."""
    yield Msg("set", station.analyser, region, group="region")
    yield Msg("wait", None, group="region", timeout=REGION_TIMEOUT)
