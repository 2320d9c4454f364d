"""Maximum likelihood by Fisher scoring, many EDCs at a time (the numpy engine).

Every EDC is treated by arithmetic that does not depend on which others share its batch: ufuncs element by element,
sums along the last axis, and matrix products and solves one small matrix per EDC. So one fit, a batch, and any order
give the same bits.

Parameters of one fit, in this order: delta, gamma1, gamma0 (meV), then for each window amplitude (counts), background
at the lower end and at E_F and constant (counts per channel).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.background import BackgroundTerm
from microarpes.analysis.line_shape import SHAPE_PARAMETERS, Array, LineShape
from microarpes.analysis.poisson import deviance

__all__ = ["Problem", "Solution", "fisher_information", "maximise", "predict"]

N_SHAPE = len(SHAPE_PARAMETERS)
N_LINEAR = 4
#: Newton decrement at which a fit has converged: a step of 1e-4 standard deviations, which is taken; the next one would
#: be a tenth of it or less.
CONVERGED = 1e-8
MAX_ITERATIONS = 80
#: Share of the expected information in the curvature of a step; keeps it positive where nothing was counted.
EXPECTED_SHARE = 0.02
#: Expected counts per bin are never taken below this, so that the logarithm stays finite.
FLOOR = 1e-7


@dataclass(frozen=True)
class Problem:
    """All that the fits of one batch share.

    Attributes
    ----------
    shape : LineShape
    fine : ndarray, shape (n_window, n_fine), meV
    kernel : ndarray, shape (n_window, n_fine, n_bins)
    linear : ndarray, shape (n_window, 3, n_bins)
    eps_k : float, meV
    gamma0_prior : float, meV
        Standard deviation of a half-normal prior on gamma0; inf for none.
    terms : tuple of BackgroundTerm
        Background beyond the straight line; their parameters (counts per meV) follow all others, window by window.
    thermal : float, meV
        kT, for the terms.
    """

    shape: LineShape
    fine: Array
    kernel: Array
    linear: Array
    eps_k: float
    gamma0_prior: float
    terms: tuple[BackgroundTerm, ...] = ()
    thermal: float = 1.0

    @property
    def n_window(self) -> int:
        """Number of windows that share the line shape."""
        return int(self.fine.shape[0])

    @property
    def n_dead(self) -> int:
        """Number of bins of all windows that count nothing, whatever the spectrum."""
        return int((self.linear[:, 2] <= 0.0).sum())

    @property
    def n_parameters(self) -> int:
        """Number of parameters of one fit."""
        return N_SHAPE + (N_LINEAR + len(self.terms)) * self.n_window

    def all_free(self) -> NDArray[np.bool_]:
        """Which parameters a fit may move when none is fixed: those that change the expected counts."""
        free = np.ones(self.n_parameters, dtype=np.bool_)
        for i in range(self.n_window):
            k = N_SHAPE + N_LINEAR * i
            free[k + 1 : k + N_LINEAR] = self.linear[i].any(axis=1)
        return free

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds, shape (n_parameters,). Delta's lower bound is a mirror."""
        lower = np.concatenate([self.shape.lower, np.zeros(self.n_parameters - N_SHAPE)])
        upper = np.concatenate([self.shape.upper, np.full(self.n_parameters - N_SHAPE, np.inf)])
        return lower, upper


@dataclass
class Solution:
    """Where the likelihood is greatest.

    Attributes
    ----------
    theta : ndarray, shape (n, n_parameters)
    objective, deviance : ndarray, shape (n,)
        Deviance with and without the prior's share.
    expected : ndarray, shape (n, n_window * n_bins), counts
    jacobian : ndarray, shape (n, n_parameters, n_window * n_bins)
    converged : ndarray of bool, shape (n,)
    """

    theta: Array
    objective: Array
    deviance: Array
    expected: Array
    jacobian: Array
    converged: NDArray[np.bool_]

    def take(self, better: NDArray[np.bool_], other: Solution) -> None:
        """Replace the fits marked in `better` by those of `other`."""
        for name in ("theta", "objective", "deviance", "expected", "jacobian", "converged"):
            getattr(self, name)[better] = getattr(other, name)[better]


