"""Straightening of an image whose Fermi edge is curved: whole channels for the frames, what is left over for the model.

The entrance slit of a hemispherical analyser makes the edge of a metal a parabola in angle. Moving rows by whole
channels straightens it to half a channel and leaves every count where it was counted; interpolating would spread each
count over two channels and so correlate their noise, which a likelihood of independent channels does not know. What
remains is smooth and known: its mean over a k_F window is part of that window's E_F, its spread part of the resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microarpes.analysis.fermi_edge import FermiEdgeFit, fit_fermi_edge
from microarpes.analysis.line_shape import Array
from microarpes.analysis.settings import check_axis, check_number
from microarpes.analysis.units import FWHM_PER_SIGMA, ev_from_mev, mev_from_ev

__all__ = ["RowShifts", "row_shifts"]

#: Groups of neighbouring angle channels, each with an edge of its own.
N_GROUPS = 30
#: Standard deviations from the curve at which a group's edge is left out.
OUTLIER_SIGMAS = 4.0
#: Groups needed beyond the coefficients of the curve, and the part of the angles that they must span.
SPARE_GROUPS, LEAST_SPAN = 2, 0.5


@dataclass(frozen=True)
class RowShifts:
    """How to straighten frames, and what the model must know besides.

    Attributes
    ----------
    row_shift : ndarray of int, shape (n_angle,), energy channels
        Added to the channel index while summing, as in the calibration record.
    ef : float, eV kinetic
        Fermi energy to which the rows are brought.
    residual : ndarray, shape (n_angle,), eV
        Fermi energy of each row after its shift, minus `ef`; at most half a channel.
    angle : ndarray, shape (n_angle,), deg
    curve : ndarray, shape (degree + 1,), eV / deg^i
        Fermi energy against angle before the shift, constant first.
    scatter : float, eV
        Root mean square of the groups' edges about the curve.
    ef_error : float, eV
        Statistical error of the curve at its best known angle.
    """

    row_shift: NDArray[np.intp]
    ef: float
    residual: Array
    angle: Array
    curve: Array
    scatter: float
    ef_error: float

    def window(self, angle_low: float, angle_high: float) -> tuple[float, float]:
        """Fermi energy of a window and the FWHM that the remaining spread adds in quadrature to its resolution.

        Parameters
        ----------
        angle_low, angle_high : float, deg
            Half-open on the centres of the angle channels, as in the start document.

        Returns
        -------
        ef, spread : float, eV kinetic and eV FWHM

        Raises
        ------
        ValueError
            When no angle channel lies inside.
        """
        inside = (self.angle >= angle_low) & (self.angle < angle_high)
        if not inside.any():
            raise ValueError(
                f"window [{angle_low:g}, {angle_high:g}[ deg holds no angle channel; they lie between "
                f"{self.angle.min():g} and {self.angle.max():g} deg"
            )
        rest = self.residual[inside]
        return self.ef + float(rest.mean()), float(rest.std() * FWHM_PER_SIGMA)


def row_shifts(
    frame: ArrayLike,
    energy: ArrayLike,
    angle: ArrayLike,
    temperature: float = 10.0,
    gain: float = 1.0,
    degree: int = 2,
) -> RowShifts:
    """Find the row shifts from an image of a metal's Fermi edge.

    Parameters
    ----------
    frame : array_like, shape (n_angle, n_energy), detector units
        Image of a polycrystalline metal in the lens mode and pass energy of the map; never shifted before.
    energy : array_like, shape (n_energy,), eV kinetic
        Channel centres, ascending and equally spaced.
    angle : array_like, shape (n_angle,), deg
        Centres of the angle channels.
    temperature : float, K
    gain : float
        Detector units per photoelectron.
    degree : int
        Of the polynomial in angle, 0 to 6; 2 for an entrance slit.

    Raises
    ------
    ValueError
        When an argument is wrong, or too few angles show an edge.
    """
    image, axis, angles = _checked(frame, energy, angle)
    check_number("degree", degree, "", 0, 6)
    centre, edges = _edges(image, axis, angles, temperature, gain)
    curve, error, scatter = _curve(centre, edges, angles, int(degree))
    along = np.polynomial.polynomial.polyval(angles, curve)
    step = float(axis[-1] - axis[0]) / (axis.size - 1)
    ef = float(np.median(along))
    shift = np.rint((ef - along) / step).astype(np.intp)
    return RowShifts(shift, ef, along + shift * step - ef, angles, curve, scatter, error)


def _checked(frame: ArrayLike, energy: ArrayLike, angle: ArrayLike) -> tuple[Array, Array, Array]:
    """Image, energy axis (eV) and angles, when they belong together."""
    axis = ev_from_mev(check_axis(mev_from_ev(energy)))
    image, angles = np.asarray(frame, dtype=np.float64), np.asarray(angle, dtype=np.float64)
    if axis.ndim != 1 or angles.ndim != 1 or image.shape != (angles.size, axis.size):
        raise ValueError(
            f"frame has shape {image.shape}, angle {angles.shape} and energy {axis.shape}; "
            "give (n_angle, n_energy), (n_angle,) and (n_energy,)"
        )
    steps = np.diff(axis)
    if np.ptp(steps) > 0.01 * steps.mean():
        raise ValueError(f"energy has steps from {steps.min():g} to {steps.max():g} eV; row shifts need equal channels")
    if not np.isfinite(angles).all():
        raise ValueError("angle holds NaN or infinite values; give the centres of the channels in deg")
    return image, axis, angles


def _edges(
    image: Array, energy: Array, angle: Array, temperature: float, gain: float
) -> tuple[Array, list[FermiEdgeFit]]:
    """Edges of groups of neighbouring rows, and the groups' mean angles; the resolution is that of the brightest."""
    groups = np.array_split(np.arange(angle.size), min(N_GROUPS, angle.size))
    brightest = max(groups, key=lambda rows: float(image[rows].sum()))
    whole = fit_fermi_edge(energy, image[brightest].sum(axis=0), temperature, gain=gain)
    known = whole.resolution if whole.status == "ok" and whole.resolution >= 0.0005 else None
    fits = [fit_fermi_edge(energy, image[rows].sum(axis=0), temperature, known, gain) for rows in groups]
    return np.array([angle[rows].mean() for rows in groups]), fits


