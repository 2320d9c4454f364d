r"""Gain of a detector from frames that were taken again and again without moving anything.

For independent electrons the variance of a sum of pixels is the gain times its mean. Frame-to-frame differences take
the spectrum out, so that only noise is left:

.. math::

    g = \frac{\langle (N_{i+1} - N_i)^2 \rangle}{2 \langle N \rangle}

The sums must be much wider than what one electron lights up. An electron that spreads over several channels makes
neighbouring channels noisy together and each of them quieter: in single channels the ratio is too small, several times
for a spread of 1.5 channels, and a fit whose bins are wider than the spread would be given errors too small by the
square root of that. Between bins of :math:`b` and :math:`2b` channels the loss at their rims falls as :math:`1/b`, so
the two ratios are extrapolated: :math:`g = 2 g_{2b} - g_b`. Pulse heights that vary are part of the measured gain, as
they must be. Procedure: docs/how-to/measure-the-gain.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.line_shape import Array

__all__ = ["GainMeasurement", "measure_gain"]

FEWEST_FRAMES = 4
#: Cells of the wide kind below which the error cannot be told.
FEWEST_CELLS = 6
#: Readout noise is believed where its variance is so many of its errors above zero.
READOUT_SIGMAS = 2.0


@dataclass(frozen=True)
class GainMeasurement:
    """What repeated frames say about a detector.

    Attributes
    ----------
    gain, gain_error : float, detector units per photoelectron
        Extrapolated to bins of any width, and its standard error (jackknife over cells).
    read_noise, read_noise_error : float, detector units
        Standard deviation of one pixel without electrons; 0 where the frames show none.
    narrow, wide : float, detector units per photoelectron
        Variance over mean in cells of `bins` and of twice that. Where they differ by more than a tenth, what one
        electron lights up is not small beside `bins`: measure with wider ones.
    bins : (int, int)
        Width of the narrow cells, channels of angle and energy.
    n_frames, n_cells : int
        Frames used, and wide cells per frame.
    """

    gain: float
    gain_error: float
    read_noise: float
    read_noise_error: float
    narrow: float
    wide: float
    bins: tuple[int, int]
    n_frames: int
    n_cells: int


def measure_gain(frames: ArrayLike, bins: int | tuple[int, int] = 24) -> GainMeasurement:
    """Measure the gain, and the readout noise where there is any.

    Parameters
    ----------
    frames : array_like, shape (n_frame, n_angle, n_energy), detector units
        Repeats with nothing moved, in the order they were taken, dark level subtracted. The intensity may drift. They
        should hold bright and dark parts (below and above E_F), for readout noise is told from gain by that.
    bins : int or (int, int)
        Width of a cell in channels, (angle, energy); much more than one electron lights up.

    Returns
    -------
    GainMeasurement

    Raises
    ------
    ValueError
        When the frames are too few, too small for the bins, not finite, or hold nothing.
    """
    data, widths = _checked(frames, bins)
    doubled = (2 * widths[0], 2 * widths[1])
    n_wide = (data.shape[1] // doubled[0]) * (data.shape[2] // doubled[1])
    wide, narrow = _cells(data, doubled, doubled), _cells(data, widths, doubled)
    noise = [_noise(cells, widths[0] * widths[1] * factor) for cells, factor in ((narrow, 1), (wide, 4))]
    if not all(variance.sum() > 0 for variance, _, _ in noise):
        raise ValueError("frames do not differ from each other, which is no measurement of noise; give real repeats")
    every = np.ones(n_wide, dtype=np.bool_)
    with_readout = _extrapolated(noise, every, readout=True)
    scatter = _jackknife(noise, n_wide, readout=True)
    readout = bool(with_readout[1] > READOUT_SIGMAS * scatter[1])
    value = with_readout if readout else _extrapolated(noise, every, readout=False)
    error = scatter if readout else _jackknife(noise, n_wide, readout=False)
    if not value[0] > 0:
        raise ValueError(
            f"frames give a gain of {value[0]:g} +- {error[0]:g} detector units, which is no measurement; take more "
            "or brighter frames"
        )
    sigma = float(np.sqrt(max(value[1], 0.0)))
    return GainMeasurement(
        gain=float(value[0]), gain_error=float(error[0]), read_noise=sigma,
        read_noise_error=float(error[1]) / (2.0 * sigma) if sigma > 0 else 0.0,
        narrow=float(value[2]), wide=float(value[3]), bins=widths, n_frames=data.shape[0], n_cells=n_wide,
    )  # fmt: skip


def _checked(frames: ArrayLike, bins: int | tuple[int, int]) -> tuple[Array, tuple[int, int]]:
    """Frames as float64 and widths of cells."""
    data = np.asarray(frames, dtype=np.float64)
    if data.ndim != 3 or data.shape[0] < FEWEST_FRAMES:
        raise ValueError(
            f"frames have shape {data.shape}; give (n_frame, n_angle, n_energy) with n_frame >= {FEWEST_FRAMES}"
        )
    if not np.isfinite(data).all():
        raise ValueError("frames hold NaN or infinite values; leave those frames out")
    totals = data.sum(axis=(1, 2))
    if not (totals > 0).all():
        raise ValueError(f"frame {int(totals.argmin())} holds {totals.min():g} detector units in all; it must be > 0")
    widths = (bins, bins) if isinstance(bins, int) else (int(bins[0]), int(bins[1]))
    n_cells = (data.shape[1] // (2 * widths[0])) * (data.shape[2] // (2 * widths[1])) if min(widths) > 0 else 0
    if n_cells < FEWEST_CELLS:
        raise ValueError(
            f"bins = {bins!r} channels leave {n_cells} cells of twice that in frames of {data.shape[1:]} channels; "
            f"at least {FEWEST_CELLS} are needed: give narrower bins or larger frames"
        )
    return data, widths


def _cells(data: Array, widths: tuple[int, int], block: tuple[int, int]) -> Array:
    """Sum over cells, shape (n_frame, n_block, cells per block); blocks are the wide cells."""
    n, rows, columns = data.shape[0], data.shape[1] // block[0], data.shape[2] // block[1]
    cut = data[:, : rows * block[0], : columns * block[1]]
    inner = (block[0] // widths[0], block[1] // widths[1])
    cut = cut.reshape(n, rows, inner[0], widths[0], columns, inner[1], widths[1])
    return np.asarray(cut.sum(axis=(3, 6)).transpose(0, 1, 3, 2, 4).reshape(n, rows * columns, -1))


def _noise(cells: Array, n_pixel: int) -> tuple[Array, Array, int]:
    """Variance and effective mean of each cell, and the number of its pixels.

    Frames are brought to the same total, which takes the cell's share of the variance out; the mean is reduced alike.
    """
    totals = cells.sum(axis=(1, 2))
    steady = cells * (totals.mean() / totals)[:, None, None]
    mean = steady.mean(axis=0)
    variance = 0.5 * (np.diff(steady, axis=0) ** 2).mean(axis=0)
    return variance, mean * (1.0 - mean / mean.sum()), n_pixel


def _extrapolated(noise: list[tuple[Array, Array, int]], used: np.ndarray, *, readout: bool) -> Array:
    """Gain, readout variance per pixel, and the gains of narrow and wide cells, from the blocks marked in `used`."""
    slopes, floors = [], []
    for variance, mean, n_pixel in noise:
        v, m = variance[used].ravel(), mean[used].ravel()
        slope, floor = float(v.sum() / m.sum()), 0.0
        for _ in range(4 if readout else 0):  # the variance of a variance is twice its square
            weight = 1.0 / np.maximum(slope * m + floor, 1e-3 * slope * m.mean()) ** 2
            columns = np.stack([m, np.ones_like(m)], axis=1) * np.sqrt(weight)[:, None]
            slope, floor = (float(x) for x in np.linalg.lstsq(columns, v * np.sqrt(weight), rcond=None)[0])
            slope, floor = max(slope, 1e-12), max(floor, 0.0)
        slopes.append(slope)
        floors.append(floor / n_pixel)
    return np.array([2.0 * slopes[1] - slopes[0], 2.0 * floors[1] - floors[0], *slopes])


def _jackknife(noise: list[tuple[Array, Array, int]], n_block: int, *, readout: bool) -> Array:
    """Find standard errors of what `_extrapolated` gives by leaving out one block of the frame at a time."""
    left_out = np.stack([_extrapolated(noise, np.arange(n_block) != i, readout=readout) for i in range(n_block)])
    return np.asarray(np.sqrt((n_block - 1) * left_out.var(axis=0)))
