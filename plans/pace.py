"""Which rows can be flown over, and how fast."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from microarpes.devices.flight import Flight, Leg
from microarpes.devices.region import Region
from microarpes.plans.fly import Fly
from microarpes.plans.grid import RasterPoint
from microarpes.plans.limits import GateLimits
from microarpes.plans.placement import SAME_PLACE
from microarpes.plans.shapes import Shape
from microarpes.plans.sub_frames import split
from microarpes.plans.walked_shape import BREAK

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation

Row = Sequence[RasterPoint]

#: The axis is slowed to what all but a twentieth of the last exposures would have allowed.
QUANTILE = 0.95
#: Exposures whose overhead is remembered.
MEMORY = 200


def flown_axis(row: Row) -> str | None:
    """Return the axis along which a row is straight and equidistant; None if along none, or if it is one pixel."""
    places = np.array([(point.x, point.y) for point in row]).reshape(-1, 2)
    steps = np.diff(places, axis=0)
    for fast, name in enumerate("xy"):
        along, across = steps[:, fast], steps[:, 1 - fast]
        if len(row) > 1 and np.ptp(along) < SAME_PLACE and np.abs(across).max() < SAME_PLACE < np.abs(along).min():
            return name
    return None


def stretches(row: Row) -> list[Row]:
    """Cut a row where pixels are left out, as in a run that another one resumes."""
    if len(row) < 3:
        return [row]
    steps = np.hypot(*np.diff([(point.x, point.y) for point in row], axis=0).T)
    ends = [0, *(np.flatnonzero(steps > BREAK * steps.min()) + 1).tolist(), len(row)]
    return [row[begin:end] for begin, end in itertools.pairwise(ends)]


def axes_of(shape: Shape) -> list[str]:
    """Return the axes that fly over the rows of a shape."""
    return sorted({name for row in shape.rows() if (name := flown_axis(row)) is not None})


@dataclass
class Pace:
    """How fast rows are flown over, by the overhead that was found.

    Parameters
    ----------
    fly : Fly
    exposure : float, s
    """

    fly: Fly
    exposure: float
    _found: list[float] = field(default_factory=list)

    def note(self, overheads: Sequence[float]) -> None:
        """Take the overheads of the exposures of a row, s."""
        self._found = [*self._found, *overheads][-MEMORY:]

    @property
    def overhead(self) -> float:
        """From the end of an exposure to the beginning of the next, s."""
        if len(self._found) < 2:
            return self.fly.overhead
        return max(statistics.quantiles(self._found, n=round(1 / (1 - QUANTILE)), method="inclusive")[-1], 0.0)

    @property
    def period(self) -> float:
        """From pixel to pixel, s, where the axis is fast enough."""
        return self.exposure + self.overhead

    def leg(self, station: EndStation, requests: Sequence[Mapping[str, float]], name: str) -> Leg:
        """Return the flight over the places of a row.

        Raises
        ------
        ValueError
            Run-up or run-out is where the axis may not go.
        """
        axis = getattr(station.manipulator, name)
        first, last = requests[0][name], requests[-1][name]
        step = abs(last - first) / (len(requests) - 1)
        # Never faster than by itself: what it may do is VELO, not VMAX.
        velocity = min(step / self.period, axis.settings.velocity)
        return Leg.over(axis, name, first, last, step=step, velocity=velocity, lead=self.fly.lead + 0.5 * self.exposure)


def check_fly(station: EndStation, shape: Shape, region: Region, limits: GateLimits, fly: Fly) -> list[str]:
    """Return why the rows of a shape cannot be flown over; an empty list allows it. Nothing moves."""
    problems = []
    if region.swept:
        problems.append("fly: a sweep measures each energy at another place of a moving axis; take Fixed mode, or step")
    elif (number := split(region, region.point_time, limits.longest_exposure)[0]) > 1:
        problems.append(
            f"fly: an exposure of {region.point_time:g} s is a sum of {number} sub-frames, which are taken at rest; "
            f"expose for at most {limits.longest_exposure:g} s, or step"
        )
    if limits.beam_check == "delayed":
        problems.append('fly: beam_check = "delayed" waits at rest after each exposure for news of the beam; step')
    rows = shape.rows()
    if bad := [row for row in rows if len(row) > 1 and flown_axis(row) is None]:
        a, b = bad[0][0], bad[0][-1]
        problems.append(
            f"fly: {len(bad)} of {len(rows)} rows are no equidistant pixels along x or along y, such as that from "
            f"{a.x:g}, {a.y:g} um to {b.x:g}, {b.y:g} um; fly over a grid, polygon or mask, or step"
        )
    elif not axes_of(shape):
        problems.append("fly: no row has two pixels; step")
    return problems or _check_legs(station, rows, Pace(fly, region.point_time))


def _check_legs(station: EndStation, rows: Sequence[Row], pace: Pace) -> list[str]:
    problems = []
    for row in rows:
        if (name := flown_axis(row)) is None:
            continue
        try:
            pace.leg(station, [{"x": point.x, "y": point.y} for point in row], name)
        except ValueError as error:
            problems.append(f"fly: {error}")
    # Every row of a grid has the same ends.
    return list(dict.fromkeys(problems))[:4]


def describe(station: EndStation, shape: Shape, pace: Pace) -> dict[str, object]:
    """Return the ``fly`` entry of a start document: what the flight begins with."""
    found: dict[str, object] = {**pace.fly.model_dump(), "exposure": pace.exposure, "period": pace.period}
    axes: dict[str, dict[str, float]] = {}
    for row in shape.rows():
        if (name := flown_axis(row)) is not None and name not in axes:
            leg = pace.leg(station, [{"x": point.x, "y": point.y} for point in row], name)
            blur = leg.velocity * pace.exposure
            axes[name] = {"velocity": leg.velocity, "step": leg.step, "blur": blur}
            axes[name]["velocity_before"] = getattr(station.manipulator, name).settings.velocity
    return found | {"axes": axes}


def too_slow(flight: Flight, station: EndStation, shape: Shape, pace: Pace) -> list[str]:
    """Return which axes cannot go as slowly as the flight asks for."""
    problems = []
    for name, told in dict(describe(station, shape, pace)["axes"]).items():  # type: ignore[call-overload]
        lowest = flight.lowest_velocity(name)
        if told["velocity"] < lowest or not math.isfinite(told["velocity"]):
            problems.append(
                f"fly: {name} would move at {told['velocity']:g} um/s, its VBAS is {lowest:g} um/s; take larger steps "
                "or shorter exposures, or step"
            )
    return problems
