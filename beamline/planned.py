"""Which cells of its lattice a run visits: all those of a grid, some of any other shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def visit_of(start: Mapping[str, Any]) -> NDArray[np.int64] | None:
    """Return the pixels a start document plans, in the order of the visit; None where its grid says all.

    What cannot be read is taken for a grid: a run is worth looking at whatever its start document says.
    """
    told = start.get("raster_shape")
    if not isinstance(told, Mapping) or told.get("kind") == "grid":
        return None
    # Not above: a grid, as most runs are, needs neither scanspec nor the second it takes.
    from microarpes.plans.shapes import planned_pixels

    try:
        return planned_pixels(start)
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("the shape of run %s cannot be read: %s", str(start.get("uid"))[:8], error)
        return None


def planned_mask(start: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which pixels a start document plans.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    visit = visit_of(start)
    ny, nx = (int(number) for number in start["shape"])
    mask = np.full(ny * nx, visit is None)
    if visit is not None:
        mask[visit] = True
    return mask.reshape(ny, nx)
