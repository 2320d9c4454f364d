"""What the shapes of a raster have in common: places in the order of the visit, stretch by stretch, on a lattice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from microarpes.plans.grid import MAX_PIXELS, RasterGrid, RasterPoint
from microarpes.plans.placement import SAME_PLACE, lattice_of

if TYPE_CHECKING:
    from scanspec.specs import Spec

Floats = NDArray[np.float64]
#: Neighbours of a row that are farther apart than so many steps belong to two stretches of it.
BREAK = 1.5


class WalkedShape(BaseModel, ABC):
    """A shape that knows its places, stretch by stretch; the cells follow from them.

    A stretch is walked without a break: between two of them a run may end, and references are measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: Literal["um"] = "um"

    @abstractmethod
    def walks(self) -> list[Floats]:
        """Return the stretches in the order of the visit, each of shape (n, 2), um."""

    def lattice(self) -> RasterGrid:
        """Return the lattice of cells on which the places lie.

        Raises
        ------
        ValueError
            It would take too many cells.
        """
        return _lattice(self)

    def rows(self) -> list[list[RasterPoint]]:
        """Return the pixels in the order of the visit, stretch by stretch."""
        return _on_lattice(self.lattice(), walked(self))

    @property
    def num_points(self) -> int:
        """Number of pixels that are visited."""
        return sum(map(len, walked(self)))


# Not kept in the shape: a copy with other values would take it along.
@lru_cache(maxsize=4)
def walked(shape: WalkedShape) -> list[Floats]:
    """Return `shape.walks()`, reckoned once."""
    return shape.walks()


@lru_cache(maxsize=4)
def _lattice(shape: WalkedShape) -> RasterGrid:
    return lattice_of(np.concatenate(walked(shape)))


def places_of(spec: Spec[str]) -> Floats:
    """Return the places of a scanspec in its order, shape (n, 2), um."""
    from scanspec.core import Path

    midpoints = Path(spec.calculate()).consume().midpoints
    return np.column_stack([midpoints["x"], midpoints["y"]])


def cut_rows(places: Floats, step: float, fast_axis: str) -> list[Floats]:
    """Cut rows along an axis, one after the other, at their ends and where pixels are left out."""
    fast = "xy".index(fast_axis)
    away = np.abs(np.diff(places, axis=0))
    together = (away[:, fast] < BREAK * step) & (away[:, 1 - fast] < SAME_PLACE)
    return np.split(places, np.flatnonzero(~together) + 1)


def _on_lattice(lattice: RasterGrid, walks: list[Floats]) -> list[list[RasterPoint]]:
    rows = []
    for walk in walks:
        pixels = lattice.pixels_at(walk)
        rows.append([RasterPoint(int(p), float(x), float(y)) for p, (x, y) in zip(pixels, walk, strict=True)])
    return rows


def refuse_absurd(number: float) -> None:
    """Raise ValueError for more pixels than any beamtime holds."""
    if number > MAX_PIXELS:
        raise ValueError(f"about {number:.3g} pixels; at most {MAX_PIXELS} are allowed")


def refuse_repeats(values: tuple[Any, ...], what: str) -> None:
    """Raise ValueError where a value is given twice; `what` it is, is for the message."""
    seen: dict[Any, int] = {}
    for number, value in enumerate(values):
        if (first := seen.setdefault(value, number)) != number:
            raise ValueError(f"{what} {value} is given twice, as number {first} and number {number}; leave one out")
