"""Spectra with a known truth, by brute-force quadrature that shares no code with the fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from scipy.special import expit

KT_PER_K = 0.08617333262


def self_energy_norman(w, delta, gamma1, gamma0, eps_k=0.0):
    """Norman's spectral function from his complex self-energy, term by term."""
    sigma = -1j * gamma1 + delta**2 / (w + eps_k + 1j * gamma0)
    return -(1.0 / (w - eps_k - sigma)).imag / np.pi


@lru_cache(maxsize=4)
def gaussian_kernel(axis, resolution, step=0.2):
    """Places and weights of the quadrature over the resolution, FWHM in meV, of an axis given as the bytes of float64.

    Kept from one spectrum of a map to the next: a million exponentials each.
    """
    energy = np.frombuffer(axis)
    w = np.arange(energy[0] - 80.0, energy[-1] + 80.0, step)
    sigma = resolution / (2 * np.sqrt(2 * np.log(2)))
    kernel = np.exp(-0.5 * ((energy[:, None] - w) / sigma) ** 2) * step / (sigma * np.sqrt(2 * np.pi))
    w.flags.writeable = kernel.flags.writeable = False
    return w, kernel


def convolved_edc(
    energy, *, peak=100.0, delta=35.0, gamma1=15.0, gamma0=2.0, resolution=12.0, temperature=10.0,
    background=0.1, slope=0.06e-2, dark=0.01, eps_k=0.0, coherent=1.0,
):  # fmt: skip
    """Expected counts per channel; `peak` is the height of the coherent peak, the rest are shares of it."""
    w, kernel = gaussian_kernel(np.asarray(energy, dtype=float).tobytes(), resolution)
    cut = expit(-w / (KT_PER_K * temperature))
    line = kernel @ (self_energy_norman(w, delta, gamma1, gamma0, eps_k) * cut)
    return peak * (coherent * line / line.max() + kernel @ ((background - slope * w) * cut) + dark)


@pytest.fixture(scope="session")
def energy() -> np.ndarray:
    """1 meV channels as the analyser gives them."""
    return np.arange(-320.0, 80.0)


@pytest.fixture(scope="session")
def edc() -> Callable[..., np.ndarray]:
    return convolved_edc


@pytest.fixture(scope="session")
def norman_oracle() -> Callable[..., np.ndarray]:
    return self_energy_norman


def gaussian_field(rng, shape, length, power=2.0):
    """Field of unit variance and the correlation exp(-(h / length) ** power); lengths in pixels.

    Made on a torus four times as large, whose ends do not know each other.
    """
    lags = [np.abs(np.fft.fftfreq(4 * n, 1 / (4 * n))) for n in shape]
    correlation = np.exp(-((np.hypot(lags[0][:, None], lags[1]) / length) ** power))
    root = np.sqrt(np.maximum(np.fft.fft2(correlation).real, 0.0))
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal(correlation.shape)) * root).real[: shape[0], : shape[1]]


@pytest.fixture(scope="session")
def random_field() -> Callable[..., np.ndarray]:
    return gaussian_field
