"""The initial state: one tight-binding band of Bi2212, its d-wave factor and the map from angle to momentum."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]

#: In-plane lattice constant, Å.
LATTICE_CONSTANT = 3.83
#: Coefficients, meV, of 1, (cx+cy)/2, cx cy, (c2x+c2y)/2, (c2x cy + cx c2y)/2, c2x c2y; Norman et al.,
#: Phys. Rev. B 52, 615 (1995), table I.
NORMAN_1995 = (130.5, -595.1, 163.6, -51.9, -111.7, 51.0)
#: Free-electron wave number, 1/Å per sqrt(eV).
WAVE_NUMBER = 0.5123
#: Work function of the analyser, eV.
WORK_FUNCTION = 4.4


def band_energy(kx: Array | float, ky: Array | float) -> Array:
    """Return the bare band energy relative to E_F.

    Parameters
    ----------
    kx, ky : array_like, 1/Å

    Returns
    -------
    ndarray, meV
        -34 meV at (pi/a, 0).
    """
    c = NORMAN_1995
    ax, ay = np.asarray(kx) * LATTICE_CONSTANT, np.asarray(ky) * LATTICE_CONSTANT
    cx, cy, c2x, c2y = np.cos(ax), np.cos(ay), np.cos(2 * ax), np.cos(2 * ay)
    energy = (
        c[0]
        + c[1] * (cx + cy) / 2
        + c[2] * cx * cy
        + c[3] * (c2x + c2y) / 2
        + c[4] * (c2x * cy + cx * c2y) / 2
        + c[5] * c2x * c2y
    )
    return np.asarray(energy, dtype=np.float64)


def d_wave_factor(kx: Array | float, ky: Array | float) -> Array:
    """Return |cos kx a - cos ky a| / 2: one at (pi/a, 0), zero on the diagonal."""
    ax, ay = np.asarray(kx) * LATTICE_CONSTANT, np.asarray(ky) * LATTICE_CONSTANT
    return np.asarray(np.abs(np.cos(ax) - np.cos(ay)) / 2, dtype=np.float64)


@cache
def antinodal_k_f() -> float:
    """Return ky (1/Å) of the Fermi surface on the zone boundary kx = pi/a; about 0.18 pi/a."""
    edge = math.pi / LATTICE_CONSTANT
    return float(brentq(lambda ky: float(band_energy(edge, ky)), 0.0, 0.5 * edge))


@cache
def antinodal_factor() -> float:
    """Return the d-wave factor at the antinodal k_F; about 0.92."""
    return float(d_wave_factor(math.pi / LATTICE_CONSTANT, antinodal_k_f()))


def vacuum_wave_number(photon_energy: float) -> float:
    """Return the wave number (1/Å) of an electron from E_F for a photon energy in eV."""
    return WAVE_NUMBER * math.sqrt(photon_energy - WORK_FUNCTION)


def antinodal_polar(photon_energy: float) -> float:
    """Return the polar angle (deg) that puts the cut on kx = pi/a; about 9.4 deg at 100 eV."""
    return math.degrees(math.asin(math.pi / LATTICE_CONSTANT / vacuum_wave_number(photon_energy)))


def momentum(
    slit_angle: Array | float, *, polar: float, tilt: float, azimuth: float, wave_number: float
) -> tuple[Array, Array]:
    """Map slit angle to in-plane momentum in the sample's axes.

    The slit lies along ky. Two simplifications: kx is set by the polar angle alone, and the wave number is that at
    E_F (over the 0.4 eV of a window it changes by 0.2 %).

    Parameters
    ----------
    slit_angle, polar, tilt, azimuth : deg
    wave_number : 1/Å

    Returns
    -------
    kx, ky : ndarray, 1/Å
    """
    ky = wave_number * np.sin(np.radians(np.asarray(slit_angle, dtype=np.float64) + tilt))
    kx = np.full_like(ky, wave_number * math.sin(math.radians(polar)))
    c, s = math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
    return c * kx + s * ky, c * ky - s * kx
