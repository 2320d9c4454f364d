"""Which part of the sample tells where the sample is, and when it is looked at: a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.region import Finite

if TYPE_CHECKING:  # a configuration is read before ophyd may be imported
    from microarpes.devices.end_station import EndStation

Positive = Annotated[Finite, Field(gt=0)]


class Landmark(BaseModel):
    """A place whose image, in counts over I0, has structure along x and along y: a corner, a patch, a scratch.

    Parameters
    ----------
    name : str
    x, y : float, um
        Centre of the image, where the sample was when the raster began.
    points : int
        Places along each side of the image.
    step : float, um
        Distance of neighbouring places; about the size of the beam, at most.
    every_rows : int, optional
        Looked at before each so many rows; the first look, before the first row, is what later ones are compared with.
    every_minutes : float, optional
        Before the first row that begins so long after the last look.
    max_shift : float, um
        Largest believed shift since the last look.
    max_error : float, um
        Largest error of a believed shift.
    on_failure : {"pause", "continue"}
        When the landmark is not found: pause for an operator, or go on where the sample was believed to be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)] = "landmark"
    x: Finite
    y: Finite
    points: Annotated[int, Field(ge=4, le=50, strict=True)] = 9
    step: Positive = 8.0
    every_rows: Annotated[int, Field(ge=1, strict=True)] | None = None
    every_minutes: Positive | None = None
    max_shift: Positive = 15.0
    max_error: Positive = 1.0
    on_failure: Literal["pause", "continue"] = "pause"

    @model_validator(mode="after")
    def _ever(self) -> Landmark:
        if not (self.every_rows or self.every_minutes):
            raise ValueError("the landmark is never looked at again; give every_rows or every_minutes")
        return self

    @model_validator(mode="after")
    def _within_the_image(self) -> Landmark:
        if self.max_shift > (limit := 0.5 * (self.points - 1) * self.step):
            raise ValueError(
                f"max_shift = {self.max_shift:g} um is more than half the image, {limit:g} um; take more points or a "
                "larger step"
            )
        return self

    def places(self, shift: Sequence[float]) -> list[list[tuple[float, float]]]:
        """Return where the image is taken when the sample has moved, x and y in um, row by row."""
        half = 0.5 * (self.points - 1)
        offsets = [self.step * (i - half) for i in range(self.points)]
        return [[(self.x + shift[0] + dx, self.y + shift[1] + dy) for dx in offsets] for dy in offsets]

    def refusals(self, station: EndStation) -> list[str]:
        """Return why it cannot be looked at here, with room for its shift; an empty list allows it. Nothing moves."""
        problems = []
        for name in ("x", "y"):
            half = 0.5 * (self.points - 1) * self.step + self.max_shift
            for position in (getattr(self, name) - half, getattr(self, name) + half):
                try:
                    getattr(station.manipulator, name).check_value(position)
                except ValueError as error:
                    problems.append(f"landmark {self.name}: {error}")
        return problems
