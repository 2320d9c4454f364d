"""Which pixels of two maps are of one place of the sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from microarpes.beamline.raster_view import RasterView

Floats = NDArray[np.float64]

#: Of a step: pixels of two maps that are nearer than this are of one place.
SAME_PLACE = 0.25


class Partners(NamedTuple):
    """The pixels of another map at the places of a first.

    Attributes
    ----------
    pixel : ndarray of int, shape (ny, nx)
        -1 where the other map has none.
    nearest : float, um
        Least distance of two pixels.
    limit : float, um
        Up to which two pixels are of one place.
    """

    pixel: NDArray[np.intp]
    nearest: float
    limit: float


def partner_pixels(
    first: tuple[Floats, Floats], other: tuple[Floats, Floats], shift: tuple[float, float] = (0.0, 0.0)
) -> Partners:
    """Pair the pixels of two maps.

    Parameters
    ----------
    first, other : (ndarray, ndarray), um
        Nominal x of the columns and y of the rows of each.
    shift : (float, float), um
        Where on the other map a place of the first is found, further along x and y.

    Examples
    --------
    >>> steps = np.array([0.0, 10.0, 20.0])
    >>> partner_pixels((steps, np.zeros(1)), (steps[::-1], np.zeros(1))).pixel
    array([[2, 1, 0]])
    >>> partner_pixels((steps, np.zeros(1)), (steps, np.zeros(1)), (11.0, 0.0)).pixel
    array([[ 1,  2, -1]])
    """
    places = [np.column_stack([grid.ravel() for grid in np.meshgrid(*each)]) for each in (first, other)]
    step = min(min(RasterView(x, y, snake=True, fast_axis="x").pitch) for x, y in (first, other))
    distances, indices = cKDTree(places[1]).query(places[0] + np.array(shift))
    distance, index = np.asarray(distances), np.asarray(indices)
    pixel = np.where(distance <= SAME_PLACE * step, index, -1).reshape(len(first[1]), len(first[0]))
    return Partners(pixel, float(distance.min()), SAME_PLACE * step)
