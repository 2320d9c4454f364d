r"""Whether a map goes with something of the instrument: the row, the time, E_F, I0, where k_F was found.

A real sample has structure, and structure goes with rows by chance: neighbours are not independent, and a map of 400
pixels may hold a dozen independent samples (Clifford, Richardson and Hémon, DOI 10.2307/2532039; Dutilleul, DOI
10.2307/2532625). So each quantity is tested as a trend on top of a random field, by generalised least squares: the
values are :math:`a + b c_i` plus a field of covariance :math:`\tau^2 e^{-(h/L)^q}` plus errors of variance
:math:`\varphi s_i^2`. Strength, length, shape (q = 1 or 2) and :math:`\varphi \ge 1` (errors given too small, or
scatter from pixel to pixel) are not known; the p-value is averaged over them with the restricted likelihood as the
weight (Patterson and Thompson, DOI 10.1093/biomet/58.3.545), for which the trend itself is no structure. What is tested
several times is corrected by Holm's rule (https://www.jstor.org/stable/4615733).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from microarpes.analysis.line_shape import Array

__all__ = ["CovariateTest", "InstrumentalTests", "instrumental_tests"]

#: Corrected p-value below which a quantity is named.
FLAG = 0.01
#: Fewer values say nothing of structure.
FEWEST = 20
#: Lengths tried, in distances of neighbours and in extents of the map: a field that is wider is a gradient. Up to three
#: extents fewer fields with edges, as wide as half the map, would pass for a drift, and fewer drifts would be seen.
SHORTEST, LONGEST, N_LENGTHS = 0.5, 1.0, 8
#: Exponents of the fields tried: rough, with edges, and smooth.
POWERS = (1.0, 2.0)
#: Variances of the field tried, in variances of the values, besides none; and factors of the errors' variance.
STRENGTHS = np.concatenate([[0.0], np.geomspace(1e-3, 30.0, 19)])
INFLATIONS = np.geomspace(1.0, 30.0, 8)
#: A quantity whose range is a smaller share of its size is constant.
CONSTANT = 1e-9


class CovariateTest(NamedTuple):
    """Test of one quantity.

    Attributes
    ----------
    correlation : float
        Pearson's, weighted by the inverse squared errors; of the map as it is, structure and all.
    slope, slope_stderr : float, unit of the values per unit of the quantity
        Trend on top of the structure, and its error with the structure in it.
    p_value, p_corrected : float
        Chance of a slope as large in a map that knows nothing of the quantity; alone, and by Holm's rule.
    n : int
        Values used, or tiles; see `instrumental_tests`.
    n_effective : float
        So many independent values would know the slope as well. More than `n` where the quantity changes faster than
        the field, which can then be seen through.
    flagged : bool
        `p_corrected` below 0.01.
    reason : str
        Why it was not tested; empty where it was.
    """

    correlation: float
    slope: float
    slope_stderr: float
    p_value: float
    p_corrected: float
    n: int
    n_effective: float
    flagged: bool
    reason: str


class InstrumentalTests(NamedTuple):
    """Tests of all quantities.

    Attributes
    ----------
    tests : dict of str to CovariateTest
    flagged : tuple of str
        Names that the map goes with, the surest first.
    """

    tests: dict[str, CovariateTest]
    flagged: tuple[str, ...]


def instrumental_tests(
    values: ArrayLike,
    stderr: ArrayLike,
    covariates: Mapping[str, ArrayLike],
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    at_most: int = 400,
) -> InstrumentalTests:
    """Test whether a map goes with quantities of the instrument.

    A real gradient along the rows is flagged as a drift is: turn the raster by 90 deg to tell them apart.

    Parameters
    ----------
    values : array_like, shape (ny, nx), or any with `x` and `y`
        For example gaps, meV; NaN where there is none.
    stderr : array_like, the same shape or a scalar
        Statistical errors, one standard deviation.
    covariates : mapping of str to array_like, the same shape
        For example row, time (s), E_F (meV), I0, k_F centre (deg); NaN where not known.
    x, y : array_like, the same shape, um, optional
        Positions; by default column and row.
    at_most : int
        A map of more values is averaged over tiles, as small as will do: the time goes with the third power. Trends
        over the map lose nothing, quantities that change within a tile do.

    Raises
    ------
    ValueError
        When shapes do not fit, or positions are needed.
    """
    columns = _columns(values, stderr, covariates, x, y)
    if at_most < FEWEST:
        raise ValueError(f"at_most = {at_most!r} values; it must be at least {FEWEST}")
    fields: dict[bytes, _Field] = {}
    found = {name: _test(columns, name, at_most, fields) for name in covariates}
    corrected = _holm({name: one.p_value for name, one in found.items() if not one.reason})
    for name, p in corrected.items():
        found[name] = found[name]._replace(p_corrected=p, flagged=p < FLAG)
    flagged = sorted((name for name in found if found[name].flagged), key=lambda name: found[name].p_value)
    return InstrumentalTests(found, tuple(flagged))


def _columns(
    values: ArrayLike, stderr: ArrayLike, covariates: Mapping[str, ArrayLike], x: ArrayLike | None, y: ArrayLike | None
) -> dict[str, Array]:
    """All arrays, flat, of the pixels that have a value; the covariates' names are marked by a colon."""
    z = np.asarray(values, dtype=np.float64)
    if (x is None or y is None) and z.ndim != 2:
        raise ValueError(f"values have shape {z.shape}; give (ny, nx), or x and y")
    rows, columns = np.indices(z.shape) if z.ndim == 2 else (y, x)
    given = {"y": rows if y is None else y, "x": columns if x is None else x}
    given |= {f":{name}": array for name, array in covariates.items()}
    out = {"values": z, "stderr": np.broadcast_to(np.asarray(stderr, dtype=np.float64), z.shape)}
    for name, array in given.items():
        out[name] = np.asarray(array, dtype=np.float64)
        if out[name].shape != z.shape:
            raise ValueError(f"{name.lstrip(':')} has shape {out[name].shape}, values have {z.shape}")
    good = np.isfinite([out[name] for name in ("values", "stderr", "x", "y")]).all(axis=0) & (out["stderr"] > 0)
    return {name: array[good] for name, array in out.items()}


