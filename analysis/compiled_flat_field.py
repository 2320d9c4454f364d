"""What a flat field changes for all pixels of a call: the channels the verdicts look at, and the start bank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microarpes.analysis.bank import DARK_VARIANCE
from microarpes.analysis.compiled_model import Model
from microarpes.analysis.compiled_start import Starts
from microarpes.analysis.engine import Ints, compiled
from microarpes.analysis.line_shape import Array

__all__ = ["Sight", "look_through", "see_counts", "starts_behind"]


class Sight(NamedTuple):
    """The channels of each window that count, one after the other; the others are left out.

    Attributes
    ----------
    n_live : ndarray of int, shape (n_window,)
    counts, rates : ndarray, shape (n_window, n_energy), photoelectrons
        As counted, and over the factors; written pixel by pixel.
    upto : ndarray, shape (n_window, n_energy + 1)
        Sum of the factors of the channels below.
    energy : ndarray, shape (n_window, n_energy), meV
    regions : ndarray of int, shape (n_window, n_region)
        Those of the axis, in channels that count; -1 where these show no edge.
    """

    n_live: Ints
    counts: Array
    rates: Array
    upto: Array
    energy: Array
    regions: Ints


@compiled
def look_through(factors: Array, axes: Array, regions: Ints, electrons: Array, reach: float) -> Sight:
    """Find the channels that count; without a flat field all do, and counts are looked at where they are."""
    n_window, n_energy = axes.shape
    n_live, upto = np.full(n_window, n_energy), np.zeros((n_window, n_energy + 1))
    if factors.shape[1] == 0:
        for w in range(n_window):
            for i in range(n_energy):
                upto[w, i + 1] = i + 1.0
        return Sight(n_live, electrons, electrons, upto, axes, regions)
    energy, found, before = np.zeros((n_window, n_energy)), regions.copy(), np.zeros(n_energy + 1, dtype=np.int64)
    for w in range(n_window):
        n = 0
        for i in range(n_energy):
            before[i] = n
            if factors[w, i] > 0.0:
                energy[w, n] = axes[w, i]
                upto[w, n + 1] = upto[w, n] + factors[w, i]
                n += 1
        before[n_energy] = n_live[w] = n
        if regions[w, 2] < 0:
            continue
        for k in range(2, regions.shape[1]):
            if k != 10 and regions[w, k] >= 0:  # all but the number of blocks is a channel
                found[w, k] = before[regions[w, k]]
        lit = n > 1 and found[w, 5] > found[w, 4]
        if not (lit and energy[w, 0] <= -5.0 * reach and energy[w, n - 1] >= 1.5 * reach):
            found[w, 2] = -1
    return Sight(n_live, np.empty((n_window, n_energy)), np.empty((n_window, n_energy)), upto, energy, found)


@compiled
def see_counts(sight: Sight, factors: Array, w: int, electrons: Array) -> None:
    """Leave dead channels out, whose counts say nothing: they are 0 in `electrons` (n_energy,) from here on."""
    n = 0
    for i in range(electrons.size):
        if factors[w, i] > 0.0:
            sight.counts[w, n] = electrons[i]
            sight.rates[w, n] = electrons[i] / factors[w, i]
            n += 1
        else:
            electrons[i] = 0.0


@compiled
def starts_behind(starts: Array, cells: Array, lower: Array, widest: Model) -> Starts:
    """`bank.make_bank` of templates behind the flat field.

    Parameters
    ----------
    starts : ndarray, shape (n_start, 3), meV
    cells : ndarray, shape (n_window, n_cell, n_start)
        Templates by channel.
    lower : ndarray, shape (n_gap + 1,), meV
    widest : Model
        What the bank looks at.
    """
    n_window, n_bins, n_start = widest.linear.shape[0], widest.linear.shape[2], starts.shape[0]
    most = 0.0
    for w in range(n_window):
        for b in range(n_bins):
            most = max(most, widest.linear[w, 0, b] + widest.linear[w, 1, b])
    root = np.empty((n_window, n_bins))
    background, templates = np.zeros((n_window, n_bins, 3)), np.zeros((n_window, n_bins, n_start))
    unmix = np.zeros((n_window, n_start, 4, 4))
    for w in range(n_window):
        for b in range(n_bins):
            metal = widest.linear[w, 0, b] + widest.linear[w, 1, b]
            root[w, b] = 1.0 / np.sqrt(metal / most + DARK_VARIANCE)
            for i in range(b * widest.size, (b + 1) * widest.size):
                weight, source, out = root[w, b] * widest.factors[w, i], cells[w, i], templates[w, b]
                for s in range(n_start):
                    out[s] += weight * source[s]
        inverse = orthogonal_background(widest.linear[w], root[w], background[w])
        orthogonal_templates(background[w], inverse, templates[w], unmix[w])
    return Starts(starts, background, templates, unmix, root, lower)


@compiled
def orthogonal_background(linear: Array, root: Array, basis: Array) -> Array:
    """Fill the orthonormal `basis` (n_bins, 3) of the weighted backgrounds; return the inverse of its triangle."""
    upper, inverse = np.zeros((3, 3)), np.zeros((3, 3))
    for j in range(3):
        for b in range(root.size):
            basis[b, j] = linear[j, b] * root[b]
        for k in range(j):
            for b in range(root.size):
                upper[k, j] += basis[b, k] * basis[b, j]
            for b in range(root.size):
                basis[b, j] -= upper[k, j] * basis[b, k]
        square = 0.0
        for b in range(root.size):
            square += basis[b, j] * basis[b, j]
        upper[j, j] = max(np.sqrt(square), 1e-300)
        for b in range(root.size):
            basis[b, j] /= upper[j, j]
    for j in range(3):
        inverse[j, j] = 1.0 / upper[j, j]
        for i in range(j - 1, -1, -1):
            for k in range(i + 1, j + 1):
                inverse[i, j] -= upper[i, k] * inverse[k, j]
            inverse[i, j] /= upper[i, i]
    return inverse


@compiled
def orthogonal_templates(basis: Array, inverse: Array, templates: Array, unmix: Array) -> None:
    """Leave of `templates` (n_bins, n_start) what each adds to the background, normalised, and fill `unmix`."""
    n_bins, n_start = templates.shape
    shares, square = np.zeros((3, n_start)), np.zeros(n_start)
    for b in range(n_bins):
        for j in range(3):
            for s in range(n_start):
                shares[j, s] += basis[b, j] * templates[b, s]
    for b in range(n_bins):
        own, b0, b1, b2 = templates[b], basis[b, 0], basis[b, 1], basis[b, 2]
        for s in range(n_start):
            own[s] -= b0 * shares[0, s] + (b1 * shares[1, s] + b2 * shares[2, s])
            square[s] += own[s] * own[s]
    for s in range(n_start):
        square[s] = 1.0 / max(np.sqrt(square[s]), 1e-300)
    for b in range(n_bins):
        for s in range(n_start):
            templates[b, s] *= square[s]
    for s in range(n_start):
        for i in range(3):
            for j in range(3):
                unmix[s, i, j] = inverse[i, j]
                unmix[s, i, 3] -= inverse[i, j] * shares[j, s] * square[s]
        unmix[s, 3, 3] = square[s]
