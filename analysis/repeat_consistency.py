r"""Whether maps of one place have one gap in each pixel, up to what E_F of each map is not known to.

The gap of run r in pixel i is taken for :math:`g_{ir} = g_i + o_r + \text{noise}`. Least squares give the offsets
:math:`o_r` of the runs against the first. What is left about them says whether the pixels agree; the offsets, weighed
with their errors and with the errors of E_F, whether the maps do: a gap moves by no more than E_F.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

__all__ = ["ERRORS_RIGHT_TO", "UNLIKELY", "RepeatConsistency", "repeat_consistency"]

Array = NDArray[np.float64]

#: Probability under which runs are not of the same gaps.
UNLIKELY = 1e-3
#: The same for runs that agree too well.
SAME_COUNTS = 1e-6
#: The errors of the fits are right to so much (docs/measured/fit-calibration.json): what that does to chi2 is neither
#: difference nor likeness of the gaps, however many pixels a map has.
ERRORS_RIGHT_TO = 0.05
WIDE, NARROW = (1.0 + ERRORS_RIGHT_TO) ** 2, (1.0 - ERRORS_RIGHT_TO) ** 2


@dataclass(frozen=True)
class RepeatConsistency:
    """How well runs agree.

    Attributes
    ----------
    number : int
        Pixels with a gap in two runs or more.
    offset, offset_error : ndarray, shape (n_run,), meV
        Of the gaps of each run against the first, and the error by counting; NaN for a run that has no pixel with it.
    chi2_pixels, dof_pixels, p_pixels : float, int, float
        Of the gaps about one a pixel, each run moved by its offset.
    chi2_offsets, dof_offsets, p_offsets : float, int, float
        Of the offsets about 0, with the errors of E_F. All probabilities are those of errors that are 5 % off in favour
        of the runs; NaN where there is nothing to judge.
    p_alike : float
        Chance that measurements of their own agree as well as that: next to none where the runs are of the same counts.
    """

    number: int
    offset: Array
    offset_error: Array
    chi2_pixels: float
    dof_pixels: int
    p_pixels: float
    chi2_offsets: float
    dof_offsets: int
    p_offsets: float
    p_alike: float

    @property
    def agree(self) -> bool:
        """Whether nothing speaks against runs of one gap a pixel; also where there is nothing to judge."""
        return not (self.p_pixels < UNLIKELY or self.p_offsets < UNLIKELY or self.same_counts)

    @property
    def same_counts(self) -> bool:
        """Whether the runs agree better than measurements of their own can."""
        return self.p_alike < SAME_COUNTS


def repeat_consistency(gaps: ArrayLike, errors: ArrayLike, shift_errors: ArrayLike) -> RepeatConsistency:
    """Judge whether runs have the same gaps.

    Parameters
    ----------
    gaps, errors : array_like, shape (n_run, n_pixel), meV
        Gaps and their statistical errors, one sigma; what is not finite, or has no error, is no gap.
    shift_errors : array_like, shape (n_run,), meV
        Error of each run's E_F, independent of that of the others.

    Raises
    ------
    ValueError
        Shapes do not agree.

    Examples
    --------
    >>> found = repeat_consistency([[30.0, 35.0], [30.7, 35.1]], [[0.3, 0.3], [0.4, 0.4]], [0.3, 0.3])
    >>> found.number, round(float(found.offset[1]), 2), found.agree
    (2, 0.4, True)
    """
    g, s, shift = (np.asarray(values, dtype=np.float64) for values in (gaps, errors, shift_errors))
    if g.ndim != 2 or g.shape != s.shape or shift.shape != g.shape[:1]:
        raise ValueError(f"gaps {g.shape}, errors {s.shape} and shift_errors {shift.shape}; give one row a run")
    known = np.isfinite(g) & np.isfinite(s) & (s > 0)
    known &= known.sum(axis=0) > 1
    g, weight = np.where(known, g, 0.0)[:, known.any(axis=0)], np.zeros(g.shape)
    weight[known] = s[known] ** -2
    weight = weight[:, known.any(axis=0)]
    total = weight.sum(axis=0)
    away = np.where(weight > 0, g - (weight * g).sum(axis=0) / total, 0.0)
    normal = np.diag(weight.sum(axis=1)) - (weight / total) @ weight.T
    moved = (weight * away).sum(axis=1)
    # Runs that share no pixel with the first, through others, have no offset against it.
    with_first = _reached(normal)
    offset, covariance = _solved(normal, moved, with_first)
    rest = max(float((weight * away**2).sum()) - float(moved[with_first] @ offset[with_first]), 0.0)
    dof = int(known.sum()) - g.shape[1] - max(int(with_first.sum()) - 1, 0)
    others = np.flatnonzero(with_first)[1:]
    apart, dof_apart = float("nan"), len(others)
    if dof_apart:
        spread = WIDE * covariance[np.ix_(others, others)] + shift[0] ** 2 + np.diag(shift[others] ** 2)
        apart = float(offset[others] @ np.linalg.solve(spread, offset[others]))
    return RepeatConsistency(
        number=g.shape[1],
        offset=offset,
        offset_error=np.sqrt(np.diag(covariance)),
        chi2_pixels=rest,
        dof_pixels=dof,
        p_pixels=float(chi2.sf(rest / WIDE, dof)) if dof > 0 else float("nan"),
        chi2_offsets=apart,
        dof_offsets=dof_apart,
        p_offsets=float(chi2.sf(apart, dof_apart)) if dof_apart else float("nan"),
        p_alike=float(chi2.cdf(rest / NARROW, dof)) if dof > 0 else float("nan"),
    )


def _reached(normal: Array) -> NDArray[np.bool_]:
    """Tell which runs have pixels with the first one, or with one that has."""
    found = np.zeros(len(normal), dtype=bool)
    found[0] = normal[0, 0] > 0
    for _ in range(len(normal)):
        found |= (normal[:, found] < 0).any(axis=1)
    return found


def _solved(normal: Array, moved: Array, chosen: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return offsets against the first run and their covariance, NaN where they are not `chosen`."""
    n = len(normal)
    offset, covariance = np.full(n, np.nan), np.full((n, n), np.nan)
    runs = np.flatnonzero(chosen)
    offset[runs], covariance[np.ix_(runs, runs)] = 0.0, 0.0
    others = runs[1:]
    if len(others):
        inverse = np.linalg.inv(normal[np.ix_(others, others)])
        offset[others] = inverse @ moved[others]
        covariance[np.ix_(others, others)] = inverse
    return offset, covariance