def _curve(centre: Array, fits: list[FermiEdgeFit], angle: Array, degree: int) -> tuple[Array, float, float]:
    """Polynomial through the edges, weighted by their errors, without outliers; coefficients, error, scatter."""
    used = np.array([fit.status == "ok" for fit in fits])
    ef, error = np.array([fit.ef for fit in fits]), np.array([fit.ef_error for fit in fits])
    for _ in range(3):
        span = float(np.ptp(centre[used])) if used.any() else 0.0
        if used.sum() < degree + 1 + SPARE_GROUPS or span < LEAST_SPAN * float(np.ptp(angle)):
            raise ValueError(
                f"{int(used.sum())} of {used.size} groups of angle channels show a Fermi edge, over {span:g} of "
                f"{float(np.ptp(angle)):g} deg; at least {degree + 1 + SPARE_GROUPS} over half of the angles are "
                "needed: count longer, on a polycrystalline metal with E_F inside the window"
            )
        columns = np.polynomial.polynomial.polyvander(centre[used], degree) / error[used][:, None]
        curve, *_ = np.linalg.lstsq(columns, ef[used] / error[used], rcond=None)
        away = ef - np.polynomial.polynomial.polyval(centre, curve)
        scatter = float(np.sqrt(np.mean(away[used] ** 2)))
        near = np.abs(away) <= OUTLIER_SIGMAS * np.maximum(error, 1.4826 * float(np.median(np.abs(away[used]))))
        if (used & ~near).any():
            used &= near
        else:
            break
    return np.asarray(curve), float(1.0 / np.sqrt((error[used] ** -2).sum())), scatter
