"""From a frame to what an event carries: EDCs of the windows, and figures of the whole frame.

Frames are ``[n_angle, n_energy]``. Nothing here interpolates: a shift is a whole number of energy channels, so
that the counts of an EDC stay counts and stay independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Angle bins of `angular_contrast`: coarse enough to count well, fine enough to see a band cross the window.
_CONTRAST_BINS = 20
#: Energies, eV relative to E_F, in which a dispersing band and a flat metal differ most.
_CONTRAST_BAND = (-0.15, 0.02)
#: Counts below that band, in units of those in it, with which its angle profile is compared with theirs.
_LEAST_BELOW = 0.25


def sum_windows(
    frame: NDArray[Any], channels: Sequence[NDArray[np.intp]], row_shift: NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    """Sum angle channels into one EDC a window, after shifting each by whole energy channels.

    Parameters
    ----------
    frame : ndarray, shape (n_angle, n_energy), counts
    channels : sequence of ndarray of int
        Angle channels of each window.
    row_shift : ndarray of int, shape (n_angle,), optional
        Added to the energy channel's index of each angle channel (slit curvature). Channels shifted in from
        outside the frame are zero.

    Returns
    -------
    ndarray, shape (n_window, n_energy), counts
    """
    n_energy = frame.shape[1]
    edcs = np.zeros((len(channels), n_energy))
    for edc, rows in zip(edcs, channels, strict=True):
        if row_shift is None or not np.any(row_shift[rows]):
            edc += frame[rows].sum(axis=0, dtype=np.float64)
            continue
        for row in rows:
            shift = int(row_shift[row])
            if abs(shift) >= n_energy:
                continue
            low, high = max(shift, 0), n_energy + min(shift, 0)
            edc[low:high] += frame[row, low - shift : high - shift]
    return edcs


def angular_contrast(frame: NDArray[Any], energy_axis: NDArray[np.float64], fermi_energy: float) -> float:
    """Return how much the angle profile near E_F varies beyond counting noise, relative to its mean.

    A polycrystal or a dead patch emits alike at all angles (about 0); a dispersing band does not (0.3 and more). What
    dims the rims of the slit, or any angle, at all energies alike is no dispersion: the profile is compared with that
    of the energies below, where the frame holds enough of them.

    Parameters
    ----------
    frame : ndarray, shape (n_angle, n_energy), counts
    energy_axis : ndarray, shape (n_energy,), eV kinetic
    fermi_energy : float
        eV kinetic.

    Returns
    -------
    float
        ``sqrt(max(variance - noise, 0)) / mean`` of the counts in 20 angle bins, about what they would be if the
        energies within (-150, 20) meV of E_F had the same share of the counts at all angles; about their mean where
        less than a quarter as much lies below. NaN with fewer angle channels than bins, without a channel near E_F,
        or without counts there.
    """
    low, high = (fermi_energy + edge for edge in _CONTRAST_BAND)
    band = np.flatnonzero((energy_axis >= low) & (energy_axis <= high))
    if band.size == 0 or frame.shape[0] < _CONTRAST_BINS:
        return float("nan")
    near, below = (_angle_bins(frame[:, part]) for part in (slice(band[0], band[-1] + 1), slice(0, band[0])))
    mean, deep = float(near.mean()), float(below.mean())
    if not mean > 0:
        return float("nan")
    if deep < _LEAST_BELOW * mean:
        return float(np.sqrt(max(float(near.var(ddof=1)) - mean, 0.0)) / mean)
    # Of n counts in a bin, n * share are expected near E_F and scatter as a binomial; of what is more there than below
    # this shows 1 - share.
    share = mean / (mean + deep)
    away = near - share * (near + below)
    variance = float(away @ away) / (_CONTRAST_BINS - 1) - mean * (1.0 - share)
    return float(np.sqrt(max(variance, 0.0)) / (1.0 - share) / mean)


def _angle_bins(frame: NDArray[Any]) -> NDArray[np.float64]:
    """Return the counts of a part of a frame in 20 angle bins; channels left over at the end do not count."""
    profile = frame.sum(axis=1, dtype=np.float64)
    width = len(profile) // _CONTRAST_BINS
    return np.asarray(profile[: width * _CONTRAST_BINS].reshape(_CONTRAST_BINS, width).sum(axis=1))
