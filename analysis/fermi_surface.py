"""Gamma in a map of the Fermi surface: emission is even about it in the polar angle and along the slit.

For crystal axes along polar axis and slit. That needs no band and no k_F; what makes one side brighter than the other
everywhere, such as a beam that comes from the side, shows as oddness and is told as ``lost``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microarpes.analysis.mirror_centre import MirrorCentre, even_centre

__all__ = ["Gamma", "gamma_offset"]

Array = NDArray[np.float64]

#: Groups in which the other angle is parted while one is looked at.
GROUPS = 4
#: Fewest polar angles, and knots' distance over that of the polar angles.
LEAST_ANGLES, KNOT_STEPS = 12, 2.0


@dataclass(frozen=True)
class Gamma:
    """About which polar and slit angle a map is even, deg.

    Attributes
    ----------
    polar, slit : MirrorCentre
        Each has its own centre, error and status.
    """

    polar: MirrorCentre
    slit: MirrorCentre


def gamma_offset(
    counts: ArrayLike, polar: ArrayLike, angle: ArrayLike, *, expected: float = 0.0, reach: float = 1.5
) -> Gamma:
    """Find Gamma by the mirror symmetry of a map in both angles.

    Parameters
    ----------
    counts : array_like, shape (n_polar, n_angle)
        Counts near E_F, each row over its I0 in units of the mean I0.
    polar : array_like, shape (n_polar,), deg
        Equally spaced, 12 or more.
    angle : array_like, shape (n_angle,), deg
        Slit angles, equally spaced and rising.
    expected, reach : float, deg
        The polar angle of Gamma is looked for within `reach` of `expected`, the slit angle within `reach` of 0.

    Returns
    -------
    Gamma

    Raises
    ------
    ValueError
        Shapes differ, the polar angles are too few or not equally spaced, or do not reach to both sides of Gamma.
    """
    rows, polars, slit = (np.asarray(values, dtype=np.float64) for values in (counts, polar, angle))
    if rows.shape != (polars.size, slit.size) or polars.size < LEAST_ANGLES:
        raise ValueError(
            f"the map has shape {rows.shape}, its angles {(polars.size, slit.size)}; {LEAST_ANGLES} polar angles or "
            "more are needed"
        )
    if not (np.isfinite(rows).all() and rows.min() >= 0 and rows.sum() > 0):
        raise ValueError("the map holds what is no count, or no counts at all")
    order = np.argsort(polars)
    rows, polars = rows[order], polars[order]
    steps = np.diff(polars)
    if np.ptp(steps) > 0.05 * steps.mean():
        raise ValueError(f"polar angles of {steps.min():g} to {steps.max():g} deg apart are not equally spaced")
    half_polar = min(polars[-1] - expected, expected - polars[0]) - reach
    half_slit = min(slit[-1], -slit[0]) - reach
    for name, half, spacing in (("polar", half_polar, steps.mean()), ("slit", half_slit, slit[1] - slit[0])):
        if half < 6 * spacing:
            raise ValueError(f"the {name} angles do not reach to both sides of Gamma; {reach:g} deg more are needed")
    spacing = max(0.3, KNOT_STEPS * float(steps.mean()))
    return Gamma(
        even_centre(_groups(rows.T), polars, expected=expected, reach=reach, half_width=half_polar, spacing=spacing),
        even_centre(_groups(rows), slit, expected=0.0, reach=reach, half_width=half_slit),
    )


def _groups(rows: Array) -> Array:
    return np.asarray(np.add.reduceat(rows, np.arange(GROUPS) * len(rows) // GROUPS, axis=0))
