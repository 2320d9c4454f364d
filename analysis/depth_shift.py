"""By how much gaps move when fits look less deep: evidence that the model does not describe the spectra.

A model that describes a spectrum finds the same gap in any part of it. Between windows down to 60 and to 30 meV below
the gap, the simulation's clean sample moves by less than 0.1 meV, a hump after a dip or replicas of the band by 0.3 to
2. The other way round it proves nothing: what is wrong by as much in both does not show, nor what happens to cancel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["DepthShift", "depth_shift"]

#: Shifts up to this, meV, a clean sample may show: with few counts in a bin the gap has a bias of its own.
ALLOWED = 0.1
#: How many of its errors a shift must have.
SIGNIFICANT = 3.0
#: Fewest pixels.
ENOUGH = 5


class DepthShift(NamedTuple):
    """How gaps moved on the mean.

    Attributes
    ----------
    mean, error : float, meV
        Of the gaps of the second map less those of the first, pixel by pixel; NaN with fewer than `ENOUGH` pixels.
    pixels : int
        That have a gap in both.
    """

    mean: float
    error: float
    pixels: int

    @property
    def model_is_wrong(self) -> bool:
        """Whether gaps moved by more than noise, and by more than those of a clean sample do."""
        return abs(self.mean) > max(ALLOWED, SIGNIFICANT * self.error)


def depth_shift(first: ArrayLike, second: ArrayLike) -> DepthShift:
    """Compare the gaps of one map, fitted to two depths.

    Parameters
    ----------
    first, second : array_like, of one shape, meV
        Gaps of the pixels; NaN where there is none.

    Returns
    -------
    DepthShift
        Its error is made of the scatter of the differences: both maps share their counts, and most of their noise.

    Raises
    ------
    ValueError
        The maps have not one shape.
    """
    one, other = (np.asarray(gaps, dtype=np.float64) for gaps in (first, second))
    if one.shape != other.shape:
        raise ValueError(f"gaps of shape {one.shape} and {other.shape} are not those of one map")
    moved = (other - one)[np.isfinite(one) & np.isfinite(other)]
    if moved.size < ENOUGH:
        return DepthShift(math.nan, math.nan, int(moved.size))
    return DepthShift(float(moved.mean()), float(moved.std(ddof=1)) / math.sqrt(moved.size), int(moved.size))
