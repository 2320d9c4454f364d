"""Angle distributions of a few bands of energies about E_F, and which share of the electrons was counted there."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["band_edges", "energy_bands", "joined"]

Array = NDArray[np.float64]

#: Energies, eV from E_F, that are used, and into how many bands they are parted: the peaks of +-k_F move in energy.
ENERGIES, N_BAND = (-0.08, 0.02), 4


def band_edges(
    shape: tuple[int, ...], energy: Array, fermi_energy: float, row_shift: ArrayLike | None = None
) -> NDArray[np.intp]:
    """Return the first energy channel of each band and the one after the last, shape (n_angle, N_BAND + 1).

    Parameters
    ----------
    shape : tuple of int
        Of the frame, (n_angle, n_energy).
    energy : ndarray, shape (n_energy,), eV kinetic
    fermi_energy : float, eV kinetic
    row_shift : array_like of int, shape (n_angle,), optional
        Energy channels by which each row is shifted up.

    Raises
    ------
    ValueError
        The frame does not hold the bands, or `row_shift` is of another one.
    """
    edges = np.searchsorted(energy - fermi_energy, np.linspace(*ENERGIES, N_BAND + 1))
    shift = np.zeros(shape[0], dtype=np.intp) if row_shift is None else np.asarray(row_shift, dtype=np.intp)
    if shift.shape != shape[:1]:
        raise ValueError(f"row_shift has shape {shift.shape}, the frame {shape[0]} angle channels")
    at = edges[None, :] - shift[:, None]
    if at.min() < 1 or at.max() >= energy.size or (np.diff(edges) < 1).any():
        raise ValueError(
            f"energies of {energy[0]:g} to {energy[-1]:g} eV in {energy.size} channels do not hold "
            f"{N_BAND} bands of {1e3 * ENERGIES[0]:g} to {1e3 * ENERGIES[1]:g} meV about E_F = {fermi_energy:g} eV"
        )
    return at


def _sums(values: NDArray[np.generic], at: NDArray[np.intp]) -> Array:
    """Return sums of the energy bands, shape (N_BAND, n_angle); NaN where there is what is no number."""
    low, high = int(at.min()), int(at.max())
    used = values[:, low - 1 : high]
    if used.dtype.kind == "f" and not np.isfinite(used).all():
        return np.full((1, len(values)), np.nan)
    near = np.cumsum(used, axis=1, dtype=np.float64)
    return np.ascontiguousarray(np.diff(np.take_along_axis(near, at - low, axis=1), axis=1).T)


def energy_bands(
    counts: NDArray[np.generic], at: NDArray[np.intp], flat_field: ArrayLike | None = None
) -> tuple[Array, Array | None]:
    """Return counts of the energy bands, shape (N_BAND, n_angle), and what share of the electrons was counted there.

    Parameters
    ----------
    counts : ndarray, shape (n_angle, n_energy)
    at : ndarray of int
        From `band_edges`.
    flat_field : array_like, shape (n_angle, n_energy), optional
        What each channel counts of what it is given, 0 for a dead one. Without it there are no shares.

    Returns
    -------
    bands : ndarray, shape (N_BAND, n_angle)
        NaN, shape (1, n_angle), where the frame holds what is no number.
    exposure : ndarray, shape (N_BAND, n_angle), or None

    Raises
    ------
    ValueError
        The flat field is not of the frame's shape.
    """
    if flat_field is None:
        return _sums(counts, at), None
    factors = np.asarray(flat_field, dtype=np.float64)
    if factors.shape != counts.shape:
        raise ValueError(f"the flat field has shape {factors.shape}, the frame {counts.shape}")
    return _exposed(counts, factors, at)


def _exposed(counts: NDArray[np.generic], factors: Array, at: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return counts of the live channels in each band, and which share of the electrons was counted there.

    The share is the mean of the factors over a band's energies, with what the energy distribution of the whole frame
    says of how many electrons came with each.
    """
    low, high = int(at.min()) - 1, int(at.max())
    live = np.where(factors > 0.0, counts, 0)
    row = np.arange(len(counts))[:, None]
    # Energies of the bands on one axis for all rows, shifted as these are.
    along = np.arange(at[0, 0], at[0, -1])[None, :] + (at[:, :1] - at[0, 0])
    given = factors[row, along].sum(axis=0)
    spectrum = np.where(given > 0.0, live[row, along].sum(axis=0) / np.maximum(given, 1e-12), 0.0)
    weight = np.zeros((len(counts), high - low))
    weight[row, along - low] = np.maximum(spectrum, 1e-12)
    within = at - low
    return _sums(live, at), _sums(factors[:, low:high] * weight, within) / _sums(weight, within)


def joined(exposure: Array, brightness: Array, first: NDArray[np.intp]) -> Array:
    """Return the shares of bands put together, each with the electrons of its band.

    Parameters
    ----------
    exposure : ndarray, shape (n_band, n_angle)
    brightness : ndarray, shape (n_band,), counts
    first : ndarray of int
        First band of each group.
    """
    weight = np.maximum(brightness, 1e-12)
    return np.asarray(
        np.add.reduceat(exposure * weight[:, None], first, axis=0) / np.add.reduceat(weight, first)[:, None]
    )
