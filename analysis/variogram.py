"""Sums over the pairs of a map, in bins of their distance: what a variogram is made of.

On a raster all pairs are summed at once by Fourier transforms of map and mask (Marcotte, DOI
10.1016/S0098-3004(96)00026-X); scattered points go one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from microarpes.analysis.line_shape import Array

__all__ = ["PATCHES", "Pairs", "patches_of", "raster_pairs", "scattered_pairs"]

#: Patches along each axis.
PATCHES = 4
#: Rows of the table of distances between scattered points that are in memory at once.
ROWS = 256


class Pairs(NamedTuple):
    """Sums over the pairs of each distance bin, shape (n_lag,), each pair taken both ways.

    Attributes
    ----------
    number : ndarray
    distance : ndarray, um
    raw : ndarray, squared unit of the values
        Half the squared differences.
    noise : ndarray, squared unit of the values
        What the errors add to them.
    """

    number: Array
    distance: Array
    raw: Array
    noise: Array


def raster_pairs(x: Array, variance: Array, used: NDArray[np.bool_], pitch: Array, step: float, reach: float) -> Pairs:
    """Sum the pairs of a raster.

    Parameters
    ----------
    x, variance : ndarray, shape (ny, nx)
        Values, best about their mean, and squared errors; finite where `used`.
    used : ndarray of bool, shape (ny, nx)
    pitch : ndarray, shape (2,), um
        Of rows and of columns.
    step, reach : float, um
        Width of the bins, the first of which lies about one step, and the largest distance.
    """
    shape = tuple(next_fast_len(2 * n, real=True) for n in x.shape)  # padded: nothing wraps around
    mask = used.astype(np.float64)
    z, noise = np.where(used, x, 0.0), np.where(used, variance, 0.0)
    m, one, square, error = rfft2(np.stack([mask, z, z * z, noise]), s=shape)
    products = [m * m.conj(), (square * m.conj()).real - (one * one.conj()).real, (error * m.conj()).real]
    paired, raw, added = irfft2(np.stack(products), s=shape)
    dy, dx = (np.minimum(np.arange(n), n - np.arange(n)) * p for n, p in zip(shape, pitch, strict=True))
    distance = np.hypot(dy[:, None], dx[None])
    wanted = (distance > 0) & (distance <= reach) & (paired > 0.5)
    near, number = distance[wanted], np.rint(paired[wanted])
    index, n_bins = _bins(near, step, reach)
    sums = np.stack([number, number * near, raw[wanted], added[wanted]])
    return Pairs(*np.stack([np.bincount(index, weights=w, minlength=n_bins) for w in sums]))


def scattered_pairs(
    x: Array, variance: Array, place: Array, patches: NDArray[np.intp], step: float, reach: float
) -> tuple[Pairs, list[Pairs]]:
    """Sum the pairs of scattered points, all of them and without each patch.

    Parameters
    ----------
    x, variance : ndarray, shape (n,)
    place : ndarray, shape (2, n), um
    patches : ndarray of int, shape (n,)
        Numbers from 0.
    step, reach : float, um
        As for `raster_pairs`.
    """
    n_patches, n_bins = PATCHES**2, _bins(np.zeros(1), step, reach)[1]
    begun, within = np.zeros((2, 4, n_patches, n_bins))  # pairs from a patch, and those that also end in it
    for first in range(0, x.size, ROWS):
        rows = slice(first, first + ROWS)
        distance = np.hypot(*(place[:, rows, None] - place[:, None]))
        i, j = np.nonzero((distance > 0) & (distance <= reach))
        near, i = distance[i, j], i + first
        index = _bins(near, step, reach)[0] + n_bins * patches[i]
        same = patches[i] == patches[j]
        sums = (np.ones(near.size), near, 0.5 * (x[i] - x[j]) ** 2, 0.5 * (variance[i] + variance[j]))
        for k, term in enumerate(sums):
            begun[k] += np.bincount(index, term, n_patches * n_bins).reshape(n_patches, n_bins)
            within[k] += np.bincount(index[same], term[same], n_patches * n_bins).reshape(n_patches, n_bins)
    whole = begun.sum(axis=1)
    without = np.maximum(whole[:, None] - 2.0 * begun + within, 0.0)
    without[0] = np.rint(without[0])
    return Pairs(*whole), [Pairs(*without[:, k]) for k in range(n_patches)]


def patches_of(x: Array, y: Array) -> NDArray[np.intp]:
    """Give each point the number of its patch, shape (n,): bands along y with equal shares, each cut along x."""
    band = _shares(np.lexsort((x, y)))
    patch = np.empty(x.size, dtype=np.intp)
    for i in range(PATCHES):
        members = np.flatnonzero(band == i)
        patch[members] = i * PATCHES + _shares(np.lexsort((y[members], x[members])))
    return patch


def _shares(order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Cut an order into equal shares; the number of the share of each."""
    share = np.empty(order.size, dtype=np.intp)
    share[order] = np.arange(order.size) * PATCHES // max(order.size, 1)
    return share


def _bins(distance: Array, step: float, reach: float) -> tuple[NDArray[np.intp], int]:
    """Bin of each distance, and how many bins there are."""
    return np.rint(distance / step).astype(np.intp), int(np.rint(reach / step)) + 1
