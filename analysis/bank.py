"""The start bank: every EDC is compared with a fixed set of spectra before it is fitted.

A fit never starts from its neighbour, so it depends on its own data only. For each start the amplitude, background and
constant are solved linearly, with weights that do not depend on the counts (they only choose a start). The best start
also says how deep the fit window must reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.line_shape import Array
from microarpes.analysis.scoring import N_LINEAR, N_SHAPE, Problem

__all__ = ["Bank", "make_bank", "project", "rank_starts", "start_parameters", "template_counts"]

#: Share of the brightest bin's variance that dark bins are given.
DARK_VARIANCE = 0.05
#: Starts tried when the first one leaves doubt; at least this many gap values of the bank apart.
APART = 2


@dataclass(frozen=True)
class Bank:
    """Templates of one set of windows, ready for projection.

    Attributes
    ----------
    gaps : ndarray, shape (n_gap,), meV
        Distinct gaps of the starts.
    starts : ndarray, shape (n_start, 3), meV
        delta, gamma1, gamma0, ordered by gap; equally many for each gap.
    background : ndarray, shape (n_window, n_bins, 3)
        Orthonormal basis of the weighted backgrounds and constant, which all starts share.
    templates : ndarray, shape (n_window, n_bins, n_start)
        What each weighted template adds to that, normalised.
    unmix : ndarray, shape (n_window, n_start, 4, 4)
        From projections on the basis to (backgrounds, constant, amplitude).
    root_weight : ndarray, shape (n_window, n_bins)
    """

    gaps: Array
    starts: Array
    background: Array
    templates: Array
    unmix: Array
    root_weight: Array


def template_counts(problem: Problem) -> tuple[Array, Array]:
    """Return starts (n_start, 3) ordered by gap, and what the bins count of each, (n_window, n_start, n_bins)."""
    order = np.argsort(problem.shape.bank[:, 0], kind="stable")
    starts = problem.shape.bank[order]
    d, g1, g0 = (starts[:, i, None, None] for i in range(N_SHAPE))
    value = problem.shape.evaluate(problem.fine[None], d, g1, g0, problem.eps_k)[0]
    return starts, np.einsum("swf,wfb->wsb", value, problem.kernel)


def make_bank(problem: Problem) -> Bank:
    """Compute the templates of a problem's line shape on its bins."""
    starts, templates = template_counts(problem)
    metal = problem.linear[:, 0] + problem.linear[:, 1]
    root = 1.0 / np.sqrt(metal / metal.max() + DARK_VARIANCE)
    columns = np.empty((*templates.shape, N_LINEAR))
    columns[..., :-1] = (problem.linear * root[:, None]).transpose(0, 2, 1)[:, None]
    columns[..., -1] = templates * root[:, None]  # last, so that its coefficient has a basis vector of its own
    basis, upper = np.linalg.qr(columns)
    sign = np.sign(np.diagonal(upper, axis1=2, axis2=3))  # positive projection = positive amplitude
    basis, upper = basis * sign[:, :, None, :], upper * sign[..., None]
    background = np.ascontiguousarray(basis[:, 0, :, :-1])
    own = np.ascontiguousarray(basis[..., -1].transpose(0, 2, 1))
    return Bank(np.unique(starts[:, 0]), starts, background, own, np.linalg.inv(upper), root)


def project(bank: Bank, counts: Array) -> Array:
    """Projections of the EDCs on all bases, shape (n, n_window, n_start, 4)."""
    weighted = (counts * bank.root_weight)[:, :, None, :]
    projected = np.empty((*counts.shape[:2], bank.starts.shape[0], N_LINEAR))
    projected[..., :-1] = np.matmul(weighted, bank.background)
    projected[..., -1] = np.matmul(weighted, bank.templates)[:, :, 0]
    return projected


def start_parameters(bank: Bank, projected: Array, choice: NDArray[np.intp], depth: Array) -> Array:
    """Full parameter vectors for one chosen start per EDC.

    Parameters
    ----------
    bank : Bank
    projected : ndarray, shape (n, n_window, n_start, 4)
    choice : ndarray of int, shape (n,)
    depth : ndarray, shape (n,)
        Lower end of the fit window over that of the bank's, where the first background parameter is meant.

    Returns
    -------
    ndarray, shape (n, n_parameters)
    """
    n, n_window = projected.shape[:2]
    picked = projected[np.arange(n), :, choice]
    linear = (bank.unmix[:, choice].transpose(1, 0, 2, 3) * picked[:, :, None, :]).sum(axis=-1)
    deep, at_ef, constant, amplitude = (linear[..., i] for i in range(N_LINEAR))
    deep = at_ef + (deep - at_ef) * depth[:, None]
    scale = np.maximum(amplitude / np.pi / bank.starts[choice, 1][:, None], 0.0) + np.abs(deep) + 1e-3
    background = np.stack([deep, at_ef, constant], axis=-1)
    theta = np.empty((n, N_SHAPE + N_LINEAR * n_window))
    theta[:, :N_SHAPE] = bank.starts[choice]
    block = np.empty((n, n_window, N_LINEAR))
    # every share starts inside its bounds: at a bound a derivative would vanish
    block[..., 0] = np.maximum(amplitude, 0.05 * scale * bank.starts[choice, 1][:, None])
    block[..., 1:] = np.maximum(background, np.array([0.02, 0.02, 0.002]) * scale[..., None])
    theta[:, N_SHAPE:] = block.reshape(n, -1)
    return theta


def rank_starts(bank: Bank, projected: Array) -> NDArray[np.intp]:
    """Best start of three gap ranges for each EDC, best first.

    Parameters
    ----------
    bank : Bank
    projected : ndarray, shape (n, n_window, n_start, 4)
        From `project`.

    Returns
    -------
    ndarray of int, shape (n, 3)
        Indices into ``bank.starts``: the best start, then the better of the best with a clearly smaller and the best
        with a clearly larger gap, then the other (the best start again where a range is empty).
    """
    explained = np.maximum(projected[..., -1], 0.0) ** 2  # beyond the background, which all starts share
    score = explained.sum(axis=1).reshape(projected.shape[0], bank.gaps.size, -1)
    per_gap = score.shape[2]
    inner = score.argmax(axis=2)
    by_gap = np.take_along_axis(score, inner[:, :, None], axis=2)[:, :, 0]
    best = by_gap.argmax(axis=1)
    index = np.arange(bank.gaps.size)[None, :]
    choice = [best]
    for allowed in (index <= best[:, None] - APART, index >= best[:, None] + APART):
        other = np.where(allowed, by_gap, -np.inf).argmax(axis=1)
        choice.append(np.where(allowed.any(axis=1), other, best))
    rows = np.arange(best.size)
    swap = by_gap[rows, choice[2]] > by_gap[rows, choice[1]]
    second, third = np.where(swap, choice[2], choice[1]), np.where(swap, choice[1], choice[2])
    gaps = np.stack([best, second, third], axis=1)
    return np.asarray(gaps * per_gap + np.take_along_axis(inner, gaps, axis=1))
