r"""The gap along the Fermi surface of each pixel: how large, where its node lies, and whether it is a d-wave's.

On one side of the node the gap counts as positive, on the other as negative. The signed gaps of the windows are fitted
by

.. math::

    \Delta(\mathbf k) = \Delta_0\, D(\mathbf k) + s, \qquad D = (\cos k_y a - \cos k_x a) / 2

which is linear: :math:`s` moves the node off the diagonal. A second fit has the next harmonic beside it,
:math:`h\,(\cos 2 k_y a - \cos 2 k_x a) / 2`, which vanishes on the diagonal too; :math:`h / \Delta_0` is what the gap
function has that a d-wave has not. J. Mesot et al., Phys. Rev. Lett. 83, 840 (1999), doi:10.1103/PhysRevLett.83.840.

Near the node a gap is smaller than what resolution and a window's width make of it, and is found too large on both
sides: windows there are left out, by where they lie and not by what was found in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

__all__ = ["LEAST_FACTOR", "DWaveFit", "fit_d_wave"]

Array = NDArray[np.float64]

#: Windows whose d-wave factor is smaller are left out: their gaps, below a third of the largest, are mostly resolution.
LEAST_FACTOR = 0.3
#: One-sided 95 % limit in standard deviations: a gap that was not found is 0 with the error that its limit tells.
LIMIT = 1.645
#: Fits after which no window changes its side of the node any more.
ROUNDS = 4
#: A determinant below this part of the product of its diagonal: the windows do not tell the parameters apart.
SINGULAR = 1e-9


@dataclass(frozen=True)
class DWaveFit:
    """The gap function of pixels; NaN where there are too few windows, or all lie alike. All of shape (...).

    Attributes
    ----------
    delta0, delta0_stderr, delta0_systematic : ndarray, meV
        Gap at (pi/a, 0) of the d-wave, its error by counting (one standard deviation), and what the systematic errors
        of the gaps make of it if all are wrong the same way, as by E_F.
    shift, shift_stderr : ndarray, meV
        What is added to all signed gaps.
    node, node_stderr, node_systematic : ndarray, deg
        Fermi-surface angle of the node, 0 on the zone boundary kx = pi/a, 45 on the diagonal.
    harmonic, harmonic_stderr : ndarray
        Next harmonic over `delta0`, 0 for a d-wave; NaN where the windows cannot tell it.
    chi2, dof, p_value : ndarray
        Of the fit of `delta0` and `shift`; of as many windows as were used less 2.
    """

    delta0: Array
    delta0_stderr: Array
    delta0_systematic: Array
    shift: Array
    shift_stderr: Array
    node: Array
    node_stderr: Array
    node_systematic: Array
    harmonic: Array
    harmonic_stderr: Array
    chi2: Array
    dof: Array
    p_value: Array


def fit_d_wave(
    gap: ArrayLike,
    gap_error: ArrayLike,
    kx: ArrayLike,
    ky: ArrayLike,
    lattice_constant: float,
    *,
    upper_limit: ArrayLike | None = None,
    systematic: ArrayLike = 0.0,
    least_factor: float = LEAST_FACTOR,
) -> DWaveFit:
    """Fit gaps at several momenta, each pixel by itself.

    Parameters
    ----------
    gap, gap_error : array_like, shape (n_k, ...), meV
        Gap in each window, and its error by counting (one standard deviation); NaN where there is none.
    kx, ky : array_like, shape (n_k,) or (n_k, ...), 1/Å
        Where the windows lie; any equivalent point of the zone of a square lattice.
    lattice_constant : float, Å
    upper_limit : array_like, shape (n_k, ...), meV, optional
        95 % limit of the gap where none was found.
    systematic : array_like, shape (n_k, ...) or of all, meV
        Errors of the gaps that make all of them larger, or all smaller.
    least_factor : float
        Windows with a smaller d-wave factor are left out.

    Returns
    -------
    DWaveFit

    Raises
    ------
    ValueError
        Shapes do not fit, or the lattice constant is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> ky, kx = np.array([0.6, 0.9, 1.3]), np.array([3.1, 2.6, 2.2])
    >>> found = fit_d_wave(40.0 * np.abs(np.cos(kx) - np.cos(ky)) / 2, np.full(3, 0.5), kx, ky, 1.0)
    >>> float(found.delta0.round(6)), float(found.node.round(6))
    (40.0, 45.0)
    """
    gaps, errors = (np.asarray(values, dtype=np.float64) for values in (gap, gap_error))
    if upper_limit is not None:
        gaps, errors = _with_limits(gaps, errors, np.asarray(upper_limit, dtype=np.float64))
    ax, ay = (_broadcast(k, gaps.shape) * lattice_constant for k in (kx, ky))
    if errors.shape != gaps.shape or gaps.ndim < 1 or not lattice_constant > 0:
        raise ValueError(
            f"gaps have shape {gaps.shape}, errors {errors.shape}, lattice_constant = {lattice_constant:g} Å: give one "
            "error a gap, and a lattice constant above 0 Å"
        )
    angle, first = unfolded_angle(ax, ay), (np.cos(ay) - np.cos(ax)) / 2
    second = (np.cos(2 * ay) - np.cos(2 * ax)) / 2
    used = np.isfinite(gaps) & (errors > 0) & np.isfinite(errors) & (np.abs(first) >= least_factor)
    weight = np.where(used, 1.0 / np.square(np.where(used, errors, 1.0)), 0.0)
    value = np.where(used, gaps, 0.0)
    shape = np.stack([first, np.ones_like(first)])
    solution, covariance, signed = _signed_fit(shape, value, weight)
    chi2 = (weight * np.square(signed - np.einsum("p...,pk...->k...", solution, shape))).sum(axis=0)
    dof = used.sum(axis=0) - 2.0
    common = np.copysign(np.where(used, np.nan_to_num(np.asarray(systematic, dtype=np.float64)), 0.0), signed)
    moved = np.einsum("pq...,qk...,k...->p...", covariance, shape, weight * common)
    slope = _slope_at_node(angle, first, used)
    ratio, degrees = solution[1] / solution[0], 1.0 / np.abs(solution[0] * slope)
    wider, wider_covariance = _solve(np.stack([first, np.ones_like(first), second]), signed, weight)
    known = np.isfinite(solution[0])
    return DWaveFit(
        delta0=solution[0],
        delta0_stderr=np.sqrt(covariance[0, 0]),
        delta0_systematic=np.abs(moved[0]),
        shift=solution[1],
        shift_stderr=np.sqrt(covariance[1, 1]),
        node=45.0 - ratio / slope,
        node_stderr=_error_of_ratio(ratio, covariance[1, 1], covariance[0, 1], covariance[0, 0]) * degrees,
        node_systematic=np.abs(moved[1] - ratio * moved[0]) * degrees,
        harmonic=wider[2] / wider[0],
        harmonic_stderr=_error_of_ratio(
            wider[2] / wider[0], wider_covariance[2, 2], wider_covariance[0, 2], wider_covariance[0, 0]
        )
        / np.abs(wider[0]),
        chi2=np.where(known, chi2, np.nan),
        dof=np.where(known, dof, np.nan),
        p_value=np.where(known & (dof > 0), chdtrc(np.maximum(dof, 1.0), chi2), np.nan),
    )


def unfolded_angle(ax: Array, ay: Array) -> Array:
    """Fermi-surface angle, deg: 0 on the boundary kx = pi/a, 45 on the diagonal, 90 on ky = pi/a; from kx a, ky a."""
    to_x, to_y = (np.abs(np.pi - np.mod(phase, 2 * np.pi)) for phase in (ax, ay))
    return np.asarray(np.degrees(np.arctan2(to_x, to_y)))


def _with_limits(gaps: Array, errors: Array, limits: Array) -> tuple[Array, Array]:
    absent = ~np.isfinite(gaps) & np.isfinite(limits)
    return np.where(absent, 0.0, gaps), np.where(absent, limits / LIMIT, errors)


def _broadcast(k: ArrayLike, shape: tuple[int, ...]) -> Array:
    values = np.asarray(k, dtype=np.float64)
    if values.shape == shape[:1]:
        values = values.reshape(-1, *(1,) * (len(shape) - 1))
    return np.array(np.broadcast_to(values, shape))


def _signed_fit(shape: Array, value: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Fit with the sign of each gap as the fit before had it; the first as on the diagonal."""
    signed = np.copysign(value, shape[0])
    for _ in range(ROUNDS):
        solution, covariance = _solve(shape, signed, weight)
        modelled = np.einsum("p...,pk...->k...", solution, shape)
        again = np.where(np.isfinite(modelled), np.copysign(value, modelled), signed)
        if np.array_equal(again, signed):
            break
        signed = again
    return solution, covariance, signed


