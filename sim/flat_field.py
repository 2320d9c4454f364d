"""What stands between the electrons and the simulated detector: a mesh, whose shadow lies over every frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Period of the wires' shadow, detector channels; about the resolution, where it does most harm.
PERIOD = 9.3
#: Angle between the wires and the detector's axes, deg: no row and no column sees the same shadow everywhere.
ROTATION = 4.0


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


def swept_shadow(n_angle: int, n_energy: int, n_detector: int, depth: float) -> Array:
    """Return the same for a sweep: every energy passes over all `n_detector` channels and sees their mean."""
    mean = mesh_shadow(n_angle, n_detector, depth).mean(axis=1)
    return np.repeat(mean[:, None], n_energy, axis=1)
