r"""Where the sample is on a coarse map: a patch of one brightness whose frames disperse.

Brightness alone does not tell a sample: silver epoxy may be brighter than a flake, and the frame of a dead patch as
bright. So the map is split into levels of brightness, where it has levels beyond counting noise, by the threshold that
leaves the least variance within them (N. Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979)); each connected patch of a
level is the sample's when its frames have angular contrast, which a polycrystal has not; and the sample is the largest
of those that hang together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label
from scipy.special import chdtrc

__all__ = ["Level", "SampleRegion", "sample_region"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Least step between two levels, as a part of the higher one and in counting errors of a point.
STEP, ERRORS = 0.1, 4.0
#: Probability of chi2 below which a map is not level.
LEVEL = 1e-4
#: Levels a map is split into, at most.
MOST_LEVELS = 4
#: Least angular contrast of a sample: a dispersing band has 0.3 and more.
CONTRAST = 0.2
#: Of 20 bins of Poisson counts, variance over noise minus 1 has this error; so many errors are no noise.
BIN_ERROR, SURE = (2.0 / 19.0) ** 0.5, 3.0
#: What is taken to lie in a bin of the angular contrast, as a part of all counts: a fifth of them in 20 bins, less for
#: the noise of the energies below, with which they are compared.
BIN_SHARE = 0.008
EIGHT = np.ones((3, 3), dtype=int)


@dataclass(frozen=True)
class Level:
    """One level of brightness.

    Attributes
    ----------
    brightness : float
        Mean counts over beam.
    points : int
    contrast : float
        Median angular contrast of its frames; NaN where there is none.
    """

    brightness: float
    points: int
    contrast: float


@dataclass(frozen=True)
class SampleRegion:
    """Where the sample is.

    Attributes
    ----------
    status : str
        ``ok``; ``level`` when nothing differs beyond counting noise; ``alike`` when what differs does so by less than a
        tenth; ``no-contrast`` when no patch disperses; ``too-few`` with fewer than four points that counted.
    points : ndarray of bool, shape (ny, nx)
        Those on the sample.
    centre : (float, float), um
        Mean x and y of them; NaN unless `status` is ``ok``, as all that follows.
    low, high : (float, float), um
        Corners of their box, cells included.
    area : float, um^2
    contrast : float
        Median angular contrast on the sample.
    at_edge : bool
        It goes on beyond the map.
    levels : tuple of Level
        The brightest first.
    """

    status: str
    points: Mask
    centre: tuple[float, float] = (np.nan, np.nan)
    low: tuple[float, float] = (np.nan, np.nan)
    high: tuple[float, float] = (np.nan, np.nan)
    area: float = np.nan
    contrast: float = np.nan
    at_edge: bool = False
    levels: tuple[Level, ...] = field(default=())


def sample_region(x: ArrayLike, y: ArrayLike, counts: ArrayLike, beam: ArrayLike, contrast: ArrayLike) -> SampleRegion:
    """Find the sample on a map of a grid.

    Parameters
    ----------
    x : array_like, shape (nx,), um
        Columns, equidistant.
    y : array_like, shape (ny,), um
        Rows.
    counts, beam : array_like, shape (ny, nx)
        Counts of each frame, and the beam while it was taken (I0, or what stands for it); NaN where nothing was
        measured.
    contrast : array_like, shape (ny, nx)
        Angular contrast near E_F, as of an event.

    Raises
    ------
    ValueError
        The shapes do not fit.
    """
    columns, rows = (np.asarray(axis, dtype=np.float64) for axis in (x, y))
    n, i0, structure = (np.asarray(plane, dtype=np.float64) for plane in (counts, beam, contrast))
    if not n.shape == i0.shape == structure.shape == (rows.size, columns.size):
        raise ValueError(
            f"counts, beam and contrast have shapes {n.shape}, {i0.shape} and {structure.shape}; {rows.size} rows and "
            f"{columns.size} columns were told"
        )
    nowhere = np.zeros(n.shape, dtype=bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        good = np.isfinite(n) & (n >= 0) & (i0 > 0)
        brightness, error = np.where(good, n / i0, np.nan), np.where(good, np.sqrt(np.maximum(n, 1.0)) / i0, np.nan)
    if good.sum() < 4:
        return SampleRegion("too-few", nowhere)
    masks = _levels(brightness, error, good)
    levels = tuple(
        Level(float(brightness[mask].mean()), int(mask.sum()), _median(structure[mask]))
        for mask in sorted(masks, key=lambda mask: -float(brightness[mask].mean()))
    )
    if len(masks) == 1:
        alike = _is_level(brightness[good], error[good])
        return SampleRegion("level" if alike else "alike", nowhere, levels=levels, contrast=levels[0].contrast)
    dispersing = nowhere.copy()
    for mask in masks:
        patches, number = label(mask, EIGHT)
        for patch in (patches == k for k in range(1, number + 1)):
            dispersing |= patch & _disperses(structure[patch], n[patch])
    if not dispersing.any():
        return SampleRegion("no-contrast", nowhere, levels=levels)
    patches, _ = label(dispersing, EIGHT)
    found = patches == 1 + int(np.argmax(np.bincount(patches.ravel())[1:]))
    return _described(columns, rows, found, _median(structure[found]), levels)


def _described(x: Array, y: Array, found: Mask, contrast: float, levels: tuple[Level, ...]) -> SampleRegion:
    row, column = np.nonzero(found)
    pitch = [abs(float(axis[1] - axis[0])) if axis.size > 1 else 0.0 for axis in (x, y)]
    pitch = [width or max(pitch) for width in pitch]
    at = [(float(axis[k].min()), float(axis[k].max())) for axis, k in ((x, column), (y, row))]
    edges = ((column, x.size), (row, y.size))
    return SampleRegion(
        "ok",
        found,
        (float(x[column].mean()), float(y[row].mean())),
        (at[0][0] - pitch[0] / 2, at[1][0] - pitch[1] / 2),
        (at[0][1] + pitch[0] / 2, at[1][1] + pitch[1] / 2),
        float(found.sum() * pitch[0] * pitch[1]),
        contrast,
        any(bool(k.min() == 0 or k.max() == size - 1) for k, size in edges if size > 1),
        levels,
    )


def _disperses(contrast: Array, counts: Array) -> bool:
    """Return whether the frames of a patch have angular contrast, beyond what counting noise makes of none."""
    in_bin = max(BIN_SHARE * float(np.median(counts)), 1e-9)
    noise = float(np.sqrt(SURE * BIN_ERROR / in_bin / np.sqrt(counts.size)))
    return bool(_median(contrast) >= max(CONTRAST, noise))


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _levels(brightness: Array, error: Array, good: Mask) -> list[Mask]:
    """Return the levels of a map as masks: again and again the one whose two parts differ most is split."""
    levels = [good]
    while len(levels) < MOST_LEVELS:
        splits = [_split(brightness[level], error[level]) for level in levels]
        gain, worst = max((gain, k) for k, (gain, _) in enumerate(splits))
        if not gain > 0:
            break
        level = levels.pop(worst)
        above = level & (brightness > splits[worst][1])
        levels += [above, level & ~above]
    return levels


def _split(brightness: Array, error: Array) -> tuple[float, float]:
    """Return by how much the variance within falls, 0 where these are no two levels, and the threshold of Otsu."""
    if brightness.size < 2 or _is_level(brightness, error):
        return 0.0, np.inf
    ranked = np.sort(brightness)
    below = np.arange(1, ranked.size)
    sums = np.cumsum(ranked)
    low = sums[:-1] / below
    high = (sums[-1] - sums[:-1]) / (ranked.size - below)
    between = below * (ranked.size - below) / ranked.size * (high - low) ** 2
    best = int(np.argmax(between))
    if high[best] - low[best] < max(STEP * high[best], ERRORS * float(np.median(error))):
        return 0.0, np.inf
    return float(between[best]), float(ranked[best : best + 2].mean())


def _is_level(brightness: Array, error: Array) -> bool:
    """Return whether values are the same within their errors."""
    mean = float(np.average(brightness, weights=error**-2.0))
    chi2 = float((((brightness - mean) / error) ** 2).sum())
    return bool(chdtrc(brightness.size - 1, chi2) > LEVEL)
