r"""How wide gaps are spread over a map once their own errors are taken out, and whether one gap would do for all.

Each value is taken as :math:`x_i = \mu + u_i + e_i`: a population of standard deviation :math:`\tau`, and an error of
known standard deviation :math:`s_i`. With the weights :math:`w_i = 1/(\tau^2 + s_i^2)` and their mean,
:math:`Q(\tau^2) = \sum w_i (x_i - \bar x_w)^2` falls as :math:`\tau` grows and is chi-squared with N - 1 degrees of
freedom at the true one. The spread is where Q is N - 1 (Paule and Mandel, DOI 10.6028/jres.087.022, the iterated form
of DerSimonian and Laird's), its upper limit where Q is a low quantile (Viechtbauer, DOI 10.1002/sim.2514): exact for
a normal population at any N. Both are what Veroniki et al. recommend, DOI 10.1002/jrsm.1164. The quantile is 5 % times
the chance of a Q as small without any spread (CLs: Read, DOI 10.1088/0954-3899/28/10/313): values that by luck scatter
less than their errors do not exclude what could not have been seen.

Pixels are taken as independent draws. Over a smooth field the spread is that of the pixels measured; the error of the
mean is then too small for the mean of the sample as a whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import chdtr, chdtrc, gammaincinv

from microarpes.analysis.line_shape import Array

__all__ = ["ConstantTest", "IntrinsicSpread", "constant_chi2", "intrinsic_spread", "measured_pairs"]

#: Confidence of upper limits, and of the statement that there is a spread at all.
CONFIDENCE = 0.95


class IntrinsicSpread(NamedTuple):
    """Population behind a map; in the unit of the values.

    Attributes
    ----------
    mean, mean_stderr : float
        Weighted by the inverse of spread and error together; one standard deviation.
    observed : float
        Standard deviation of the values as they are, errors included (N - 1).
    intrinsic, intrinsic_stderr : float
        Standard deviation without the errors. The error is NaN where the estimate is zero.
    upper_limit : float
        95 % upper limit of the intrinsic standard deviation, whether resolved or not; show it where not. NaN where the
        values do not scatter at all.
    resolved : bool
        No spread at all is excluded at 95 %.
    n : int
        Values used: finite, with a finite error above zero.
    """

    mean: float
    mean_stderr: float
    observed: float
    intrinsic: float
    intrinsic_stderr: float
    upper_limit: float
    resolved: bool
    n: int


class ConstantTest(NamedTuple):
    """One value for all, tested.

    Attributes
    ----------
    constant, constant_stderr : float, unit of the values
        Weighted by the inverse squared errors alone.
    chi2 : float
    dof : int
        N - 1.
    p_value : float
        Chance of a chi2 as large if all were equal; NaN with fewer than two values.
    """

    constant: float
    constant_stderr: float
    chi2: float
    dof: int
    p_value: float


def intrinsic_spread(values: ArrayLike, stderr: ArrayLike) -> IntrinsicSpread:
    """Mean and spread of a population whose members are known with errors.

    Parameters
    ----------
    values : array_like, any shape
        For example gaps, meV; NaN where there is none.
    stderr : array_like, the same shape or a scalar
        Statistical errors, one standard deviation. A value without a finite error above zero is left out.

    Returns
    -------
    IntrinsicSpread
        NaN where there are too few values: one has a mean without an error, none has nothing.

    Raises
    ------
    ValueError
        When the shapes do not fit.

    Examples
    --------
    >>> spread = intrinsic_spread([33.0, 35.0, 37.0, 39.0, 41.0], 1.0)
    >>> round(spread.observed, 2), round(spread.intrinsic, 2), spread.resolved
    (3.16, 3.0, True)
    """
    x, s = measured_pairs(values, stderr)
    n = int(x.size)
    if n < 2:
        mean = float(x[0]) if n else np.nan
        return IntrinsicSpread(mean, np.nan, np.nan, np.nan, np.nan, np.nan, False, n)
    found = _heterogeneity(x, s, 0.0)
    low = _chi2_quantile((1.0 - CONFIDENCE) * float(chdtr(n - 1, found)), n - 1)
    variance = _variance_where(x, s, n - 1.0)
    weight = 1.0 / (variance + s**2)
    total = float(weight.sum())
    # Q scatters by sqrt(2 (N - 1)) and falls with the variance by what the weights say
    fall = total - float((weight**2).sum()) / total
    intrinsic = float(np.sqrt(variance))
    return IntrinsicSpread(
        mean=float((weight * x).sum()) / total,
        mean_stderr=total**-0.5,
        observed=float(np.std(x, ddof=1)),
        intrinsic=intrinsic,
        intrinsic_stderr=float(np.sqrt(2.0 * (n - 1)) / fall / (2.0 * intrinsic)) if intrinsic > 0 else np.nan,
        upper_limit=float(np.sqrt(_variance_where(x, s, low))) if low > 0 else np.nan,
        resolved=found > _chi2_quantile(CONFIDENCE, n - 1),
        n=n,
    )


def _chi2_quantile(probability: float, dof: int) -> float:
    """Return below what chi2 is with a probability."""
    return 2.0 * float(gammaincinv(0.5 * dof, probability))


def constant_chi2(values: ArrayLike, stderr: ArrayLike) -> ConstantTest:
    """Test whether one constant describes all values within their errors.

    Parameters
    ----------
    values : array_like, any shape
    stderr : array_like, the same shape or a scalar
        As for `intrinsic_spread`.

    Raises
    ------
    ValueError
        When the shapes do not fit.
    """
    x, s = measured_pairs(values, stderr)
    if not x.size:
        return ConstantTest(np.nan, np.nan, np.nan, 0, np.nan)
    total = float((s**-2.0).sum())
    constant, dof = float((x * s**-2.0).sum()) / total, int(x.size) - 1
    found = _heterogeneity(x, s, 0.0) if dof else np.nan
    return ConstantTest(constant, total**-0.5, found, dof, float(chdtrc(dof, found)) if dof else np.nan)


def measured_pairs(values: ArrayLike, stderr: ArrayLike) -> tuple[Array, Array]:
    """Values with an error, and the errors, both of shape (n,); ValueError when the shapes do not fit."""
    x, s = np.asarray(values, dtype=np.float64), np.asarray(stderr, dtype=np.float64)
    if s.ndim and s.shape != x.shape:
        raise ValueError(f"stderr has shape {s.shape}, values have {x.shape}; give one error a value, or one for all")
    s = np.broadcast_to(s, x.shape)
    good = np.isfinite(x) & np.isfinite(s) & (s > 0)
    return x[good], s[good]


def _heterogeneity(x: Array, s: Array, variance: float) -> float:
    """Q of that intrinsic variance."""
    weight = 1.0 / (variance + s**2)
    mean = (weight * x).sum() / weight.sum()
    return float((weight * (x - mean) ** 2).sum())


def _variance_where(x: Array, s: Array, wanted: float) -> float:
    """Intrinsic variance at which Q has fallen to `wanted`; 0 where it never was above."""
    if _heterogeneity(x, s, 0.0) <= wanted:
        return 0.0
    # no weight is above 1 / variance, and about no other centre is the weighted sum of squares smaller
    high = float(((x - x.mean()) ** 2).sum()) / wanted
    return float(brentq(lambda variance: _heterogeneity(x, s, variance) - wanted, 0.0, high, xtol=1e-12 * high))
