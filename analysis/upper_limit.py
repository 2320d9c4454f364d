"""95 % upper limit of a gap that the data do not ask for: where the profile likelihood has fallen far enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.fit_core import Fitted
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.line_shape import Array
from microarpes.analysis.scoring import Problem, maximise

__all__ = ["upper_limits"]

#: Growth of the deviance at the one-sided 95 % limit of one parameter.
LIMIT_RISE = 2.706
#: Gaps tried on the way up, meV; the limit is then found between two of them.
LADDER = (2.0, 4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 36.0, 43.0, 51.0, 60.0, 70.0, 80.0, 90.0)
BISECTIONS = 7


def upper_limits(
    windows: FitWindows, fitted: Fitted, chosen: NDArray[np.bool_], electrons: Array, gamma0: float | None
) -> Array:
    """Largest gap compatible with each EDC at 95 % confidence.

    Parameters
    ----------
    windows : FitWindows
    fitted : Fitted
    chosen : ndarray of bool, shape (n,)
        Which EDCs.
    electrons : ndarray, shape (n, n_window, n_energy), photoelectrons
    gamma0 : float or None, meV
        Fixed value of gamma0, None for free.

    Returns
    -------
    ndarray, shape (n_chosen,), meV
        The top of the ladder when even that is not excluded: then nothing is known about the gap.
    """
    rows = np.flatnonzero(chosen)
    out = np.empty(rows.size)
    for lower in np.unique(fitted.lower[rows]):
        group = np.flatnonzero(fitted.lower[rows] == lower)
        within = windows.problem(float(lower))
        counts = within.bin(electrons[rows[group]]).reshape(group.size, -1)
        out[group] = _profile(within.problem, counts, fitted.theta[rows[group]], gamma0)
    return out


def _profile(problem: Problem, counts: Array, theta: Array, gamma0: float | None) -> Array:
    """Climb the ladder, then bisect."""
    free = problem.all_free()
    free[0] = False
    free[2] = gamma0 is None

    def objective(delta: Array, start: Array) -> tuple[Array, Array]:
        at = start.copy()
        at[:, 0] = delta
        solution = maximise(problem, counts, at, free)
        return solution.objective, solution.theta

    best = objective(theta[:, 0], theta)[0]
    low, high = theta[:, 0].copy(), np.full(theta.shape[0], LADDER[-1])
    found = np.zeros(theta.shape[0], dtype=np.bool_)
    start = theta
    for rung in LADDER:
        value, reached = objective(np.maximum(rung, theta[:, 0]), start)
        start = np.where(found[:, None], start, reached)  # the bisection starts from where the limit was crossed
        best = np.where(found, best, np.minimum(best, value))  # what lies beyond the crossing is another peak
        crossed = ~found & (value > best + LIMIT_RISE) & (rung > theta[:, 0])
        high[crossed] = rung
        found |= crossed
        low[~found] = np.maximum(low[~found], rung)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        value, start = objective(middle, start)
        above = value > best + LIMIT_RISE
        high, low = np.where(found & above, middle, high), np.where(found & ~above, middle, low)
    return high
