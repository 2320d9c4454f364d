r"""How far the flux of the beam moves a Fermi edge: edges at several fluxes, extrapolated to none.

Space charge between the photoelectrons, and charging of what they leave, shift all energies in proportion to the flux
as long as both are small (X. J. Zhou et al., J. Electron Spectrosc. Relat. Phenom. 142, 27 (2005),
arXiv:cond-mat/0410006). Meanwhile the monochromator drifts, so that

.. math::

    E_F(F, t) = E_0 + s\, F + d\, (t - \bar t)

is fitted by weighted least squares; the shift at a flux :math:`F_0` is :math:`s F_0`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

__all__ = ["FluxExtrapolation", "extrapolate_to_no_flux"]

Array = NDArray[np.float64]

#: Fluxes that a line needs before a bend can be seen, edges that it and a drift need, and how far apart fluxes have to
#: be, as a part of the largest, to be two.
LEAST_FLUXES, LEAST_EDGES, APART = 3, 4, 0.02
#: Probability of a worse chi2 below which this is no line.
CHANCE = 1e-3


@dataclass(frozen=True)
class FluxExtrapolation:
    """A line through Fermi edges against the flux.

    Attributes
    ----------
    shift, shift_error : float, eV
        By how much the flux of `working` moves the edge; NaN, as all numbers but chi2, unless `status` is ``ok``.
    slope, slope_error : float, eV per unit of the flux
    edge, edge_error : float, eV kinetic
        Without flux, in the middle of the measurement.
    drift, drift_error : float, eV/h
    chi2 : float
    dof : int
    status : str
        ``ok``; ``too-few`` edges or different fluxes; ``no-beam`` where a flux is not above 0; ``misfit`` where the
        edges are on no line; ``bad-input`` where something is no number, or times and fluxes go together.
    """

    shift: float
    shift_error: float
    slope: float
    slope_error: float
    edge: float
    edge_error: float
    drift: float
    drift_error: float
    chi2: float
    dof: int
    status: str


def extrapolate_to_no_flux(
    flux: ArrayLike, time: ArrayLike, edge: ArrayLike, edge_error: ArrayLike, working: float
) -> FluxExtrapolation:
    """Extrapolate Fermi edges to no flux.

    Parameters
    ----------
    flux : array_like, shape (n,)
        Of the beam, in any unit.
    time : array_like, shape (n,), s
    edge, edge_error : array_like, shape (n,), eV kinetic
        Fermi edges and their errors, one standard deviation.
    working : float
        Flux whose shift is asked for, in the unit of `flux`.
    """
    flux, time, edge, error = (np.asarray(values, dtype=np.float64) for values in (flux, time, edge, edge_error))
    if not {flux.shape, time.shape, edge.shape, error.shape} == {(flux.size,)}:
        return _nothing("bad-input")
    if flux.size < LEAST_EDGES:
        return _nothing("too-few")
    if not (np.isfinite([flux, time, edge, error]).all() and np.isfinite(working) and (error > 0.0).all()):
        return _nothing("bad-input")
    if not ((flux > 0.0).all() and working > 0.0):
        return _nothing("no-beam")
    if _different(flux) < LEAST_FLUXES:
        return _nothing("too-few")
    middle = float(np.average(edge, weights=error**-2.0))
    hours = (time - time.mean()) / 3600.0
    return _line(flux / working, hours, edge - middle, error, working, middle)


def _line(flux: Array, hours: Array, edge: Array, error: Array, working: float, middle: float) -> FluxExtrapolation:
    """Fit where the working flux is 1: then the slope is the shift."""
    scale = max(float(np.abs(hours).max()), 1e-9)
    columns = np.stack([np.ones_like(flux), flux, hours / scale], axis=1) / error[:, None]
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        return _nothing("bad-input")
    covariance = np.linalg.inv(columns.T @ columns)
    found = covariance @ (columns.T @ (edge / error))
    errors = np.sqrt(np.diag(covariance))
    chi2, dof = float(((edge / error - columns @ found) ** 2).sum()), len(edge) - len(found)
    if chdtrc(dof, chi2) < CHANCE:
        return _nothing("misfit", chi2, dof)
    return FluxExtrapolation(
        shift=float(found[1]),
        shift_error=float(errors[1]),
        slope=float(found[1]) / working,
        slope_error=float(errors[1]) / working,
        edge=middle + float(found[0]),
        edge_error=float(errors[0]),
        drift=float(found[2]) / scale,
        drift_error=float(errors[2]) / scale,
        chi2=chi2,
        dof=dof,
        status="ok",
    )


def _different(flux: Array) -> int:
    """Count the fluxes that can be told apart."""
    return 1 + int((np.diff(np.sort(flux)) > APART * flux.max()).sum())


def _nothing(status: str, chi2: float = float("nan"), dof: int = 0) -> FluxExtrapolation:
    nan = float("nan")
    return FluxExtrapolation(nan, nan, nan, nan, nan, nan, nan, nan, chi2, dof, status)
