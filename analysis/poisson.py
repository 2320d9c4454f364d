"""Poisson likelihood as a deviance (cstat), and what that deviance should be when the model is true.

Source of the deviance: Baker and Cousins, Nucl. Instrum. Methods 221, 437 (1984), DOI 10.1016/0167-5087(84)90016-4.
At few counts per bin its mean and variance are not those of chi-squared (Kaastra, Astron. Astrophys. 605, A51 (2017),
DOI 10.1051/0004-6361/201629319); here they are tabulated by summation over the Poisson distribution itself.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import gammaln, xlogy

from microarpes.analysis.line_shape import Array

__all__ = ["MOMENTS_FROM", "MOMENTS_TO", "MOMENT_STEP", "deviance", "deviance_moments", "moment_table"]

#: Expected counts between which the moments are tabulated, and the step of the table in their logarithm.
MOMENTS_FROM, MOMENTS_TO, N_MOMENTS = 1e-5, 300.0, 400
MOMENT_STEP = float(np.log(MOMENTS_TO / MOMENTS_FROM)) / (N_MOMENTS - 1)


def deviance(counts: Array, expected: Array) -> Array:
    """Poisson deviance, summed over the last axis.

    Parameters
    ----------
    counts : ndarray, shape (..., n), photoelectrons (detector units over gain)
    expected : ndarray, same shape, > 0

    Returns
    -------
    ndarray, shape (...)
        2 sum(mu - y + y ln(y / mu)).
    """
    terms = expected - counts + xlogy(counts, np.where(counts > 0, counts, 1.0) / expected)
    # rounding may leave a perfect fit a little below zero
    return np.asarray(np.maximum(2.0 * terms.sum(axis=-1), 0.0))


@cache
def moment_table() -> tuple[Array, Array, Array]:
    """Mean and variance of one bin's deviance against ln(mu), mu = 1e-5 ... 300."""
    grid = np.linspace(np.log(MOMENTS_FROM), np.log(MOMENTS_TO), N_MOMENTS)
    y = np.arange(0.0, 800.0)
    mu = np.exp(grid)[:, None]
    weight = np.exp(xlogy(y, mu) - mu - gammaln(y + 1.0))
    d = 2.0 * (mu - y + xlogy(y, np.where(y > 0, y, 1.0) / mu))
    mean = (weight * d).sum(axis=1)
    variance = (weight * d * d).sum(axis=1) - mean**2
    return grid, mean, variance


def deviance_moments(expected: Array) -> tuple[Array, Array]:
    """Mean and variance of the deviance when `expected` is the truth, summed over the last axis.

    Parameters
    ----------
    expected : ndarray, shape (..., n), > 0

    Returns
    -------
    mean, variance : ndarray, shape (...)
        Towards n and 2 n at many counts per bin.
    """
    grid, mean, variance = moment_table()
    at = np.log(np.clip(expected, MOMENTS_FROM, MOMENTS_TO))
    return np.interp(at, grid, mean).sum(axis=-1), np.interp(at, grid, variance).sum(axis=-1)
