"""Even and odd cubic splines through the angle distributions of several energy bands, by weighted least squares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["even_fit", "project", "smooth_odd", "splines", "unlike", "variance_of", "without_factor"]

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


def variance_of(emitted: Array, even: Array, share: Array) -> Array:
    """Return what is expected of each channel, from a smooth curve rather than from counts that are by chance low.

    The counts are `share` of what was emitted; they have that share of it for their variance.
    """
    _, shape, _ = even_fit(emitted, share, even)
    mean = (emitted * share).sum(axis=1, keepdims=True) / share.sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(shape @ even.T, 0.25 * mean))


def smooth_odd(distance: Array) -> Array:
    """Return odd powers of the distance, as a share of the largest: what a smooth factor is made of; (n_angle, 2)."""
    return np.stack([(distance / np.abs(distance).max()) ** power for power in POWERS], axis=1)


def even_fit(counts: Array, weight: Array, basis: Array) -> tuple[Array, Array, Array]:
    """Return normal matrices, coefficients and residuals of all bands; what no channel tells of stays near 0."""
    normal = (basis.T * weight[:, None, :]) @ basis
    size = np.trace(normal, axis1=1, axis2=2) / basis.shape[1]
    normal += 1e-9 * size[:, None, None] * np.eye(basis.shape[1])
    shape = np.asarray(np.linalg.solve(normal, ((counts * weight) @ basis)[..., None])[..., 0], dtype=np.float64)
    return normal, shape, counts - shape @ basis.T


def project(normal: Array, basis: Array, weight: Array, values: Array) -> Array:
    """Return what the basis can make of values."""
    return np.asarray(np.linalg.solve(normal, ((values * weight) @ basis)[..., None])[..., 0] @ basis.T)


def unlike(normal: Array, basis: Array, weight: Array, columns: Array) -> Array:
    """Return of columns (n_angle, n) what the basis cannot make in each band, shape (n_band, n_angle, n)."""
    share = np.linalg.solve(normal, basis.T @ (weight[:, :, None] * columns))
    return np.asarray(columns - basis @ share)


def without_factor(values: Array, factors: Sequence[Array], weight: Array) -> Array:
    """Return values (n_band, n_angle) less what is made of them by factors that all bands share."""
    columns = np.stack([np.ravel(one) for one in factors], axis=1)
    weighted = columns * weight.ravel()[:, None]
    share = np.linalg.solve(weighted.T @ columns, weighted.T @ values.ravel())
    return np.asarray(values - (columns @ share).reshape(values.shape))
