"""What a raster will take: time, dose and disk, reckoned before anything moves."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microarpes.plans.grid import RasterPoint
from microarpes.plans.placement import nearest_distances

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation

#: s a point takes beyond exposure and the least time of its move: docs/measured/dead-time.json, the median.
OVERHEAD = 0.0107
#: Bytes a point takes beside its frame, in journals and catalog: 14.2 kB with 2 windows of 400 energies.
RECORD_BYTES = 15_000
#: s and share of the free disk from which somebody has to agree.
LONG = 12 * 3600.0
MUCH = 0.5
#: Steps in sizes of the spot: beyond the one, parts of the sample are not seen; below the other, every place is seen,
#: and exposed, many times.
SPARSE, DENSE = 2.0, 0.25
#: Part of the travel of an axis below which a raster may have been meant in mm.
TINY = 1e-3


@dataclass(frozen=True)
class Estimate:
    """What a raster will take.

    Attributes
    ----------
    points : int
    exposure : float
        Of a point, s.
    motion : float
        Least time of all moves, s.
    dose : float
        Exposure of the place that gets most, s: where spots overlap, more than that of a point.
    disk, free : int
        Bytes it will take, and that there are.
    extent : tuple
        Least and largest x, then y, that are really visited, um.
    warnings : tuple of str
        What the operator should know; no reason to refuse.
    slips : tuple of str
        What looks like a slip of the finger: somebody has to agree to it.
    left : float
        What is left of the beamtime, s.
    """

    points: int
    exposure: float
    motion: float
    dose: float
    disk: int
    free: int
    extent: tuple[float, float, float, float]
    warnings: tuple[str, ...] = field(default=())
    slips: tuple[str, ...] = field(default=())
    left: float = math.inf

    @property
    def duration(self) -> float:
        """Time it will take when nothing is taken again, s."""
        return self.points * (self.exposure + OVERHEAD) + self.motion

    @property
    def refusals(self) -> list[str]:
        """Why it cannot be done."""
        if self.disk <= self.free:
            return []
        return [
            f"{self.points} points take {_size(self.disk)} of disk, {_size(self.free)} are free; "
            "make room or measure fewer points"
        ]

    @property
    def doubts(self) -> list[str]:
        """What somebody has to agree to."""
        found = list(self.slips)
        if self.duration > self.left:
            found.append(f"it takes {_clock(self.duration)}, {_clock(max(self.left, 0.0))} of the beamtime are left")
        if self.duration > LONG:
            found.append(f"it takes {_clock(self.duration)}, more than {LONG / 3600:g} h")
        if self.disk > MUCH * self.free:
            found.append(f"it takes {_size(self.disk)} of the {_size(self.free)} that are free")
        return found

    def lines(self) -> list[str]:
        """Return it in lines of text."""
        left, right, bottom, top = self.extent
        return [
            f"{self.points} points from x = {left:g} to {right:g} um, y = {bottom:g} to {top:g} um",
            f"time {_clock(self.duration)}: {self.exposure:g} s exposure and {1e3 * OVERHEAD:.0f} ms a point, "
            f"{self.motion:.1f} s of moves",
            f"dose: up to {self.dose:g} s of beam on a place",
            f"disk {_size(self.disk)} of {_size(self.free)} that are free",
        ]


def estimate(
    station: EndStation,
    rows: Sequence[Sequence[RasterPoint]],
    exposure: float,
    directory: Path,
    beam: Mapping[str, Any],
) -> Estimate:
    """Reckon what it takes to visit rows; the region must be set.

    Parameters
    ----------
    station : EndStation
        Connected; nothing is written.
    rows : sequence of sequence of RasterPoint
        In the order of the visit.
    exposure : float
        Of a point, s.
    directory : Path
        Holds the runs.
    beam : mapping
        ``footprint`` or ``spot_size``, um FWHM; without either the spot is not known.
    """
    places = np.array([(point.x, point.y) for row in rows for point in row]).reshape(-1, 2)
    energy, angle = station.analyser.axes
    frame = len(energy) * len(angle) * np.dtype(station.analyser.frame_dtype).itemsize
    spot = np.array(beam.get("footprint") or beam.get("spot_size") or (), dtype=np.float64)
    low, high = (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(2), np.zeros(2))
    return Estimate(
        points=len(places),
        exposure=exposure,
        motion=_motion(station, places),
        dose=exposure * _overlapping(places, spot),
        disk=len(places) * (frame + RECORD_BYTES),
        free=shutil.disk_usage(
            next(at for at in (directory.absolute(), *directory.absolute().parents) if at.exists())
        ).free,
        extent=(float(low[0]), float(high[0]), float(low[1]), float(high[1])),
        warnings=(*_step_warnings(places, spot), *_without_limits(station)),
        slips=tuple(_tiny(station, high - low)),
    )


def _motion(station: EndStation, places: NDArray[np.float64]) -> float:
    """Return the least time of all moves from place to place, s: of each the longer of x and y."""
    moves, times = np.round(np.diff(places, axis=0), 3), []
    for axis, distances in zip((station.manipulator.x, station.manipulator.y), moves.T, strict=True):
        different, which = np.unique(distances, return_inverse=True)
        # An axis that stays is not told to move.
        taken = np.array([axis.kinematic_time(distance) if distance else 0.0 for distance in different.tolist()])
        times.append(taken[which] if different.size else np.zeros(0))
    return float(np.maximum(*times).sum())


def _overlapping(places: NDArray[np.float64], spot: NDArray[np.float64]) -> int:
    """Return how many spots lie within half a width of the place that has most."""
    if not spot.size or not len(places):
        return 1
    from scipy.spatial import KDTree

    tree = KDTree(places / spot)
    return int(tree.query_ball_point(tree.data, 0.5, return_length=True).max())


def _step_warnings(places: NDArray[np.float64], spot: NDArray[np.float64]) -> list[str]:
    distances = nearest_distances(places)
    if not spot.size or not distances.size:
        return []
    step, size = float(np.median(distances)), " x ".join(f"{length:.3g}" for length in spot)
    if step > SPARSE * spot.min():
        return [f"a step of {step:.3g} um leaves gaps between spots of {size} um FWHM"]
    if step < DENSE * spot.min():
        return [f"a step of {step:.3g} um exposes every place many times with a spot of {size} um FWHM"]
    return []


def _without_limits(station: EndStation) -> Iterator[str]:
    for axis in (station.manipulator.x, station.manipulator.y):
        low, high = axis.limits
        if not low < high:
            yield f"{axis.prefix} has soft limits [{low:g}, {high:g}], which EPICS takes for none: nothing stops it"


def _tiny(station: EndStation, size: NDArray[np.float64]) -> Iterator[str]:
    for name, length in zip("xy", size.tolist(), strict=True):
        low, high = getattr(station.manipulator, name).limits
        if 0 < length < TINY * (high - low):
            yield (
                f"the raster is {length:g} um along {name}, of {high - low:g} um that can be travelled; "
                "positions are in um, not in mm"
            )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h"


def _size(number: float) -> str:
    return f"{number / 1e9:.3g} GB" if number >= 1e9 else f"{number / 1e6:.3g} MB"
