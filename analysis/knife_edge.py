r"""Size and place of the beam from what is counted along a line across an edge, and the focus from sizes at several z.

With a Gaussian beam and a straight edge the counts over I0 go from one level to the other as

.. math::

    I(x) = l + (h - l)\, \tfrac12 \Big(1 + \mathrm{erf}\frac{x - x_0}{\sqrt2\,\sigma}\Big),
    \qquad w_{\mathrm{FWHM}} = 2 \sqrt{2 \ln 2}\,\sigma

Near the focus the square of the width is a parabola of z, :math:`w^2 = w_0^2 + c\,(z - z_0)^2`, as of any beam whose
divergence does not change: M. W. Sasnett and T. F. Johnston, Proc. SPIE 1414, 21 (1991), doi:10.1117/12.46512.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import chdtrc, ndtr, xlogy

from microarpes.analysis.units import FWHM_PER_SIGMA

__all__ = ["Focus", "KnifeEdge", "best_focus", "knife_edge"]

Array = NDArray[np.float64]

#: Fewest places along a line, and fewest lines of a focus: one more than parameters.
LEAST_PLACES, LEAST_LINES = 6, 4
#: Probability below which a step is believed to be more than noise.
CHANCE = 1e-4
#: chi2 over degrees of freedom above which this is no single edge.
MAX_CHI2 = 4.0


@dataclass(frozen=True)
class KnifeEdge:
    """An edge under the beam.

    Attributes
    ----------
    position, position_error : float, um
        Where half of the beam is on either side; NaN unless `status` is ``ok`` or ``unresolved``.
    width, width_error : float, um FWHM
        Of the beam; of no worth but as "narrower than the step" where the status is ``unresolved``.
    low, high : float, counts over I0
        Level at lower and at higher positions.
    chi2_per_dof : float
    status : str
        ``ok``; ``no-edge`` when the counts are level within their errors; ``outside`` when the edge is not within the
        line by half a width; ``misfit`` when this is not one straight edge; ``unresolved`` when the width is not known
        to a half; ``bad-input`` when there is something that is no count.
    """

    position: float
    position_error: float
    width: float
    width_error: float
    low: float
    high: float
    chi2_per_dof: float
    status: str


@dataclass(frozen=True)
class Focus:
    """Where a beam is smallest.

    Attributes
    ----------
    position, position_error : float, um
        Of the focus axis; NaN unless `status` is ``ok``.
    width, width_error : float, um FWHM
        Smallest size.
    chi2_per_dof : float
    status : str
        ``ok``; ``too-few`` widths are known; ``no-minimum`` when the squared width does not rise on both sides, beyond
        its error; ``outside`` when the focus is not within the positions tried.
    """

    position: float
    position_error: float
    width: float
    width_error: float
    chi2_per_dof: float
    status: str


def knife_edge(
    position: ArrayLike, counts: ArrayLike, i0: ArrayLike | None = None, *, error: ArrayLike | None = None
) -> KnifeEdge:
    """Fit an edge by maximum likelihood.

    Parameters
    ----------
    position : array_like, shape (n,), um
        Places along the line, in any order; at least 6.
    counts : array_like, shape (n,)
        Total counts, of Poisson statistics unless `error` is given.
    i0 : array_like, shape (n,), optional
        Beam that made them, in any unit; by default the same at every place.
    error : array_like, shape (n,), optional
        Standard deviations of the counts.

    Returns
    -------
    KnifeEdge

    Raises
    ------
    ValueError
        The shapes differ or there are too few places.

    Examples
    --------
    >>> from scipy.special import ndtr
    >>> x = np.arange(-20.0, 21.0, 2.0)
    >>> found = knife_edge(x, 1000.0 + 5000.0 * ndtr((x - 3.0) / 4.0))
    >>> found.status, round(found.position, 3), round(found.width, 2)
    ('ok', 3.0, 9.42)
    """
    x, n = np.asarray(position, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    beam = np.ones_like(x) if i0 is None else np.asarray(i0, dtype=np.float64)
    sigma = np.sqrt(np.maximum(n, 1.0)) if error is None else np.asarray(error, dtype=np.float64)
    if x.ndim != 1 or not x.shape == n.shape == beam.shape == sigma.shape or np.unique(x).size < LEAST_PLACES:
        raise ValueError(
            f"positions, counts, I0 and errors have shapes {x.shape}, {n.shape}, {beam.shape}, {sigma.shape}; give one "
            f"of each at {LEAST_PLACES} different places or more"
        )
    finite = all(np.isfinite(values).all() for values in (x, n, beam, sigma))
    if not finite or n.min() < 0 or not (beam.min() > 0 and sigma.min() > 0):
        return _no_edge("bad-input")
    return _fit(x, n, beam, sigma, poisson=error is None)


def _fit(x: Array, n: Array, beam: Array, sigma: Array, *, poisson: bool) -> KnifeEdge:
    span, step = float(np.ptp(x)), float(np.median(np.diff(np.unique(x))))

    def residuals(mean: Array) -> Array:
        if not poisson:
            return (n - mean) / sigma
        mean = np.maximum(mean, 1e-9)
        return np.asarray(np.sign(n - mean) * np.sqrt(np.maximum(2.0 * (xlogy(n, n / mean) - n + mean), 0.0)))

    def mean_of(parameters: Array) -> Array:
        place, width, low, high = parameters
        return np.asarray(beam * (low + (high - low) * ndtr((x - place) / width)))

    level = beam * n.sum() / beam.sum() if poisson else beam * _weighted(n, beam, sigma)
    start = _start(x, n, beam, sigma, span, step)
    bounds = ([x.min() - span, step / 50.0, 0.0, 0.0], [x.max() + span, 2.0 * span, np.inf, np.inf])
    scale = [step, step, *(max(start[2], start[3]),) * 2]

    def distance(parameters: Array) -> Array:
        return residuals(mean_of(parameters))

    fit = least_squares(distance, np.clip(start, *bounds), bounds=bounds, x_scale=scale)
    place, width, low, high = (float(value) for value in fit.x)
    chi2 = float((residuals(mean_of(fit.x)) ** 2).sum())
    per_dof = chi2 / max(x.size - 4, 1)
    levels = {"low": low, "high": high, "chi2_per_dof": per_dof}
    if chdtrc(3, max(float((residuals(level) ** 2).sum()) - chi2, 0.0)) > CHANCE:
        return _no_edge("no-edge", **levels)
    if per_dof > MAX_CHI2:
        return _no_edge("misfit", **levels)
    fwhm = width * FWHM_PER_SIGMA
    if not x.min() + fwhm / 2 <= place <= x.max() - fwhm / 2:
        return _no_edge("outside", **levels)
    spread = np.sqrt(np.maximum(mean_of(fit.x), 1e-9)) if poisson else sigma
    errors = _errors(x, beam / spread, fit.x) * max(per_dof, 1.0) ** 0.5
    known = errors[1] <= width / 2
    return KnifeEdge(
        place,
        float(errors[0]),
        fwhm,
        float(errors[1]) * FWHM_PER_SIGMA,
        **levels,
        status="ok" if known else "unresolved",
    )


def _weighted(n: Array, beam: Array, sigma: Array) -> float:
    return float((n * beam / sigma**2).sum() / (beam**2 / sigma**2).sum())


def _start(x: Array, n: Array, beam: Array, sigma: Array, span: float, step: float) -> Array:
    """Return the best of many places and widths, each with its best levels."""
    places, widths = np.arange(x.min(), x.max() + step / 4, step / 2), np.geomspace(step / 4, span, 8)
    place, width = (grid.ravel() for grid in np.meshgrid(places, widths))
    above = ndtr((x - place[:, None]) / width[:, None])
    columns = np.stack([1.0 - above, above], axis=2) * (beam / sigma)[:, None]
    normal = columns.transpose(0, 2, 1) @ columns
    # An edge beyond all places leaves one level open.
    normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(2)
    levels = np.linalg.solve(normal, (columns * (n / sigma)[:, None]).sum(axis=1)[..., None])[..., 0]
    chi2 = ((n / sigma - (columns * levels[:, None, :]).sum(axis=2)) ** 2).sum(axis=1)
    best = int(np.argmin(chi2))
    return np.array([place[best], width[best], *np.maximum(levels[best], 0.0)])


def _errors(x: Array, weight: Array, parameters: Array) -> Array:
    """Return the errors of place, width and levels; infinite where the line tells nothing of one."""
    place, width, low, high = parameters
    u = (x - place) / width
    density = (high - low) * np.exp(-(u**2) / 2) / (np.sqrt(2 * np.pi) * width)
    slopes = np.stack([-density, -density * u, 1.0 - ndtr(u), ndtr(u)], axis=1) * weight[:, None]
    information = slopes.T @ slopes
    if np.linalg.matrix_rank(information) < 4:
        return np.full(4, np.inf)
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(information))))


def _no_edge(status: str, low: float = np.nan, high: float = np.nan, chi2_per_dof: float = np.nan) -> KnifeEdge:
    nan = float("nan")
    return KnifeEdge(nan, nan, nan, nan, low, high, chi2_per_dof, status)


def best_focus(position: ArrayLike, width: ArrayLike, width_error: ArrayLike) -> Focus:
    """Find where a beam is smallest: the vertex of a parabola through the squared widths.

    Parameters
    ----------
    position : array_like, shape (n,), um
        Of the focus axis.
    width, width_error : array_like, shape (n,), um FWHM
        From `knife_edge`; NaN where there is none.

    Returns
    -------
    Focus

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> z = np.arange(-200.0, 201.0, 100.0)
    >>> found = best_focus(z, np.sqrt(100.0 + ((z - 30.0) / 15.0) ** 2), np.full(5, 0.3))
    >>> found.status, round(found.position, 3), round(found.width, 3)
    ('ok', 30.0, 10.0)
    """
    z, w, error = (np.asarray(values, dtype=np.float64) for values in (position, width, width_error))
    if z.ndim != 1 or not z.shape == w.shape == error.shape:
        raise ValueError(f"positions, widths and errors have shapes {z.shape}, {w.shape}, {error.shape}")
    good = np.isfinite(z) & np.isfinite(w) & np.isfinite(error) & (error > 0)
    z, w, error = z[good], w[good], error[good]
    if np.unique(z).size < LEAST_LINES:
        return _no_focus("too-few")
    middle, half = float(z.mean()), float(np.ptp(z)) / 2
    u = (z - middle) / half
    columns = np.stack([np.ones_like(u), u, u**2], axis=1)
    coefficients: NDArray[np.floating] = np.zeros(3)
    square_error = 2.0 * w * error
    for _ in range(3):  # the error of a square goes with the width itself, better known from the parabola
        weight = 1.0 / square_error
        coefficients, *_ = np.linalg.lstsq(columns * weight[:, None], w**2 * weight, rcond=None)
        square_error = 2.0 * np.sqrt(np.maximum(columns @ coefficients, (w / 2) ** 2)) * error
    covariance = np.linalg.inv((columns * weight[:, None]).T @ (columns * weight[:, None]))
    chi2 = float((((w**2 - columns @ coefficients) * weight) ** 2).sum()) / (len(z) - 3)
    covariance *= max(chi2, 1.0)
    a, b, c = (float(value) for value in coefficients)
    if not c > 3.0 * covariance[2, 2] ** 0.5:
        return _no_focus("no-minimum", chi2)
    vertex, smallest = -b / (2 * c), a - b * b / (4 * c)
    if not abs(vertex) <= 1.0:
        return _no_focus("outside", chi2)
    if not smallest > 0:
        return _no_focus("no-minimum", chi2)
    of_vertex = np.array([0.0, -1 / (2 * c), b / (2 * c * c)])
    of_smallest = np.array([1.0, vertex, vertex**2]) / (2 * smallest**0.5)
    errors = [float(slopes @ covariance @ slopes) ** 0.5 for slopes in (of_vertex, of_smallest)]
    return Focus(middle + half * vertex, half * errors[0], smallest**0.5, errors[1], chi2, "ok")


def _no_focus(status: str, chi2: float = float("nan")) -> Focus:
    nan = float("nan")
    return Focus(nan, nan, nan, nan, chi2, status)
