"""The simulation's own forward model of photoemission: fine grid, direct numerical convolution, no closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from microarpes.sim.band import antinodal_factor, band_energy, d_wave_factor, momentum
from microarpes.sim.spectral_function import band_emission, norman_spectral_function
from microarpes.sim.truth import STANDARD, Truth

Array = NDArray[np.float64]

#: Boltzmann constant, meV/K.
BOLTZMANN = 0.08617333262
#: Total energy resolution, meV FWHM of a Gaussian; angular resolution, deg FWHM.
ENERGY_RESOLUTION, ANGULAR_RESOLUTION = 10.0, 0.1
#: Incoherent emission of live flake, of the dead patch and of the holder, 1/meV (A(k, w) peaks near 0.02 / meV).
INCOHERENT, DEAD_LEVEL, HOLDER_LEVEL = 0.003, 0.003, 0.01

_FWHM_TO_SIGMA = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
_FINEST, _REACH, _BLOCK = 0.25, 5.0, 50
#: Angles computed together: as many as a core's cache holds.
_ROWS = 8


@dataclass(frozen=True)
class Cut:
    """What the analyser looks at: a key for everything that depends on it.

    Parameters
    ----------
    lowest : float
        Centre of the first energy channel, meV from E_F.
    step : float
        Energy channel, meV.
    n_energy, n_angle : int
    angle_span : float
        Full width of the slit, deg; the channels tile it.
    polar, tilt, azimuth : float, deg
    wave_number : float, 1/Å
    temperature : float, K
    largest_tilt : float, deg
        Of the faces that are looked at.
    """

    lowest: float
    step: float
    n_energy: int
    n_angle: int
    angle_span: float
    polar: float
    tilt: float
    azimuth: float
    wave_number: float
    temperature: float
    largest_tilt: float = 0.1

    @property
    def angle_step(self) -> float:
        """Angle channel, deg."""
        return self.angle_span / self.n_angle

    @property
    def margin(self) -> int:
        """Angle channels computed beyond each end, for blur and for a tilted face."""
        return 4 + math.ceil((4 * _FWHM_TO_SIGMA * ANGULAR_RESOLUTION + self.largest_tilt) / self.angle_step)


def fermi(energy: Array, temperature: float) -> Array:
    """Return the Fermi function of energies (meV) at a temperature (K)."""
    return np.asarray(expit(-energy / (BOLTZMANN * temperature)), dtype=np.float64)


def incoherent(energy: Array) -> Array:
    """Return the non-dispersing emission of live flake before the Fermi function, 1/meV: a gentle slope."""
    return INCOHERENT * np.maximum(1.0 - 0.0005 * energy, 0.0)


def emission_profile(kx: Array, ky: Array, gap: float, gamma1: float, temperature: float = 10.0) -> Array:
    """Return the emission per slit angle, integrated over [-150, 50] meV; shape of `kx`."""
    energy = np.arange(-150.0, 50.0, 2.0)
    delta = gap * d_wave_factor(kx, ky) / antinodal_factor()
    coherent = norman_spectral_function(energy, band_energy(kx, ky)[..., None], delta[..., None], gamma1)
    return np.asarray(((coherent + incoherent(energy)) * fermi(energy, temperature)).sum(axis=-1) * 2.0)


class EnergyResponse:
    """The analyser's energy response: a Gaussian (FWHM `ENERGY_RESOLUTION`) integrated over each channel.

    Parameters
    ----------
    lowest, step : float, meV
        First channel centre and channel width.
    n : int
        Channels.
    """

    def __init__(self, lowest: float, step: float, n: int) -> None:
        sigma = ENERGY_RESOLUTION * _FWHM_TO_SIGMA
        self._sub = math.ceil(step / _FINEST)
        self._fine = step / self._sub
        self._pad = math.ceil(_REACH * sigma / step)
        self._blocks = math.ceil(n / _BLOCK)
        self._n = n
        points = (self._blocks * _BLOCK + 2 * self._pad) * self._sub
        fine = (np.arange(points, dtype=np.float64) + 0.5) * self._fine
        self.energy: Array = np.asarray(fine + (lowest - (self._pad + 0.5) * step), dtype=np.float64)
        # The kernel depends on differences only: one block serves all.
        source = (np.arange((_BLOCK + 2 * self._pad) * self._sub) + 0.5) * self._fine - self._pad * step
        edges = np.arange(_BLOCK + 1) * step
        self._kernel = np.diff(ndtr((edges[None] - source[:, None]) / sigma), axis=1) * self._fine

    def __call__(self, spectra: Array) -> Array:
        """Convolve spectra given on `energy` (1/meV), shape (..., n_fine), into channels, shape (..., n)."""
        blocks = []
        span = (_BLOCK + 2 * self._pad) * self._sub
        for block in range(self._blocks):
            first = block * _BLOCK * self._sub
            blocks.append(spectra[..., first : first + span] @ self._kernel)
        return np.concatenate(blocks, axis=-1)[..., : self._n]


@lru_cache(maxsize=8)
def _response(lowest: float, step: float, n: int) -> EnergyResponse:
    return EnergyResponse(lowest, step, n)


def live_image(cut: Cut, gap: float, gamma1: float, truth: Truth = STANDARD) -> Array:
    """Return the expected image of live flake, computed directly.

    Parameters
    ----------
    cut : Cut
    gap : float, meV
        At the antinodal k_F.
    gamma1 : float, meV
    truth : Truth

    Returns
    -------
    ndarray, shape (n_angle + 2 margin, n_energy)
        Emission per channel (dimensionless) and degree-independent: a channel's mean over its angles.
    """
    response = _response(cut.lowest, cut.step, cut.n_energy)
    finer = math.ceil(cut.angle_step / 0.05 - 1e-9)
    count = (cut.n_angle + 2 * cut.margin) * finer
    spacing = cut.angle_step / finer
    lowest = -cut.angle_span / 2 - cut.margin * cut.angle_step
    angle = np.asarray((np.arange(count) + 0.5) * spacing + lowest, dtype=np.float64)
    kx, ky = momentum(angle, polar=cut.polar, tilt=cut.tilt, azimuth=cut.azimuth, wave_number=cut.wave_number)
    occupied = fermi(response.energy, cut.temperature)
    background = incoherent(response.energy)
    image = np.empty((count, cut.n_energy))
    for first in range(0, count, _ROWS):
        rows = slice(first, first + _ROWS)
        spectra = band_emission(response.energy, kx[rows], ky[rows], gap, gamma1, truth)
        spectra += background
        spectra *= occupied
        image[rows] = response(spectra)
    if truth.shirley:
        slit = image[cut.margin * finer : (cut.margin + cut.n_angle) * finer]
        band = slit.mean(axis=0) - response(background * occupied)
        image += truth.shirley * cut.step * _lost(band)
    blurred = _blur(image, spacing)
    return np.asarray(blurred.reshape(-1, finer, cut.n_energy).mean(axis=1))


def _lost(spectrum: Array) -> Array:
    """Return the electrons above each channel and half of its own; those above the window are not known.

    An electron that lost energy has lost its direction: `spectrum` is the mean over the slit. Shirley, Phys. Rev. B 5,
    4709 (1972).
    """
    return np.asarray(np.cumsum(spectrum[::-1])[::-1] - 0.5 * spectrum)


def _blur(image: Array, spacing: float) -> Array:
    """Convolve along the angle axis; beyond the ends (inside the margin) the last channel is repeated."""
    sigma = ANGULAR_RESOLUTION * _FWHM_TO_SIGMA / spacing
    reach = math.ceil(4 * sigma)
    offsets = np.arange(-reach, reach + 1)
    weight = np.exp(-0.5 * (offsets / sigma) ** 2)
    padded = np.pad(image, ((reach, reach), (0, 0)), mode="edge")
    out = np.zeros_like(image)
    for offset, w in zip(offsets, weight / weight.sum(), strict=True):
        out += w * padded[reach + offset : reach + offset + len(image)]
    return out


def holder_spectrum(cut: Cut) -> Array:
    """Return the emission of the polycrystalline holder, shape (n_energy,): flat in angle, a sharp Fermi edge."""
    response = _response(cut.lowest, cut.step, cut.n_energy)
    bands = 1.0 - 0.0002 * response.energy
    return response(HOLDER_LEVEL * bands * fermi(response.energy, cut.temperature))


def dead_spectrum(cut: Cut) -> Array:
    """Return the emission of the dead patch, shape (n_energy,): no band and no edge, a weak step 250 meV wide."""
    response = _response(cut.lowest, cut.step, cut.n_energy)
    return response(DEAD_LEVEL * (0.25 + 0.75 * expit(-(response.energy + 40.0) / 60.0)))
