"""A sample whose gap shrinks with time and with the beam it has had on the spot, and which grows darker with it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from microarpes.sim.frame_source import Pose
from microarpes.sim.sample import BEAM_SPOT, LIVE, Sample, beam_quadrature

Array = NDArray[np.float64]

#: Part of its emission that live flake loses with each meV of its gap.
FADING = 0.01
#: However old it is, a gap stays above this, meV.
LOWEST_GAP = 5.0
#: um, and how many of them along each side: the grid on which doses are kept, about the origin.
GRID_STEP, GRID_POINTS = 2.0, 440


@dataclass(frozen=True)
class Ageing:
    """By how much the gap shrinks.

    Parameters
    ----------
    per_hour : float, meV/h
        Since the start of the IOC, everywhere.
    per_minute : float, meV/min
        With the beam on the spot, at full ring current without attenuation.
    """

    per_hour: float = 0.0
    per_minute: float = 0.0

    @property
    def acts(self) -> bool:
        """Whether anything ages."""
        return self.per_hour != 0.0 or self.per_minute != 0.0


class DoseGrid:
    """Seconds of beam on every spot.

    An exposure leaves them with the profile of the beam, twice as high as it is long in the middle: a beam that comes
    back to the same spot then finds, on the mean over its own profile, as many seconds as the exposure had.
    """

    def __init__(self) -> None:
        self._seconds = np.zeros((GRID_POINTS, GRID_POINTS))
        self._axis = (np.arange(GRID_POINTS) - GRID_POINTS / 2) * GRID_STEP

    def add(self, x: float, y: float, seconds: float) -> None:
        """Add an exposure with the beam's centre at (x, y), um."""
        across, along = (
            np.exp(-4.0 * math.log(2.0) * ((self._axis - centre) / width) ** 2)
            for centre, width in zip((x, y), BEAM_SPOT, strict=True)
        )
        self._seconds += 2.0 * seconds * np.outer(along, across)

    def at(self, x: Array, y: Array) -> Array:
        """Return the seconds at points, um; 0 beyond the grid."""
        rows, columns = (np.asarray(v) / GRID_STEP + GRID_POINTS / 2 for v in (y, x))
        return np.asarray(map_coordinates(self._seconds, [rows, columns], order=1, mode="constant", cval=0.0))


class AgeingSample(Sample):
    """A `Sample` that ages.

    Parameters
    ----------
    seed : int
    ageing : Ageing
    clock : callable
        Seconds.
    undulation : float, deg
        As of `Sample`.
    """

    def __init__(
        self, seed: int, ageing: Ageing, clock: Callable[[], float] = time.monotonic, *, undulation: float = 0.0
    ) -> None:
        super().__init__(seed, undulation=undulation)
        self._ageing, self._clock, self._began = ageing, clock, clock()
        self._dose = DoseGrid()
        self._under_way: tuple[int, tuple[tuple[float, float], ...], float] = (0, (), 0.0)

    def expose(self, attempt: int, poses: Sequence[Pose], seconds: float) -> None:
        """Take note of an exposure, which ages what comes after it; told again of the same attempt, the last counts.

        Parameters
        ----------
        attempt : int
            Its number.
        poses : sequence of Pose
            Along which the beam went.
        seconds : float
            Of beam, at full ring current without attenuation.
        """
        number, places, given = self._under_way
        if number != attempt:
            for x, y in places:
                self._dose.add(x, y, given / len(places))
        self._under_way = attempt, tuple((pose.x, pose.y) for pose in poses), seconds

    def lost_at(self, x: Array, y: Array) -> Array:
        """Return by how much the gap has shrunk by now, meV, at points (um)."""
        hours = (self._clock() - self._began) / 3600.0
        return np.asarray(self._ageing.per_hour * hours + self._ageing.per_minute / 60.0 * self._dose.at(x, y))

    def gap_at(self, x: Array, y: Array) -> Array:
        """Return the gap at the antinodal k_F as it is now, meV, at points (um) of the flake."""
        return np.maximum(super().gap_at(x, y) - self.lost_at(x, y), LOWEST_GAP)

    def brightness_at(self, x: float, y: float) -> float:
        """Return what is left of the emission in a beam at (x, y), um; 1 where there is no live flake."""
        dx, dy, weight = beam_quadrature()
        live = np.where(self.surface_at(x + dx, y + dy) == LIVE, weight, 0.0)
        return max(0.0, 1.0 - FADING * float(live @ self.lost_at(x + dx, y + dy)))
