"""Places to measure on a lattice of cells: no two in a cell, and as few cells as that allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.plans.grid import MAX_PIXELS, Line, RasterGrid

Floats = NDArray[np.float64]

#: um; places nearer than this are the same one: no motor of a manipulator resolves it.
SAME_PLACE = 1e-3
#: The lattice on which every place is a centre may have so many times the cells of the smallest that will do.
DEARER = 2.0
#: Into how many parts the least distance of levels is divided to find a step common to all: 10 and 15 have 5.
PARTS = 6
#: By how much a pitch that puts two places into a cell is reduced.
FINER = 0.97


def without_repeats(places: Floats) -> NDArray[np.intp]:
    """Return the numbers of the places that are visited, in order: of the same place the first one.

    Parameters
    ----------
    places : ndarray, shape (n, 2), um
    """
    from scipy.spatial import KDTree

    pairs = KDTree(places).query_pairs(SAME_PLACE, output_type="ndarray")
    return np.setdiff1d(np.arange(len(places)), pairs.max(axis=1, initial=-1))


def nearest_distances(places: Floats) -> Floats:
    """Return the distance of each place to the nearest other one, um, shape (n,); empty for a single place."""
    if len(places) < 2:
        return np.empty(0)
    from scipy.spatial import KDTree

    return np.asarray(KDTree(places).query(places, k=2)[0])[:, 1]


def lattice_of(places: Floats, step: float | None = None, **order: Any) -> RasterGrid:
    """Return the lattice of cells on which places are kept.

    Where they have a common step along x and along y, each is the centre of a cell. Where they have none, as on a
    spiral, or only one so fine that most cells would be empty, the cells are squares so small that no two share one.

    Parameters
    ----------
    places : ndarray, shape (n, 2), um
        All different.
    step : float, optional
        The common step, um, where it is known.
    **order
        ``snake`` and ``fast_axis`` of the visit.

    Raises
    ------
    ValueError
        It takes more than `MAX_PIXELS` cells to keep the places apart.
    """
    exact = _Lines.through(places, step)
    if step is None and (exact is None or exact.cells > DEARER * len(places)):
        free = _Lines.apart(places)
        exact = free if exact is None or exact.cells > DEARER * free.cells else exact
    if exact is None or exact.cells > MAX_PIXELS:
        nearest, size = nearest_distances(places).min(), np.ptp(places, axis=0)
        raise ValueError(
            f"places {nearest:.3g} um apart in a field of {size[0]:g} x {size[1]:g} um need more than {MAX_PIXELS} "
            "cells to be kept apart; measure patches that are far from one another as rasters of their own"
        )
    return RasterGrid(x=exact.line(0), y=exact.line(1), **order)


class _Lines:
    """First centre, pitch and number of cells along x and y."""

    def __init__(self, start: Floats, pitch: Floats, num: NDArray[np.int64]) -> None:
        self.start, self.pitch, self.num = start, pitch, num

    @property
    def cells(self) -> float:
        return float(np.prod(self.num, dtype=np.float64))

    @classmethod
    def through(cls, places: Floats, step: float | None) -> _Lines | None:
        """Return the lines of a lattice whose centres are the places, None where they have no common step."""
        start, size = places.min(axis=0), np.ptp(places, axis=0)
        found = [step or _common_step(places[:, axis]) for axis in (0, 1)]
        if found[0] is None or found[1] is None:
            return None
        num = np.array([round(size[axis] / found[axis]) + 1 if found[axis] else 1 for axis in (0, 1)])
        # The step is found from neighbours; over the whole length it is known better.
        return cls(start, np.divide(size, num - 1, out=np.zeros(2), where=num > 1), num)

    @classmethod
    def apart(cls, places: Floats) -> _Lines:
        """Return the lines of square cells, none with two places; of the pitches tried the largest."""
        distances, start = nearest_distances(places), places.min(axis=0)
        # Two places of a cell are nearer than its diagonal: this is fine enough for sure.
        least = float(distances.min()) / np.sqrt(2.0) * (1.0 - 1e-9)
        pitch = max(float(np.median(distances)), least)
        while True:
            cell = np.floor((places - start) / pitch + 0.5).astype(np.int64)
            num = cell.max(axis=0) + 1
            lines = cls(start, np.full(2, pitch), num)
            if pitch <= least or lines.cells > MAX_PIXELS or len(np.unique(cell, axis=0)) == len(places):
                return lines
            pitch = max(FINER * pitch, least)

    def line(self, axis: int) -> Line:
        start, pitch, num = float(self.start[axis]), float(self.pitch[axis]), int(self.num[axis])
        return Line(start=start, stop=start + (num - 1) * pitch, num=num)


def _common_step(values: Floats) -> float | None:
    """Return the largest step found of which all differences of values are multiples, 0 where all are the same."""
    levels = np.sort(values) - values.min()
    gaps = np.diff(levels)
    gaps = gaps[gaps > SAME_PLACE]
    if not gaps.size:
        return 0.0
    for parts in range(1, PARTS + 1):
        num = round(float(levels[-1]) / (float(gaps.min()) / parts))
        step = float(levels[-1]) / num
        if np.abs(levels / step - np.round(levels / step)).max() * step <= SAME_PLACE:
            return step
    return None