def _test(columns: dict[str, Array], name: str, at_most: int, fields: dict[bytes, _Field]) -> CovariateTest:
    """Test one quantity where it is known."""
    quantity = columns[f":{name}"]
    known = np.isfinite(quantity)
    n = int(known.sum())
    nothing = CovariateTest(np.nan, np.nan, np.nan, np.nan, np.nan, n, np.nan, False, "")
    if n < FEWEST:
        return nothing._replace(reason=f"{n} values; {FEWEST} are needed")
    if np.ptp(quantity[known]) <= CONSTANT * np.abs(quantity[known]).max():
        return nothing._replace(reason="constant")
    key = known.tobytes()
    if key not in fields:
        fields[key] = _Field({k: columns[k][known] for k in ("values", "stderr", "y", "x")}, at_most)
    return fields[key].test(quantity[known], nothing)


class _Field:
    """Values on their places, and the covariance they may have, made ready for any number of quantities."""

    def __init__(self, columns: dict[str, Array], at_most: int) -> None:
        self.tile = _tiles(columns["y"], columns["x"], at_most)
        self.weight = columns["stderr"] ** -2.0
        self.total: Array = np.bincount(self.tile, self.weight).astype(np.float64)
        self.values, y, x = (self.mean(columns[name]) for name in ("values", "y", "x"))
        n = self.values.size
        self.variance = float(np.var(self.values))
        distance = np.hypot(y[:, None] - y, x[:, None] - x)
        extent = float(np.hypot(np.ptp(y), np.ptp(x)))
        root = np.sqrt(self.total)
        near = float(np.median(np.where(np.eye(n, dtype=np.bool_), np.inf, distance).min(axis=1)))
        self.known: list[tuple[Array, Array]] = []
        if extent > 0 and near > 0:
            for length in np.geomspace(SHORTEST * near, LONGEST * extent, N_LENGTHS):
                for power in POWERS:
                    # in units of the errors: what is added to them is then diagonal for every strength
                    alike = np.exp(-((distance / length) ** power)) * root[:, None] * root
                    scaled, axes = np.linalg.eigh(alike)
                    self.known.append((np.maximum(scaled, 0.0), axes.T * root))
        else:
            self.known.append((np.zeros(n), np.diag(root)))

    def mean(self, array: Array) -> Array:
        """Mean over each tile, weighted as the values are."""
        return np.asarray(np.bincount(self.tile, self.weight * array) / self.total)

    def test(self, quantity: Array, nothing: CovariateTest) -> CovariateTest:
        """Average over what the structure may be."""
        c = self.mean(quantity)
        centre, scale, n = c.mean(), float(np.std(c)), c.size
        if not scale > CONSTANT * np.abs(quantity).max():
            return nothing._replace(reason="constant over tiles", n=n)
        design = np.stack([np.ones(n), (c - centre) / scale, self.values - self.values.mean()])
        parts = [_restricted(eigen, turn @ design.T, self.variance) for eigen, turn in self.known]
        likelihood, slope, error, spread = (np.concatenate([part[k] for part in parts]) for k in range(4))
        weight = np.exp(likelihood - likelihood.max())
        weight /= weight.sum()
        p = float((weight * 2.0 * stdtr(n - 2, -np.abs(slope) / error)).sum())
        mean = float((weight * slope).sum())
        stderr = float(np.sqrt((weight * (error**2 + (slope - mean) ** 2)).sum()))
        noise = float((1.0 / self.total).mean())
        single = float((weight * (spread[:, 0] + spread[:, 1] * noise)).sum())
        return nothing._replace(
            correlation=_pearson(self.values, c, self.total),
            slope=mean / scale,
            slope_stderr=stderr / scale,
            p_value=min(p, 1.0),
            n=n,
            n_effective=1.0 + single / float((weight * error**2).sum()),
        )


