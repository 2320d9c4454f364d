"""Compiled arithmetic of one EDC: line shape, resolution, expected counts, deviance, information.

On an even axis all bins see the same resolution function. The fine grid is stored by phase (point ``n_phase * b + k``
of bin b), so that for a given tap the bins read contiguous memory; the four functions that are convolved (value and
three derivatives) are interleaved, and taps are taken eight at a time. So the plain loops below vectorise.

Behind a flat field the resolution function carries to channels rather than bins, each channel is multiplied by its
factor, and bins are sums of channels: exact, whatever the factors, which are no part of what is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microarpes.analysis.compiled_log import logarithms
from microarpes.analysis.engine import Ints, compiled, summing
from microarpes.analysis.line_shape import Array
from microarpes.analysis.norman import TINY_RATE
from microarpes.analysis.scoring import FLOOR

__all__ = [
    "HEAD",
    "N_LOCAL",
    "Model",
    "Problems",
    "deviance_of",
    "norman_lines",
    "predict",
    "predict_counts",
    "unpack",
]

#: Parameters that one window's counts depend on: three of the shape, four of the window.
N_LOCAL = 7
#: Columns of the table of problems before the first channels of the windows: offset (-1: not made yet), n_phase,
#: n_lattice, n_tap, n_bins, channels per bin.
HEAD = 6


class Problems(NamedTuple):
    """All problems of a call, one after the other.

    Attributes
    ----------
    store : ndarray
    table : ndarray of int, shape (n_problem, HEAD + n_window)
        Where they are in the store.
    factors : ndarray, shape (n_window, n_energy) or (n_window, 0)
        Flat field, none where there is none. With one the store holds the problems by channel, without it by bin.
    """

    store: Array
    table: Ints
    factors: Array


class Model(NamedTuple):
    """A problem as the compiled engine reads it.

    Attributes
    ----------
    fine, fermi : ndarray, shape (n_window, n_phase * n_lattice)
        Fine grid (meV) and Fermi function on it.
    taps : ndarray, shape (n_phase, n_tap)
        Resolution function over bins (meV); n_tap is a multiple of eight.
    linear : ndarray, shape (n_window, 3, n_bins)
    n_lattice : int
        Fine points of one phase.
    factors : ndarray, shape (n_window, n_bins * size) or (n_window, 0)
        Flat field of the channels that are fitted, none where there is none.
    size : int
        Channels that the resolution function carries to for each bin: 1 where there is no flat field.
    n_dead : int
        Bins that count nothing, whatever the spectrum.
    """

    fine: Array
    fermi: Array
    taps: Array
    linear: Array
    n_lattice: int
    factors: Array
    size: int
    n_dead: int


@compiled
def unpack(problems: Problems, at: int) -> Model:
    """Find a problem in the store and put it behind the flat field."""
    store, row, n_window = problems.store, problems.table[at], problems.factors.shape[0]
    a, n_phase, n_lattice, n_tap, n_bins = row[0], row[1], row[2], row[3], row[4]
    plain = problems.factors.shape[1] == 0
    size, n_fine = 1 if plain else row[5], n_phase * n_lattice
    n_cell = n_bins * size
    b = a + n_window * n_fine
    c = b + n_window * n_fine
    d = c + n_phase * n_tap
    factors, n_dead = problems.factors, 0
    linear = store[d : d + n_window * 3 * n_cell].reshape((n_window, 3, n_cell))
    if not plain:
        factors = np.empty((n_window, n_cell))
        for w in range(n_window):
            for i in range(n_cell):
                factors[w, i] = problems.factors[w, row[HEAD + w] + i]
        linear = see_linear(linear, factors, size)
        for w in range(n_window):
            for k in range(n_bins):
                n_dead += linear[w, 2, k] <= 0.0
    return Model(
        store[a:b].reshape((n_window, n_fine)),
        store[b:c].reshape((n_window, n_fine)),
        store[c:d].reshape((n_phase, n_tap)),
        linear,
        n_lattice,
        factors,
        size,
        n_dead,
    )


@compiled
def see_linear(cells: Array, factors: Array, size: int) -> Array:
    """Sum backgrounds and constant, shape (n_window, 3, n_cell), from channels to bins behind the factors."""
    n_window, n_bins = cells.shape[0], cells.shape[2] // size
    out = np.zeros((n_window, 3, n_bins))
    for w in range(n_window):
        for j in range(3):
            for b in range(n_bins):
                for i in range(b * size, (b + 1) * size):
                    out[w, j, b] += factors[w, i] * cells[w, j, i]
    return out


@compiled
def see_four(cells: Array, factors: Array, size: int, n_bins: int) -> None:
    """Sum four interleaved functions from channels to bins behind the factors, in place."""
    for b in range(n_bins):
        s0 = s1 = s2 = s3 = 0.0
        for i in range(b * size, (b + 1) * size):
            factor = factors[i]
            s0 += factor * cells[4 * i]
            s1 += factor * cells[4 * i + 1]
            s2 += factor * cells[4 * i + 2]
            s3 += factor * cells[4 * i + 3]
        cells[4 * b], cells[4 * b + 1], cells[4 * b + 2], cells[4 * b + 3] = s0, s1, s2, s3


@compiled
def see_one(cells: Array, factors: Array, size: int, out: Array, n_bins: int) -> None:
    """Sum one function from channels to bins behind the factors."""
    for b in range(n_bins):
        total = 0.0
        for i in range(b * size, (b + 1) * size):
            total += factors[i] * cells[i]
        out[b] = total


@compiled
def norman_lines(fine: Array, fermi: Array, delta: float, gamma1: float, gamma0: float, eps_k: float,
                 out: Array) -> None:  # fmt: skip
    """Norman's spectral function and its three derivatives below the Fermi function, interleaved.

    The formulas are those of `norman.norman_gradient`.
    """
    g0 = gamma0 + TINY_RATE
    q = g0 * gamma1 + delta * delta
    for i in range(fine.size):
        u = fine[i] + eps_k
        v = fine[i] - eps_k
        p = u * v - q
        r = g0 * v + gamma1 * u
        u2 = u * u
        scale = (1.0 / np.pi) / (p * p + r * r)
        value = (gamma1 * u2 + g0 * q) * scale
        twice = 2.0 * np.pi * value
        occupied = scale * fermi[i]
        out[4 * i] = value * fermi[i]
        out[4 * i + 1] = (2.0 * delta * occupied) * (g0 + twice * p)
        out[4 * i + 2] = occupied * (u2 + g0 * g0 + twice * (p * g0 - r * u))
        out[4 * i + 3] = occupied * (q + g0 * gamma1 + twice * (p * gamma1 - r * v))


@compiled
def norman_line(fine: Array, fermi: Array, delta: float, gamma1: float, gamma0: float, eps_k: float,
                out: Array) -> None:  # fmt: skip
    """Norman's spectral function alone, below the Fermi function."""
    g0 = gamma0 + TINY_RATE
    q = g0 * gamma1 + delta * delta
    for i in range(fine.size):
        u = fine[i] + eps_k
        v = fine[i] - eps_k
        p = u * v - q
        r = g0 * v + gamma1 * u
        out[i] = (gamma1 * (u * u) + g0 * q) * ((1.0 / np.pi) / (p * p + r * r)) * fermi[i]


