"""A region chosen on a map, as the line that rasters it: for a session's prompt, nothing moves from a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.raster_view import RasterView


def plan_line(start: Mapping[str, Any], raster: RasterView, mask: NDArray[np.bool_] | None) -> str:
    """Return the line that rasters a region.

    Parameters
    ----------
    start : mapping
        Start document of the run that is shown.
    raster : RasterView
        Where its pixels lie.
    mask : ndarray of bool, shape (ny, nx), or None

    Returns
    -------
    str
        A grid where the region is a rectangle of square pixels, else a `Mask` of these very pixels of the run's grid;
        empty without a region.
    """
    if mask is None or not mask.any():
        return ""
    rows, columns = np.nonzero(mask)
    nx, ny = (int(np.ptp(numbers)) + 1 for numbers in (columns, rows))
    wide, high = raster.pitch
    if len(rows) == nx * ny and np.isclose(wide, high):
        x, y = raster.x[[columns.min(), columns.max()]].mean(), raster.y[[rows.min(), rows.max()]].mean()
        return f"RE(raster({nx}, {ny}, step={wide:g}, centre=({x:g}, {y:g})))"
    pixels = np.flatnonzero(mask).tolist()
    return f"RE(raster(Mask(grid={dict(start['grid'])!r}, pixels={pixels})))"
