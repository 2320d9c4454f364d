"""A series of maps as one plan: a setting is changed and settles, the landmark is found again, the map is taken.

Each map is a run of its own over the same pixels. Whatever ends the series leaves the beamline with the settings of
the step it was in.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bluesky import plan_stubs as bps

from microarpes.beamline.before_map import configured_focus
from microarpes.beamline.between_rows import between_rows
from microarpes.beamline.instrument import make_sample_frame
from microarpes.beamline.raster_run import configured_raster
from microarpes.beamline.repeats import numbered, one_after_another
from microarpes.beamline.resume import raster_so_far
from microarpes.beamline.run_chain import read_chain
from microarpes.beamline.series_step import PlannedStep, SeriesStep, plan_steps, read_steps
from microarpes.beamline.turned_sample import turned_by, turns, where_planned
from microarpes.devices.channel_access import read_each
from microarpes.devices.environment import SOURCE_SETTINGS
from microarpes.plans.guard_limits import GuardLimits
from microarpes.plans.point_run import check_requests
from microarpes.plans.preflight import check_raster, check_region
from microarpes.plans.settle import settle
from microarpes.plans.targets import ANGLES

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.beamline.control import ControlServer
    from microarpes.beamline.engine import RunJournals
    from microarpes.devices.end_station import EndStation
    from microarpes.plans.focus import FocusLines
    from microarpes.plans.landmark_imaging import LookBefore
    from microarpes.plans.shapes import Shape
    from microarpes.plans.take_point import MsgGenerator

logger = logging.getLogger(__name__)


def configured_series(
    config: Config,
    station: EndStation,
    shape: Shape,
    steps: Sequence[SeriesStep | Mapping[str, Any]],
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    focus: FocusLines | None = None,
) -> MsgGenerator:
    """Return the plan of a series of maps; it returns their uids.

    Parameters
    ----------
    config, station, journals, md, server
        As of `microarpes.beamline.raster_run.configured_raster`.
    shape : Shape
        Of every map.
    steps : sequence of SeriesStep or mapping
    focus : FocusLines, optional
        Focus by these lines before the map of each step that moves the spot, and go to the focus.

    Raises
    ------
    ValueError
        A step cannot be reached or measured; the message lists every reason and nothing was set or moved.
    microarpes.plans.settle.NotSettled
        A setting was not reached in time; the beamline has what could be set.
    """
    planned = plan_steps(config, read_steps(steps), float(station.source.settings()["photon_energy"]))
    here = where_planned(station) if any(turns(step.settings) for step in planned) else {}
    if problems := check_series(station, shape, planned, focus, here):
        raise ValueError("; ".join(problems))
    each = functools.partial(_one, station, shape, journals, dict(md or {}), server, focus, here)
    maps = (functools.partial(each, told, step) for told, step in zip(
        numbered("series", len(planned)), planned, strict=True))  # fmt: skip
    return one_after_another(maps, lambda: server is not None and server.control.row_stop.is_set())


def check_series(
    station: EndStation,
    shape: Shape,
    planned: Sequence[PlannedStep],
    focus: FocusLines | None,
    here: Mapping[str, float],
) -> list[str]:
    """Return everything that forbids a series here and now, each reason once; nothing is set and nothing moves."""
    problems = [*(line for step in planned for line in step.problems), *check_raster(station, shape)]
    if focus is not None:
        problems += check_requests(station, [request for line in focus.lines() for request in line])
    for number, step in enumerate(planned, 1):
        if step.problems:
            continue
        found = check_region(station, step.config.region)
        turned = turned_by(step.config, step.settings, here)
        if turned is not None:
            found += check_requests(station, [turned(point) for row in shape.rows() for point in row])
        try:
            between_rows(step.config, station, shape, step.config.windows, turned=turned)
        except ValueError as error:
            found.append(str(error))
        problems += [f"step {number}: {line}" for line in found]
        unmeasured = step.config.reference is None or not step.config.reference.at_start
        if "photon_energy" in step.step.settings and unmeasured:
            logger.warning(
                "step %d: E_F is taken to have gone with the photon energy, and known to %.1f meV; a reference at the "
                "start of each map would measure it",
                *(number, 1e3 * step.config.calibration.fermi_energy_error),
            )
    return list(dict.fromkeys(problems))


def _one(
    station: EndStation,
    shape: Shape,
    journals: RunJournals,
    md: Mapping[str, Any],
    server: ControlServer | None,
    focus: FocusLines | None,
    here: Mapping[str, float],
    told: Mapping[str, Any],
    planned: PlannedStep,
    before: Sequence[str],
) -> MsgGenerator:
    """Change what the step names, focus if asked to, take the map."""
    config, series = planned.config, dict(told["series"])
    series |= {"settings": dict(planned.settings), **({"first": before[0]} if before else {})}
    logger.info("map %d of %d: %s", series["number"], series["of"], planned.settings)
    for name, value in planned.step.settings.items():
        if name not in ANGLES:
            yield from change(config, station, name, value)
    turned = turned_by(config, planned.settings, here)
    if turned is not None:
        # About the first pixel, and before the run: it finds the angles there that its start document tells.
        yield from bps.mv(make_sample_frame(config, station), turned.spot(next(iter(shape.rows()))[0]))
    seen = None if config.landmark is None or not before else last_look(journals, before)
    if focus is not None and planned.step.moves_the_spot:
        dx, dy = (0.0, 0.0) if seen is None else seen.shift
        lines = focus.model_copy(update={"x": focus.x + dx, "y": focus.y + dy})
        linked = {**md, "series": series}
        _, outcome = yield from configured_focus(config, station, lines, journals, linked, server, go=True)
        if not outcome.moved:
            logger.warning("the map is taken out of a new focus: %s", outcome.best.problem or "the axis stayed")
    return (
        yield from configured_raster(
            config, station, shape, journals, {**md, "series": series}, server, seen_before=seen, turned=turned
        )
    )


def last_look(journals: RunJournals, before: Sequence[str]) -> LookBefore | None:
    """Return the landmark as the first map of a series saw it, with the shift at the last look of the newest."""
    return raster_so_far(read_chain(journals.directory / before[-1], lean=True)).landmark


def change(config: Config, station: EndStation, name: str, value: Any) -> MsgGenerator:
    """Give the beamline one setting of a step and wait until it has settled; see `microarpes.plans.settle.settle`."""
    section, source = config.series, station.source
    if name == "temperature":
        tolerance, age = section.temperature_tolerance, config.gate.age_limit("sample_temperature")
        limits = GuardLimits(low=value - tolerance, high=value + tolerance, delay=section.settle_time, max_age=age)
        signal, readback, deadline = station.cryostat.setpoint, station.cryostat.temperature, section.settle_deadline
    else:
        signal, readback, deadline = getattr(station.demand, name), getattr(source, name), section.source_deadline
        delay, slack = section.source_settle_time, SOURCE_SETTINGS[name]
        if isinstance(value, str):
            limits = GuardLimits(value=value, delay=delay)
        else:
            limits = GuardLimits(low=value - slack, high=value + slack, delay=delay)
    yield from settle(name, signal, value, lambda: read_each({name: readback})[name], limits, deadline=deadline)
