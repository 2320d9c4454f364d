"""The grid a recorded raster was meant to visit, found from the positions it read back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.recording_format import Recording, RecordingError

#: A readback further than this share of a step from every grid point means that there is no grid.
_MAX_SHARE = 0.4
#: um; below it, an axis stood still.
_MIN_STEP = 1e-6


@dataclass(frozen=True)
class Line:
    """Equidistant positions on one axis: `start` to `stop` (um, both included), `num` of them."""

    start: float
    stop: float
    num: int


@dataclass(frozen=True)
class NominalGrid:
    """Grid of a recorded raster.

    Attributes
    ----------
    x, y : Line
        um; `start` is where the visit began, and may be above `stop`.
    snake : bool
        Every other line was scanned backwards.
    fast_axis : str
        The axis that changes from point to point, ``x`` or ``y``.
    deviation : float
        Largest distance on one axis of a readback from its grid point, um: the position tolerance of a replay.
    """

    x: Line
    y: Line
    snake: bool
    fast_axis: str
    deviation: float


def nominal_grid(recording: Recording) -> NominalGrid:
    """Find the regular grid and the order of visit that explain the recorded positions best.

    Every way to arrange the points in full lines is tried, x or y fast, with and without turning back, and the one
    with the smallest squared deviation is taken; positions are straight lines in the index, fitted by least squares.

    Parameters
    ----------
    recording : Recording
        Its ``x`` and ``y`` in the order of the visit.

    Raises
    ------
    RecordingError
        No arrangement brings every readback to within 0.4 steps of a grid point, or the last line is not full.
    """
    position = {axis: np.asarray(recording.points[axis], dtype=np.float64) for axis in ("x", "y")}
    count = recording.n_points
    best: tuple[float, NominalGrid] | None = None
    for n_fast in (n for n in range(count, 0, -1) if count % n == 0):
        for fast, slow in (("x", "y"), ("y", "x")):
            for snake in (False, True) if 1 < n_fast < count else (False,):
                candidate = _arranged(position[fast], position[slow], n_fast, snake)
                if candidate is None:
                    continue
                cost, lines, deviation = candidate
                # A tie goes to the plainer arrangement, which comes first.
                if best is None or cost < 0.999 * best[0] - 1e-12:
                    grid = NominalGrid(
                        **{fast: lines[0], slow: lines[1]}, snake=snake, fast_axis=fast, deviation=deviation
                    )
                    best = cost, grid
    if best is None:
        raise RecordingError(
            f"the {count} positions in {recording.source} lie on no regular grid of full lines; it holds no raster"
        )
    return best[1]


def _arranged(
    fast: NDArray[np.float64], slow: NDArray[np.float64], n_fast: int, snake: bool
) -> tuple[float, tuple[Line, Line], float] | None:
    line, column = np.divmod(np.arange(len(fast)), n_fast)
    if snake:
        column = np.where(line % 2 == 1, n_fast - 1 - column, column)
    fits = [_straight(fast, column, n_fast), _straight(slow, line, len(fast) // n_fast)]
    deviations = [np.abs(values - fitted) for values, (fitted, _) in zip((fast, slow), fits, strict=True)]
    largest = float(max(deviation.max() for deviation in deviations))
    # An axis that stands still has no step of its own to be judged by: its spread must be small against the other's.
    steps = [abs(axis.stop - axis.start) / (axis.num - 1) for _, axis in fits if axis.num > 1]
    if steps and (min(steps) < _MIN_STEP or largest > _MAX_SHARE * min(steps)):
        return None
    return float(sum(np.sum(deviation**2) for deviation in deviations)), (fits[0][1], fits[1][1]), largest


def _straight(values: NDArray[np.float64], index: NDArray[np.int_], num: int) -> tuple[NDArray[np.float64], Line]:
    if num == 1:
        middle = float(values.mean())
        return np.full(len(values), middle), Line(middle, middle, 1)
    slope, start = (float(value) for value in np.polyfit(index, values, 1))
    return np.asarray(start + slope * index, dtype=np.float64), Line(start, start + slope * (num - 1), num)
