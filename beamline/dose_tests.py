"""`dose_test` with a configuration: one spot, look after look, with region, gate and calibration of a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from microarpes.beamline.raster_run import configured_raster
from microarpes.plans.dose_test import EVERY_TIME, DoseSeries
from microarpes.plans.grid import Line, RasterGrid
from microarpes.plans.take_point import MsgGenerator

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.beamline.control import ControlServer
    from microarpes.beamline.engine import RunJournals
    from microarpes.devices.end_station import EndStation

PLAN_NAME = "dose_test"


def configured_dose_test(
    config: Config,
    station: EndStation,
    looks: int,
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    place: tuple[float, float] | None = None,
) -> MsgGenerator:
    """Return the plan of a dose test.

    Parameters
    ----------
    config, station, journals, md, server
        As of `microarpes.beamline.raster_run.configured_raster`; `md` goes into the start document.
    looks : int
        How often.
    place : tuple of float, optional
        x and y, um; by default where they are.

    Raises
    ------
    ValueError
        Too few looks, a place out of reach, or a reference or landmark that cannot be measured with it; no motor has
        moved.
    """
    series = DoseSeries(looks)
    manipulator = station.manipulator
    at = place or (round(manipulator.x.position, 3), round(manipulator.y.position, 3))
    x, y = (Line(start=float(value), stop=float(value), num=1) for value in at)
    shape = RasterGrid(x=x, y=y)
    config = config.model_copy(update={"control_pixels": EVERY_TIME})
    told = {**(md or {}), "plan_name": PLAN_NAME, "looks": looks}
    return configured_raster(config, station, shape, journals, told, server, take=series)
