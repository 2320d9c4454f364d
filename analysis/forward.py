r"""From a spectral function to expected counts: Fermi cut, resolution, channels and bins.

The model of an EDC, in counts per energy channel, is

.. math::

    I(\omega) = \{[a\, s\, A(\omega) + B(\omega)]\, f(\omega, T)\} \otimes G(R) + c

with :math:`s` the channel width, :math:`B` linear below E_F and written by its values at the lower end of the fit
window and at E_F (both >= 0), :math:`G` a Gaussian of FWHM :math:`R`. The convolution is a trapezoid sum on a uniform
fine grid, which converges spectrally for these analytic functions; the Fermi factor is part of the kernel, so that one
matrix product carries the spectral function and its derivatives to the bins. So is the factor of the flat field, what a
channel counts of what it is given: it multiplies the expectation and never divides counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from microarpes.analysis.line_shape import Array
from microarpes.analysis.units import BOLTZMANN, FWHM_PER_SIGMA

__all__ = ["Instrument", "Window", "bin_channels", "fit_window", "make_window"]

#: Kernel half-width in standard deviations; what is cut off is 2e-9 of the weight.
KERNEL_SIGMAS = 6.0
#: Fit bins are at most this part of the resolution (FWHM): 2 meV bins at 12 meV cost 0.6 % of the variance.
BINS_PER_FWHM = 6.0


@dataclass(frozen=True)
class Instrument:
    """What is known about an EDC before it is fitted.

    Attributes
    ----------
    resolution : float, meV
        FWHM of the total energy resolution.
    temperature : float, K
        Temperature of the sample.
    ef_offset : float, meV
        Where the Fermi energy lies on the energy axis; 0 but for the study of its error.
    gamma0_floor : float, meV
        Smallest pair-breaking rate that will be evaluated; a narrow dip needs a finer grid.
    """

    resolution: float
    temperature: float
    ef_offset: float = 0.0
    gamma0_floor: float = 0.5

    @property
    def sigma(self) -> float:
        """Standard deviation of the resolution function, meV."""
        return self.resolution / FWHM_PER_SIGMA

    @property
    def thermal(self) -> float:
        """Thermal energy kT, meV."""
        return BOLTZMANN * self.temperature

    @property
    def fine_step(self) -> float:
        """Largest step, meV, at which the trapezoid sum is exact to about 1e-6 of the peak.

        The error of the sum is 2 exp(-2 pi g / h), g the distance of the nearest pole from the real axis: pi kT
        for the Fermi function; the resolution itself asks for h <= sigma.
        """
        dip = 1.0 if self.gamma0_floor >= 0.5 else 0.5
        return min(dip, 1.35 * self.thermal, self.sigma)


@dataclass(frozen=True)
class Window:
    """A fit window: which channels, how they are binned, and the matrices that predict their counts.

    Attributes
    ----------
    first, bin_size, n_bins : int
        First channel, channels per bin, number of bins.
    fine : ndarray, shape (n_fine,), meV
        Where the spectral function is evaluated, relative to the Fermi energy.
    kernel : ndarray, shape (n_fine, n_bins), meV
        Carries a spectral function (1/meV) to counts per bin for unit amplitude.
    linear : ndarray, shape (3, n_bins)
        Counts per bin for one count per channel of: background at the lower end, background at E_F, constant.
    centre : ndarray, shape (n_bins,), meV
        Mean energy of the bins.
    """

    first: int
    bin_size: int
    n_bins: int
    fine: Array
    kernel: Array
    linear: Array
    centre: Array


def channel_edges(energy: Array) -> Array:
    """Borders between channels from their centres, shape (n + 1,), meV."""
    inner = 0.5 * (energy[1:] + energy[:-1])
    return np.concatenate(([1.5 * energy[0] - 0.5 * energy[1]], inner, [1.5 * energy[-1] - 0.5 * energy[-2]]))


def channel_kernel(energy: Array, instrument: Instrument) -> tuple[Array, Array, Array]:
    """Fine grid, channel-averaged resolution kernel without Fermi factor, and relative channel widths."""
    edges = channel_edges(energy)
    width = np.diff(edges)
    step = instrument.fine_step
    samples = max(1, int(np.ceil(float(width.max()) / step - 1e-9)))
    step = min(step, float(width.mean()) / samples)
    pad = KERNEL_SIGMAS * instrument.sigma
    n_fine = int(np.ceil((edges[-1] - edges[0] + 2 * pad) / step)) + 1
    fine = edges[0] - pad + step * np.arange(n_fine)
    kernel = np.zeros((n_fine, energy.size))
    norm = step / (instrument.sigma * np.sqrt(2 * np.pi) * samples)
    for i in range(samples):  # channels integrate over their width: midpoint rule with `samples` points
        at = edges[:-1] + width * (i + 0.5) / samples
        kernel += norm * np.exp(-0.5 * ((at[None, :] - fine[:, None]) / instrument.sigma) ** 2)
    relative = width / width.mean()
    return fine, kernel * relative[None, :], relative


def make_window(
    energy: Array,
    first: int,
    bin_size: int,
    n_bins: int,
    lower: float,
    instrument: Instrument,
    flat_field: Array | None = None,
) -> Window:
    """Set up the matrices of one fit window.

    Parameters
    ----------
    energy : ndarray, shape (n_energy,), meV
        Channel centres, ascending, Fermi energy at 0.
    first, bin_size, n_bins : int
        Channels ``first ... first + bin_size * n_bins - 1`` are fitted.
    lower : float, meV
        Energy (< 0) at which the first background parameter is the background.
    instrument : Instrument
        Resolution, temperature and Fermi energy.
    flat_field : ndarray, shape (n_energy,), optional
        Factor of each channel; 0 for one that counts nothing.
    """
    used = energy[first : first + bin_size * n_bins]
    mean_width = float(np.mean(np.diff(channel_edges(used)))) if used.size > 1 else 1.0
    at, kernel, relative = channel_kernel(used, instrument)
    fine = at - instrument.ef_offset
    fermi = expit(-fine / instrument.thermal)
    kernel = kernel * fermi[:, None]
    if flat_field is not None:
        factor = flat_field[first : first + bin_size * n_bins]
        kernel, relative = kernel * factor[None, :], relative * factor
    binned = kernel.reshape(fine.size, n_bins, bin_size).sum(axis=2)
    slope = fine / lower
    linear = np.stack([slope @ binned, (1.0 - slope) @ binned, relative.reshape(n_bins, bin_size).sum(axis=1)])
    centre = used.reshape(n_bins, bin_size).mean(axis=1)
    # np.matmul wants both operands contiguous to take the same path whatever the batch
    return Window(
        first, bin_size, n_bins, np.ascontiguousarray(fine), np.ascontiguousarray(binned * mean_width), linear, centre
    )


def fit_window(energy: Array, lower: float, upper: float, width: float) -> tuple[int, int, int]:
    """Choose channels and bins for a window, on a bin lattice anchored at the Fermi energy.

    Parameters
    ----------
    energy : ndarray, shape (n_energy,), meV
        Channel centres, ascending.
    lower, upper : float, meV
        Wanted limits; what the axis lacks is left out.
    width : float, meV
        Bins are at most so wide, and at least one channel.

    Returns
    -------
    first, bin_size, n_bins : int
    """
    step = float(energy[-1] - energy[0]) / (energy.size - 1)
    bin_size = max(1, int(np.floor(width / step + 1e-6)))
    anchor = int(np.searchsorted(energy, 0.0))
    low = int(np.searchsorted(energy, lower - 1e-9))
    high = int(np.searchsorted(energy, upper + 1e-9))  # one past the last
    below = (anchor - low) // bin_size
    above = (high - anchor) // bin_size
    return anchor - below * bin_size, bin_size, below + above


def bin_channels(counts: Array, window: Window) -> Array:
    """Sum channels to the bins of a window; shape (..., n_energy) to (..., n_bins)."""
    used = counts[..., window.first : window.first + window.bin_size * window.n_bins]
    return np.ascontiguousarray(used.reshape(*counts.shape[:-1], window.n_bins, window.bin_size).sum(axis=-1))