def predict(problem: Problem, theta: Array) -> tuple[Array, Array]:
    """Compute expected counts and their derivatives.

    Parameters
    ----------
    problem : Problem
    theta : ndarray, shape (n, n_parameters)

    Returns
    -------
    expected : ndarray, shape (n, n_window * n_bins)
    jacobian : ndarray, shape (n, n_parameters, n_window * n_bins)
    """
    n, n_window, n_bins = theta.shape[0], problem.n_window, problem.kernel.shape[2]
    delta, gamma1, gamma0 = (theta[:, i, None, None] for i in range(N_SHAPE))
    fine = np.stack(problem.shape.evaluate(problem.fine[None], delta, gamma1, gamma0, problem.eps_k), axis=2)
    binned = np.matmul(fine, problem.kernel)  # (n, n_window, 4, n_bins): one small product per EDC and window
    jacobian = np.zeros((n, problem.n_parameters, n_window, n_bins))
    expected = np.empty((n, n_window, n_bins))
    for i in range(n_window):
        k = N_SHAPE + N_LINEAR * i
        block = theta[:, k : k + N_LINEAR, None]
        jacobian[:, :N_SHAPE, i] = binned[:, i, 1:] * block[:, :1]
        jacobian[:, k, i] = binned[:, i, 0]
        jacobian[:, k + 1 : k + N_LINEAR, i] = problem.linear[i]
        background = block[:, 1] * problem.linear[i, 0] + block[:, 2] * problem.linear[i, 1]
        expected[:, i] = block[:, 0] * binned[:, i, 0] + (background + block[:, 3] * problem.linear[i, 2])
    for j, term in enumerate(problem.terms):
        own = np.matmul(term.evaluate(problem.fine[None], delta, fine, problem.thermal), problem.kernel)
        for i in range(n_window):
            k = N_SHAPE + N_LINEAR * n_window + len(problem.terms) * i + j
            share = theta[:, k, None]
            expected[:, i] += share * own[:, i, 0]
            jacobian[:, :N_SHAPE, i] += share[:, None] * own[:, i, 1:]
            jacobian[:, k, i] = own[:, i, 0]
    flat = (n, n_window * n_bins)
    return np.maximum(expected.reshape(flat), FLOOR), jacobian.reshape(n, problem.n_parameters, flat[1])


def fisher_information(problem: Problem, expected: Array, jacobian: Array) -> Array:
    """Fisher information, the prior's included; shape (n, n_parameters, n_parameters)."""
    return _information(problem, jacobian, 1.0 / expected)


def _information(problem: Problem, jacobian: Array, weight: Array) -> Array:
    """Weighted J J^T with the prior's share; shape (n, n_parameters, n_parameters)."""
    weighted = jacobian * weight[:, None, :]
    information: Array = np.matmul(weighted, np.ascontiguousarray(jacobian.transpose(0, 2, 1)))
    information[:, 2, 2] += problem.gamma0_prior**-2
    return information


def maximise(problem: Problem, counts: Array, start: Array, free: NDArray[np.bool_]) -> Solution:
    """Climb from `start` to the nearest maximum of the likelihood.

    Parameters
    ----------
    problem : Problem
    counts : ndarray, shape (n, n_window * n_bins), photoelectrons
    start : ndarray, shape (n, n_parameters)
    free : ndarray of bool, shape (n_parameters,)
        The others keep their start values.

    Returns
    -------
    Solution
    """
    lower, upper = problem.bounds()
    lower, upper = np.where(free, lower, -np.inf), np.where(free, upper, np.inf)
    theta = np.clip(start, lower, upper)
    expected, jacobian = predict(problem, theta)
    dev = deviance(counts, expected)
    objective = dev + (theta[:, 2] / problem.gamma0_prior) ** 2
    best = Solution(theta, objective, dev, expected, jacobian, np.zeros(theta.shape[0], dtype=np.bool_))
    damping = np.full(theta.shape[0], 1e-2)
    slack = 1e-12 * (1.0 + counts.sum(axis=-1))
    active = np.arange(theta.shape[0])
    for _ in range(MAX_ITERATIONS):
        step, decrement = _step(problem, best, counts, damping, active, free, lower, upper)
        trial = best.theta[active] + step
        trial[:, 0] = np.abs(trial[:, 0])  # the likelihood is even in delta: zero is a mirror
        trial = np.clip(trial, lower, upper)
        # a decrement that small, reached with hardly any damping, is the end: the step is taken on trust
        done = (decrement < CONVERGED) & (damping[active] <= 1e-3)
        _last_step(best, active[done], trial[done])
        active, trial = active[~done], trial[~done]
        if active.size == 0:
            break
        expected, jacobian = predict(problem, trial)
        dev = deviance(counts[active], expected)
        objective = dev + (trial[:, 2] / problem.gamma0_prior) ** 2
        good = objective <= best.objective[active] + slack[active]
        chosen = active[good]
        best.theta[chosen], best.objective[chosen], best.deviance[chosen] = trial[good], objective[good], dev[good]
        best.expected[chosen], best.jacobian[chosen] = expected[good], jacobian[good]
        damping[active] = np.clip(damping[active] * np.where(good, 0.1, 10.0), 1e-10, 1e10)
    return best


