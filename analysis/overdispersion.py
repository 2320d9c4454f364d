"""How much noisier an EDC is than counting statistics say, judged away from the fit window.

Detectors that integrate a camera image instead of counting electrons give noise that is larger, correlated in energy,
or both. Such noise makes bumps that a Poisson likelihood takes for peaks, so evidence for a gap is weighed against it.
"""

from __future__ import annotations

import numpy as np

from microarpes.analysis.line_shape import Array

__all__ = ["noise_bins", "overdispersion"]

#: Fourth differences remove any smooth spectrum; their variance is this many times that of one bin.
FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
#: Median of the square of a standard normal variable: medians leave single lines and kinks out.
MEDIAN_SQUARE = 0.4549
#: Fewest differences that allow a statement.
ENOUGH = 8


def noise_bins(axis: Array, resolution: float, depth: float) -> tuple[int, int]:
    """Channels per bin and number of bins that tell the noise; 0 bins where there is too little to judge by."""
    width = max(1, round(resolution * (axis.size - 1) / float(axis[-1] - axis[0])))
    n_bins = int((axis < -depth).sum()) // width
    return width, n_bins if n_bins >= FOURTH.size + ENOUGH else 0


def overdispersion(
    energy: Array, counts: Array, resolution: float, depth: float, flat_field: Array | None = None
) -> Array:
    """Ratio of the variance to the mean of counts in bins as wide as the resolution, at least 1.

    Parameters
    ----------
    energy : ndarray, shape (n_window, n_energy), meV
    counts : ndarray, shape (n, n_window, n_energy), photoelectrons
    resolution : float, meV
        FWHM; narrower bins would miss noise that is correlated between channels.
    depth : float, meV
        Only what lies deeper below E_F is looked at, where there is any.
    flat_field : ndarray, shape (n_window, n_energy), optional
        Factor of each channel: bins are compared by what they would have counted at 1, each with its own noise.

    Returns
    -------
    ndarray, shape (n,)
        1 where there is too little to judge by.
    """
    squares = []
    for i, axis in enumerate(energy):
        width, n_bins = noise_bins(axis, resolution, depth)
        if not n_bins:
            continue
        bins = counts[:, i, : n_bins * width].reshape(counts.shape[0], n_bins, width).sum(axis=2)
        variance = bins
        if flat_field is not None:
            seen = flat_field[i, : n_bins * width].reshape(n_bins, width).mean(axis=1)
            seen = np.where(seen > 0.0, seen, np.nan)  # a dead bin has nothing to say of noise
            bins, variance = bins / seen, bins / seen**2
        difference, mean = np.zeros_like(bins[:, 4:]), np.zeros_like(bins[:, 4:])
        for k, factor in enumerate(FOURTH):
            part = slice(k, n_bins - 4 + k)
            difference, mean = difference + factor * bins[:, part], mean + factor**2 * variance[:, part]
        squares.append(np.where(mean > 0, difference**2 / np.maximum(mean, 1e-30), np.nan))
    if not squares:
        return np.ones(counts.shape[0])
    every = np.concatenate(squares, axis=1)
    known = np.isfinite(every).sum(axis=1) >= ENOUGH
    median = np.median(np.where(np.isfinite(every), every, 0.0), axis=1) / MEDIAN_SQUARE
    return np.where(known, np.maximum(median, 1.0), 1.0)
