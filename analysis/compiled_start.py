"""Compiled start bank: `bank.rank_starts` and `bank.start_parameters` for one pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microarpes.analysis.bank import APART
from microarpes.analysis.engine import Ints, compiled
from microarpes.analysis.line_shape import Array

__all__ = ["Starts", "make_start", "rank", "unpack_starts", "unpack_templates"]


class Starts(NamedTuple):
    """`bank.Bank` as the compiled engine reads it, with the lower ends of the windows that belong to its gaps.

    Attributes
    ----------
    starts : ndarray, shape (n_start, 3), meV
    background : ndarray, shape (n_window, n_bins, 3)
    templates : ndarray, shape (n_window, n_bins, n_start)
    unmix : ndarray, shape (n_window, n_start, 4, 4)
    root_weight : ndarray, shape (n_window, n_bins)
    lower : ndarray, shape (n_gap + 1,), meV
        Lower end of the fit window of each distinct gap, then of the bank's.
    """

    starts: Array
    background: Array
    templates: Array
    unmix: Array
    root_weight: Array
    lower: Array


@compiled
def unpack_starts(store: Array, n_window: int, n_bins: int, n_start: int, n_gap: int) -> Starts:
    """Find the bank at the head of the store."""
    a = n_start * 3
    b = a + n_window * n_bins * 3
    c = b + n_window * n_bins * n_start
    d = c + n_window * n_start * 16
    e = d + n_window * n_bins
    return Starts(
        store[:a].reshape((n_start, 3)),
        store[a:b].reshape((n_window, n_bins, 3)),
        store[b:c].reshape((n_window, n_bins, n_start)),
        store[c:d].reshape((n_window, n_start, 4, 4)),
        store[d:e].reshape((n_window, n_bins)),
        store[e : e + n_gap + 1],
    )


@compiled
def unpack_templates(store: Array, n_window: int, n_cell: int, n_start: int, n_gap: int) -> tuple[Array, Array, Array]:
    """Find what a bank behind a flat field is made of: starts, templates by channel, lower ends of the windows."""
    a = n_start * 3
    b = a + n_window * n_cell * n_start
    return store[:a].reshape((n_start, 3)), store[a:b].reshape((n_window, n_cell, n_start)), store[b : b + n_gap + 1]


@compiled
def project(bank: Starts, counts: Array, common: Array, own: Array) -> None:
    """Projections on the background, shape (n_window, 3), and on the templates, (n_window, n_start)."""
    common[:] = 0.0
    own[:] = 0.0
    n_bins = bank.root_weight.shape[1]
    whole = n_bins - n_bins % 4
    for w in range(own.shape[0]):
        mine, templates, y, root = own[w], bank.templates[w], counts[w], bank.root_weight[w]
        for b in range(n_bins):
            weighted = y[b] * root[b]
            for i in range(3):
                common[w, i] += weighted * bank.background[w, b, i]
        for b in range(0, whole, 4):
            y0, y1, y2, y3 = y[b] * root[b], y[b + 1] * root[b + 1], y[b + 2] * root[b + 2], y[b + 3] * root[b + 3]
            t0, t1, t2, t3 = templates[b], templates[b + 1], templates[b + 2], templates[b + 3]
            for s in range(mine.size):
                mine[s] += (y0 * t0[s] + y1 * t1[s]) + (y2 * t2[s] + y3 * t3[s])
        for b in range(whole, n_bins):
            weighted, template = y[b] * root[b], templates[b]
            for s in range(mine.size):
                mine[s] += weighted * template[s]


@compiled
def best_start(score: Array, first: int, stop: int) -> int:
    """Index of the greatest score in [first, stop)."""
    best = first
    for s in range(first + 1, stop):
        if score[s] > score[best]:
            best = s
    return best


@compiled
def rank(bank: Starts, counts: Array, common: Array, own: Array, score: Array, choice: Ints) -> None:
    """Leave in `choice` the best start and the better and worse of those with clearly smaller and larger gaps."""
    project(bank, counts, common, own)
    score[:] = 0.0
    for w in range(own.shape[0]):
        mine = own[w]
        for s in range(mine.size):
            positive = max(mine[s], 0.0)
            score[s] += positive * positive
    n_start = score.size
    per_gap = n_start // (bank.lower.size - 1)
    best = best_start(score, 0, n_start)
    gap = best // per_gap
    below, above = (gap - APART + 1) * per_gap, (gap + APART) * per_gap
    small = best_start(score, 0, below) if below > 0 else best
    large = best_start(score, above, n_start) if above < n_start else best
    choice[0] = best
    swap = score[large] > score[small]
    choice[1] = large if swap else small
    choice[2] = small if swap else large


@compiled
def make_start(bank: Starts, common: Array, own: Array, choice: int, depth: float, theta: Array) -> None:
    """Parameters of a start; `depth` is the lower end of the fit window over that of the bank's."""
    gamma1 = bank.starts[choice, 1]
    theta[0], theta[1], theta[2] = bank.starts[choice, 0], gamma1, bank.starts[choice, 2]
    linear = np.empty(4)
    for w in range(own.shape[0]):
        for i in range(4):
            unmix = bank.unmix[w, choice, i]
            linear[i] = unmix[3] * own[w, choice]
            for j in range(3):
                linear[i] += unmix[j] * common[w, j]
        at_ef, dark, amplitude = linear[1], linear[2], linear[3]
        deep = at_ef + (linear[0] - at_ef) * depth
        scale = max(amplitude / np.pi / gamma1, 0.0) + abs(deep) + 1e-3
        # every share starts inside its bounds: at a bound a derivative would vanish
        theta[3 + 4 * w] = max(amplitude, 0.05 * scale * gamma1)
        theta[4 + 4 * w] = max(deep, 0.02 * scale)
        theta[5 + 4 * w] = max(at_ef, 0.02 * scale)
        theta[6 + 4 * w] = max(dark, 0.002 * scale)
