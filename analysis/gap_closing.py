"""Whether the gap of each pixel is closed above the transition: two maps of one place, one below it and one above.

A gap in one map may have any cause. One that is there below T_c and not above closes at the transition; one that is
there above T_c too, as at the antinode of an underdoped cuprate, is a pseudogap. Between the two is what the errors do
not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microarpes.analysis.results import Status

__all__ = ["CLOSES", "STAYS", "UNDECIDED", "GapClosing", "gap_closing"]

Array = NDArray[np.float64]

CLOSES, STAYS, UNDECIDED = "closes", "stays", "undecided"
#: A gap is there when it is so many of its errors.
THERE = 3.0
#: Of the gap below T_c, what is left above it at most where it is closed; and sigmas of its one-sided 95 % limit.
LEFT, LIMIT_SIGMA = 0.5, 1.645


@dataclass(frozen=True)
class GapClosing:
    """What became of the gap of each pixel.

    Attributes
    ----------
    verdict : ndarray of str
        ``closes``, ``stays`` or ``undecided``; empty where one of the maps has no pixel.
    left, left_error : ndarray
        Gap above over gap below T_c and its error, one sigma; NaN where one has none.
    left_limit : ndarray
        The same at most, 95 %, of pixels whose gap above is below its limit; NaN elsewhere.
    """

    verdict: NDArray[np.str_]
    left: Array
    left_error: Array
    left_limit: Array

    def number(self, verdict: str) -> int:
        """Return how many pixels have a verdict."""
        return int((self.verdict == verdict).sum())


def gap_closing(
    cold: ArrayLike,
    cold_error: ArrayLike,
    cold_status: ArrayLike,
    warm: ArrayLike,
    warm_error: ArrayLike,
    warm_limit: ArrayLike,
    warm_status: ArrayLike,
) -> GapClosing:
    """Class pixels by their gaps below (`cold`) and above (`warm`) the transition.

    ``closes``: a gap below; above, zero is not refused by the counts (``no-gap``), and half of the gap below, less
    1.645 of its errors, is (95 %). ``stays``: a gap both times, each more than three of its errors. All else is
    ``undecided``: no gap below, counts that are too few to exclude half of it above, no fit.

    Parameters
    ----------
    cold, cold_error : array_like, meV
        Gaps and their errors, one sigma, statistical and systematic together.
    cold_status : array_like of str
        Verdicts of the fits; empty where there is no pixel.
    warm, warm_error : array_like, meV
    warm_limit : array_like, meV
        Upper limits, 95 %, of pixels that are ``no-gap``.
    warm_status : array_like of str

    Raises
    ------
    ValueError
        Shapes differ.

    Examples
    --------
    >>> found = gap_closing([35.0, 35.0], [0.5, 0.5], ["ok", "ok"], [float("nan"), 34.0], [float("nan"), 2.0],
    ...                     [9.0, float("nan")], ["no-gap", "ok"])
    >>> found.verdict.tolist()
    ['closes', 'stays']
    """
    numbers = [np.asarray(values, dtype=np.float64) for values in (cold, cold_error, warm, warm_error, warm_limit)]
    below, above = (np.asarray(values, dtype=str) for values in (cold_status, warm_status))
    if len(shapes := {each.shape for each in (*numbers, below, above)}) > 1:
        raise ValueError(f"maps have shapes {sorted(shapes)}; give one shape")
    c, s, w, t, limit = numbers
    ok, none = Status.OK.label, Status.NO_GAP.label
    there = (below == ok) & (c > THERE * s)
    verdict = np.where((below == "") | (above == ""), "", UNDECIDED)
    verdict[there & (above == ok) & (w > THERE * t)] = STAYS
    verdict[there & (above == none) & (limit <= LEFT * (c - LIMIT_SIGMA * s))] = CLOSES
    both = (below == ok) & (above == ok)
    left = np.divide(w, c, out=np.full(c.shape, np.nan), where=both)
    error = np.hypot(t, left * s) / np.where(both, c, np.nan)
    bounded = there & (above == none)
    most = np.divide(limit, c - LIMIT_SIGMA * s, out=np.full(c.shape, np.nan), where=bounded)
    return GapClosing(verdict, left, error, most)
