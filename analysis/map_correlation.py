r"""Correlation of two fitted quantities over a map, without what their errors alone make of it.

The fit errs in gap and rate together: with errors correlated by :math:`\rho_i`, pixels that are all alike show a
correlation of :math:`\rho`, and a true one is diluted. The covariance matrix of the values is that of the population
plus the mean of the errors' covariance matrices; the latter is subtracted (errors in variables, Fuller, Measurement
Error Models, DOI 10.1002/9780470316665). What is left may be noise: then there is no number, and the reason is said.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microarpes.analysis.line_shape import Array

__all__ = ["CorrectedCorrelation", "corrected_correlation"]

#: An intrinsic variance is divided by only where it is so many of its errors above zero.
RESOLVED = 3.0
#: Fewer pixels, or blocks, tell nothing of their scatter.
FEWEST = 8


class CorrectedCorrelation(NamedTuple):
    """Pearson's correlation of two quantities over a map.

    Attributes
    ----------
    observed, observed_stderr : float
        Of the values as they are; the error by jackknife.
    from_errors : float
        What the errors alone would make of pixels that are all alike.
    corrected, corrected_stderr : float
        Of the population; NaN where it is not resolved. Not held to [-1, 1]: beyond is noise, and within the error.
    n : int
        Pixels with both values and both errors.
    reason : str
        Why there is no corrected value; empty where there is one.
    """

    observed: float
    observed_stderr: float
    from_errors: float
    corrected: float
    corrected_stderr: float
    n: int
    reason: str


def corrected_correlation(
    a: ArrayLike,
    a_stderr: ArrayLike,
    b: ArrayLike,
    b_stderr: ArrayLike,
    error_correlation: ArrayLike,
    blocks: ArrayLike | None = None,
) -> CorrectedCorrelation:
    """Correlate two quantities over a map and take out the covariance of their errors.

    Parameters
    ----------
    a, b : array_like, any one shape
        For example `delta` and `gamma1`, meV; pixels where anything is NaN are left out.
    a_stderr, b_stderr : array_like, the same shape or scalars
        Statistical errors, one standard deviation.
    error_correlation : array_like, the same shape or a scalar, in [-1, 1]
        Correlation of the two errors of a pixel; see `microarpes.analysis.error_correlation`.
    blocks : array_like of int, the same shape, optional
        Pixels of one number are left out together by the jackknife. Over a smooth field neighbours are not
        independent: blocks some correlation lengths wide make the error right. By default each pixel is its own.

    Raises
    ------
    ValueError
        When shapes do not fit or a correlation is outside [-1, 1].
    """
    columns, labels = _complete(a, a_stderr, b, b_stderr, error_correlation, blocks)
    x, sx, y, sy, rho = columns
    n = int(x.size)
    index = np.unique(labels, return_inverse=True)[1].reshape(-1)
    n_blocks = int(index.max()) + 1 if n else 0
    if n_blocks < FEWEST:
        what = "pixels" if blocks is None else "blocks"
        return _unresolved(n, f"{n_blocks} {what} with both values; {FEWEST} are needed")
    x, y = x - x.mean(), y - y.mean()
    terms = np.stack([np.ones(n), x, y, x * x, y * y, x * y, sx * sx, sy * sy, rho * sx * sy])
    sums = np.stack([np.bincount(index, weights=term, minlength=n_blocks) for term in terms])
    total = sums.sum(axis=1, keepdims=True)
    whole, without = _moments(total), _moments(total - sums)
    error = _jackknife(without)
    observed = _ratio(whole[0], whole[1], whole[2])
    result = CorrectedCorrelation(
        observed=float(observed[0]),
        observed_stderr=float(_jackknife(_ratio(without[0], without[1], without[2])[None])[0]),
        from_errors=float((total[8] / np.sqrt(total[6] * total[7]))[0]),
        corrected=np.nan,
        corrected_stderr=np.nan,
        n=n,
        reason="",
    )
    for name, i in (("first", 3), ("second", 4)):
        if not whole[i, 0] > RESOLVED * error[i]:
            return result._replace(reason=f"the spread of the {name} quantity is not resolved from its errors")
    left = _ratio(without[3], without[4], without[5])
    if not np.isfinite(left).all():
        return result._replace(reason="the spread hangs on a single pixel or block")
    corrected = _ratio(whole[3], whole[4], whole[5])
    return result._replace(corrected=float(corrected[0]), corrected_stderr=float(_jackknife(left[None])[0]))


def _complete(
    a: ArrayLike, a_stderr: ArrayLike, b: ArrayLike, b_stderr: ArrayLike, rho: ArrayLike, blocks: ArrayLike | None
) -> tuple[tuple[Array, ...], NDArray[np.intp]]:
    """Columns of the pixels that have everything, and the numbers of their blocks."""
    first = np.asarray(a, dtype=np.float64)
    named = {"a_stderr": a_stderr, "b": b, "b_stderr": b_stderr, "error_correlation": rho}
    arrays = [first]
    for name, given in named.items():
        array = np.asarray(given, dtype=np.float64)
        if array.shape != first.shape and (array.ndim or name == "b"):
            raise ValueError(f"{name} has shape {array.shape}, a has {first.shape}; they must be the same")
        arrays.append(np.broadcast_to(array, first.shape))
    if (np.abs(arrays[4]) > 1.0).any():
        raise ValueError(f"error_correlation reaches {np.nanmax(np.abs(arrays[4])):g}; it must be in [-1, 1]")
    labels = np.arange(first.size).reshape(first.shape) if blocks is None else np.asarray(blocks)
    if labels.shape != first.shape:
        raise ValueError(f"blocks have shape {labels.shape}, a has {first.shape}; they must be the same")
    good = np.isfinite(arrays).all(axis=0) & (arrays[1] > 0) & (arrays[3] > 0)
    return tuple(array[good] for array in arrays), labels[good].astype(np.intp)


def _moments(sums: Array) -> Array:
    """Variances and covariance observed (3) and intrinsic (3) from the nine sums; shape (6, m)."""
    n = sums[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.stack(
            [sums[3] - sums[1] ** 2 / n, sums[4] - sums[2] ** 2 / n, sums[5] - sums[1] * sums[2] / n]
        ) / (n - 1.0)
        return np.concatenate([observed, observed - sums[6:9] / n])


def _ratio(variance_a: Array, variance_b: Array, covariance: Array) -> Array:
    """Correlation; NaN where a variance is not above zero."""
    good = (variance_a > 0) & (variance_b > 0)
    product = np.where(good, variance_a * variance_b, np.nan)
    return np.asarray(covariance / np.sqrt(product))


def _jackknife(without: Array) -> Array:
    """Errors from estimates each without one block, along the last axis."""
    m = without.shape[-1]
    return np.asarray(np.sqrt((m - 1.0) * np.var(without, axis=-1)))


def _unresolved(n: int, reason: str) -> CorrectedCorrelation:
    """Nothing but the reason."""
    return CorrectedCorrelation(np.nan, np.nan, np.nan, np.nan, np.nan, n, reason)
