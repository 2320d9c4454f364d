"""What forbids a raster here and now, found before any motor moves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.end_station import EndStation
from microarpes.devices.region import AngleWindow, Region
from microarpes.plans.limits import GateLimits
from microarpes.plans.shapes import Shape, walks_of

#: Part of its tolerance by which an axis must move for two places to be told apart.
TOLD_APART = 0.1
#: Bytes of metadata that a start document takes: every reader reads it first.
MAX_METADATA = 1_000_000
#: What the plan or the RunEngine says in a start document, and metadata may not.
RESERVED = frozenset(
    "uid time scan_id seq_num plan_type grid raster_shape shape extents num_points motors region sub_frames gate "
    "windows energy_axis angle_axis calibration source beam momentum axes guards fly frame_file backwards".split()
)


def check_kinds(station: Any, shape: Any, region: Any, windows: Any) -> list[str]:
    """Return which of what was handed to the plan is something else: swapped, or a name mistaken for a device."""
    problems = []
    if not all(hasattr(station, part) for part in ("manipulator", "analyser", "beam")):
        problems.append(f"station = {_short(station)} is no end station: it has no manipulator, analyser and beam")
    if not hasattr(shape, "lattice"):
        problems.append(f"shape = {_short(shape)} is no shape of a raster, as RasterGrid.centred(nx, ny, step) is")
    if not isinstance(region, Region):
        problems.append(f"region = {_short(region)} is no Region of the analyser")
    if not (isinstance(windows, Sequence) and windows and all(isinstance(each, AngleWindow) for each in windows)):
        problems.append(f"windows = {_short(windows)} is no list of AngleWindow")
    return problems


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_raster(station: EndStation, shape: Shape) -> list[str]:
    """Return everything that forbids this raster here and now, before any motor moves; an empty list allows it."""
    problems: list[str] = []
    places = np.concatenate(walks_of(shape))
    for name, positions in zip("xy", places.T, strict=True):
        axis = getattr(station.manipulator, name)
        # The way by which an axis comes to a place is the same everywhere: the outermost tell for all.
        for position in dict.fromkeys((float(positions.min()), float(positions.max()))):
            try:
                axis.check_value(position)
            except ValueError as error:
                problems.append(str(error))
    problems += _too_near(station, places)
    try:
        shape.lattice()
    except ValueError as error:
        problems.append(str(error))
    for axis in station.manipulator.axes.values():
        try:
            axis.check_units()
        except ValueError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _too_near(station: EndStation, places: NDArray[np.float64]) -> Iterator[str]:
    from scipy.spatial import KDTree

    tolerance = np.array([station.manipulator.x.tolerance, station.manipulator.y.tolerance])
    pairs = KDTree(places / tolerance).query_pairs(TOLD_APART, p=np.inf, output_type="ndarray")
    if len(pairs):
        (x0, y0), (x1, y1) = places[pairs[0]]
        yield (
            f"{len(pairs)} pairs of places are nearer than a tenth of the tolerances, {tolerance[0]:g} um along x and "
            f"{tolerance[1]:g} um along y, such as {x0:g}, {y0:g} um and {x1:g}, {y1:g} um: they cannot be told apart"
        )


def check_metadata(metadata: Mapping[str, Any]) -> list[str]:
    """Return why metadata cannot go into a start document; an empty list says that they can."""
    problems = [
        f"metadata {key!r} is what the plan itself says; give it another name" for key in metadata if key in RESERVED
    ]
    total = 0
    for key, value in metadata.items():
        try:
            total += len(json.dumps({key: value}, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            problems.append(f"metadata {key!r} cannot be written as JSON: {error}")
    if total > MAX_METADATA:
        problems.append(f"the metadata have {total} bytes; at most {MAX_METADATA} are allowed")
    return problems


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