def _solve(shape: Array, value: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted linear least squares of each pixel; NaN where the windows do not tell the parameters apart."""
    information = np.moveaxis(np.einsum("pk...,qk...,k...->pq...", shape, shape, weight), (0, 1), (-2, -1))
    towards = np.moveaxis(np.einsum("pk...,k...,k...->p...", shape, value, weight), 0, -1)
    size = np.prod(np.diagonal(information, axis1=-2, axis2=-1), axis=-1)
    told = np.linalg.det(information) > SINGULAR * size
    safe = np.where(told[..., None, None], information, np.eye(len(shape)))
    covariance = np.where(told[..., None, None], np.linalg.inv(safe), np.nan)
    solution = (covariance @ towards[..., None])[..., 0]
    return np.moveaxis(solution, -1, 0), np.moveaxis(covariance, (-2, -1), (0, 1))


def _slope_at_node(angle: Array, first: Array, used: NDArray[np.bool_]) -> Array:
    """How fast D falls with the Fermi-surface angle at the diagonal, 1/deg: along the curve that the windows follow."""
    x = np.radians(angle - 45.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(used, -first / np.sin(2 * x), 0.0)
    weight = np.where(used & np.isfinite(ratio), 1.0, 0.0)
    ratio = np.where(weight > 0, ratio, 0.0)
    curve, _ = _solve(np.stack([np.ones_like(x), np.square(x)]), ratio, weight)
    with np.errstate(invalid="ignore"):
        level = np.where(np.isfinite(curve[0]), curve[0], ratio.sum(axis=0) / weight.sum(axis=0))
    return np.asarray(-2.0 * level * np.pi / 180.0)


def _error_of_ratio(ratio: Array, above: Array, both: Array, below: Array) -> Array:
    """Error of a quotient times its denominator, from variances of numerator, of both, and of the denominator."""
    return np.asarray(np.sqrt(np.maximum(above - 2 * ratio * both + np.square(ratio) * below, 0.0)))
