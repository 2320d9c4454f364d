"""Which pixels of a raster are looked at again and again, to tell whether the sample ages: a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.region import Finite

if TYPE_CHECKING:  # a configuration is read before ophyd may be imported
    from microarpes.plans.grid import RasterPoint
    from microarpes.plans.shapes import Shape

Positive = Annotated[Finite, Field(gt=0)]
Pixel = Annotated[int, Field(ge=0, strict=True)]
#: Most control pixels of a raster: each costs an exposure a look.
MOST = 20
#: Steps, in widths and heights of the raster, of a sequence that fills a square evenly however many are taken
#: (Roberts 2018, the plane's analogue of the golden ratio).
EVENLY = (0.7548776662466927, 0.5698402909980532)


class ControlPixels(BaseModel):
    """Pixels that are measured again between the rows.

    Parameters
    ----------
    pixels : tuple of int
        Planned pixels; where there is none, `number` of them are spread over the raster, the first in its middle.
    number : int
    at_start, at_end : bool
        Before the first row, after the last.
    every_rows : int, optional
        Before each so many rows.
    every_minutes : float, optional
        Before the first row that begins so long after the last look.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels: Annotated[tuple[Pixel, ...], Field(max_length=MOST)] = ()
    number: Annotated[int, Field(ge=1, le=MOST, strict=True)] = 3
    at_start: bool = True
    every_rows: Annotated[int, Field(ge=1, strict=True)] | None = None
    every_minutes: Positive | None = None
    at_end: bool = True

    @model_validator(mode="after")
    def _again(self) -> ControlPixels:
        if not (self.every_rows or self.every_minutes or (self.at_start and self.at_end)):
            raise ValueError("control pixels are never looked at again; give every_rows or every_minutes")
        if twice := sorted({pixel for pixel in self.pixels if self.pixels.count(pixel) > 1}):
            raise ValueError(f"pixels: {', '.join(map(str, twice))} more than once; name each once")
        return self

    def refusals(self, shape: Shape) -> list[str]:
        """Return why these cannot be the control pixels of a raster; an empty list allows it."""
        planned = {point.pixel for row in shape.rows() for point in row}
        strange = [pixel for pixel in self.pixels if pixel not in planned]
        if not strange:
            return []
        return [f"control pixels {', '.join(map(str, strange))} are none of the {len(planned)} planned ones"]

    def chosen(self, shape: Shape) -> list[RasterPoint]:
        """Return the control pixels of a raster, in the order in which they are looked at."""
        planned = {point.pixel: point for row in shape.rows() for point in row}
        if self.pixels:
            return [planned[pixel] for pixel in self.pixels]
        return spread(list(planned.values()), self.number)


def spread(points: Sequence[RasterPoint], number: int) -> list[RasterPoint]:
    """Return so many of some points, or all, evenly over the rectangle they fill; the first from its middle.

    Examples
    --------
    >>> from microarpes.plans.grid import RasterGrid
    >>> [point.pixel for point in spread(list(RasterGrid.centred(9, 9, 10.0).points()), 3)]
    [40, 11, 45]
    """
    left, found = list(points), []
    low, width = ([f(getattr(p, n) for p in left) for n in ("x", "y")] for f in (min, max))
    width = [high - least for high, least in zip(width, low, strict=True)]
    for i in range(min(number, len(left))):
        x, y = (lo + w * ((0.5 + i * e) % 1.0) for lo, w, e in zip(low, width, EVENLY, strict=True))
        nearest = min(left, key=lambda p: ((p.x - x) ** 2 + (p.y - y) ** 2, p.pixel))
        left.remove(nearest)
        found.append(nearest)
    return found
