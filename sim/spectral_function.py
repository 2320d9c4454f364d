"""Spectral functions of the simulated bands: Norman's line, and what a real one has besides.

Norman et al., Phys. Rev. B 57, R11093 (1998): Sigma = -i gamma1 + gap^2 / (w + eps + i gamma0).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from microarpes.sim.band import LATTICE_CONSTANT, antinodal_factor, band_energy, d_wave_factor
from microarpes.sim.truth import STANDARD, Truth

Array = NDArray[np.float64]

#: Pair-breaking rate, meV.
GAMMA0 = 2.0
#: Middle of the hump beyond the quasiparticle, its FWHM, and the mode before whose energy nothing scatters: meV.
#: Of an antinode with a peak at 35, dip at 70 to 80, hump at 100 to 130 meV.
HUMP_OFFSET, HUMP_WIDTH, MODE, MODE_WIDTH = 70.0, 82.0, 40.0, 5.0
#: Distance of bonding from antibonding band at (pi, 0), meV; Feng et al., Phys. Rev. Lett. 86, 5550 (2001).
SPLITTING = 88.0
#: Growth of the bonding band's scattering rate with each meV beyond the gap.
BONDING_BROADENING = 0.3
#: Wave vector of the superstructure along the diagonal, each component, in units of pi / a.
SUPERSTRUCTURE = 0.21

_TABLE_STEP = 0.02
_FWHM_TO_SIGMA = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))


def norman_spectral_function(
    energy: Array | float, band: Array | float, gap: Array | float, gamma1: Array | float, gamma0: float = GAMMA0
) -> Array:
    """Return A(k, w) of Norman's self energy.

    Parameters
    ----------
    energy, band : array_like, meV from E_F
        w and eps_k, broadcast.
    gap, gamma1, gamma0 : meV

    Returns
    -------
    ndarray, 1/meV
    """
    shifted = np.add(energy, band)
    pairing = np.square(gap) / (shifted * shifted + gamma0 * gamma0)
    width = gamma1 + gamma0 * pairing
    distance = np.subtract(energy, band) - shifted * pairing
    return np.asarray(width / (math.pi * (distance * distance + width * width)), dtype=np.float64)


def bonding_energy(kx: Array | float, ky: Array | float) -> Array:
    """Return the bonding band's energy relative to E_F, meV: lower by `SPLITTING` times the d-wave factor squared."""
    return np.asarray(band_energy(kx, ky) - SPLITTING * d_wave_factor(kx, ky) ** 2)


@cache
def _hump_table() -> Array:
    """Return the hump at distances of 0, `_TABLE_STEP`, ... meV beyond the quasiparticle; its integral is one."""
    distance = np.arange(0.0, 400.0, _TABLE_STEP)
    sigma = HUMP_WIDTH * _FWHM_TO_SIGMA
    height = np.exp(-0.5 * ((distance - HUMP_OFFSET) / sigma) ** 2) * expit((distance - MODE) / MODE_WIDTH)
    height[[0, -1]] = 0.0  # what is beyond either end
    return np.asarray(height / (height.sum() * _TABLE_STEP))


def hump(energy: Array, band: Array, gap: Array) -> Array:
    """Return the incoherent part of the spectral function, normalised to one electron.

    As much of it is occupied as of the coherent part, (1 - eps / E) / 2 with E = sqrt(eps^2 + gap^2); it begins at a
    mode's energy beyond E, on either side of E_F.

    Parameters
    ----------
    energy, band, gap : ndarray, meV, broadcast

    Returns
    -------
    ndarray, 1/meV
    """
    quasiparticle = np.hypot(band, gap)
    occupied = 0.5 * (1.0 - band / np.maximum(quasiparticle, 1e-9))
    table = _hump_table()
    # A table fine enough to be read at the nearest entry: an exponential takes longer than all the rest.
    place = np.rint((np.abs(energy) - quasiparticle) * (1.0 / _TABLE_STEP)).astype(np.int32)
    height = table.take(place, mode="clip")
    return np.asarray(height * np.where(energy < 0.0, occupied, 1.0 - occupied))


def band_emission(energy: Array, kx: Array, ky: Array, gap: float, gamma1: float, truth: Truth = STANDARD) -> Array:
    """Return what the bands emit before the Fermi function.

    Parameters
    ----------
    energy : ndarray, shape (n_energy,), meV from E_F
    kx, ky : ndarray, shape (n,), 1/Å
    gap : float, meV
        At the antinodal k_F.
    gamma1 : float, meV
    truth : Truth

    Returns
    -------
    ndarray, shape (n, n_energy), 1/meV
    """
    emitted = _sheets(energy, kx, ky, gap, gamma1, truth)
    if truth.replica:
        q = SUPERSTRUCTURE * math.pi / LATTICE_CONSTANT
        one = replace(truth, bonding=0.0)
        for shift in (q, -q):
            emitted += truth.replica * _sheets(energy, kx + shift, ky + shift, gap, gamma1, one)
    if truth.matrix_element:
        emitted *= 1.0 + truth.matrix_element * np.sin(ky * LATTICE_CONSTANT)[:, None]
    return emitted


def _sheets(energy: Array, kx: Array, ky: Array, gap: float, gamma1: float, truth: Truth) -> Array:
    """Return the spectral functions of both bilayer bands at momenta of one zone or another."""
    factor = (d_wave_factor(kx, ky) / antinodal_factor())[:, None]
    delta = (gap * d_wave_factor(kx, ky) / antinodal_factor())[:, None]
    incoherent = truth.hump * np.minimum(factor, 1.0) ** 2
    emitted = _line(energy, band_energy(kx, ky)[:, None], delta, gamma1, incoherent)
    if truth.bonding:
        rate = gamma1 + BONDING_BROADENING * np.maximum(np.abs(energy) - gap, 0.0)
        emitted += truth.bonding * _line(energy, bonding_energy(kx, ky)[:, None], delta, rate, incoherent)
    return emitted


def _line(energy: Array, band: Array, delta: Array, gamma1: Array | float, incoherent: Array) -> Array:
    coherent = norman_spectral_function(energy, band, delta, gamma1)
    if not incoherent.any():
        return coherent
    coherent *= 1.0 - incoherent
    coherent += incoherent * hump(energy, band, delta)
    return coherent
