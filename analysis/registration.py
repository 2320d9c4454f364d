r"""By how much a landmark has moved between two images of it.

The image of later is taken for that of before, moved and brighter or darker:

.. math::

    I(\mathbf r) = a\, I_0(\mathbf r - \mathbf s)

:math:`I_0` between its pixels by a cubic spline. The shift of the highest correlation over whole and half pixels is
where a least-squares fit of :math:`a` and :math:`\mathbf s` begins; its errors come from the counting errors of both
images. The noise of the earlier image has slopes as well, which tell nothing of a shift: what they seem to tell is
taken out of the information before errors are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates, spline_filter
from scipy.optimize import least_squares

__all__ = ["MAX_CHI2", "ImageShift", "register"]

Array = NDArray[np.float64]

#: Share of the image that must still overlap.
OVERLAP = 0.4
#: chi2 over degrees of freedom above which the images are not of the same thing.
MAX_CHI2 = 4.0
#: Variance of the slope of a cubic spline through white noise, per pixel, over that of the noise.
SLOPE_OF_NOISE = float(np.mean((3 * np.sin(w := np.linspace(0, np.pi, 2001)) / (2 + np.cos(w))) ** 2))
#: A cubic spline through a feature that is sampled with a few points is good to so much of the image's range.
SPLINE_ERROR = 0.01


@dataclass(frozen=True)
class ImageShift:
    """Where a landmark went.

    Attributes
    ----------
    x, y : float, um
        Shift of the later image against the earlier one; NaN unless `status` is ``ok``.
    x_error, y_error : float, um
        One standard deviation.
    brightness : float
        Of the later image over that of the earlier.
    chi2_per_dof : float
    status : str
        ``ok``; ``flat`` when nothing in the image tells where it is in both directions; ``lost`` when the landmark is
        not recognised in the later image; ``bad-input`` when an image holds something that is no count.
    """

    x: float
    y: float
    x_error: float
    y_error: float
    brightness: float
    chi2_per_dof: float
    status: str


def register(
    before: ArrayLike,
    after: ArrayLike,
    step: float,
    *,
    before_error: ArrayLike,
    after_error: ArrayLike,
    max_error: float = 2.0,
    reach: float = np.inf,
) -> ImageShift:
    """Find by how much an image has moved against an earlier one.

    Parameters
    ----------
    before, after : array_like, shape (ny, nx)
        Intensities at the same places, `step` apart; x along the rows.
    step : float, um
        Distance of neighbouring places in both directions.
    before_error, after_error : array_like, shape (ny, nx)
        Standard deviation of each intensity.
    max_error : float, um
        An error above this means that the image is flat.
    reach : float, um
        Where the shift is looked for, along each direction; as far as the images overlap by default.

    Returns
    -------
    ImageShift

    Raises
    ------
    ValueError
        Shapes differ or are below 4 x 4, or `step` or `max_error` is not above 0.

    Examples
    --------
    >>> y, x = np.mgrid[-30:31:6, -30:31:6]
    >>> def spot(x0): return 100 - 50 * np.exp(-((x - x0) ** 2 + y**2) / 200)
    >>> found = register(spot(0.0), spot(4.0), 6.0, before_error=np.ones(x.shape), after_error=np.ones(x.shape))
    >>> found.status, abs(found.x - 4.0) < 0.3, abs(found.y) < 0.3
    ('ok', True, True)
    """
    one, other, one_error, other_error = (
        np.asarray(image, dtype=np.float64) for image in (before, after, before_error, after_error)
    )
    _check(one, other, one_error, other_error, step, max_error)
    if not all(np.isfinite(image).all() for image in (one, other, one_error, other_error)):
        return _nothing("bad-input")
    spread = SPLINE_ERROR * float(np.ptp(one))
    error = np.sqrt(one_error**2 + other_error**2 + spread**2)
    if not (error > 0).all():
        return _nothing("bad-input")
    spline, places = spline_filter(one, order=3, mode="nearest"), np.indices(one.shape, dtype=np.float64)

    def residuals(parameters: Array) -> Array:
        sy, sx, brightness = parameters
        there = places - np.array([sy, sx])[:, None, None]
        moved = map_coordinates(spline, there, order=3, mode="nearest", prefilter=False)
        seen = _inside(there, one.shape)
        return np.asarray(np.where(seen, (other - brightness * moved) / error, 0.0).ravel())

    start = _coarse(one, other, spline, places, reach / step)
    fit = least_squares(residuals, start, x_scale=(0.5, 0.5, 0.1))
    sy, sx, brightness = fit.x
    seen = int(_inside(places - np.array([sy, sx])[:, None, None], one.shape).sum())
    chi2 = float(2 * fit.cost) / max(seen - 3, 1)
    if seen < OVERLAP * one.size or chi2 > MAX_CHI2:
        return _nothing("lost", chi2)
    slopes = np.asarray(fit.jac, dtype=np.float64)
    of_noise = SLOPE_OF_NOISE * brightness**2 * float(np.mean((one_error / error) ** 2)) * seen
    y_error, x_error = step * _errors(slopes.T @ slopes, of_noise) * np.sqrt(max(chi2, 1.0))
    if not max(x_error, y_error) <= max_error:
        return _nothing("flat")
    x, y, errors = step * float(sx), step * float(sy), (float(x_error), float(y_error))
    return ImageShift(x, y, *errors, brightness=float(brightness), chi2_per_dof=chi2, status="ok")


def _errors(information: Array, of_noise: float) -> Array:
    """Return the errors of the shift along y and x, pixels; infinite where the image tells nothing of a direction."""
    true = information - np.diag([of_noise, of_noise, 0.0])
    # The slopes of noise scatter by a sixth of what they seem to tell of an image of 9 x 9.
    if np.linalg.eigvalsh(true[:2, :2])[0] < of_noise / 2:
        return np.array([np.inf, np.inf])
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(true))[:2]))


def _coarse(one: Array, other: Array, spline: Array, places: Array, most: float) -> Array:
    """Return the shift, pixels, of the best correlation over half pixels, with the brightness there."""
    best, at = -np.inf, np.array([0.0, 0.0, 1.0])
    reach = [np.arange(-(far := min(n * (1 - OVERLAP), most)), far + 0.1, 0.5) for n in one.shape]
    for sy in reach[0]:
        for sx in reach[1]:
            there = places - np.array([sy, sx])[:, None, None]
            seen = _inside(there, one.shape)
            if seen.sum() < OVERLAP * one.size:
                continue
            moved = map_coordinates(spline, there, order=1, mode="nearest", prefilter=False)[seen]
            here = other[seen]
            spread = moved.std() * here.std()
            correlation = float(np.mean((moved - moved.mean()) * (here - here.mean())) / spread) if spread else 0.0
            if correlation > best:
                best, at = correlation, np.array([sy, sx, here.mean() / moved.mean() if moved.mean() else 1.0])
    return at


def _inside(there: Array, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = there
    return np.asarray((rows >= 0) & (rows <= shape[0] - 1) & (columns >= 0) & (columns <= shape[1] - 1))


def _check(one: Array, other: Array, one_error: Array, other_error: Array, step: float, max_error: float) -> None:
    shapes = {image.shape for image in (one, other, one_error, other_error)}
    if len(shapes) != 1 or one.ndim != 2 or min(one.shape) < 4:
        raise ValueError(f"images and errors have shapes {sorted(shapes)}; they must have one of at least (4, 4)")
    for name, value in (("step", step), ("max_error", max_error)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} = {value!r} um must be a finite number above 0")


def _nothing(status: str, chi2: float = float("nan")) -> ImageShift:
    nan = float("nan")
    return ImageShift(nan, nan, nan, nan, nan, chi2, status)