@summing
def convolve_four(taps: Array, n_lattice: int, lines: Array, out: Array, n_bins: int) -> None:
    """Carry four interleaved functions on the fine grid to the bins."""
    n_phase, n_tap = taps.shape
    n = 4 * n_bins
    for b in range(n):
        out[b] = 0.0
    for phase in range(n_phase):
        for k in range(0, n_tap, 8):
            at = (phase * n_lattice + k) * 4
            a, t = lines[at : at + n + 28], taps[phase, k : k + 8]
            t0, t1, t2, t3, t4, t5, t6, t7 = t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]
            for b in range(n):
                near = (t0 * a[b] + t1 * a[b + 4]) + (t2 * a[b + 8] + t3 * a[b + 12])
                out[b] += near + ((t4 * a[b + 16] + t5 * a[b + 20]) + (t6 * a[b + 24] + t7 * a[b + 28]))


@summing
def convolve_one(taps: Array, n_lattice: int, line: Array, out: Array, n_bins: int) -> None:
    """Carry one function on the fine grid to the bins."""
    n_phase, n_tap = taps.shape
    for b in range(n_bins):
        out[b] = 0.0
    for phase in range(n_phase):
        for k in range(0, n_tap, 8):
            at = phase * n_lattice + k
            a, t = line[at : at + n_bins + 7], taps[phase, k : k + 8]
            t0, t1, t2, t3, t4, t5, t6, t7 = t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]
            for b in range(n_bins):
                near = (t0 * a[b] + t1 * a[b + 1]) + (t2 * a[b + 2] + t3 * a[b + 3])
                out[b] += near + ((t4 * a[b + 4] + t5 * a[b + 5]) + (t6 * a[b + 6] + t7 * a[b + 7]))


