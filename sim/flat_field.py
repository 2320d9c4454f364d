"""Which share of the electrons each channel of the simulated detector counts: a mesh before it, and its own pattern."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Period of the wires' shadow, detector channels; about the resolution, where it does most harm.
PERIOD = 9.3
#: Angle between the wires and the detector's axes, deg: no row and no column sees the same shadow everywhere.
ROTATION = 4.0
#: Waves of the pattern, their longest and shortest period in detector channels (300 slices, 400 energies), and
#: the seed of the one detector there is.
WAVES, LONGEST, SHORTEST, DETECTOR = 60, 200.0, 20.0, 28


def mesh_shadow(n_angle: int, n_energy: int, depth: float) -> Array:
    """Return the share each channel counts, with a mean of 1, shape (n_angle, n_energy).

    Parameters
    ----------
    n_angle, n_energy : int
        Channels.
    depth : float
        Amplitude of the modulation along either wire direction: 0.1 dims and brightens by 10 %.
    """
    row, column = np.mgrid[:n_angle, :n_energy].astype(np.float64)
    cosine, sine = np.cos(np.radians(ROTATION)), np.sin(np.radians(ROTATION))
    across, along = column * cosine + row * sine, row * cosine - column * sine
    shadow = 1.0 + depth * np.cos(2.0 * np.pi * across / PERIOD) + 0.5 * depth * np.cos(2.0 * np.pi * along / PERIOD)
    return np.asarray(shadow / shadow.mean(), dtype=np.float64)


def gain_pattern(n_angle: int, n_energy: int, rms: float) -> Array:
    """Return how well each channel counts, with a mean of 1, shape (n_angle, n_energy).

    Parameters
    ----------
    n_angle, n_energy : int
        Channels; slices divide the same detector more or less finely.
    rms : float
        Unevenness: 0.02 for 2 %.
    """
    rng = np.random.default_rng(DETECTOR)
    period = np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), WAVES))
    direction, phase = rng.uniform(0.0, 2.0 * np.pi, (2, WAVES))
    row, column = (np.arange(n_angle) + 0.5) * 300.0 / n_angle, np.arange(n_energy) + 0.5
    pattern = np.zeros((n_angle, n_energy))
    for length, angle, start in zip(period, direction, phase, strict=True):
        along = 2.0 * np.pi / length * (np.cos(angle) * column + np.sin(angle) * row[:, None])
        pattern += np.cos(along + start)
    pattern -= pattern.mean()
    return np.asarray(1.0 + rms * pattern / pattern.std())


@lru_cache(maxsize=4)
def flat_field(n_angle: int, n_energy: int, mesh: float, pattern: float) -> Array:
    """Return the share each channel counts behind a mesh of a depth, with a pattern of an rms; not to be written to."""
    shadow = mesh_shadow(n_angle, n_energy, mesh)
    return np.asarray(shadow * gain_pattern(n_angle, n_energy, pattern)) if pattern else shadow


def swept_flat_field(n_angle: int, n_energy: int, n_detector: int, mesh: float, pattern: float) -> Array:
    """Return the same for a sweep: every energy passes over all `n_detector` channels and sees their mean."""
    mean = flat_field(n_angle, n_detector, mesh, pattern).mean(axis=1)
    return np.repeat(mean[:, None], n_energy, axis=1)
