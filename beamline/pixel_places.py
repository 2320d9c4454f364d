"""Where the pixels of a map are now: where each was measured, and how far the sample has moved since."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microarpes.beamline.journal import RAW_JOURNAL, stream_events
from microarpes.beamline.run_chain import read_chain
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_run import NoSuchRun, StoredRun
from microarpes.plans.grid import Line

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation

ANGLES = ("polar", "tilt", "azimuth")
#: What a raster of pixels is called in its start document: what "-1" counts here.
MAP = "gap_raster"

#: A pixel by its number or by its column and row.
Pixel = int | tuple[int, int]


class NotThere(ValueError):
    """A pixel cannot be gone to; the message says why and what to do."""


@dataclass(frozen=True)
class MeasuredPlace:
    """Where a pixel was measured.

    Attributes
    ----------
    x, y : float, um
        Where the axes would have been sent had the sample not moved since the raster began.
    z : float, um
    angles : mapping
        Polar, tilt and azimuth, deg.
    """

    x: float
    y: float
    z: float
    angles: Mapping[str, float]


@dataclass(frozen=True)
class MapPlaces:
    """A map with the places of its pixels.

    Attributes
    ----------
    chain : sequence of StoredRun
        The run and those it resumes, the oldest first.
    measured : mapping
        Pixel to its place.
    shift : (float, float), um
        By how much the sample had moved along x and y at the last look that found it.
    """

    chain: Sequence[StoredRun]
    measured: Mapping[int, MeasuredPlace]
    shift: tuple[float, float]

    @property
    def start(self) -> Mapping[str, Any]:
        """Start document of the newest run."""
        return self.chain[-1].start

    @property
    def uid(self) -> str:
        """Of the newest run."""
        return str(self.start["uid"])

    @property
    def columns(self) -> int:
        """How many pixels a row of the grid has."""
        return int(self.start["shape"][1])

    def number(self, pixel: Pixel) -> int:
        """Return the number of a pixel that was measured.

        Raises
        ------
        NotThere
            It was not.
        """
        ny, nx = (int(number) for number in self.start["shape"])
        known = f"run {self.uid[:8]} has {nx} columns and {ny} rows, pixels 0 to {nx * ny - 1}"
        whole = [pixel] if not isinstance(pixel, tuple) else list(pixel)
        if not all(isinstance(part, int) and not isinstance(part, bool) for part in whole) or len(whole) > 2:
            raise NotThere(f"pixel {pixel!r} is neither a number nor (column, row); {known}")
        if isinstance(pixel, tuple):
            column, row = pixel
            if not (0 <= column < nx and 0 <= row < ny):
                raise NotThere(f"pixel {pixel} is not in the map; {known}")
            pixel = row * nx + column
        if not 0 <= pixel < nx * ny:
            raise NotThere(f"pixel {pixel} is not in the map; {known}")
        if pixel not in self.measured:
            raise NotThere(
                f"pixel {pixel} of run {self.uid[:8]} was not measured, {len(self.measured)} others were; "
                "go there with mv, or resume the map"
            )
        return pixel

    def place(self, pixel: Pixel) -> MeasuredPlace:
        """Return where a pixel was measured; raises as `number` does."""
        return self.measured[self.number(pixel)]

    def target(self, pixel: Pixel) -> dict[str, float]:
        """Return where x, y and z have to be for a pixel now, um; raises as `number` does."""
        place = self.place(pixel)
        return {"x": place.x + self.shift[0], "y": place.y + self.shift[1], "z": place.z}

    def nearest(self, x: float, y: float) -> tuple[int, float, float]:
        """Return the measured pixel nearest to where x and y are, um, and how far beyond it they are along each.

        Raises
        ------
        NotThere
            Nothing was measured.
        """
        if not self.measured:
            raise NotThere(f"nothing was measured in run {self.uid[:8]}")
        dx, dy = self.shift
        pixel, place = min(self.measured.items(), key=lambda each: math.hypot(each[1].x + dx - x, each[1].y + dy - y))
        return pixel, x - place.x - dx, y - place.y - dy

    def covers(self, off_x: float, off_y: float) -> bool:
        """Return whether a place so far from a pixel, um, is within its cell."""
        steps = [abs(Line(**self.start["grid"][axis]).step) for axis in ("x", "y")]
        wide, high = steps[0] or steps[1], steps[1] or steps[0]
        return abs(off_x) <= wide / 2 and abs(off_y) <= high / 2


def read_places(directory: Path, run: str = "-1") -> MapPlaces:
    """Read a map: uid, the beginning of one, a folder, or ``-1`` for the newest map (not the newest run).

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no such map.
    """
    chain = read_chain(run_folder(directory, run, MAP), lean=True)
    start = chain[-1].start
    if start.get("plan_name") != MAP:
        raise NoSuchRun(f"run {start['uid']} is of plan {start.get('plan_name')!r}, no map; name a run of plan {MAP}")
    measured = {pixel: _place(event["data"]) for each in chain for pixel, event in each.events.items()}
    return MapPlaces(chain, measured, _last_shift(chain))


def _place(data: Mapping[str, Any]) -> MeasuredPlace:
    at = {name: float(data[f"manipulator_{name}_setpoint"]) for name in ("x", "y", "z", *ANGLES)}
    dx, dy = (float(data.get(f"shift_{axis}", 0.0)) for axis in ("x", "y"))
    return MeasuredPlace(at["x"] - dx, at["y"] - dy, at["z"], {name: at[name] for name in ANGLES})


def _last_shift(chain: Sequence[StoredRun]) -> tuple[float, float]:
    looks = [doc["data"] for run in chain for doc in stream_events(run.folder / RAW_JOURNAL, "drift")
             if doc["data"]["status"] == "ok"]  # fmt: skip
    return (float(looks[-1]["shift_x"]), float(looks[-1]["shift_y"])) if looks else (0.0, 0.0)


def refusals(station: EndStation, places: MapPlaces, pixel: Pixel) -> list[str]:
    """Return why a pixel cannot be gone to; an empty list allows it. Nothing moves."""
    problems = []
    for name, position in places.target(pixel).items():
        try:
            getattr(station.manipulator, name).check_value(position)
        except ValueError as error:
            problems.append(str(error))
    return [*problems, *turned(station, places.place(pixel))]


def turned(station: EndStation, place: MeasuredPlace) -> list[str]:
    """Return which angles are not those a pixel was measured at."""
    found = []
    for name, angle in zip(ANGLES, station.manipulator.angles(), strict=True):
        axis = getattr(station.manipulator, name)
        if abs(angle - place.angles[name]) > axis.tolerance:
            found.append(
                f"{name} is {angle:.4g} deg, the pixel was measured at {place.angles[name]:.4g} deg; turn it back with "
                f"mv(station.manipulator.{name}, {place.angles[name]:g})"
            )
    return found


@dataclass(frozen=True, repr=False)
class Whereabouts:
    """Where the beam is on the sample and on a map.

    Attributes
    ----------
    u, v : float, um
        Spot of the sample.
    pixel : int or None
        The measured pixel nearest to it; None without a map.
    off : (float, float), um
        How far beyond that pixel's place of now the manipulator is along x and y.
    on_map : bool
        The beam is within the cell of that pixel, at the angles and z of the map.
    run : str
        uid of the map.
    remarks : sequence of str
        What else there is to know.
    """

    u: float
    v: float
    pixel: int | None
    off: tuple[float, float]
    on_map: bool
    run: str
    remarks: Sequence[str]

    def __repr__(self) -> str:
        spot = f"u, v = {self.u:.1f}, {self.v:.1f} um"
        if self.pixel is None:
            return "; ".join([spot, *self.remarks])
        within = "" if self.on_map else ", the nearest"
        away = f"pixel {self.pixel} of run {self.run[:8]}{within}: x {self.off[0]:+.1f}, y {self.off[1]:+.1f} um off"
        return "; ".join([spot, away, *self.remarks])


def whereabouts(station: EndStation, spot: tuple[float, float], places: MapPlaces) -> Whereabouts:
    """Return where the beam is, by fresh readbacks; `spot` is its u and v, um. Raises as `MapPlaces.nearest` does."""
    found = station.manipulator.positions()
    x, y, z = (float(found[name]["readback"]["value"]) for name in ("x", "y", "z"))
    pixel, *off = places.nearest(x, y)
    place, remarks = places.measured[pixel], []
    if not (covered := places.covers(off[0], off[1])):
        remarks.append("that is outside of what was measured")
    if abs(z - place.z) > station.manipulator.z.tolerance:
        remarks.append(f"z is {z:.4g} um, the pixel was measured at {place.z:.4g} um")
    away = turned(station, place)
    on_map = covered and not away
    return Whereabouts(*spot, pixel, (off[0], off[1]), on_map, places.uid, [*remarks, *away])


def find_beam(station: EndStation, spot: tuple[float, float], directory: Path, run: str = "-1") -> Whereabouts:
    """Return where the beam is on the sample, and on a map where there is that map; see `whereabouts`."""
    try:
        return whereabouts(station, spot, read_places(directory, run))
    except (NoSuchRun, NotThere) as error:
        return Whereabouts(*spot, None, (math.nan, math.nan), False, "", [str(error)])
