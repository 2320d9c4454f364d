"""Verdicts that need no fit: whether this EDC is data at all, and whether it is worth a fit."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microarpes.analysis.edge_test import axis_has_edge, refuse_edge
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.line_shape import Array
from microarpes.analysis.results import Status

__all__ = [
    "LOW_COUNTS",
    "MOST_COUNTS",
    "OFF_SAMPLE_CONTRAST",
    "contrasts",
    "counts_array",
    "is_plain",
    "judge_counts",
    "read_counts",
    "worst",
]

#: Photoelectrons in the bank's window below which no fit is tried: the gap's error would be about 5 meV at best.
LOW_COUNTS = 100.0
#: More in one channel than any detector gives; beyond it arithmetic would overflow.
MOST_COUNTS = 1e15
#: Angular contrast near E_F under which there is no dispersing band in the beam: a polycrystal shows about 0, the
#: bands of a crystal near their k_F several tenths.
OFF_SAMPLE_CONTRAST = 0.15


def read_counts(counts: object, shape: tuple[int, ...], *, signed: bool = False) -> Array | None:
    """Take counts as they come from a stream: an array of the right shape, finite, 0 to 1e15, or None.

    With `signed`, values down to -1e15 are data too: those of a detector whose dark level was subtracted.
    """
    try:
        array = np.array(counts, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError):
        return None
    if array.shape != shape or not np.isfinite(array).all() or (np.abs(array) > MOST_COUNTS).any():
        return None
    return array if signed or not (array < 0).any() else None


def counts_array(counts: ArrayLike, ndim: int, wanted: str) -> Array:
    """Turn counts into an array of so many dimensions, or raise ValueError."""
    array = np.asarray(counts, dtype=np.float64, order="C")
    array = array if array.flags.writeable else array.copy()  # one type of array for the compiled engine
    if array.ndim != ndim:
        raise ValueError(f"counts have shape {array.shape}; give {wanted}")
    return array


def is_plain(counts: object, shape: tuple[int, ...]) -> TypeGuard[Array]:
    """Tell whether counts can go to the compiled engine as they are."""
    if type(counts) is not np.ndarray or counts.dtype != np.float64 or counts.shape != shape:
        return False
    return bool(counts.flags.c_contiguous and counts.flags.writeable)


def worst(status: NDArray[np.intp], found: NDArray[np.bool_], verdict: Status) -> None:
    """Lower `status` to `verdict` where `found`, unless something of higher precedence is there already."""
    status[found] = np.minimum(status[found], int(verdict))


def contrasts(angular_contrast: ArrayLike | None, n: int) -> Array:
    """Angular contrast of each EDC; NaN where it is not known."""
    if angular_contrast is None:
        return np.full(n, np.nan)
    return np.array(np.broadcast_to(np.asarray(angular_contrast, dtype=np.float64), (n,)))


def judge_counts(
    windows: FitWindows, electrons: Array, contrast: Array, min_contrast: float, status: NDArray[np.intp]
) -> None:
    """Lower `status` by the verdicts from the counts: no-edge, off-sample, empty, low-counts.

    Parameters
    ----------
    windows : FitWindows
    electrons : ndarray, shape (n, n_window, n_energy), photoelectrons
    contrast : ndarray, shape (n,)
        Angular contrast, NaN where it is not known.
    min_contrast : float
        What has less is off-sample.
    status : ndarray of int, shape (n,)
        Changed in place.
    """
    flats = [None] * len(windows.energy) if windows.flat_field is None else list(windows.flat_field)
    for i, (axis, flat) in enumerate(zip(windows.energy, flats, strict=True)):
        worst(status, refuse_edge(axis, electrons[:, i], windows.instrument, flat), Status.NO_EDGE)
    worst(status, np.asarray(contrast < min_contrast), Status.OFF_SAMPLE)
    if not all(axis_has_edge(axis, windows.instrument) for axis in windows.energy):
        return
    in_window = windows.widest.bin(electrons).sum(axis=(1, 2))
    worst(status, np.asarray(in_window <= 0), Status.EMPTY)
    worst(status, np.asarray(in_window < LOW_COUNTS), Status.LOW_COUNTS)
