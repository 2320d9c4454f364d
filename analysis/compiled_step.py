"""Compiled steps of an ascent: memory, equations, damping and step limits, as `scoring` takes them in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microarpes.analysis.compiled_information import information, score_of
from microarpes.analysis.compiled_model import N_LOCAL
from microarpes.analysis.engine import Flags, Ints, compiled
from microarpes.analysis.line_shape import Array
from microarpes.analysis.scoring import EXPECTED_SHARE, FLOOR

__all__ = ["Rules", "Work", "find_step", "last_step", "make_work", "score_and_information", "take_step"]


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
    logs: Array
    bits: Ints
    fisher: Array
    factor: Array
    scale: Array
    score: Array
    rest: Array
    step: Array
    answer: Array
    trial: Array
    held: Flags
    also_held: Flags


@compiled
def make_work(n_window: int, n_fine: int, n_bins: int, n_cell: int) -> Work:
    """Allocate for the largest problem of a call; few pieces, for a single EDC feels each."""
    p = 3 + 4 * n_window
    per_bin, square = np.empty((3, n_window, n_bins)), np.empty((2, p, p))
    vector, flags = np.empty((6, p)), np.empty((2, p), dtype=np.bool_)
    return Work(
        np.empty(4 * n_fine),
        np.empty(4 * n_cell),
        per_bin[0],
        np.empty((n_window, N_LOCAL, n_bins)),
        per_bin[1],
        per_bin[2],
        np.empty(n_bins),
        np.empty((2, n_bins), dtype=np.int64),
        square[0],
        square[1],
        vector[0],
        vector[1],
        vector[2],
        vector[3],
        vector[4],
        vector[5],
        flags[0],
        flags[1],
    )


@compiled
def solve(fisher: Array, score: Array, held: Flags, damping: float, work: Work, out: Array) -> None:
    """Solve (F + damping diag F) x = score for what is not held: F = L D L^T, with D L^T above L in ``work.factor``."""
    p, factor, inverse = score.size, work.factor, work.scale
    for i in range(p):
        right, pivot = score[i], fisher[i, i] * (1.0 + damping + 1e-13)
        least = 1e-14 * pivot
        for j in range(i):
            value = fisher[i, j]
            for k in range(j):
                value -= factor[k, i] * factor[j, k]
            factor[j, i] = value
            value *= inverse[j]
            factor[i, j] = value
            pivot -= value * factor[j, i]
            right -= value * out[j]
        inverse[i] = 0.0 if held[i] else 1.0 / max(pivot, least)  # what is held takes no part from here on
        out[i] = right
    for i in range(p - 1, -1, -1):
        value = out[i] * inverse[i]
        for k in range(i + 1, p):
            value -= factor[k, i] * out[k]
        out[i] = 0.0 if held[i] else value


@compiled
def score_and_information(rules: Rules, n_bins: int, expected: Array, jacobian: Array, theta: Array,
                          work: Work) -> None:  # fmt: skip
    """Gradient of the likelihood and its curvature, mostly the observed one, where `deviance_of` has just been."""
    for w in range(expected.shape[0]):
        mu, ratio, weight = expected[w], work.ratio[w], work.weight[w]
        for b in range(n_bins):
            weight[b] = ((1.0 - EXPECTED_SHARE) * ratio[b] + EXPECTED_SHARE) / mu[b]
            ratio[b] -= 1.0
    information(jacobian, work.weight, n_bins, work.fisher)
    score_of(jacobian, work.ratio, n_bins, work.score)
    work.fisher[2, 2] += rules.prior
    work.score[2] -= theta[2] * rules.prior


@compiled
def find_step(rules: Rules, theta: Array, free: Flags, damping: float, work: Work) -> float:
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
def take_step(rules: Rules, theta: Array, free: Flags, work: Work) -> None:
    """Leave in ``work.trial`` where the step leads."""
    for i in range(theta.size):
        value = theta[i] + work.step[i]
        if i == 0:
            value = abs(value)
        work.trial[i] = min(max(value, rules.lower[i]), rules.upper[i]) if free[i] else value


@compiled
def last_step(expected: Array, jacobian: Array, n_bins: int, theta: Array, to: Array) -> None:
    """Go where a step leads that is so short that the expected counts follow it in a straight line."""
    for w in range(expected.shape[0]):
        mu = expected[w]
        for i in range(N_LOCAL):
            k = i if i < 3 else i + 4 * w
            row, change = jacobian[w, i], to[k] - theta[k]
            for b in range(n_bins):
                mu[b] += row[b] * change
        for b in range(n_bins):
            mu[b] = max(mu[b], FLOOR)
    for k in range(theta.size):
        theta[k] = to[k]
