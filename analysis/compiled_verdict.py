"""Compiled verdicts that need no fit: the tests of `edge_test` and the noise of `overdispersion`, for one EDC."""

from __future__ import annotations

import numpy as np

from microarpes.analysis.edge_test import (
    BEYOND_DOUBT,
    DARK_SHARE,
    FIELD_MARGIN,
    MAX_ABOVE_OVER_BELOW,
    MAX_DARK_OVER_BELOW,
    MAX_FALL_IN_THE_DARK,
    MIN_NEAR_OVER_DEEP,
)
from microarpes.analysis.engine import Ints, compiled
from microarpes.analysis.line_shape import Array
from microarpes.analysis.overdispersion import ENOUGH, MEDIAN_SQUARE
from microarpes.analysis.verdict import MOST_COUNTS

__all__ = ["is_data", "noise_of", "refuse"]


@compiled
def is_data(counts: Array) -> bool:
    """Whether all counts are finite and such as a detector gives."""
    fine = True
    for i in range(counts.size):
        value = counts[i]
        fine &= (value >= 0.0) & (value <= MOST_COUNTS)  # False for NaN
    return fine


@compiled
def total_of(counts: Array, first: int, stop: int) -> float:
    """Sum over a region of channels, in four interleaved partial sums."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    whole = stop - (stop - first) % 4
    for i in range(first, whole, 4):
        s0 += counts[i]
        s1 += counts[i + 1]
        s2 += counts[i + 2]
        s3 += counts[i + 3]
    for i in range(whole, stop):
        s0 += counts[i]
    return (s0 + s1) + (s2 + s3)


@compiled
def greatest(counts: Array) -> float:
    """Greatest count of an EDC, in four interleaved searches."""
    m0, m1, m2, m3 = 0.0, 0.0, 0.0, 0.0
    whole = counts.size - counts.size % 4
    for i in range(0, whole, 4):
        m0 = counts[i] if counts[i] > m0 else m0
        m1 = counts[i + 1] if counts[i + 1] > m1 else m1
        m2 = counts[i + 2] if counts[i + 2] > m2 else m2
        m3 = counts[i + 3] if counts[i + 3] > m3 else m3
    for i in range(whole, counts.size):
        m0 = counts[i] if counts[i] > m0 else m0
    return max(max(m0, m1), max(m2, m3))


@compiled
def quantile(values: Array, part: float) -> float:
    """Quantile with linear interpolation; `values` come out sorted."""
    n = values.size
    gap = n // 2
    while gap > 0:  # Shell's sort: short, and small to compile
        for i in range(gap, n):
            value, j = values[i], i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        gap //= 2
    at = part * (n - 1)
    low = int(at)
    high = min(low + 1, n - 1)
    return float(values[low] + (at - low) * (values[high] - values[low]))


@compiled
def reference_sum(counts: Array, rates: Array, n: float, first: int, stop: int) -> float:
    """Sum over a region of `n` channels in which a single spike of the detector must not stand for the intensity."""
    total, enough = total_of(counts, first, stop), 0
    threshold = total / (1.5 * n)
    for i in range(first, stop):
        enough += rates[i] >= threshold
    if 2 * enough > stop - first:  # the median is not below the threshold: no spike
        return total
    median = quantile(rates[first:stop].copy(), 0.5)
    return min(total, 1.5 * n * median) if median >= 5.0 else total


@compiled
def exceeds(region: float, n_region: float, reference: float, n_reference: float, factor: float) -> bool:
    """Whether the mean of a region is more than `factor` times that of the reference, beyond counting noise."""
    weight = factor * n_region / n_reference
    excess = region - weight * reference
    return bool(excess > BEYOND_DOUBT * np.sqrt(region + weight * weight * reference + 1.0))


@compiled
def refuse(counts: Array, rates: Array, upto: Array, energy: Array, regions: Ints, reach: float) -> bool:
    """`edge_test.refuse_edge` for one EDC.

    Parameters
    ----------
    counts, energy : ndarray, shape (n_energy,)
        Of the channels that count.
    rates : ndarray, shape (n_energy,)
        Counts over the channels' factors.
    upto : ndarray, shape (n_energy + 1,)
        Sum of the factors of the channels below: how many channels of factor 1 a region is worth.
    regions : ndarray of int
        Pairs (first, stop): above, below, near, deep; then the number of blocks and their pairs.
    reach : float, meV
    """
    above, below = (regions[0], regions[1]), (regions[2], regions[3])
    n_below = upto[below[1]] - upto[below[0]]
    lit_by = reference_sum(counts, rates, n_below, below[0], below[1])
    total = total_of(counts, above[0], above[1])
    if exceeds(total, upto[above[1]] - upto[above[0]], lit_by, n_below, MAX_ABOVE_OVER_BELOW):
        return True
    for i in range(regions[8]):
        first, stop = regions[9 + 2 * i], regions[10 + 2 * i]
        if stop <= first:  # all dead
            continue
        total, n_block = total_of(counts, first, stop), upto[stop] - upto[first]
        if exceeds(total, n_block, lit_by, n_below, MAX_ABOVE_OVER_BELOW):
            return True
        if stop < counts.size and exceeds(total, n_block, lit_by, n_below, MAX_DARK_OVER_BELOW):
            n_further = upto[counts.size] - upto[stop]
            further = reference_sum(counts, rates, n_further, stop, counts.size)
            if exceeds(total, n_block, further, n_further, MAX_FALL_IN_THE_DARK):
                return True
    near, deep = (regions[4], regions[5]), (regions[6], regions[7])
    if near[1] > near[0] and deep[1] > deep[0]:
        n_near, n_deep = upto[near[1]] - upto[near[0]], upto[deep[1]] - upto[deep[0]]
        close = reference_sum(counts, rates, n_near, near[0], near[1])
        if exceeds(total_of(counts, deep[0], deep[1]), n_deep, close, n_near, 1.0 / MIN_NEAR_OVER_DEEP):
            return True
    return rim_near_edge(counts, rates, upto, energy, reach)


@compiled
def rim_near_edge(counts: Array, rates: Array, upto: Array, energy: Array, reach: float) -> bool:
    """Whether E_F lies where the illuminated field, seen to begin inside the axis, ends by symmetry."""
    n = counts.size
    block = max(3, n // 100)
    most = greatest(rates)
    lit = total_of(counts, 1, block + 1) > DARK_SHARE * most * (upto[block + 1] - upto[1])
    if lit or total_of(counts, 0, n) <= 1000.0:
        return False  # lit from the first channel on, as nearly every EDC is
    smooth = np.empty(n - block)
    running, most = total_of(counts, 1, block + 1), 0.0
    for i in range(n - block):
        smooth[i] = running / (upto[i + 1 + block] - upto[i + 1])
        most = max(most, smooth[i])
        if i + 1 + block < n:
            running += counts[i + 1 + block] - counts[i + 1]
    if most <= 0.0:
        return False
    filled = 0
    while filled < n and counts[filled] <= 0.0:
        filled += 1
    first = 0
    while smooth[first] <= DARK_SHARE * most:
        first += 1
    if first + block // 2 + 1 - filled <= 2 * block:  # not dark even against the brightest channel
        return False
    bright = quantile(smooth.copy(), 0.9)
    first = 0
    while smooth[first] <= DARK_SHARE * bright:
        first += 1
    first += block // 2 + 1
    last = n - 1 - first - int(np.ceil(FIELD_MARGIN * n))
    return (first - filled) > 2 * block and energy[min(max(last, 0), n - 1)] < 3.0 * reach


@compiled
def noise_of(counts: Array, factors: Array, widths: Ints, n_bins: Ints) -> float:
    """`overdispersion.overdispersion` of one pixel; `widths` and `n_bins` say how each window is binned for it."""
    most = 0
    for w in range(n_bins.size):
        most += max(n_bins[w] - 4, 0)
    squares, known, size = np.empty(most), 0, 0
    for w in range(n_bins.size):
        n, width = n_bins[w], widths[w]
        bins, variance = np.empty(n), np.empty(n)
        for b in range(n):
            bins[b] = total_of(counts[w], b * width, (b + 1) * width)
            variance[b] = bins[b]
            if factors.shape[1] > 0:  # a dead bin is 0 / 0, and what it is compared with has nothing to say of noise
                seen = total_of(factors[w], b * width, (b + 1) * width) / width
                bins[b] /= seen
                variance[b] = bins[b] / seen
        for b in range(n - 4):
            difference = bins[b] - 4.0 * bins[b + 1] + 6.0 * bins[b + 2] - 4.0 * bins[b + 3] + bins[b + 4]
            v = variance[b : b + 5]
            mean = v[0] + 16.0 * v[1] + 36.0 * v[2] + 16.0 * v[3] + v[4]
            squares[size] = difference * difference / mean if mean > 0.0 else 0.0
            known += mean > 0.0
            size += 1
    if known < ENOUGH:
        return 1.0
    return max(quantile(squares, 0.5) / MEDIAN_SQUARE, 1.0)