@compiled
def predict(model: Model, theta: Array, eps_k: float, lines: Array, binned: Array, expected: Array,
            jacobian: Array) -> None:  # fmt: skip
    """Compute expected counts (n_window, n_bins) and derivatives (n_window, 7, n_bins), as `scoring.predict`."""
    n_bins = model.linear.shape[2]
    for w in range(model.fine.shape[0]):
        amplitude, deep, at_ef, dark = theta[3 + 4 * w], theta[4 + 4 * w], theta[5 + 4 * w], theta[6 + 4 * w]
        norman_lines(model.fine[w], model.fermi[w], theta[0], theta[1], theta[2], eps_k, lines)
        convolve_four(model.taps, model.n_lattice, lines, binned, n_bins * model.size)
        if model.factors.shape[1] > 0:
            see_four(binned, model.factors[w], model.size, n_bins)
        linear, mu, rows = model.linear[w], expected[w], jacobian[w]
        f0, f1, f2 = linear[0], linear[1], linear[2]
        r0, r1, r2, r3, r4, r5, r6 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
        for b in range(n_bins):
            r3[b] = binned[4 * b]
            r0[b] = amplitude * binned[4 * b + 1]
            r1[b] = amplitude * binned[4 * b + 2]
            r2[b] = amplitude * binned[4 * b + 3]
        for b in range(n_bins):
            r4[b] = f0[b]
            r5[b] = f1[b]
            r6[b] = f2[b]
            mu[b] = max(amplitude * r3[b] + (deep * f0[b] + at_ef * f1[b] + dark * f2[b]), FLOOR)


@compiled
def predict_counts(model: Model, theta: Array, eps_k: float, line: Array, cells: Array, expected: Array) -> None:
    """Compute expected counts alone, shape (n_window, n_bins); `cells` is memory to work in."""
    n_bins = model.linear.shape[2]
    for w in range(model.fine.shape[0]):
        amplitude, deep, at_ef, dark = theta[3 + 4 * w], theta[4 + 4 * w], theta[5 + 4 * w], theta[6 + 4 * w]
        norman_line(model.fine[w], model.fermi[w], theta[0], theta[1], theta[2], eps_k, line)
        mu, f0, f1, f2 = expected[w], model.linear[w, 0], model.linear[w, 1], model.linear[w, 2]
        if model.factors.shape[1] > 0:
            convolve_one(model.taps, model.n_lattice, line, cells, n_bins * model.size)
            see_one(cells, model.factors[w], model.size, mu, n_bins)
        else:
            convolve_one(model.taps, model.n_lattice, line, mu, n_bins)
        for b in range(n_bins):
            mu[b] = max(amplitude * mu[b] + (deep * f0[b] + at_ef * f1[b] + dark * f2[b]), FLOOR)


@compiled
def deviance_of(counts: Array, expected: Array, n_bins: int, ratio: Array, logs: Array, bits: Ints) -> float:
    """Poisson deviance, as `poisson.deviance`; leaves counts over expected in `ratio`, shape (n_window, n_bins)."""
    total = 0.0
    for w in range(expected.shape[0]):
        y, mu, part = counts[w], expected[w], ratio[w]
        for b in range(n_bins):
            part[b] = y[b] / mu[b]
        logarithms(part, n_bins, bits, logs)
        total += deviance_terms(y, mu, logs, n_bins)
    return max(2.0 * total, 0.0)


@summing
def deviance_terms(counts: Array, expected: Array, logs: Array, n_bins: int) -> float:
    """Sum half the deviance of one window."""
    total = 0.0
    for b in range(n_bins):
        total += (expected[b] - counts[b]) + counts[b] * logs[b]
    return total
