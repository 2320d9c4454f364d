"""Back to a pixel of a map: go there, and count there until the spectrum is good enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.warm_up import warm_up
from microarpes.beamline.between_rows import between_rows
from microarpes.beamline.pixel_places import MapPlaces, NotThere, Pixel, refusals
from microarpes.beamline.raster_run import surroundings
from microarpes.beamline.resume import Objections, raster_so_far
from microarpes.plans.grid import Line, RasterGrid, RasterPoint
from microarpes.plans.long_spectrum import SpectrumGoal, Summation
from microarpes.plans.raster import gap_raster
from microarpes.plans.reference_measurement import ReferenceMeasurement
from microarpes.plans.take_point import MsgGenerator
from microarpes.plans.targets import planned_position

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.beamline.control import ControlServer
    from microarpes.beamline.engine import RunJournals
    from microarpes.devices.end_station import EndStation
    from microarpes.plans.rows import Interleaved

PLAN_NAME = "long_spectrum"


def go_to_pixel(station: EndStation, places: MapPlaces, pixel: Pixel) -> MsgGenerator:
    """Return the plan that moves x, y and z to where a pixel of a map is now.

    Raises
    ------
    microarpes.beamline.pixel_places.NotThere
        It was not measured, limits forbid it or the angles differ; nothing has moved.
    """
    if problems := refusals(station, places, pixel):
        raise NotThere(f"pixel {pixel} of run {places.uid[:8]}: {'; '.join(problems)}")
    from bluesky import plan_stubs as bps

    axes = station.manipulator.axes
    moves = [part for name, position in places.target(pixel).items() for part in (axes[name], position)]
    return (yield from bps.mv(*moves))


class FittedError:
    """Tells the error of the gap of what was counted so far, as the live fit of the run will find it.

    Parameters
    ----------
    interleaved : sequence of Interleaved
        Of the run: what a reference among them measured last is what the gap is fitted with.
    """

    def __init__(self, interleaved: Sequence[Interleaved] = ()) -> None:
        self._references = [each for each in interleaved if isinstance(each, ReferenceMeasurement)]
        self._fitter = EventFitter("norman", "prior")
        self._layout: RunLayout | None = None
        self._record: Mapping[str, Any] = {}

    def begin(self, start: Mapping[str, Any]) -> None:
        """Take axes, windows and calibration from the run's start document; compile the fit before it is waited for."""
        self._layout, self._record = RunLayout.from_start(start), start["calibration"]
        warm_up()

    def __call__(self, values: Mapping[str, Any]) -> tuple[float, str]:
        """Return the error of the joint gap of all windows, meV, NaN where there is none, and the fit's status."""
        if self._layout is None:
            return float("nan"), "not begun"
        record = next((each.record for each in self._references if each.record), self._record)
        calibration = Calibration.from_record(record, len(self._layout.windows))
        fit = self._fitter.fit(self._layout, calibration, {**values, "edc": np.asarray(values["edc"])})
        return float(fit["joint_delta_stderr"]), str(fit["joint_status"])


def long_spectrum(
    config: Config,
    station: EndStation,
    journals: RunJournals,
    places: MapPlaces,
    pixel: Pixel,
    goal: SpectrumGoal,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    accept_differences: bool = False,
    tell: Any = print,
) -> MsgGenerator:
    """Return the plan of a long spectrum of a pixel, with region, windows, gate and last calibration of its map.

    Reference and landmark are those of the configuration; a landmark that the map had too is compared with the map's
    first look.

    Raises
    ------
    ValueError
        The pixel cannot be gone to, or the reference not be measured; no motor has moved.
    """
    if problems := refusals(station, places, pixel):
        raise NotThere(f"pixel {pixel} of run {places.uid[:8]}: {'; '.join(problems)}")
    raster, place = raster_so_far(places.chain), places.place(pixel)
    known = config.landmark is not None and raster.start.get("landmark") == config.landmark.model_dump()
    # What a landmark finds is added to where the pixel was when its map began; else what the map found last is.
    at = {"x": place.x, "y": place.y, "z": place.z} if known else places.target(pixel)
    x, y = (Line(start=at[name], stop=at[name], num=1) for name in ("x", "y"))
    shape = RasterGrid(x=x, y=y)

    def still(point: RasterPoint) -> Mapping[str, float]:
        return {**planned_position(point), "z": at["z"]}

    # One pixel tells nothing by being looked at again: its own events do.
    config = raster.as_begun(config).model_copy(update={"control_pixels": None})
    told = between_rows(config, station, shape, raster.windows, still, raster.landmark if known else None)
    error = FittedError(told["interleaved"])
    unlike = Objections(raster.start, accept_differences, tell)

    def objections(start: Mapping[str, Any]) -> Sequence[str]:
        error.begin(start)
        return unlike(start)

    row = places.columns if raster.shape.lattice().fast_axis == "x" else int(places.start["shape"][0])
    links = {
        "plan_name": PLAN_NAME, "of_run": places.uid, "of_pixel": places.number(pixel), "goal": goal.document(),
    }  # fmt: skip
    described = {name: raster.start[name] for name in ("sample", "seed", "undulation", "truth") if name in raster.start}
    return gap_raster(
        station,
        shape,
        raster.region,
        raster.windows,
        raster.calibration,
        limits=raster.limits,
        take=Summation(goal, error, row_length=row),
        objections=objections,
        **told,
        **surroundings(config, station, journals, {**described, **(md or {}), **links}, server),
    )
