"""Shapes of a raster as values that are written to JSON and read back: what is visited, and in which order.

Whatever the shape, what is measured lies on a lattice of cells, as the pixels of a grid do; a shape visits some of
them, each once, at its exact place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, model_validator

from microarpes.plans.grid import MAX_PIXELS, Coordinate, RasterGrid
from microarpes.plans.placement import SAME_PLACE, lattice_of, without_repeats
from microarpes.plans.walked_shape import (
    Floats,
    WalkedShape,
    cut_rows,
    places_of,
    refuse_absurd,
    refuse_repeats,
    walked,
)

if TYPE_CHECKING:
    from scanspec.specs import Spec

#: x and y, um.
Place = tuple[Coordinate, Coordinate]
Distance = Annotated[Coordinate, Field(gt=0)]


class LineScan(WalkedShape):
    """Equidistant places from one end to the other, both included, in any direction.

    Parameters
    ----------
    start, stop : (float, float)
        x and y of the ends, um.
    num : int
        At least 2.

    Examples
    --------
    >>> [[tuple(point) for point in row] for row in LineScan(start=(0.0, 5.0), stop=(20.0, 5.0), num=3).rows()]
    [[(0, 0.0, 5.0), (1, 10.0, 5.0), (2, 20.0, 5.0)]]
    """

    kind: Literal["line"] = "line"
    start: Place
    stop: Place
    num: Annotated[int, Field(ge=2, le=MAX_PIXELS, strict=True)]

    @model_validator(mode="after")
    def _a_way_to_go(self) -> LineScan:
        if self.start == self.stop:
            raise ValueError(f"{self.num} points between {self.start} um and the same place; give two ends")
        return self

    def spec(self) -> Spec[str]:
        """Return the line as a scanspec."""
        from scanspec.specs import Linspace

        (x0, y0), (x1, y1) = self.start, self.stop
        return Linspace("x", x0, x1, self.num).zip(Linspace("y", y0, y1, self.num))

    def walks(self) -> list[Floats]:
        """Return the line as one stretch."""
        return [places_of(self.spec())]


class Spiral(WalkedShape):
    """A spiral of Archimedes from the centre outwards: turns and neighbours are a step apart.

    Parameters
    ----------
    centre : (float, float)
        um.
    radius, step : float
        um.
    inwards : bool
        Walked from its rim to its centre.
    """

    kind: Literal["spiral"] = "spiral"
    centre: Place
    radius: Distance
    step: Distance
    inwards: Annotated[bool, Field(strict=True)] = False

    @model_validator(mode="after")
    def _some_turns(self) -> Spiral:
        if self.step > self.radius:
            raise ValueError(f"step = {self.step:g} um is above radius = {self.radius:g} um: that is a single place")
        refuse_absurd(np.pi * (self.radius / self.step) ** 2)
        return self

    def spec(self) -> Spec[str]:
        """Return the spiral as a scanspec."""
        from scanspec.specs import Spiral as SpiralSpec

        return SpiralSpec("x", self.centre[0], 2 * self.radius, self.step, "y", self.centre[1])

    def walks(self) -> list[Floats]:
        """Return the spiral turn by turn."""
        places = places_of(self.spec())
        x, y = (places - self.centre).T
        turned = np.abs(np.unwrap(np.arctan2(y, x)) - np.arctan2(y[0], x[0]))
        turn = (turned / (2 * np.pi)).astype(np.int64)
        walks = np.split(places, np.flatnonzero(np.diff(turn)) + 1)
        return [walk[::-1] for walk in walks[::-1]] if self.inwards else walks


class Polygon(WalkedShape):
    """The pixels of a lattice within a polygon, which need not be convex.

    The lattice begins at the lowest x and y of the vertices. A pixel on a left or lower edge lies within, one on a
    right or upper edge does not: polygons that share an edge share no pixel.

    Parameters
    ----------
    vertices : sequence of (float, float)
        In order, um; the last is joined to the first.
    step : float
        um, along x and y.
    snake : bool
        Every other row is visited backwards.
    fast_axis : {"x", "y"}
        The axis that moves at every point.
    """

    kind: Literal["polygon"] = "polygon"
    vertices: Annotated[tuple[Place, ...], Field(min_length=3, max_length=10_000)]
    step: Distance
    snake: Annotated[bool, Field(strict=True)] = True
    fast_axis: Literal["x", "y"] = "x"

    @model_validator(mode="after")
    def _an_area(self) -> Polygon:
        size = np.ptp(np.array(self.vertices), axis=0)
        if not size.all():
            raise ValueError("all vertices lie on one line; give a line, or vertices around an area")
        if self.step > size.max():
            raise ValueError(f"step = {self.step:g} um is above the size of the polygon, {size[0]:g} x {size[1]:g} um")
        refuse_absurd(float(np.prod(size / self.step + 1)))
        if not len(places_of(self.spec())):
            raise ValueError(f"no point of a lattice with step = {self.step:g} um lies within the polygon")
        return self

    def spec(self) -> Spec[str]:
        """Return the polygon as a scanspec."""
        from scanspec.specs import Polygon as PolygonSpec

        return PolygonSpec("x", "y", list(self.vertices), self.step, snake=self.snake, vertical=self.fast_axis == "y")

    def walks(self) -> list[Floats]:
        """Return the rows, each in as many stretches as it has."""
        return cut_rows(places_of(self.spec()), self.step, self.fast_axis)

    def lattice(self) -> RasterGrid:
        """Return the lattice within the polygon's bounds, as far as it is visited."""
        return lattice_of(np.concatenate(walked(self)), self.step, snake=self.snake, fast_axis=self.fast_axis)