def _last_step(best: Solution, rows: NDArray[np.intp], to: Array) -> None:
    """Go where steps lead that are so short that the expected counts follow them in a straight line."""
    change = np.matmul((to - best.theta[rows])[:, None, :], best.jacobian[rows])[:, 0]
    best.expected[rows] = np.maximum(best.expected[rows] + change, FLOOR)
    best.theta[rows] = to
    best.converged[rows] = True


def _step(
    problem: Problem,
    at: Solution,
    counts: Array,
    damping: Array,
    active: NDArray[np.intp],
    free: NDArray[np.bool_],
    lower: Array,
    upper: Array,
) -> tuple[Array, Array]:
    """Damped scoring step with step limits, and the decrement it promises."""
    theta, expected, jacobian = at.theta[active], at.expected[active], at.jacobian[active]
    ratio = counts[active] / expected - 1.0
    # Observed rather than expected curvature: dark bins without a count have none, and scoring would creep there.
    weight = ((1.0 - EXPECTED_SHARE) * (ratio + 1.0) + EXPECTED_SHARE) / expected
    score = np.matmul(jacobian, ratio[:, :, None])[:, :, 0]
    score[:, 2] -= theta[:, 2] / problem.gamma0_prior**2
    fisher = _information(problem, jacobian, weight)
    # what pushes against its bound, and what the data say nothing about, stays where it is
    held = ~free | ((theta <= lower) & (score < 0)) | ((theta >= upper) & (score > 0))
    held[:, 0] = (~free[0]) | ((theta[:, 0] >= upper[0]) & (score[:, 0] > 0))
    diagonal = np.diagonal(fisher, axis1=1, axis2=2)
    held |= diagonal <= 1e-30
    step = _solve(fisher, score, held, damping[active])
    decrement = (np.where(held, 0.0, score) * step).sum(axis=-1)
    limit = np.maximum(np.array([0.4, 0.5, 1.0]) * theta[:, :N_SHAPE], np.array([4.0, 4.0, 3.0]))
    too_far = np.abs(step[:, :N_SHAPE]) > limit
    if too_far.any():
        # hold the clipped ones at their limit and let the others answer to that
        clipped = np.zeros_like(step)
        clipped[:, :N_SHAPE] = np.where(too_far, np.sign(step[:, :N_SHAPE]) * limit, 0.0)
        rest = score - np.matmul(fisher, clipped[:, :, None])[:, :, 0]
        also_held = held.copy()
        also_held[:, :N_SHAPE] |= too_far
        answer = clipped + _solve(fisher, rest, also_held, damping[active])
        answer[:, :N_SHAPE] = np.clip(answer[:, :N_SHAPE], -limit, limit)
        step = np.where(too_far.any(axis=1)[:, None], answer, step)
    return step, decrement


def _solve(fisher: Array, score: Array, held: NDArray[np.bool_], damping: Array) -> Array:
    """Solve (F + damping diag F) x = score for what is not held, in units that make the diagonal one."""
    diagonal = np.where(held, 1.0, np.diagonal(fisher, axis1=1, axis2=2))
    scale = np.sqrt(diagonal)
    matrix = fisher / (scale[:, :, None] * scale[:, None, :])
    matrix[held[:, :, None] | held[:, None, :]] = 0.0
    index = np.arange(scale.shape[1])
    matrix[:, index, index] = 1.0 + damping[:, None] + 1e-13
    rhs = np.where(held, 0.0, score / scale)
    solution: Array = np.linalg.solve(matrix, rhs[:, :, None])[:, :, 0] / scale
    return solution