def _restricted(eigen: Array, turned: Array, variance: float) -> tuple[Array, Array, Array, Array]:
    """Restricted log-likelihood, slope, its error, and (strength, inflation) for all of them at one length."""
    strength, inflation = (grid.reshape(-1) for grid in np.meshgrid(STRENGTHS * variance, INFLATIONS))
    covariance = inflation[:, None] + strength[:, None] * eigen
    one, c, z = turned.T
    a, b, d = ((one * one) / covariance).sum(1), ((one * c) / covariance).sum(1), ((c * c) / covariance).sum(1)
    e, f, g = ((one * z) / covariance).sum(1), ((c * z) / covariance).sum(1), ((z * z) / covariance).sum(1)
    determinant = np.maximum(a * d - b * b, 1e-300)
    slope, level = (a * f - b * e) / determinant, (d * e - b * f) / determinant
    left = g - level * e - slope * f
    likelihood = -0.5 * (np.log(covariance).sum(axis=1) + np.log(determinant) + left)
    return likelihood, slope, np.sqrt(a / determinant), np.stack([strength, inflation], axis=1)


def _tiles(y: Array, x: Array, at_most: int) -> NDArray[np.intp]:
    """Give each place the number of its tile: square tiles, as small as leaves no more than so many."""
    if y.size <= at_most:
        return np.arange(y.size)
    height, width = np.ptp(y), np.ptp(x)
    side = max(np.sqrt(height * width / at_most), (height + width) / at_most) or 1.0
    while True:
        row, column = (np.floor((u - u.min()) / side).astype(np.intp) for u in (y, x))
        tile = np.unique(row * (column.max() + 1) + column, return_inverse=True)[1].reshape(-1)
        if tile.max() < at_most:
            return np.asarray(tile, dtype=np.intp)
        side *= 1.05


def _pearson(a: Array, b: Array, weight: Array) -> float:
    """Weighted correlation; NaN where a is constant."""
    u, v = a - np.average(a, weights=weight), b - np.average(b, weights=weight)
    square = float((weight * u * u).sum() * (weight * v * v).sum())
    return float((weight * u * v).sum() / np.sqrt(square)) if square > 0 else np.nan


def _holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct for the number of tests: the smallest times their number, the next times one less, never falling."""
    corrected, least = {}, 0.0
    for i, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - i) * p_values[name]))
        corrected[name] = least
    return corrected
