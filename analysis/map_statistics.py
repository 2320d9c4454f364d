r"""How wide gaps are spread over a map once their own errors are taken out, and whether one gap would do for all.

Each value is taken as :math:`x_i = \mu + u_i + e_i`: a population of standard deviation :math:`\tau`, and an error of
known standard deviation :math:`s_i`. With the weights :math:`w_i = 1/(\tau^2 + s_i^2)` and their mean,
:math:`Q(\tau^2) = \sum w_i (x_i - \bar x_w)^2` falls as :math:`\tau` grows and is chi-squared with N - 1 degrees of
freedom at the true one. The spread is where Q is N - 1 (Paule and Mandel, DOI 10.6028/jres.087.022, the iterated form
of DerSimonian and Laird's), its upper limit where Q is a low quantile (Viechtbauer, DOI 10.1002/sim.2514): exact for
a normal population at any N. Both are what Veroniki et al. recommend, DOI 10.1002/jrsm.1164. The quantile is 5 % times
the chance of a Q as small without any spread (CLs: Read, DOI 10.1088/0954-3899/28/10/313): values that by luck scatter
less than their errors do not exclude what could not have been seen.

Errors that all values have in common, as that of a slope that was taken out of a map, are modes: value i errs by
:math:`a\,v_i` with one :math:`a` of unit variance for all. Then the weights are the inverse of the matrix
:math:`\mathrm{diag}(\tau^2 + s_i^2) + v v^T`, and Q is chi-squared as before.

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


def intrinsic_spread(values: ArrayLike, stderr: ArrayLike, common: ArrayLike = 0.0) -> IntrinsicSpread:
    """Mean and spread of a population whose members are known with errors.

    Parameters
    ----------
    values : array_like, any shape
        For example gaps, meV; NaN where there is none.
    stderr : array_like, the same shape or a scalar
        Statistical errors, one standard deviation. A value without a finite error above zero is left out.
    common : array_like, the same shape or a scalar
        What each value errs by when all err together by one standard deviation, with its sign; for example the error
        of an ageing slope times the time since (`microarpes.analysis.ageing_correction.error_in_common`).

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
    >>> intrinsic_spread([33.0, 35.0, 37.0, 39.0, 41.0], 1.0, [0.0, 1.0, 2.0, 3.0, 4.0]).resolved
    False
    """
    x, s, v = _measured(values, stderr, common)
    n = int(x.size)
    if n < 2:
        mean = float(x[0]) if n else np.nan
        return IntrinsicSpread(mean, np.nan, np.nan, np.nan, np.nan, np.nan, False, n)
    found = _heterogeneity(x, s, v, 0.0)
    low = _chi2_quantile((1.0 - CONFIDENCE) * float(chdtr(n - 1, found)), n - 1)
    variance = _variance_where(x, s, v, n - 1.0)
    weights = _Weights(s, v, variance)
    intrinsic = float(np.sqrt(variance))
    return IntrinsicSpread(
        mean=weights.mean(x),
        mean_stderr=weights.total**-0.5,
        observed=float(np.std(x, ddof=1)),
        intrinsic=intrinsic,
        # Q scatters by sqrt(2 (N - 1)) and falls with the variance by what the weights say
        intrinsic_stderr=float(np.sqrt(2.0 * (n - 1)) / weights.fall / (2.0 * intrinsic)) if intrinsic > 0 else np.nan,
        upper_limit=float(np.sqrt(_variance_where(x, s, v, low))) if low > 0 else np.nan,
        resolved=found > _chi2_quantile(CONFIDENCE, n - 1),
        n=n,
    )


def _chi2_quantile(probability: float, dof: int) -> float:
    """Return below what chi2 is with a probability."""
    return 2.0 * float(gammaincinv(0.5 * dof, probability))


def constant_chi2(values: ArrayLike, stderr: ArrayLike, common: ArrayLike = 0.0) -> ConstantTest:
    """Test whether one constant describes all values within their errors.

    Parameters
    ----------
    values : array_like, any shape
    stderr, common : array_like, the same shape or a scalar
        As for `intrinsic_spread`.

    Raises
    ------
    ValueError
        When the shapes do not fit.
    """
    x, s, v = _measured(values, stderr, common)
    if not x.size:
        return ConstantTest(np.nan, np.nan, np.nan, 0, np.nan)
    weights, dof = _Weights(s, v, 0.0), int(x.size) - 1
    found = _heterogeneity(x, s, v, 0.0) if dof else np.nan
    p_value = float(chdtrc(dof, found)) if dof else np.nan
    return ConstantTest(weights.mean(x), weights.total**-0.5, found, dof, p_value)


def measured_pairs(values: ArrayLike, stderr: ArrayLike) -> tuple[Array, Array]:
    """Values with an error, and the errors, both of shape (n,); ValueError when the shapes do not fit."""
    x, s, _ = _measured(values, stderr, 0.0)
    return x, s


def _measured(values: ArrayLike, stderr: ArrayLike, common: ArrayLike) -> tuple[Array, Array, Array]:
    x, s, v = (np.asarray(each, dtype=np.float64) for each in (values, stderr, common))
    for name, each in (("stderr", s), ("common", v)):
        if each.ndim and each.shape != x.shape:
            raise ValueError(
                f"{name} has shape {each.shape}, values have {x.shape}; give one error a value, or one for all"
            )
    s, v = np.broadcast_to(s, x.shape), np.broadcast_to(v, x.shape)
    good = np.isfinite(x) & np.isfinite(s) & (s > 0) & np.isfinite(v)
    return x[good], s[good], v[good]


class _Weights:
    """Inverse of diag(variance + s^2) + v v^T, of values of which each is known to s and all err together by v."""

    def __init__(self, s: Array, v: Array, variance: float) -> None:
        self._each = 1.0 / (variance + s**2)
        weighted = self._each * v
        self._together = weighted / np.sqrt(1.0 + (weighted * v).sum())
        self._of_one = self.times(np.ones_like(s))
        self.total = float(self._of_one.sum())

    def times(self, x: Array) -> Array:
        """Return the matrix times x."""
        product: Array = self._each * x - self._together * (self._together * x).sum()
        return product

    def mean(self, x: Array) -> float:
        """Return the weighted mean."""
        return float((self._of_one * x).sum()) / self.total

    @property
    def fall(self) -> float:
        """By how much Q falls, in the mean, for each unit by which the variance grows."""
        trace = self._each.sum() - (self._together**2).sum()
        return float(trace - (self._of_one**2).sum() / self.total)


def _heterogeneity(x: Array, s: Array, v: Array, variance: float) -> float:
    """Q of that intrinsic variance."""
    weights = _Weights(s, v, variance)
    away = x - weights.mean(x)
    return float((away * weights.times(away)).sum())


def _variance_where(x: Array, s: Array, v: Array, wanted: float) -> float:
    """Intrinsic variance at which Q has fallen to `wanted`; 0 where it never was above."""
    if _heterogeneity(x, s, v, 0.0) <= wanted:
        return 0.0
    # no weight is above 1 / variance, and about no other centre is the weighted sum of squares smaller
    high = float(((x - x.mean()) ** 2).sum()) / wanted
    return float(brentq(lambda variance: _heterogeneity(x, s, v, variance) - wanted, 0.0, high, xtol=1e-12 * high))
