r"""Fermi energy and resolution from the edge of a metal.

.. math::

    I(E) = \phi(E) \left( \{[b_0 + b_1 (E - E_0)]\, f(E - E_F, T)\} \otimes G(R) + c \right)

with Poisson likelihood; :math:`\phi` is the flat field where one is known, else 1. The temperature is given: an edge
cannot tell it from the resolution. Energies are eV kinetic, as the analyser gives them and as the calibration record
keeps them, for E_F is not known before this fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from microarpes.analysis.edge_test import axis_has_edge, refuse_edge
from microarpes.analysis.flat_field import check_flat_field
from microarpes.analysis.forward import Instrument
from microarpes.analysis.line_shape import Array
from microarpes.analysis.poisson import deviance
from microarpes.analysis.settings import check_axis, check_number
from microarpes.analysis.units import (
    BOLTZMANN,
    FWHM_PER_SIGMA,
    energy_from_kinetic,
    ev_from_mev,
    kinetic_from_energy,
    mev_from_ev,
)
from microarpes.analysis.verdict import read_counts

__all__ = ["FermiEdgeFit", "fit_fermi_edge"]

#: Half-width of the window about the edge, meV, and in FWHM: the larger counts. Beyond, a metal is not linear.
HALF_WINDOW = 120.0
HALF_WINDOW_FWHM = 6.0
#: Height of the edge over its error below which it is none.
MIN_SIGNIFICANCE = 5.0
#: Where a free resolution starts, meV FWHM.
RESOLUTION_STARTS = (8.0, 25.0, 80.0)
#: Counts per channel are never predicted below this.
FLOOR = 1e-6
#: A step that would gain less deviance than this and does not is the last: without dark counts the floor is in the way.
STUCK = 1e-4


@dataclass(frozen=True)
class FermiEdgeFit:
    """Fit of a Fermi edge.

    Attributes
    ----------
    ef, ef_error : float, eV kinetic
        Position of the edge and its statistical error; NaN unless `status` is ``ok``.
    resolution, resolution_error : float, eV
        FWHM, and its error (0 when it was given); NaN unless `status` is ``ok``.
    temperature : float, K
        As given.
    deviance, dof : float
        Poisson deviance and degrees of freedom; NaN when no fit ran.
    status : str
        ``ok``, ``no-edge`` or ``bad-input``.
    """

    ef: float
    ef_error: float
    resolution: float
    resolution_error: float
    temperature: float
    deviance: float
    dof: float
    status: str


def fit_fermi_edge(
    energy: ArrayLike,
    counts: ArrayLike,
    temperature: float = 10.0,
    resolution: float | None = None,
    gain: float = 1.0,
    ef_guess: float | None = None,
    flat_field: ArrayLike | None = None,
) -> FermiEdgeFit:
    """Fit the Fermi edge of a metal.

    Parameters
    ----------
    energy : array_like, shape (n_energy,), eV kinetic
        Channel centres, ascending.
    counts : array_like, shape (n_energy,), detector units
        What is not finite counts >= 0 on the axis is ``bad-input``; it never raises.
    temperature : float, K
    resolution : float, optional, eV
        FWHM; free when None.
    gain : float
        Detector units per photoelectron. Errors are right only with the gain measured.
    ef_guess : float, optional, eV kinetic
        Where to look; by default where the spectrum falls most significantly.
    flat_field : array_like, shape (n_energy,), optional
        Factor of each channel; one of factor 0 is left out.

    Raises
    ------
    ValueError
        When an argument other than the counts is wrong.
    """
    axis = check_axis(mev_from_ev(energy))
    if axis.ndim != 1:
        raise ValueError(f"energy has shape {axis.shape}; an edge is fitted on one axis of shape (n_energy,), eV")
    check_number("temperature", temperature, "K", 0.5, 1000.0)
    check_number("gain", gain, "detector units per photoelectron", 0.0, 1e9, open_low=True)
    if resolution is not None:
        check_number("resolution", resolution, "eV (FWHM)", 0.0005, 0.5)
    if ef_guess is not None:
        check_number("ef_guess", ef_guess, "eV", float(ev_from_mev(axis[0])), float(ev_from_mev(axis[-1])))
    read = read_counts(counts, axis.shape)
    if read is None:
        return _unfitted("bad-input", temperature)
    electrons = read / gain
    factor = check_flat_field(flat_field, axis)
    if electrons.sum() < MIN_SIGNIFICANCE**2:
        return _unfitted("no-edge", temperature)
    origin = float(ev_from_mev(_steepest_fall(axis, electrons))) if ef_guess is None else float(ef_guess)
    relative = energy_from_kinetic(ev_from_mev(axis), origin)
    starts = RESOLUTION_STARTS if resolution is None else (float(mev_from_ev(resolution)),)
    thermal, free, widest = BOLTZMANN * temperature, resolution is None, half_window(max(starts))
    fits = [_Edge(relative, electrons, thermal, start, free, widest, factor) for start in starts]
    best = min(fits, key=lambda fit: fit.deviance)
    if free:  # what was learnt on the widest window sets the final one; deviances compare on equal windows only
        width = float(np.clip(best.theta[1] * FWHM_PER_SIGMA, *RESOLUTION_STARTS[::2]))
        best = _Edge(relative, electrons, thermal, width, free, half_window(width), factor)
    status = "ok" if best.believable(temperature) else "no-edge"
    return best.result(origin, temperature, status)


def half_window(resolution: float) -> float:
    """Half-width of the fit window, meV, in steps of 10 meV."""
    return max(HALF_WINDOW, 10.0 * float(np.ceil(HALF_WINDOW_FWHM * resolution / 10.0)))


def _unfitted(status: str, temperature: float) -> FermiEdgeFit:
    nan = float("nan")
    return FermiEdgeFit(nan, nan, nan, nan, temperature, nan, nan, status)


def _steepest_fall(energy: Array, counts: Array) -> float:
    """Energy (meV) at which the counts fall most significantly, over 60 meV (at least 3 channels) to either side."""
    step = float(energy[-1] - energy[0]) / (energy.size - 1)
    width = int(np.clip(round(60.0 / step), 3, energy.size // 3))
    total = np.concatenate(([0.0], np.add.accumulate(counts)))
    border = np.arange(width, energy.size - width + 1)
    left, right = total[border] - total[border - width], total[border + width] - total[border]
    best = int(border[np.argmax((left - right) / np.sqrt(left + right + 1.0))])
    return float(0.5 * (energy[best - 1] + energy[best]))


class _Edge:
    """One ascent: parameters ef, sigma (meV, relative to the origin), b0, b1 (per meV), c."""

    def __init__(
        self,
        energy: Array,
        counts: Array,
        thermal: float,
        resolution: float,
        free: bool,
        half: float,
        factor: Array | None = None,
    ) -> None:
        used = (energy >= -half) & (energy <= half)
        if factor is not None:
            used &= factor > 0.0
        self.whole_energy, self.whole_counts, self.whole_factor = energy, counts, factor
        self.factor = np.ones(int(used.sum())) if factor is None else factor[used]
        self.energy, self.counts = energy[used], counts[used]
        self.thermal = thermal
        self.step = float(np.mean(np.diff(energy)))
        self.free = np.array([True, free, True, True, True])
        upper = self.counts[self.energy > resolution]
        dark = float(upper.mean()) if upper.size else 0.0
        lower = self.counts[self.energy < -resolution]
        bright = float(lower.mean()) if lower.size else 1.0
        self.theta = np.array([0.0, resolution / FWHM_PER_SIGMA, max(bright - dark, 0.1), 0.0, max(dark, 0.01)])
        self._climb()

    def predict(self, theta: Array) -> tuple[Array, Array]:
        """Compute expected counts per channel and their derivatives, shape (5, n)."""
        ef, sigma, b0, b1, c = theta
        n_u = int(np.clip(np.ceil(12.0 * sigma / min(1.3 * self.thermal, sigma)), 25, 801))
        u = np.linspace(-6.0, 6.0, n_u)
        weight = np.exp(-0.5 * u * u)
        weight /= weight.sum()
        # channels integrate over their width: Gauss-Legendre, for the variance of a channel adds to the resolution's
        nodes, shares = np.polynomial.legendre.leggauss(int(np.clip(np.ceil(self.step / sigma) + 1, 2, 12)))
        at = self.energy[:, None, None] + 0.5 * self.step * nodes[None, :, None] - sigma * u
        f = expit(-(at - ef) / self.thermal)
        slope = f * (1.0 - f) / self.thermal  # minus the derivative of f
        density = b0 + b1 * at
        weight = weight[None, :] * (0.5 * shares)[:, None]
        d_ef = (density * slope * weight).sum(axis=(1, 2))
        d_sigma = ((density * slope - b1 * f) * u * weight).sum(axis=(1, 2))
        d_b0, d_b1 = (f * weight).sum(axis=(1, 2)), (at * f * weight).sum(axis=(1, 2))
        expected = b0 * d_b0 + b1 * d_b1 + c
        derivatives = np.stack([d_ef, d_sigma, d_b0, d_b1, np.ones_like(d_b0)])
        return np.maximum(self.factor * expected, FLOOR), self.factor * derivatives

    def _climb(self) -> None:
        """Damped Fisher scoring to a tight decrement."""
        self.expected, self.jacobian = self.predict(self.theta)
        self.deviance = float(deviance(self.counts, self.expected))
        damping = 1e-2
        for _ in range(200):
            step, decrement = self._step(damping)
            if decrement < 1e-10 and damping <= 1e-3:
                break
            trial = self.theta + step
            trial[1] = max(abs(trial[1]), 0.1)
            trial[4] = max(trial[4], 0.0)
            expected, jacobian = self.predict(trial)
            value = float(deviance(self.counts, expected))
            if value <= self.deviance + 1e-12 * (1.0 + self.counts.sum()):
                self.theta, self.expected, self.jacobian, self.deviance = trial, expected, jacobian, value
                damping = max(damping * 0.1, 1e-9)
            elif decrement < STUCK:
                break
            else:
                damping = min(damping * 10.0, 1e9)

    def _fisher(self) -> Array:
        return np.asarray((self.jacobian / self.expected) @ self.jacobian.T)

    def _step(self, damping: float) -> tuple[Array, float]:
        """Step for the free parameters and its decrement; at most 30 meV in E_F and half of sigma."""
        score = self.jacobian @ (self.counts / self.expected - 1.0)
        held = ~self.free | (np.array([False, False, False, False, self.theta[4] <= 0.0]) & (score < 0))
        fisher = self._fisher()
        scale = np.sqrt(np.where(held, 1.0, np.maximum(np.diag(fisher), 1e-30)))
        matrix = fisher / np.outer(scale, scale)
        matrix[held] = 0.0
        matrix[:, held] = 0.0
        np.fill_diagonal(matrix, 1.0 + damping + 1e-13)
        step = np.linalg.solve(matrix, np.where(held, 0.0, score / scale)) / scale
        decrement = float(np.abs((np.where(held, 0.0, score) * step).sum()))
        ratio = max(abs(step[0]) / 30.0, abs(step[1]) / (0.5 * self.theta[1]), 1.0)
        return step / ratio, decrement

    def errors(self) -> Array:
        """Compute standard errors from the Fisher information; 0 for what was given."""
        fisher = self._fisher()[np.ix_(self.free, self.free)]
        scale = np.sqrt(np.maximum(np.diag(fisher), 1e-30))
        unit = fisher / np.outer(scale, scale) + 1e-12 * np.eye(scale.size)
        out = np.zeros(self.theta.size)
        out[self.free] = np.sqrt(np.maximum(np.diag(np.linalg.inv(unit)), 0.0)) / scale
        return out

    def believable(self, temperature: float) -> bool:
        """Tell whether what was fitted is a Fermi edge inside the axis."""
        ef, sigma, b0, b1, c = self.theta
        height, resolution = b0 + b1 * ef, sigma * FWHM_PER_SIGMA
        if not 0.5 <= resolution <= 500.0 or height < MIN_SIGNIFICANCE * self.errors()[2] or c > height:
            return False
        instrument = Instrument(resolution, temperature)
        relative = self.whole_energy - ef
        refused = refuse_edge(relative, self.whole_counts[None], instrument, self.whole_factor)
        return axis_has_edge(relative, instrument) and not refused[0]

    def result(self, origin: float, temperature: float, status: str) -> FermiEdgeFit:
        """Numbers in eV; NaN where they are not a measurement."""
        errors = self.errors()
        ef = float(kinetic_from_energy(self.theta[0], origin))
        numbers = (
            ef,
            float(ev_from_mev(errors[0])),
            float(ev_from_mev(self.theta[1] * FWHM_PER_SIGMA)),
            float(ev_from_mev(errors[1] * FWHM_PER_SIGMA)),
        )
        if status != "ok":
            numbers = (np.nan,) * 4
        dof = float(self.counts.size - self.free.sum())
        return FermiEdgeFit(*numbers, temperature, self.deviance, dof, status)
