"""Compiled maximum likelihood of one EDC: damped scoring with step limits, as `scoring.maximise` does it in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microarpes.analysis.compiled_information import information, score_of
from microarpes.analysis.compiled_model import N_COLUMN, N_LOCAL, Model, deviance_of, predict
from microarpes.analysis.engine import compiled
from microarpes.analysis.fit_errors import MAX_SHIFT
from microarpes.analysis.line_shape import Array
from microarpes.analysis.scoring import CONVERGED, EXPECTED_SHARE, MAX_ITERATIONS

__all__ = ["Rules", "Work", "climb", "covariance", "make_work", "without_bounds"]


class Rules(NamedTuple):
    """What all fits under one calibration share.

    Attributes
    ----------
    eps_k : float, meV
    prior : float, 1/meV^2
        Inverse variance of the half-normal prior on gamma0; 0 for none.
    lower, upper : ndarray, shape (n_parameters,)
    """

    eps_k: float
    prior: float
    lower: Array
    upper: Array


class Work(NamedTuple):
    """Memory of one fit; everything in it is written before it is read."""

    lines: Array
    binned: Array
    trial_expected: Array
    trial_jacobian: Array
    weight: Array
    ratio: Array
    fisher: Array
    factor: Array
    scale: Array
    score: Array
    rest: Array
    step: Array
    answer: Array
    trial: Array
    held: Array
    also_held: Array


@compiled
def make_work(n_window: int, n_fine: int, n_bins: int) -> Work:
    """Allocate for the largest problem of a call."""
    p = 3 + 4 * n_window
    per_bin, square = (n_window, n_bins), (p, p)
    return Work(
        np.empty(4 * n_fine),
        np.empty(4 * n_bins),
        np.empty(per_bin),
        np.empty((n_window, n_bins, N_COLUMN)),
        np.empty(per_bin),
        np.empty(per_bin),
        np.empty(square),
        np.empty(square),
        np.empty(p),
        np.empty(p),
        np.empty(p),
        np.empty(p),
        np.empty(p),
        np.empty(p),
        np.empty(p, dtype=np.bool_),
        np.empty(p, dtype=np.bool_),
    )


@compiled
def solve(fisher: Array, score: Array, held: Array, damping: float, work: Work, out: Array) -> None:
    """Solve (F + damping diag F) x = score for what is not held, by Cholesky in units that make the diagonal one."""
    p, factor, scale = score.size, work.factor, work.scale
    for i in range(p):
        scale[i] = 0.0 if held[i] else 1.0 / np.sqrt(fisher[i, i])
    for i in range(p):
        scale_i, right = scale[i], score[i] * scale[i]
        for j in range(i):
            value = fisher[i, j] * scale_i * scale[j]
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            value *= factor[j, j]
            factor[i, j] = value
            right -= value * out[j]
        value = 1.0 + damping + 1e-13
        for k in range(i):
            value -= factor[i, k] * factor[i, k]
        factor[i, i] = 1.0 / np.sqrt(max(value, 1e-14))  # divided once, multiplied with ever after
        out[i] = right * factor[i, i]
    for i in range(p - 1, -1, -1):
        value = out[i]
        for k in range(i + 1, p):
            value -= factor[k, i] * out[k]
        out[i] = value * factor[i, i]
    for i in range(p):
        out[i] *= scale[i]


@compiled
def score_and_information(model: Model, rules: Rules, counts: Array, expected: Array, jacobian: Array, theta: Array,
                          work: Work) -> None:  # fmt: skip
    """Gradient of the likelihood and its curvature: mostly the observed one, a little of the expected."""
    n_bins = model.linear.shape[2]
    for w in range(expected.shape[0]):
        y, mu, ratio, weight = counts[w], expected[w], work.ratio[w], work.weight[w]
        for b in range(n_bins):
            inverse = 1.0 / mu[b]
            part = y[b] * inverse
            ratio[b] = part - 1.0
            weight[b] = ((1.0 - EXPECTED_SHARE) * part + EXPECTED_SHARE) * inverse
    information(jacobian, work.weight, n_bins, work.fisher)
    score_of(jacobian, work.ratio, n_bins, work.score)
    work.fisher[2, 2] += rules.prior
    work.score[2] -= theta[2] * rules.prior


@compiled
def find_step(rules: Rules, theta: Array, free: Array, damping: float, work: Work) -> float:
    """Leave the damped, limited step in ``work.step``; return the decrement it promises."""
    p = theta.size
    for i in range(p):
        down = theta[i] <= rules.lower[i] and work.score[i] < 0.0 and i > 0  # zero gap is a mirror, not a wall
        up = theta[i] >= rules.upper[i] and work.score[i] > 0.0
        work.held[i] = (not free[i]) or down or up or work.fisher[i, i] <= 1e-30
    solve(work.fisher, work.score, work.held, damping, work, work.step)
    decrement = 0.0
    for i in range(p):
        if not work.held[i]:
            decrement += work.score[i] * work.step[i]
    limits = (max(0.4 * theta[0], 4.0), max(0.5 * theta[1], 4.0), max(theta[2], 3.0))
    too_far = False
    for i in range(3):
        too_far = too_far or abs(work.step[i]) > limits[i]
    if too_far:
        limit_step(limits, damping, work)
    return decrement


@compiled
def limit_step(limits: tuple[float, float, float], damping: float, work: Work) -> None:
    """Hold what would go too far at its limit and let the others answer to that."""
    p = work.step.size
    for i in range(p):
        work.also_held[i] = work.held[i]
    for i in range(p):
        work.rest[i] = work.score[i]
    for i in range(3):
        if abs(work.step[i]) > limits[i]:
            clipped = limits[i] if work.step[i] > 0 else -limits[i]
            work.also_held[i] = True
            for j in range(p):
                work.rest[j] -= work.fisher[j, i] * clipped
    solve(work.fisher, work.rest, work.also_held, damping, work, work.answer)
    for i in range(3):
        if abs(work.step[i]) > limits[i]:
            work.answer[i] = limits[i] if work.step[i] > 0 else -limits[i]
        work.answer[i] = min(max(work.answer[i], -limits[i]), limits[i])
    for i in range(p):
        work.step[i] = work.answer[i]


@compiled
def climb(model: Model, rules: Rules, counts: Array, theta: Array, free: Array, work: Work, expected: Array,
          jacobian: Array) -> tuple[float, float, bool]:  # fmt: skip
    """Climb from `theta` (changed in place) to the nearest maximum.

    Returns
    -------
    objective, deviance, converged
        `expected` and `jacobian` are those of the maximum.
    """
    n_bins, p = model.linear.shape[2], theta.size
    for i in range(p):
        if free[i]:
            theta[i] = min(max(theta[i], rules.lower[i]), rules.upper[i])
    predict(model, theta, rules.eps_k, work.lines, work.binned, expected, jacobian)
    deviance = deviance_of(counts, expected, n_bins)
    objective = deviance + theta[2] * theta[2] * rules.prior
    total = 0.0
    for w in range(counts.shape[0]):
        for b in range(n_bins):
            total += counts[w, b]
    slack = 1e-12 * (1.0 + total)
    damping, fresh = 1e-2, True
    best, best_rows, trial, trial_rows = expected, jacobian, work.trial_expected, work.trial_jacobian
    swapped, converged = False, False
    for _ in range(MAX_ITERATIONS):
        if fresh:
            score_and_information(model, rules, counts, best, best_rows, theta, work)
        decrement = find_step(rules, theta, free, damping, work)
        if decrement < CONVERGED and damping <= 1e-3:
            converged = True
            break
        for i in range(p):
            value = theta[i] + work.step[i]
            if i == 0:
                value = abs(value)
            work.trial[i] = min(max(value, rules.lower[i]), rules.upper[i]) if free[i] else value
        predict(model, work.trial, rules.eps_k, work.lines, work.binned, trial, trial_rows)
        trial_deviance = deviance_of(counts, trial, n_bins)
        trial_objective = trial_deviance + work.trial[2] * work.trial[2] * rules.prior
        fresh = trial_objective <= objective + slack
        if fresh:
            objective, deviance = trial_objective, trial_deviance
            for i in range(p):
                theta[i] = work.trial[i]
            best, best_rows, trial, trial_rows = trial, trial_rows, best, best_rows
            swapped = not swapped
        damping = min(max(damping * (0.1 if fresh else 10.0), 1e-10), 1e10)
    if swapped:
        keep(theta, best, best_rows, theta, expected, jacobian, n_bins)
    return objective, deviance, converged


@compiled
def keep(theta: Array, expected: Array, jacobian: Array, to_theta: Array, to_expected: Array, to_jacobian: Array,
         n_bins: int) -> None:  # fmt: skip
    """Copy one point of the likelihood to another."""
    for i in range(theta.size):
        to_theta[i] = theta[i]
    for w in range(expected.shape[0]):
        for b in range(n_bins):
            to_expected[w, b] = expected[w, b]
            for i in range(N_COLUMN):
                to_jacobian[w, b, i] = jacobian[w, b, i]


@compiled
def covariance(rules: Rules, theta: Array, expected: Array, jacobian: Array, n_bins: int, free: Array, work: Work,
               stderr: Array, inverse: Array) -> None:  # fmt: skip
    """Invert the Fisher information; take the errors as `fit_errors.standard_errors` does."""
    for w in range(expected.shape[0]):
        for b in range(n_bins):
            work.weight[w, b] = 1.0 / expected[w, b]
    information(jacobian, work.weight, n_bins, work.fisher)
    work.fisher[2, 2] += rules.prior
    p, factor = free.size, work.factor
    doubt = rules.prior * (1.0 - min(rules.prior * theta[2] * theta[2], 1.0))
    for i in range(p):  # Cholesky factor in units that make the diagonal one, inverted in place
        work.step[i] = 1.0 / np.sqrt(max(work.fisher[i, i], 1e-30))
        for j in range(i + 1):
            value = work.fisher[i, j] * work.step[i] * work.step[j] if free[i] and free[j] else 0.0
            if i == j:
                value = 1.0 + 1e-12
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            factor[i, j] = np.sqrt(max(value, 1e-14)) if i == j else value / factor[j, j]
    for j in range(p):
        factor[j, j] = 1.0 / factor[j, j]
        for i in range(j + 1, p):
            value = 0.0
            for k in range(j, i):
                value -= factor[i, k] * factor[k, j]
            factor[i, j] = value / factor[i, i]
    for i in range(p):
        for j in range(i + 1):
            value = 0.0
            if free[i] and free[j]:
                for k in range(i, p):
                    value += factor[k, i] * factor[k, j]
            inverse[i, j] = value * work.step[i] * work.step[j]
            inverse[j, i] = inverse[i, j]
    for i in range(p):
        variance = inverse[i, i] - doubt * inverse[i, 2] * inverse[i, 2]
        stderr[i] = np.sqrt(max(variance, 0.0)) if free[i] else np.nan


@compiled
def without_bounds(rules: Rules, counts: Array, theta: Array, expected: Array, jacobian: Array, n_bins: int,
                   inverse: Array, stderr: Array, free: Array, measured: Array) -> None:  # fmt: skip
    """`fit_errors.without_bounds` of one fit."""
    measured[0], measured[1] = theta[0], theta[1]
    for i in range(1, theta.size):
        if not free[i] or rules.lower[i] < theta[i] < rules.upper[i]:
            continue
        score = -theta[2] * rules.prior if i == 2 else 0.0
        for w in range(expected.shape[0]):
            local = i if i < 3 else i - 4 * w
            if 0 <= local < N_LOCAL and (i < 3 or local >= 3):
                for b in range(n_bins):
                    score += jacobian[w, b, local] * (counts[w, b] / expected[w, b] - 1.0)
        for j in range(2):
            measured[j] += inverse[j, i] * score
    for j in range(2):
        limit = MAX_SHIFT * stderr[j]
        measured[j] = min(max(measured[j], theta[j] - limit), theta[j] + limit)
