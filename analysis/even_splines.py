"""Even and odd cubic splines through the angle distributions of several energy bands, by weighted least squares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["even_fit", "onto", "project", "splines", "uneven_basis", "unlike", "variance_of"]

Array = NDArray[np.float64]

#: Powers of the distance of which emission that is uneven is made.
POWERS = (1, 3)


def splines(distance: Array, half_width: float, spacing: float) -> tuple[Array, Array, Array]:
    """Return the even splines, their slopes, and the odd splines at distances from the centre, a row each.

    The outermost is level beyond the last knot: a spline of which the channels see only a foot would be any number.
    """
    knots = max(2, round(half_width / spacing) - 2)
    t = distance[:, None] / spacing - np.arange(-knots, knots + 1)
    size = np.abs(t)
    inner, outer = np.maximum(1.0 - size, 0.0), np.maximum(2.0 - size, 0.0)
    inner2, outer2 = inner * inner, outer * outer
    value = (outer * outer2 - 4.0 * inner * inner2) / 6.0
    slope = np.sign(t) * (2.0 * inner2 - outer2 / 2.0) / spacing
    right, left = slice(knots, None), slice(knots, None, -1)
    even, even_slope = value[:, right] + value[:, left], slope[:, right] + slope[:, left]
    even[:, 0] /= 2.0
    even_slope[:, 0] /= 2.0
    odd = value[:, knots + 1 :] - value[:, knots - 1 :: -1]
    level = 1.0 - even.sum(axis=1)
    return (
        np.column_stack([even, level]),
        np.column_stack([even_slope, -even_slope.sum(axis=1)]),
        np.column_stack([odd, np.sign(distance) * level]),
    )


def variance_of(counts: Array, even: Array) -> Array:
    """Return the variance of each channel, from a smooth curve rather than from counts that are by chance low."""
    _, shape, _ = even_fit(counts, np.ones_like(counts), even)
    return np.asarray(np.maximum(shape @ even.T, 0.25 * counts.mean(axis=1, keepdims=True)))


def uneven_basis(counts: Array, weight: Array, even: Array, distance: Array) -> Array:
    """Return the even splines and, band by band, what emission adds that is not as strong on both sides.

    A matrix element multiplies the bands by a smooth factor, and not what is emitted without direction below them: each
    band's even part E is joined by u E, u^3 E, u and u^3, with u the distance from the centre.

    Parameters
    ----------
    counts, weight : ndarray, shape (n_band, n_angle)
    even : ndarray, shape (n_angle, n_even)
    distance : ndarray, shape (n_angle,)

    Returns
    -------
    ndarray, shape (n_band, n_angle, n_even + 4)
    """
    _, shape, _ = even_fit(counts, weight, even)
    scaled = distance / np.abs(distance).max()
    level = shape @ even.T
    level /= level.mean(axis=1, keepdims=True)
    factors = np.stack([scaled**power for power in POWERS], axis=1)
    same = np.broadcast_to(
        np.concatenate([even, factors], axis=1), (len(counts), *np.add(even.shape, (0, len(POWERS))))
    )
    return np.concatenate([same, level[:, :, None] * factors], axis=2)


def onto(values: Array, basis: Array) -> Array:
    """Return the products of values (n_band, n_angle) with a basis, (n_angle, n) or one for each band."""
    return np.asarray(values @ basis if basis.ndim == 2 else (values[:, None, :] @ basis)[:, 0])


def made_of(shape: Array, basis: Array) -> Array:
    """Return what coefficients (n_band, n) make of a basis, shape (n_band, n_angle)."""
    return np.asarray(shape @ basis.T if basis.ndim == 2 else (basis @ shape[:, :, None])[:, :, 0])


def even_fit(counts: Array, weight: Array, basis: Array) -> tuple[Array, Array, Array]:
    """Return normal matrices, coefficients and residuals of all bands; what no channel tells of stays near 0."""
    normal = (basis.swapaxes(-1, -2) * weight[:, None, :]) @ basis
    size = np.trace(normal, axis1=1, axis2=2) / basis.shape[-1]
    normal += 1e-9 * size[:, None, None] * np.eye(basis.shape[-1])
    shape = np.asarray(np.linalg.solve(normal, onto(counts * weight, basis)[..., None])[..., 0], dtype=np.float64)
    return normal, shape, counts - made_of(shape, basis)


def project(normal: Array, basis: Array, weight: Array, values: Array) -> Array:
    """Return what the basis can make of values."""
    shape = np.asarray(np.linalg.solve(normal, onto(values * weight, basis)[..., None])[..., 0], dtype=np.float64)
    return made_of(shape, basis)


def unlike(normal: Array, basis: Array, weight: Array, columns: Array) -> Array:
    """Return of columns (n_angle, n) what the basis of each band cannot make, shape (n_band, n_angle, n)."""
    share = np.linalg.solve(normal, basis.swapaxes(-1, -2) @ (weight[:, :, None] * columns))
    return np.asarray(columns - basis @ share)
