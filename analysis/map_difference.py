"""Two gap maps of one place, pixel by pixel: the differences in units of their errors, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

__all__ = ["GapDifference", "gap_difference"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GapDifference:
    """How two maps differ where both have a gap.

    Attributes
    ----------
    difference : ndarray, meV
        Second less first, NaN where one has none.
    error : ndarray, meV
        One sigma, by counting.
    mean, mean_error : float, meV
        Of the differences, weighted by their errors; NaN where no pixel is in both.
    chi2_equal, p_equal : float
        Against no difference anywhere.
    chi2_shifted, p_shifted : float
        Against one difference, the mean, everywhere.
    number : int
        Pixels in both.
    """

    difference: Array
    error: Array
    mean: float
    mean_error: float
    chi2_equal: float
    p_equal: float
    chi2_shifted: float
    p_shifted: float
    number: int

    @property
    def sigmas(self) -> Array:
        """Differences in units of their errors."""
        return self.difference / self.error


def gap_difference(
    first: ArrayLike, first_error: ArrayLike, second: ArrayLike, second_error: ArrayLike, *, same_counts: bool = False
) -> GapDifference:
    """Compare two maps.

    Parameters
    ----------
    first, first_error, second, second_error : array_like, one shape, meV
        Gaps and their statistical errors, one sigma; what is not finite, or has no error, is not compared.
    same_counts : bool
        Both are fits of the same counts: their errors do not add up, the larger of the two is taken, and chi2 and its
        probability are NaN, for two fits of one noise agree better than two measurements.

    Raises
    ------
    ValueError
        Shapes differ.

    Examples
    --------
    >>> found = gap_difference([30.0, 35.0], [0.3, 0.3], [30.4, 35.4], [0.4, 0.4])
    >>> [float(round(value, 2)) for value in (found.mean, found.mean_error, found.p_equal)]
    [0.4, 0.35, 0.53]
    """
    a, s, b, t = (np.asarray(values, dtype=np.float64) for values in (first, first_error, second, second_error))
    if not a.shape == s.shape == b.shape == t.shape:
        raise ValueError(f"maps of {a.shape} and {b.shape} with errors of {s.shape} and {t.shape}; give one shape")
    error = np.maximum(s, t) if same_counts else np.hypot(s, t)
    known = np.isfinite(a) & np.isfinite(b) & np.isfinite(error) & (np.minimum(s, t) > 0)
    difference, error = np.where(known, b - a, np.nan), np.where(known, error, np.nan)
    number = int(known.sum())
    nan = float("nan")
    if not number:
        return GapDifference(difference, error, nan, nan, nan, nan, nan, nan, 0)
    d, weight = difference[known], error[known] ** -2
    mean = float((weight * d).sum() / weight.sum())
    if same_counts:
        return GapDifference(difference, error, mean, nan, nan, nan, nan, nan, number)
    equal, shifted = float((weight * d**2).sum()), float((weight * (d - mean) ** 2).sum())
    return GapDifference(
        difference,
        error,
        mean,
        float(weight.sum() ** -0.5),
        equal,
        float(chi2.sf(equal, number)),
        shifted,
        float(chi2.sf(shifted, number - 1)) if number > 1 else nan,
        number,
    )
