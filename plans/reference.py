"""Which place is the reference of the energies, when it is measured, and when it is believed: a value.

A polycrystalline metal in electrical contact with the sample has its Fermi edge where the sample has it. An edge of the
sample itself, such as a nodal cut, moves with what is measured: it is a check, not a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.region import Finite

if TYPE_CHECKING:  # a configuration is read before ophyd may be imported
    from microarpes.devices.end_station import EndStation
    from microarpes.plans.grid import RasterGrid

Positive = Annotated[Finite, Field(gt=0)]
#: Largest target, eV: an E_F that is wrong by 1 meV makes a gap that is wrong by 0.9 meV.
LARGEST_TARGET = 0.0002


class Reference(BaseModel):
    """A place on a metal, and how E_F is measured there.

    Parameters
    ----------
    name : str
    x, y, z : float, um
        In focus: z is part of it.
    polar, tilt, azimuth : float, optional, deg
        As the map has them where not given.
    at_start, at_end : bool
        Before the first row, after the last.
    every_rows : int, optional
        Before each so many rows.
    every_minutes : float, optional
        Before the first row that begins so long after the last reference.
    target_error : float, eV
        Exposures are added until E_F of every window is known so well; at most 0.2 meV.
    max_exposures : int
        After which the record is made with the error it has, and says so.
    resolution, resolution_error : float, optional, eV
        Energy resolution, FWHM, at the slits and the pass energy of the map, where it is known from elsewhere. The edge
        then tells the temperature of the surface; without it the edge tells the resolution, the temperature being that
        of the sensor. Never both.
    fit_temperature : {"sensor", "edge"}
        Which temperature the pixels are fitted with, where the edge tells one.
    max_jump : float, eV
        Largest believed change of E_F since the last record, or the one the run began with. A larger one fails; an
        operator who resumes then takes it as real.
    max_deviance : float
        Largest Poisson deviance per degree of freedom of a believed edge.
    max_contrast : float
        Angular contrast from which on it is a crystal that is looked at.
    attempts : int
        References in a row that may fail.
    on_failure : {"pause", "continue"}
        After that, pause for an operator, or go on with the record before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)] = "gold"
    x: Finite
    y: Finite
    z: Finite
    polar: Finite | None = None
    tilt: Finite | None = None
    azimuth: Finite | None = None
    at_start: bool = True
    every_rows: Annotated[int, Field(ge=1, strict=True)] | None = None
    every_minutes: Positive | None = None
    at_end: bool = True
    target_error: Annotated[Finite, Field(gt=0, le=LARGEST_TARGET)] = LARGEST_TARGET
    max_exposures: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 200
    resolution: Annotated[Finite, Field(ge=0.0005, le=0.2)] | None = None
    resolution_error: Annotated[Finite, Field(ge=0, le=0.2)] = 0.0
    fit_temperature: Literal["sensor", "edge"] = "sensor"
    max_jump: Positive = 0.010
    max_deviance: Annotated[Finite, Field(gt=1)] = 2.0
    max_contrast: Positive = 0.15
    attempts: Annotated[int, Field(ge=1, le=20, strict=True)] = 2
    on_failure: Literal["pause", "continue"] = "pause"

    @model_validator(mode="after")
    def _ever(self) -> Reference:
        if not (self.at_start or self.at_end or self.every_rows or self.every_minutes):
            raise ValueError("the reference is never due; give at_start, at_end, every_rows or every_minutes")
        return self

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Reference:
        if self.resolution is None and (self.resolution_error or self.fit_temperature == "edge"):
            raise ValueError(
                "resolution is missing: an edge tells the temperature only where the resolution is known; give it in "
                "eV FWHM, or leave out resolution_error and fit_temperature"
            )
        return self

    @property
    def position(self) -> dict[str, float]:
        """Axis to position, um and deg, of the axes it says anything about."""
        found = {name: getattr(self, name) for name in ("x", "y", "z", "polar", "tilt", "azimuth")}
        return {name: float(value) for name, value in found.items() if value is not None}

    def out_of_reach(self, station: EndStation) -> list[str]:
        """Return why no axis may go there now; an empty list allows it. Nothing moves."""
        problems = []
        for name, position in self.position.items():
            try:
                station.manipulator.axes[name].check_value(position)
            except ValueError as error:
                problems.append(f"reference {self.name}: {error}")
        return problems

    def refusals(self, station: EndStation, grid: RasterGrid, spot: float = 0.0) -> list[str]:
        """Return why it cannot be the reference of a raster here; an empty list allows it. Nothing moves.

        Parameters
        ----------
        station : EndStation
            Connected.
        grid : RasterGrid
        spot : float, um
            How far beyond its pixels the beam of a raster reaches.
        """
        problems = self.out_of_reach(station)
        area = {
            name: (min(line.start, line.stop) - spot, max(line.start, line.stop) + spot)
            for name, line in (("x", grid.x), ("y", grid.y))
        }
        if all(low <= self.position[name] <= high for name, (low, high) in area.items()):
            problems.append(f"reference {self.name}: {_inside(self.position, area)}")
        return problems


def _inside(position: Mapping[str, float], area: Mapping[str, tuple[float, float]]) -> str:
    at = ", ".join(f"{name} = {position[name]:g}" for name in area)
    bounds = " and ".join(f"{name} in [{low:g}, {high:g}]" for name, (low, high) in area.items())
    return (
        f"{at} um lies within the raster, {bounds} um: that is the sample, and an edge of the sample, such as a nodal "
        "cut, is a check, not a reference; give a place on a metal in contact with it"
    )
