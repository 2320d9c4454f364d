r"""In-plane momentum of a photoelectron from the angles of analyser and sample.

.. math::

    \mathbf k = k_0 R^T \mathbf n, \qquad k_0 = \sqrt{2 m E_k} / \hbar = 0.5123\ \text{Å}^{-1} \sqrt{E_k / \text{eV}}

with the direction n into the lens (y along the polar axis, z along the lens) and the turn R of the crystal since normal
emission. A photoelectron at angle :math:`\alpha` along the slit and :math:`\beta` across it (the deflector's) left in
the direction :math:`(\beta\,\mathrm{sinc}\,\eta, \alpha\,\mathrm{sinc}\,\eta, \cos\eta)` with
:math:`\eta^2 = \alpha^2 + \beta^2` for a slit along y; for one along x the first two are exchanged. Y. Ishida and
S. Shin, Rev. Sci. Instrum. 89, 043903 (2018), doi:10.1063/1.5007226.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["d_wave_factor", "emission_direction", "fermi_surface_angle", "in_plane_momentum", "wave_number"]

Array = NDArray[np.float64]

#: sqrt(2 m_e) / hbar, 1/Å per sqrt(eV) (CODATA 2018).
WAVE_NUMBER = 0.51231672


def wave_number(kinetic: ArrayLike) -> Array:
    """Return the wave number of a free electron.

    Parameters
    ----------
    kinetic : array_like, any shape, eV
        Kinetic energy; that of the Fermi edge for electrons at E_F.

    Returns
    -------
    ndarray, same shape, 1/Å

    Raises
    ------
    ValueError
        An energy is not above 0.

    Examples
    --------
    >>> float(wave_number(100.0).round(4))
    5.1232
    """
    energy = np.asarray(kinetic, dtype=np.float64)
    if not np.all(energy > 0.0):
        raise ValueError(f"kinetic energy = {energy.min():g} eV must be above 0 eV")
    return np.asarray(WAVE_NUMBER * np.sqrt(energy))


def emission_direction(slit_angle: ArrayLike, deflector_angle: ArrayLike = 0.0, slit: Literal["x", "y"] = "y") -> Array:
    """Return the direction in which an electron left that the analyser images at an angle.

    Parameters
    ----------
    slit_angle, deflector_angle : array_like, deg
        Along the slit and across it; they are broadcast.
    slit : {"y", "x"}
        Whether the slit is along the polar axis or across it.

    Returns
    -------
    ndarray, shape (..., 3)
        Unit vectors.
    """
    along, across = np.broadcast_arrays(np.radians(slit_angle), np.radians(deflector_angle))
    eta = np.hypot(along, across)
    shrunk = np.sinc(eta / np.pi)
    x, y = (across, along) if slit == "y" else (along, across)
    return np.stack([x * shrunk, y * shrunk, np.cos(eta)], axis=-1)


def in_plane_momentum(direction: ArrayLike, kinetic: ArrayLike, turn: ArrayLike) -> tuple[Array, Array]:
    """Return kx and ky in the crystal's axes.

    Parameters
    ----------
    direction : array_like, shape (..., 3)
        From `emission_direction`.
    kinetic : array_like, eV
        Broadcast against the directions.
    turn : array_like, shape (3, 3)
        How the crystal has turned since normal emission with its axes along x and y.

    Returns
    -------
    kx, ky : ndarray, 1/Å
    """
    k = wave_number(kinetic)[..., None] * (np.asarray(direction, dtype=np.float64) @ np.asarray(turn, dtype=np.float64))
    return k[..., 0], k[..., 1]


def fermi_surface_angle(kx: ArrayLike, ky: ArrayLike, lattice_constant: float) -> Array:
    """Return the Fermi-surface angle phi: 0 on the zone boundary (antinode), 45 deg on the diagonal (node).

    The angle about (pi, pi), folded into the irreducible octant of a square lattice.

    Parameters
    ----------
    kx, ky : array_like, 1/Å
    lattice_constant : float, Å

    Returns
    -------
    ndarray, deg, 0 to 45

    Examples
    --------
    >>> import math
    >>> [float(fermi_surface_angle(kx, 0.6, 1.0).round(6)) for kx in (math.pi, 0.6)]
    [0.0, 45.0]
    """
    a, b = (_to_corner(k, lattice_constant) for k in (kx, ky))
    return np.asarray(np.degrees(np.arctan2(np.minimum(a, b), np.maximum(a, b))))


def d_wave_factor(kx: ArrayLike, ky: ArrayLike, lattice_constant: float) -> Array:
    """Return |cos kx a - cos ky a| / 2, by which a d-wave gap is smaller than its maximum Delta_0."""
    ax, ay = (np.asarray(k, dtype=np.float64) * lattice_constant for k in (kx, ky))
    return np.asarray(np.abs(np.cos(ax) - np.cos(ay)) / 2)


def _to_corner(k: ArrayLike, lattice_constant: float) -> Array:
    """Distance to the nearest zone boundary along one axis, 1/Å times a."""
    phase = np.asarray(k, dtype=np.float64) * lattice_constant
    return np.abs(np.pi - np.mod(phase, 2 * np.pi))
