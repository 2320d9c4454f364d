"""A rectangular raster as a value, and the lattice of cells on which everything measured lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.region import is_number

if TYPE_CHECKING:
    from scanspec.specs import Spec

#: More pixels than any beamtime holds; refuses a slip of the pen before it is expanded.
MAX_PIXELS = 1_000_000

#: um; a number and nothing that could be taken for one: neither True nor "3".
Coordinate = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class RasterPoint(NamedTuple):
    """A planned pixel: its id, counted row by row from the grid's start, and its position in um.

    The position is the exact one, which need not be the centre of the pixel's cell.
    """

    pixel: int
    x: float
    y: float


class Line(BaseModel):
    """Equidistant pixel centres along one axis, um, both ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Coordinate
    stop: Coordinate
    num: Annotated[int, Field(ge=1, strict=True)]

    @model_validator(mode="after")
    def _a_way_to_go(self) -> Line:
        if self.num > 1 and self.start == self.stop:
            raise ValueError(f"{self.num} points between {self.start} um and the same place; give a step or one point")
        return self

    @property
    def step(self) -> float:
        """Distance of two neighbours, um; 0 for a single point."""
        return (self.stop - self.start) / (self.num - 1) if self.num > 1 else 0.0

    def index(self, positions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the number of the cell in which each position lies, um; not all of them need be on the line."""
        if self.num == 1:
            return np.zeros(np.shape(positions), dtype=np.int64)
        return np.floor((positions - self.start) / self.step + 0.5).astype(np.int64)


class RasterGrid(BaseModel):
    """A rectangular raster over x and y, um.

    Parameters
    ----------
    x, y : Line
        Pixel centres along each axis.
    snake : bool
        Every other row is visited backwards.
    fast_axis : {"x", "y"}
        The axis that moves at every point.
    units : {"um"}
        Of all positions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["grid"] = "grid"
    units: Literal["um"] = "um"
    x: Line
    y: Line
    snake: bool = True
    fast_axis: Literal["x", "y"] = "x"

    @model_validator(mode="after")
    def _not_absurd(self) -> RasterGrid:
        if self.num_points > MAX_PIXELS:
            raise ValueError(
                f"{self.x.num} x {self.y.num} = {self.num_points} pixels; at most {MAX_PIXELS} are allowed"
            )
        return self

    @classmethod
    def centred(
        cls, nx: int, ny: int, step: float, centre: tuple[float, float] = (0.0, 0.0), **kwargs: Any
    ) -> RasterGrid:
        """Return a grid of `nx` by `ny` pixels, `step` um apart, about a centre (um).

        Examples
        --------
        >>> grid = RasterGrid.centred(3, 2, 10.0)
        >>> [tuple(point) for point in grid.points()][2:4]
        [(2, 10.0, -5.0), (5, 10.0, 5.0)]
        """
        if not (is_number(step) and step > 0):
            raise ValueError(f"step = {step!r} um must be a finite number above 0")
        if not (isinstance(centre, Sequence) and len(centre) == 2 and all(map(is_number, centre))):
            raise ValueError(f"centre = {centre!r} um must be two finite numbers, x and y")

        def line(num: int, middle: float) -> Line:
            half = (num - 1) * step / 2 if isinstance(num, int) else 0.0
            return Line(start=middle - half, stop=middle + half, num=num)

        return cls(x=line(nx, centre[0]), y=line(ny, centre[1]), **kwargs)

    @property
    def num_points(self) -> int:
        """Number of pixels."""
        return self.x.num * self.y.num

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (ny, nx)."""
        return self.y.num, self.x.num

    def spec(self) -> Spec[str]:
        """Return the raster as a scanspec."""
        # Not above: it takes a second, and a grid that is refused needs none.
        from scanspec.specs import Linspace

        lines = {name: Linspace(name, line.start, line.stop, line.num) for name, line in (("x", self.x), ("y", self.y))}
        slow = lines["y" if self.fast_axis == "x" else "x"]
        fast = lines[self.fast_axis]
        return slow * (~fast if self.snake else fast)

    def points(self) -> Iterator[RasterPoint]:
        """Yield the pixels in the order of the visit."""
        from scanspec.core import Path

        midpoints = Path(self.spec().calculate()).consume().midpoints
        pixels = self.pixels_at(np.column_stack([midpoints["x"], midpoints["y"]]))
        for pixel, x, y in zip(pixels, midpoints["x"], midpoints["y"], strict=True):
            yield RasterPoint(int(pixel), float(x), float(y))

    def pixels_at(self, places: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the pixel in whose cell each place lies.

        Parameters
        ----------
        places : ndarray, shape (n, 2), um
            x and y.

        Raises
        ------
        ValueError
            A place lies outside all cells.
        """
        column, row = self.x.index(places[:, 0]), self.y.index(places[:, 1])
        outside = (column < 0) | (column >= self.x.num) | (row < 0) | (row >= self.y.num)
        if outside.any():
            x, y = places[np.argmax(outside)]
            raise ValueError(f"x, y = {x:g}, {y:g} um lies outside the {self.x.num} x {self.y.num} cells of the raster")
        return row * self.x.num + column

    def lattice(self) -> RasterGrid:
        """Return the lattice on which the pixels lie: the grid itself."""
        return self

    def rows(self) -> list[list[RasterPoint]]:
        """Return the pixels in the order of the visit, row by row along the fast axis.

        Examples
        --------
        >>> [[point.pixel for point in row] for row in RasterGrid.centred(2, 2, 1.0).rows()]
        [[0, 1], [3, 2]]
        """
        length = (self.x if self.fast_axis == "x" else self.y).num
        points = list(self.points())
        return [points[first : first + length] for first in range(0, len(points), length)]

    def document(self) -> dict[str, Any]:
        """Return the ``grid`` entry of the start document."""
        return self.model_dump(exclude={"kind"})
