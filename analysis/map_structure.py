r"""How far the gap of a map stays alike: the correlation length.

The variogram :math:`\gamma(h) = \frac12 \langle (x_i - x_j)^2 \rangle` over pairs a distance :math:`h` apart, less the
mean of the two errors' squares, is :math:`\tau^2 (1 - \rho(h))`: the autocorrelation :math:`\rho` without the spike
that the errors make at zero distance, and without the bias that the mean of a small map brings. An exponential and a
Gaussian :math:`\rho` are fitted with weights N(h) over the squared raw variogram (after Cressie, DOI
10.1007/BF01032109); the better gives the distance at which :math:`\rho` has fallen to 1/e. The error is a jackknife
over 16 patches of the map (blocks as in Künsch, DOI 10.1214/aos/1176347265).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microarpes.analysis.line_shape import Array
from microarpes.analysis.map_statistics import intrinsic_spread
from microarpes.analysis.variogram import PATCHES, Pairs, patches_of, raster_pairs, scattered_pairs

__all__ = ["CorrelationLength", "correlation_length", "correlation_length_scattered"]

#: Fewer values say nothing of distances.
FEWEST = 30
#: Two parameters are fitted to so many distances or more.
FEWEST_LAGS = 3
#: Lengths tried, in steps of the raster and shares of the map's extent.
SHORTEST, LONGEST, N_LENGTHS = 0.3, 2.0, 240
#: A length is a number where it is at least so many steps, and at most this share of the extent.
MIN_STEPS, MAX_SHARE = 0.7, 0.5
#: Pairs are looked at up to this share of the extent: beyond, all are of the same few pixels.
MAX_LAG = 0.5
#: A length is given where it is so many of its errors.
MIN_SIGMAS = 2.0
SHAPES: dict[str, Callable[[Array], Array]] = {
    "exponential": lambda u: np.asarray(np.exp(-u)),
    "gaussian": lambda u: np.asarray(np.exp(-(u**2))),
}


class CorrelationLength(NamedTuple):
    """Distance over which a map stays alike.

    Attributes
    ----------
    length, length_stderr : float, um
        Where the autocorrelation is 1/e, the errors' share taken out; NaN where it is not resolved.
    shape : str
        ``exponential`` or ``gaussian``: which describes the variogram better; empty where nothing could be fitted.
    sill : float, unit of the values
        Standard deviation that the fitted shape reaches at large distances.
    lag, autocorrelation : ndarray, shape (n_lag,), um and 1
        Mean distance of the pairs of each bin and 1 - variogram / sill; empty where nothing could be fitted.
    n : int
        Pixels used.
    reason : str
        Why there is no length; empty where there is one.
    """

    length: float
    length_stderr: float
    shape: str
    sill: float
    lag: Array
    autocorrelation: Array
    n: int
    reason: str


def correlation_length(values: ArrayLike, stderr: ArrayLike, pitch_x: float, pitch_y: float) -> CorrelationLength:
    """Correlation length of a map on a raster.

    Parameters
    ----------
    values : array_like, shape (ny, nx)
        For example gaps, meV; NaN where there is none.
    stderr : array_like, shape (ny, nx) or a scalar
        Statistical errors, one standard deviation. Errors given too small pass for structure below the pitch.
    pitch_x, pitch_y : float, um
        Distance of neighbours in a row and of rows; the sign does not matter.

    Raises
    ------
    ValueError
        When shapes do not fit or a pitch is not a finite number other than 0.
    """
    x, variance, good = _masked(values, stderr)
    if x.ndim != 2:
        raise ValueError(f"values have shape {x.shape}; a map has (ny, nx); see correlation_length_scattered")
    pitch = np.abs(np.array([pitch_y, pitch_x], dtype=np.float64))
    if not (np.isfinite(pitch) & (pitch > 0)).all():
        raise ValueError(f"pitch_x = {pitch_x!r} um, pitch_y = {pitch_y!r} um; both must be finite and not 0")
    where = np.nonzero(good)
    extent = float(np.hypot(*(np.ptp(i) * p for i, p in zip(where, pitch, strict=True)))) if good.any() else 0.0
    step = float(pitch[[n > 1 for n in x.shape]].min(initial=np.inf))

    def pairs() -> tuple[Pairs, Iterable[Pairs]]:
        patches = np.full(x.shape, -1, dtype=np.intp)
        patches[good] = patches_of(where[1] * pitch[1], where[0] * pitch[0])
        masks = (good & (patches != k) for k in range(PATCHES**2))
        sums = (raster_pairs(x, variance, used, pitch, step, MAX_LAG * extent) for used in masks)
        return raster_pairs(x, variance, good, pitch, step, MAX_LAG * extent), sums

    return _length(x[good], variance[good], step, extent, pairs)


def correlation_length_scattered(values: ArrayLike, stderr: ArrayLike, x: ArrayLike, y: ArrayLike) -> CorrelationLength:
    """Correlation length of values at any points; all pairs are summed one by one.

    Parameters
    ----------
    values : array_like, any shape
        NaN where there is none.
    stderr : array_like, the same shape or a scalar
        As for `correlation_length`.
    x, y : array_like, the same shape, um
        Positions; a point without one is left out.

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    z, variance, good = _masked(values, stderr)
    place = np.stack([np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)])
    if place.shape[1:] != z.shape:
        raise ValueError(f"x and y have shape {place.shape[1:]}, values have {z.shape}; give one position a value")
    good = good & np.isfinite(place).all(axis=0)
    z, variance, place = z[good], variance[good], place[:, good]
    size = np.ptp(place, axis=1) if z.size else np.zeros(2)
    # distance of neighbours if the points were spread evenly, over an area or along a line
    step = max(float(np.sqrt(size.prod() / z.size)), float(size.max()) / z.size) if z.size else np.inf
    extent = float(np.hypot(*size))

    def pairs() -> tuple[Pairs, Iterable[Pairs]]:
        return scattered_pairs(z, variance, place, patches_of(place[1], place[0]), step, MAX_LAG * extent)

    return _length(z, variance, step, extent, pairs)


