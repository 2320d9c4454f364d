"""Compiled maximum likelihood of one EDC: damped scoring with step limits, as `scoring.maximise` does it in numpy."""

from __future__ import annotations

import numpy as np

from microarpes.analysis.compiled_information import information
from microarpes.analysis.compiled_model import N_LOCAL, Model, deviance_of, predict
from microarpes.analysis.compiled_step import Rules, Work, find_step, last_step, score_and_information, take_step
from microarpes.analysis.engine import Flags, compiled
from microarpes.analysis.fit_errors import MAX_SHIFT
from microarpes.analysis.line_shape import Array
from microarpes.analysis.scoring import CONVERGED, MAX_ITERATIONS

__all__ = ["climb", "covariance", "keep", "without_bounds"]


@compiled
def climb(model: Model, rules: Rules, counts: Array, theta: Array, free: Flags, work: Work, expected: Array,
          jacobian: Array) -> tuple[float, float, bool]:  # fmt: skip
    """Climb from `theta` (changed in place) to the nearest maximum.

    Returns
    -------
    objective, deviance, converged
        `expected` and `jacobian` are those of the maximum; the last step is followed in a straight line.
    """
    n_bins, p = model.linear.shape[2], theta.size
    for i in range(p):
        if free[i]:
            theta[i] = min(max(theta[i], rules.lower[i]), rules.upper[i])
    predict(model, theta, rules.eps_k, work.lines, work.binned, expected, jacobian)
    deviance = deviance_of(counts, expected, n_bins, work.ratio, work.logs, work.bits)
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
            score_and_information(rules, n_bins, best, best_rows, theta, work)
        decrement = find_step(rules, theta, free, damping, work)
        take_step(rules, theta, free, work)
        if decrement < CONVERGED and damping <= 1e-3:
            last_step(best, best_rows, n_bins, theta, work.trial)
            converged = True
            break
        predict(model, work.trial, rules.eps_k, work.lines, work.binned, trial, trial_rows)
        trial_deviance = deviance_of(counts, trial, n_bins, work.ratio, work.logs, work.bits)
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
        for i in range(N_LOCAL):
            row, to_row = jacobian[w, i], to_jacobian[w, i]
            for b in range(n_bins):
                to_row[b] = row[b]


@compiled
def covariance(rules: Rules, theta: Array, expected: Array, jacobian: Array, n_bins: int, free: Flags, work: Work,
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
                   inverse: Array, stderr: Array, free: Flags, measured: Array) -> None:  # fmt: skip
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
                    score += jacobian[w, local, b] * (counts[w, b] / expected[w, b] - 1.0)
        for j in range(2):
            measured[j] += inverse[j, i] * score
    for j in range(2):
        limit = MAX_SHIFT * stderr[j]
        measured[j] = min(max(measured[j], theta[j] - limit), theta[j] + limit)
