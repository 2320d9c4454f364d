"""`find_sample`: a coarse raster of short exposures, and where the sample is on it.

The map is a raster like any other: on the page, in the catalog, resumable. What is found is read from what is stored,
so a search that was cut off and resumed, or an older one, is looked at in the same way.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.sample_region import SampleRegion, sample_region
from microarpes.beamline.raster_run import configured_raster
from microarpes.beamline.run_chain import read_map
from microarpes.beamline.stored_run import StoredRun
from microarpes.devices.region import Region, is_number
from microarpes.plans.grid import Line, RasterGrid
from microarpes.plans.shapes import Polygon

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.beamline.control import ControlServer
    from microarpes.beamline.engine import RunJournals
    from microarpes.devices.end_station import EndStation
    from microarpes.plans.take_point import MsgGenerator

logger = logging.getLogger(__name__)

#: Points of a search, at most, and s of exposure of each.
MOST, EXPOSURE = 400, 0.02
#: Least step that is chosen unasked, in sizes of the spot.
SPOTS = 4.0
#: Why nothing is found.
NOTHING = {
    "too-few": "fewer than 4 points are measured",
    "level": "the counts over I0 are the same everywhere, within counting noise",
    "alike": "the counts over I0 differ by less than a tenth: no edge of a sample is in the map",
    "no-contrast": "no patch of one brightness has the angular contrast of a band: holder, metal, dead surface, or too "
    "few counts to tell",
}


class NoSample(ValueError):
    """There is no sample on the map; the message says what there is instead."""


@dataclass(frozen=True, repr=False)
class FoundSample:
    """Where the sample is.

    Attributes
    ----------
    run : str
        uid of the map.
    region : SampleRegion
        What was found, and on what evidence.
    pitch : (float, float), um
        Of the map: to half of it the outline is known.
    outline : tuple of (float, float), um
        Convex outline of the cells on the sample.
    spot : float, um
        Step of the shapes, unless another is asked for.
    """

    run: str
    region: SampleRegion
    pitch: tuple[float, float]
    outline: tuple[tuple[float, float], ...]
    spot: float

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of what lies on the sample, um."""
        return self.region.centre

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height, um."""
        (left, low), (right, high) = self.region.low, self.region.high
        return right - left, high - low

    def grid(self, step: float | None = None) -> RasterGrid:
        """Return a grid over the box of the sample."""
        pitch = self.spot if step is None else step
        (left, low), (right, high) = self.region.low, self.region.high
        nx, ny = (max(1, math.ceil(round(size / pitch, 6))) for size in self.extent)
        return RasterGrid.centred(nx, ny, pitch, ((left + right) / 2, (low + high) / 2))

    def polygon(self, step: float | None = None) -> Polygon:
        """Return the pixels within the outline."""
        return Polygon(vertices=self.outline, step=self.spot if step is None else step)

    def __repr__(self) -> str:
        region, (wide, high) = self.region, self.extent
        told = [
            f"sample about x, y = {self.centre[0]:.0f}, {self.centre[1]:.0f} um, {wide:.0f} x {high:.0f} um, "
            f"{region.area:.3g} um^2 on {int(region.points.sum())} points of run {self.run[:8]}",
            f"its angular contrast is {region.contrast:.2f}",
            _levels(region),
            f"its outline is known to {max(self.pitch) / 2:.0f} um",
        ]
        if region.at_edge:
            told.append("it goes on beyond the map: search again about it")
        if region.points.sum() < 4:
            told.append("few points: search again about it with a smaller step before a map of it")
        return "; ".join(told)


def _levels(region: SampleRegion) -> str:
    each = (f"{level.brightness:.3g} ({level.points} points, contrast {level.contrast:.2f})" for level in region.levels)
    return f"counts over I0: {', '.join(each)}" if region.levels else ""


def coarse_grid(
    config: Config,
    station: EndStation,
    *,
    centre: tuple[float, float] | None = None,
    width: float | tuple[float, float] | None = None,
    step: float | None = None,
    most: int = MOST,
) -> RasterGrid:
    """Return the grid of a search.

    Parameters
    ----------
    config, station
    centre : (float, float), um, optional
        Of the search; by default the middle of the soft limits, or where the axes are when a width is given.
    width : float or (float, float), um, optional
        Along x and y; by default all that the soft limits allow.
    step : float, um, optional
        By default several spot sizes, or as many more as keep the number of points.
    most : int
        Points, at most.

    Raises
    ------
    ValueError
        A number is none that can be measured, an axis has no limits, or there would be too many points.
    """
    wide = None if width is None else width if isinstance(width, tuple) else (width, width)
    for name, value in (*(("width", size) for size in wide or ()), *([] if step is None else [("step", step)])):
        if not (is_number(value) and value > 0):
            raise ValueError(f"{name} = {value!r} um must be a finite number above 0")
    if not (isinstance(most, int) and not isinstance(most, bool) and most >= 4):
        raise ValueError(f"most = {most!r} points; give a whole number from 4")
    x, y = station.manipulator.x, station.manipulator.y
    if wide is None:
        (left, right), (low, high) = x.limits, y.limits
        if not (left < right and low < high):
            raise ValueError("x or y has no soft limits, so nothing says how far to search; give width, um")
        wide, middle = (right - left, high - low), ((left + right) / 2, (low + high) / 2)
    else:
        middle = x.position, y.position
    pitch = step or max(SPOTS * max(config.source.spot_size), math.sqrt(wide[0] * wide[1] / most))
    # Cells fill the width, so that no point is at a limit itself, where the backlash has no room.
    nx, ny = (max(1, math.floor(size / pitch + 1e-9)) for size in wide)
    if nx * ny > most:
        raise ValueError(
            f"{wide[0]:g} x {wide[1]:g} um in steps of {pitch:g} um are {nx} x {ny} points, more than {most}; give a "
            "smaller width, a larger step, or most"
        )
    lines = []
    for size, number, at in zip(wide, (nx, ny), middle if centre is None else centre, strict=True):
        half = 0.5 * (number - 1) * (size / number if step is None else step)
        lines.append(Line(start=round(at - half, 3), stop=round(at + half, 3), num=number))
    return RasterGrid(x=lines[0], y=lines[1])


def configured_search(
    config: Config,
    station: EndStation,
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    exposure: float = EXPOSURE,
    **where: Any,
) -> MsgGenerator:
    """Return the plan of a search; it returns what was found.

    Parameters
    ----------
    config, station, journals, md, server
        As of `microarpes.beamline.raster_run.configured_raster`.
    exposure : float, s
        Of each point.
    **where
        As of `coarse_grid`.

    Returns
    -------
    tuple of str and FoundSample
        The run's uid, and what was found.

    Raises
    ------
    ValueError
        It cannot be done; no motor has moved.
    NoSample
        The map is measured and holds no sample; the message says why, and names the run.
    """
    grid = coarse_grid(config, station, **where)
    region = Region.model_validate({**config.region.model_dump(), "acquire_time": exposure, "iterations": 1})
    short = config.model_copy(update={"region": region, "reference": None, "landmark": None})
    return _searching(configured_raster(short, station, grid, journals, {**(md or {}), "search": True}, server), config,
                      journals)  # fmt: skip


def _searching(plan: MsgGenerator, config: Config, journals: RunJournals) -> MsgGenerator:
    uid = yield from plan
    found = find_in_run(journals.directory / uid, min(config.source.spot_size))
    logger.info("%r", found)
    return uid, found


def find_in_run(folder: Path, spot: float) -> FoundSample:
    """Find the sample on a stored map.

    Parameters
    ----------
    folder : Path
        Of a raster on a grid.
    spot : float, um
        Step of the shapes about the sample.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no such run.
    NoSample
        There is no sample on it.
    """
    run = read_map(folder)
    x, y = (Line(**run.start["grid"][axis]) for axis in ("x", "y"))
    columns, rows = (np.linspace(line.start, line.stop, line.num) for line in (x, y))
    region = sample_region(columns, rows, run.plane("total_counts"), beam_of(run), run.plane("angular_contrast"))
    uid = str(run.start["uid"])
    if region.status != "ok":
        seen = _levels(region)
        raise NoSample(
            f"no sample on the {x.num} x {y.num} points of run {uid[:8]}: {NOTHING[region.status]}"
            f"{'; ' + seen if seen else ''}"
        )
    steps = abs(x.step) or abs(y.step), abs(y.step) or abs(x.step)
    return FoundSample(uid, region, steps, _outline(columns, rows, region.points, steps), spot)


def beam_of(run: StoredRun) -> NDArray[np.float64]:
    """Return the beam of each pixel while it was exposed, shape (ny, nx): I0, or ring current times live time."""
    if any("i0" in event["data"] for event in run.events.values()):
        return run.plane("i0")
    return run.plane("ring_current") * run.plane("live_time")


def _outline(
    x: NDArray[np.float64], y: NDArray[np.float64], points: NDArray[np.bool_], steps: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    from scipy.spatial import ConvexHull

    row, column = np.nonzero(points)
    half = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * np.array(steps) / 2
    corners = (np.column_stack([x[column], y[row]])[:, None] + half).reshape(-1, 2)
    return tuple((round(float(a), 3), round(float(b), 3)) for a, b in corners[ConvexHull(corners).vertices])
