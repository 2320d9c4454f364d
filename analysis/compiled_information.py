"""Compiled sums over the bins of one EDC: score and information from the Jacobian.

Each of these sums may be taken in an order of the compiler's choice (`summing`), several bins at a time; compiled once,
that order is the same for every fit. They are written out because eleven sums at a time are what the registers hold.
"""

from __future__ import annotations

from microarpes.analysis.engine import compiled, summing
from microarpes.analysis.line_shape import Array

__all__ = ["information", "score_of"]


@summing
def score_of(jacobian: Array, ratio: Array, n_bins: int, score: Array) -> None:
    """Sum the rows of J times `ratio`, shape (n_window, n_bins), into `score` (n_parameters,)."""
    score[:] = 0.0
    for w in range(jacobian.shape[0]):
        rows, factor, at = jacobian[w], ratio[w], 3 + 4 * w
        r0, r1, r2, r3, r4, r5, r6 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = 0.0
        for b in range(n_bins):
            x = factor[b]
            s0 += x * r0[b]
            s1 += x * r1[b]
            s2 += x * r2[b]
            s3 += x * r3[b]
            s4 += x * r4[b]
            s5 += x * r5[b]
            s6 += x * r6[b]
        score[0] += s0
        score[1] += s1
        score[2] += s2
        score[at], score[at + 1], score[at + 2], score[at + 3] = s3, s4, s5, s6


@compiled
def information(jacobian: Array, weight: Array, n_bins: int, fisher: Array) -> None:
    """Sum weighted J J^T into `fisher` (n_parameters, n_parameters), without the prior's share.

    Parameters
    ----------
    jacobian : ndarray, shape (n_window, 7, n)
    weight : ndarray, shape (n_window, n)
    n_bins : int
        Bins of this problem; the arrays may be longer.
    fisher : ndarray, shape (n_parameters, n_parameters)
    """
    fisher[:] = 0.0
    for w in range(jacobian.shape[0]):
        rows, factor, at = jacobian[w], weight[w], 3 + 4 * w
        add_shape(rows, factor, n_bins, at, fisher)
        add_background(rows, factor, n_bins, at, fisher)
        add_constant(rows, factor, n_bins, at, fisher)
    for i in range(fisher.shape[0]):
        for j in range(i):
            fisher[j, i] = fisher[i, j]


@summing
def add_shape(rows: Array, factor: Array, n_bins: int, at: int, fisher: Array) -> None:
    """Rows 0 to 3 of the lower triangle: the line shape's parameters and its amplitude."""
    r0, r1, r2, r3 = rows[0], rows[1], rows[2], rows[3]
    s00 = s10 = s11 = s20 = s21 = s22 = s30 = s31 = s32 = s33 = 0.0
    for b in range(n_bins):
        x0, x1, x2, x3 = factor[b] * r0[b], factor[b] * r1[b], factor[b] * r2[b], factor[b] * r3[b]
        s00 += x0 * r0[b]
        s10 += x1 * r0[b]
        s11 += x1 * r1[b]
        s20 += x2 * r0[b]
        s21 += x2 * r1[b]
        s22 += x2 * r2[b]
        s30 += x3 * r0[b]
        s31 += x3 * r1[b]
        s32 += x3 * r2[b]
        s33 += x3 * r3[b]
    fisher[0, 0] += s00
    fisher[1, 0] += s10
    fisher[1, 1] += s11
    fisher[2, 0] += s20
    fisher[2, 1] += s21
    fisher[2, 2] += s22
    fisher[at, 0], fisher[at, 1], fisher[at, 2], fisher[at, at] = s30, s31, s32, s33


@summing
def add_background(rows: Array, factor: Array, n_bins: int, at: int, fisher: Array) -> None:
    """Rows 4 and 5 of the lower triangle: the background under the edge."""
    r0, r1, r2, r3, r4, r5 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    s40 = s41 = s42 = s43 = s44 = 0.0
    s50 = s51 = s52 = s53 = s54 = s55 = 0.0
    for b in range(n_bins):
        x4, x5 = factor[b] * r4[b], factor[b] * r5[b]
        s40 += x4 * r0[b]
        s41 += x4 * r1[b]
        s42 += x4 * r2[b]
        s43 += x4 * r3[b]
        s44 += x4 * r4[b]
        s50 += x5 * r0[b]
        s51 += x5 * r1[b]
        s52 += x5 * r2[b]
        s53 += x5 * r3[b]
        s54 += x5 * r4[b]
        s55 += x5 * r5[b]
    i = at + 1
    fisher[i, 0], fisher[i, 1], fisher[i, 2], fisher[i, at], fisher[i, i] = s40, s41, s42, s43, s44
    j = at + 2
    fisher[j, 0], fisher[j, 1], fisher[j, 2], fisher[j, at], fisher[j, i], fisher[j, j] = s50, s51, s52, s53, s54, s55


@summing
def add_constant(rows: Array, factor: Array, n_bins: int, at: int, fisher: Array) -> None:
    """Row 6 of the lower triangle: the constant above E_F."""
    r0, r1, r2, r3, r4, r5, r6 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
    s60 = s61 = s62 = s63 = s64 = s65 = s66 = 0.0
    for b in range(n_bins):
        x6 = factor[b] * r6[b]
        s60 += x6 * r0[b]
        s61 += x6 * r1[b]
        s62 += x6 * r2[b]
        s63 += x6 * r3[b]
        s64 += x6 * r4[b]
        s65 += x6 * r5[b]
        s66 += x6 * r6[b]
    i = at + 3
    fisher[i, 0], fisher[i, 1], fisher[i, 2], fisher[i, at] = s60, s61, s62, s63
    fisher[i, at + 1], fisher[i, at + 2], fisher[i, i] = s64, s65, s66
