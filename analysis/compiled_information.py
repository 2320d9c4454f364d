"""Compiled sums over the bins of one EDC: score and information from the Jacobian.

Every sum is a scalar of its own and runs over the bins in their order: seven to nine of them at a time keep the
arithmetic units busy without leave to reorder any, and fit into the registers. That is why they are written out.
"""

from __future__ import annotations

from microarpes.analysis.engine import compiled
from microarpes.analysis.line_shape import Array

__all__ = ["information", "score_of"]


@compiled
def score_of(jacobian: Array, ratio: Array, n_bins: int, score: Array) -> None:
    """Sum the rows of J times `ratio`, shape (n_window, n_bins), into `score` (n_parameters,)."""
    score[:] = 0.0
    for w in range(jacobian.shape[0]):
        rows, factor = jacobian[w], ratio[w]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = 0.0
        for b in range(n_bins):
            r = factor[b]
            s0 += r * rows[b, 0]
            s1 += r * rows[b, 1]
            s2 += r * rows[b, 2]
            s3 += r * rows[b, 3]
            s4 += r * rows[b, 4]
            s5 += r * rows[b, 5]
            s6 += r * rows[b, 6]
        score[0] += s0
        score[1] += s1
        score[2] += s2
        at = 3 + 4 * w
        score[at], score[at + 1], score[at + 2], score[at + 3] = s3, s4, s5, s6


@compiled
def information(jacobian: Array, weight: Array, n_bins: int, fisher: Array) -> None:
    """Sum weighted J J^T into `fisher` (n_parameters, n_parameters), without the prior's share.

    Parameters
    ----------
    jacobian : ndarray, shape (n_window, n_bins, 8)
    weight : ndarray, shape (n_window, n_bins)
    n_bins : int
        Bins of this problem; the arrays may be longer.
    fisher : ndarray, shape (n_parameters, n_parameters)
    """
    fisher[:] = 0.0
    for w in range(jacobian.shape[0]):
        rows, factor, at = jacobian[w], weight[w], 3 + 4 * w
        rows_6(rows, factor, n_bins, at, fisher)
        rows_5_0(rows, factor, n_bins, at, fisher)
        rows_4_1(rows, factor, n_bins, at, fisher)
        rows_3_2(rows, factor, n_bins, at, fisher)
    for i in range(fisher.shape[0]):
        for j in range(i):
            fisher[j, i] = fisher[i, j]


@compiled
def rows_6(rows: Array, factor: Array, n_bins: int, at: int, fisher: Array) -> None:
    """Row 6 of the lower triangle."""
    s60 = s61 = s62 = s63 = s64 = s65 = s66 = 0.0
    for b in range(n_bins):
        r0, r1, r2, r3, r4, r5, r6 = rows[b, 0], rows[b, 1], rows[b, 2], rows[b, 3], rows[b, 4], rows[b, 5], rows[b, 6]
        x6 = factor[b] * r6
        s60 += x6 * r0
        s61 += x6 * r1
        s62 += x6 * r2
        s63 += x6 * r3
        s64 += x6 * r4
        s65 += x6 * r5
        s66 += x6 * r6
    fisher[at + 3, 0] += s60
    fisher[at + 3, 1] += s61
    fisher[at + 3, 2] += s62
    fisher[at + 3, at] = s63
    fisher[at + 3, at + 1] = s64
    fisher[at + 3, at + 2] = s65
    fisher[at + 3, at + 3] = s66


@compiled
def rows_5_0(rows: Array, factor: Array, n_bins: int, at: int, fisher: Array) -> None:
    """Rows 5 and 0 of the lower triangle."""
    s50 = s51 = s52 = s53 = s54 = s55 = 0.0
    s00 = 0.0
    for b in range(n_bins):
        r0, r1, r2, r3, r4, r5 = rows[b, 0], rows[b, 1], rows[b, 2], rows[b, 3], rows[b, 4], rows[b, 5]
        x5 = factor[b] * r5
        s50 += x5 * r0
        s51 += x5 * r1
        s52 += x5 * r2
        s53 += x5 * r3
        s54 += x5 * r4
        s55 += x5 * r5
        x0 = factor[b] * r0
        s00 += x0 * r0
    fisher[at + 2, 0] += s50
    fisher[at + 2, 1] += s51
    fisher[at + 2, 2] += s52
    fisher[at + 2, at] = s53
    fisher[at + 2, at + 1] = s54
    fisher[at + 2, at + 2] = s55
    fisher[0, 0] += s00


@compiled
def rows_4_1(rows: Array, factor: Array, n_bins: int, at: int, fisher: Array) -> None:
    """Rows 4 and 1 of the lower triangle."""
    s40 = s41 = s42 = s43 = s44 = 0.0
    s10 = s11 = 0.0
    for b in range(n_bins):
        r0, r1, r2, r3, r4 = rows[b, 0], rows[b, 1], rows[b, 2], rows[b, 3], rows[b, 4]
        x4 = factor[b] * r4
        s40 += x4 * r0
        s41 += x4 * r1
        s42 += x4 * r2
        s43 += x4 * r3
        s44 += x4 * r4
        x1 = factor[b] * r1
        s10 += x1 * r0
        s11 += x1 * r1
    fisher[at + 1, 0] += s40
    fisher[at + 1, 1] += s41
    fisher[at + 1, 2] += s42
    fisher[at + 1, at] = s43
    fisher[at + 1, at + 1] = s44
    fisher[1, 0] += s10
    fisher[1, 1] += s11


@compiled
def rows_3_2(rows: Array, factor: Array, n_bins: int, at: int, fisher: Array) -> None:
    """Rows 3 and 2 of the lower triangle."""
    s30 = s31 = s32 = s33 = 0.0
    s20 = s21 = s22 = 0.0
    for b in range(n_bins):
        r0, r1, r2, r3 = rows[b, 0], rows[b, 1], rows[b, 2], rows[b, 3]
        x3 = factor[b] * r3
        s30 += x3 * r0
        s31 += x3 * r1
        s32 += x3 * r2
        s33 += x3 * r3
        x2 = factor[b] * r2
        s20 += x2 * r0
        s21 += x2 * r1
        s22 += x2 * r2
    fisher[at, 0] += s30
    fisher[at, 1] += s31
    fisher[at, 2] += s32
    fisher[at, at] = s33
    fisher[2, 0] += s20
    fisher[2, 1] += s21
    fisher[2, 2] += s22
