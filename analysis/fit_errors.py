"""Errors of a fit, and what the bounds on other parameters do to the gap.

The inverse Fisher information knows nothing of bounds: it is right for an estimator that is not held by any.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.line_shape import Array
from microarpes.analysis.scoring import Problem, Solution, fisher_information

__all__ = ["MAX_SHIFT", "covariance", "standard_errors", "without_bounds"]

#: Standard errors by which a bound on another parameter may have moved the gap.
MAX_SHIFT = 1.5


def covariance(problem: Problem, solution: Solution, free: NDArray[np.bool_]) -> Array:
    """Inverse Fisher information, shape (n, n_parameters, n_parameters); zero for what was not free."""
    fisher = fisher_information(problem, solution.expected, solution.jacobian)[:, free][:, :, free]
    scale = np.sqrt(np.maximum(np.diagonal(fisher, axis1=1, axis2=2), 1e-30))
    unit = fisher / (scale[:, :, None] * scale[:, None, :])
    index = np.arange(scale.shape[1])
    unit[:, index, index] = 1.0 + 1e-12
    out = np.zeros((*solution.theta.shape, solution.theta.shape[1]))
    inverse = np.linalg.inv(unit) / (scale[:, :, None] * scale[:, None, :])
    out[:, np.ix_(free, free)[0], np.ix_(free, free)[1]] = inverse
    return out


def standard_errors(
    problem: Problem, solution: Solution, free: NDArray[np.bool_], inverse: Array | None = None
) -> Array:
    """Root mean square errors; NaN for what was not free. `inverse` is the `covariance`, where it is known already.

    The prior on gamma0 narrows the scatter by more than it narrows the inverse information, and moves the mean by what
    follows from gamma0 itself; both are counted: ``C_ii - p C_i2^2 (1 - p gamma0^2)`` with p the prior's weight.
    """
    inverse = covariance(problem, solution, free) if inverse is None else inverse
    prior = problem.gamma0_prior**-2
    doubt = 1.0 - np.minimum(prior * solution.theta[:, 2] ** 2, 1.0)
    variance = np.diagonal(inverse, axis1=1, axis2=2) - prior * inverse[:, :, 2] ** 2 * doubt[:, None]
    return np.where(free, np.sqrt(np.maximum(variance, 0.0)), np.nan)


def without_bounds(
    problem: Problem, solution: Solution, counts: Array, inverse: Array, stderr: Array, free: NDArray[np.bool_]
) -> Array:
    """Gap and rate as they would be if nothing were held at its bound, to first order; shape (n, 2), meV.

    A background or a gamma0 that the data would like to be negative rests at zero, and what it cannot take up goes to
    the gap: biased by 0.2 standard errors on average at gaps about the resolution. One scoring step without bounds
    takes that back, and the errors, which know no bounds, are then right.
    """
    lower, upper = problem.bounds()
    score = np.matmul(solution.jacobian, (counts / solution.expected - 1.0)[:, :, None])[:, :, 0]
    score[:, 2] -= solution.theta[:, 2] / problem.gamma0_prior**2
    held = free & ((solution.theta <= lower) | (solution.theta >= upper))
    held[:, 0] = False
    shift = np.matmul(inverse[:, :2], np.where(held, score, 0.0)[:, :, None])[:, :, 0]
    limit = MAX_SHIFT * stderr[:, :2]
    moved: Array = solution.theta[:, :2] + np.clip(shift, -limit, limit)
    return moved