class Mask(WalkedShape):
    """Some pixels of a grid, under the numbers they have there: what was chosen on a map, for a second look.

    Parameters
    ----------
    grid : RasterGrid
        Also says in which order they are visited.
    pixels : sequence of int
        Row * nx + column; their order does not matter.
    """

    kind: Literal["mask"] = "mask"
    grid: RasterGrid
    pixels: Annotated[tuple[Annotated[int, Field(ge=0, strict=True)], ...], Field(min_length=1, max_length=MAX_PIXELS)]

    @model_validator(mode="after")
    def _of_the_grid(self) -> Mask:
        if (highest := max(self.pixels)) >= self.grid.num_points:
            raise ValueError(f"pixel {highest} is none of the {self.grid.num_points} of the grid")
        refuse_repeats(self.pixels, "pixel")
        return self

    def walks(self) -> list[Floats]:
        """Return the rows, each in as many stretches as it has."""
        chosen = set(self.pixels)
        places = [(point.x, point.y) for point in self.grid.points() if point.pixel in chosen]
        fast = self.grid.x if self.grid.fast_axis == "x" else self.grid.y
        return cut_rows(np.array(places), abs(fast.step), self.grid.fast_axis)

    def lattice(self) -> RasterGrid:
        """Return the grid of which these are pixels."""
        return self.grid


class PointList(WalkedShape):
    """Places one by one, in the order given.

    Parameters
    ----------
    points : sequence of (float, float)
        um, all different.
    stretch : int
        How many are walked without a break.
    """

    kind: Literal["points"] = "points"
    points: Annotated[tuple[Place, ...], Field(min_length=1, max_length=MAX_PIXELS)]
    stretch: Annotated[int, Field(ge=1, strict=True)] = 25

    @model_validator(mode="after")
    def _no_repeats(self) -> PointList:
        refuse_repeats(self.points, "point")
        repeated = set(range(len(self.points))) - set(without_repeats(np.array(self.points)).tolist())
        if repeated:
            raise ValueError(f"point {min(repeated)} is nearer than {SAME_PLACE:g} um to one before it; leave it out")
        return self

    def walks(self) -> list[Floats]:
        """Return the places, so many at a time."""
        return np.split(np.array(self.points), range(self.stretch, len(self.points), self.stretch))


class Union(WalkedShape):
    """Shapes one after the other; a place that an earlier one has is not visited again.

    Parameters
    ----------
    shapes : sequence of shapes
    """

    kind: Literal["union"] = "union"
    shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _not_too_many(self) -> Union:
        refuse_absurd(sum(shape.num_points for shape in self.shapes))
        return self

    def walks(self) -> list[Floats]:
        """Return the stretches of all shapes, without what was visited before."""
        walks = [walk for shape in self.shapes for walk in walks_of(shape)]
        places = np.concatenate(walks)
        of_walk = np.repeat(np.arange(len(walks)), [len(walk) for walk in walks])
        kept = without_repeats(places)
        return [places[kept[of_walk[kept] == number]] for number in np.unique(of_walk[kept])]


Shape = Annotated[RasterGrid | LineScan | Spiral | Polygon | Mask | PointList | Union, Field(discriminator="kind")]
Union.model_rebuild()
#: Reads and writes any shape: ``SHAPES.validate_python(dict)``.
SHAPES: TypeAdapter[Shape] = TypeAdapter(Shape)


def coarse_then_fine(coarse: Shape, patches: Iterable[Shape]) -> Union:
    """Return an overview and then fine patches as one shape: it is looked at while the patches are measured."""
    return Union(shapes=(coarse, *patches))


def walks_of(shape: Shape) -> list[Floats]:
    """Return the stretches of any shape in the order of the visit, each of shape (n, 2), um."""
    if isinstance(shape, RasterGrid):
        return [np.array([(point.x, point.y) for point in row]) for row in shape.rows()]
    return walked(shape)


def shape_of(start: Mapping[str, Any]) -> Shape:
    """Return the whole raster of a start document; one that tells no shape is of a grid.

    Raises
    ------
    ValueError, KeyError
        The document is not what `gap_raster` writes.
    """
    told = start.get("raster_shape")
    return RasterGrid.model_validate(start["grid"]) if told is None else SHAPES.validate_python(told)


def planned_pixels(start: Mapping[str, Any]) -> NDArray[np.int64] | None:
    """Return the pixels that a start document plans, in the order of the visit; None for a run that tells no shape.

    They are reckoned on the lattice the document holds, so that another way to choose one leaves old runs as they are.

    Raises
    ------
    ValueError
        The document is not what `gap_raster` writes.
    """
    told = start.get("raster_shape")
    if told is None:
        return None
    lattice = RasterGrid.model_validate(start["grid"])
    return lattice.pixels_at(np.concatenate(walks_of(SHAPES.validate_python(told))))
