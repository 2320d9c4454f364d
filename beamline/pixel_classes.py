"""How a pixel without a gap is told from others, on paper and on the page: by hatch, not by colour alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.k_f_verdict import NO_K_F

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PixelClass:
    """A class of pixels that carry no gap.

    Attributes
    ----------
    label : str
        In a legend.
    hatch : str
        In matplotlib's letters.
    pattern : str
        The same in bokeh's names.
    verdicts : tuple of str
        The statuses it stands for; the empty string where nothing was measured.
    face : str
        Colour on paper, in matplotlib's letters.
    """

    label: str
    hatch: str
    pattern: str
    verdicts: tuple[str, ...]
    face: str = "white"


OFF_SAMPLE = PixelClass("off sample", "--", "horizontal_line", ("off-sample",), "0.88")
BAD_FIT = PixelClass("bad fit", "//////", "right_diagonal_line", ("bad-fit",))
NO_GAP = PixelClass("no gap resolved", "....", "dot", ("no-gap",))
#: The fit has a gap, but of windows that may lie anywhere about k_F; see `microarpes.analysis.k_f_verdict`.
K_F_UNKNOWN = PixelClass("k_F not found", "\\\\\\\\", "left_diagonal_line", (NO_K_F,))
NO_FIT = PixelClass(
    "no fit", "xxxx", "diagonal_cross",
    ("bad-input", "saturated", "no-edge", "empty", "low-counts", "not-fitted"),
)  # fmt: skip
UNMEASURED = PixelClass("not measured", "", "blank", ("",))
#: In the place of a verdict, for the cells of the lattice that a raster does not visit: nothing is drawn there.
OUTSIDE = "outside"
#: Those that are hatched.
CLASSES = (OFF_SAMPLE, NO_GAP, K_F_UNKNOWN, BAD_FIT, NO_FIT)


def class_of(verdict: str) -> PixelClass | None:
    """Return the class of a verdict; None for ``ok`` and for what has no fit yet."""
    return next((kind for kind in (*CLASSES, UNMEASURED) if verdict in kind.verdicts), None)


def robust_levels(values: Floats, least: float = 0.0) -> tuple[float, float]:
    """Return colour limits: the 2nd and 98th percentile, apart by `least` at the least.

    Noise alone must not fill the colour scale; with `least` four times the median error a flat map looks flat.

    Parameters
    ----------
    values : ndarray
        NaN is left out.
    least : float
        Smallest span, in the unit of `values`.
    """
    good = values[np.isfinite(values)]
    if not good.size:
        return 0.0, 1.0
    low, high = np.percentile(good, [2.0, 98.0]).tolist()
    return wide_enough(low, high, least)


def wide_enough(low: float, high: float, least: float = 0.0) -> tuple[float, float]:
    """Return the limits apart by `least`, about the same middle, and never on top of each other."""
    span = max(least, high - low, 1e-9 * max(abs(low), abs(high)), 1e-12)
    middle = 0.5 * (low + high)
    return middle - 0.5 * span, middle + 0.5 * span