def _masked(values: ArrayLike, stderr: ArrayLike) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Values about their mean and error variances, 0 where masked, and where they are not."""
    x, s = np.asarray(values, dtype=np.float64), np.asarray(stderr, dtype=np.float64)
    if s.ndim and s.shape != x.shape:
        raise ValueError(f"stderr has shape {s.shape}, values have {x.shape}; give one error a value, or one for all")
    s = np.broadcast_to(s, x.shape)
    good = np.isfinite(x) & np.isfinite(s) & (s > 0)
    centre = x[good].mean() if good.any() else 0.0
    return np.where(good, x - centre, 0.0), np.where(good, s, 0.0) ** 2, good


def _length(
    x: Array, variance: Array, step: float, extent: float, pairs: Callable[[], tuple[Pairs, Iterable[Pairs]]]
) -> CorrelationLength:
    """Fit, judge and find the error."""
    n = int(x.size)
    nothing = CorrelationLength(np.nan, np.nan, "", np.nan, np.empty(0), np.empty(0), n, "")
    if n < FEWEST or not extent > 0:
        return nothing._replace(reason=f"{n} values over {extent:g} um; {FEWEST}, not all in one place, are needed")
    if not intrinsic_spread(x, np.sqrt(variance)).resolved:
        return nothing._replace(reason="no spread beyond the errors")
    whole, without = pairs()
    lengths = np.geomspace(SHORTEST * step, LONGEST * extent, N_LENGTHS)
    fits = {name: _fit(whole, lengths, shape) for name, shape in SHAPES.items()}
    name = min(fits, key=lambda one: fits[one][2])
    length, sill, _ = fits[name]
    if not sill > 0:
        return nothing._replace(reason="too few pairs, or no spread beyond the errors between them")
    seen = whole.number > 0
    variogram = (whole.raw - whole.noise)[seen] / whole.number[seen]
    shown = nothing._replace(
        shape=name,
        sill=float(np.sqrt(sill)),
        lag=whole.distance[seen] / whole.number[seen],
        autocorrelation=1.0 - variogram / sill,
    )
    if length < MIN_STEPS * step:
        return shown._replace(reason="shorter than the distance of neighbours")
    if length > MAX_SHARE * extent:
        return shown._replace(reason="longer than half of the map")
    left = np.array([_fit(part, lengths, SHAPES[name])[0] for part in without])
    # in logarithms: a length is wrong by a factor
    error = length * float(np.sqrt((left.size - 1.0) * np.var(np.log(left))))
    if not length > MIN_SIGMAS * error:
        return shown._replace(reason=f"uncertain by {error / length:.0%}")
    return shown._replace(length=length, length_stderr=error)


def _fit(pairs: Pairs, lengths: Array, shape: Callable[[Array], Array]) -> tuple[float, float, float]:
    """Length, sill (a variance) and weighted squares left, over a fine table of lengths; the sill is linear."""
    seen = (pairs.number > 0) & (pairs.raw > 0)
    if seen.sum() < FEWEST_LAGS:
        return np.nan, np.nan, np.inf
    number = pairs.number[seen]
    lag, raw = pairs.distance[seen] / number, pairs.raw[seen] / number
    variogram, weight = raw - pairs.noise[seen] / number, number / raw**2
    rise = 1.0 - shape(lag[None] / lengths[:, None])
    along, across = (weight * rise * variogram).sum(axis=1), (weight * rise**2).sum(axis=1)
    sill = np.maximum(along / across, 0.0)
    left = (weight * (variogram - sill[:, None] * rise) ** 2).sum(axis=1)
    best = int(left.argmin())
    return _vertex(np.log(lengths), left, best), float(sill[best]), float(left[best])


def _vertex(at: Array, left: Array, best: int) -> float:
    """Length at the minimum of the parabola through three points of the table."""
    if not 0 < best < at.size - 1:
        return float(np.exp(at[best]))
    below, here, above = left[best - 1 : best + 2]
    bend = below - 2.0 * here + above
    shift = 0.5 * (below - above) / bend if bend > 0 else 0.0
    return float(np.exp(at[best] + shift * (at[1] - at[0])))
