"""One raster from configuration to journals: engine, followers and progress around `gap_raster`."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bluesky.utils import RunEngineInterrupted

from microarpes.beamline.at_angles import at_angles
from microarpes.beamline.between_rows import between_rows
from microarpes.beamline.config import Config
from microarpes.beamline.config_sections import AnalysisSection
from microarpes.beamline.control import ControlServer
from microarpes.beamline.detector import make_detector
from microarpes.beamline.engine import RunJournals, Watcher, make_engine
from microarpes.beamline.followers import Followers
from microarpes.beamline.guard_config import make_guards
from microarpes.beamline.progress import ProgressDisplay
from microarpes.beamline.resume import Objections, Unfinished, moved_away
from microarpes.beamline.run_metadata import calibration_record, start_metadata
from microarpes.beamline.series_step import at_step_of
from microarpes.beamline.stop_signals import StopSignals
from microarpes.beamline.turned_sample import turned_as
from microarpes.plans.fly import Fly
from microarpes.plans.grid import RasterPoint
from microarpes.plans.raster import gap_raster
from microarpes.plans.rows import TakeRows, take_rows
from microarpes.plans.shapes import Shape
from microarpes.plans.take_point import MsgGenerator
from microarpes.plans.targets import TurnedTargets, planned_position

if TYPE_CHECKING:
    from bluesky import RunEngine

    from microarpes.devices.end_station import EndStation
    from microarpes.plans.landmark_imaging import LookBefore

logger = logging.getLogger(__name__)

#: Seconds the watchers of a run may need to have seen its last document.
WATCHER_TIMEOUT = 10.0
#: Asks the operator what to do with a paused run; returns "resume", "abort" or "abort: why".
PauseQuestion = Callable[[], str]


@dataclass
class RasterOutcome:
    """What became of a raster."""

    uid: str
    exit_status: str
    elapsed: float
    problems: list[str] = field(default_factory=list)


def configured_raster(
    config: Config,
    station: EndStation,
    shape: Shape,
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    backwards: bool = False,
    fly: Fly | None = None,
    seen_before: LookBefore | None = None,
    turned: TurnedTargets | None = None,
    take: TakeRows = take_rows,
    done: Set[int] = frozenset(),
    calibration: Mapping[str, Any] | None = None,
) -> MsgGenerator:
    """Return the plan of a raster with the region, windows, calibration and gate of a configuration.

    Frames go where the journals go, and no exposure begins while the journals cannot be written. A server is told why
    the plan pauses, and can have it end after a row. With `fly` its rows are taken in flight;
    `seen_before` is the landmark as another map of the same sample saw it; `turned` says at which angles its spots are
    measured, if not at those for which they are planned; `take` and `done` are as of `gap_raster`. `calibration` is a
    record to begin with that is not the configuration's.

    Raises
    ------
    ValueError
        The reference cannot be one of this raster.
    microarpes.beamline.detector.DetectorError
        What the configuration declares of the detector cannot be used.
    """
    turning = {} if turned is None else {"turned": turned.document()}
    return gap_raster(
        station,
        shape,
        config.region,
        config.windows,
        calibration_record(config) if calibration is None else calibration,
        limits=config.gate,
        done=done,
        backwards=backwards,
        fly=fly,
        take=take,
        **between_rows(config, station, shape, config.windows, seen_before=seen_before, turned=turned),
        **surroundings(config, station, journals, {**(md or {}), **turning}, server),
    )


def resumed_raster(
    config: Config,
    station: EndStation,
    unfinished: Unfinished,
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    accept_differences: bool = False,
    tell: Callable[[str], None] = logger.warning,
) -> MsgGenerator:
    """Return the plan of what is left of a raster: region, windows, calibration and gate are those it had.

    The configuration says where the devices are; where it, or the beamline, is not as it was, every difference is told
    and forbids the run unless they are accepted. Axes that no longer stand where they were held are moved back.
    """
    back = moved_away(unfinished, station)
    for name, position in back.items():
        tell(f"{name} is moved back to {position:g} {getattr(station.manipulator, name).units}, where it was")

    def held(point: RasterPoint) -> Mapping[str, float]:
        return {**planned_position(point), **back}

    begun = unfinished.start
    analysis = AnalysisSection(follow_k_f=bool(begun.get("follow_k_f")), fit_depth=begun.get("fit_depth"))
    config = unfinished.as_begun(at_step_of(config, unfinished.start)).model_copy(update={"analysis": analysis})
    objections = Objections(unfinished.start, accept_differences, tell)
    turned = turned_as(config, unfinished.start)
    resumes = {"resumes": unfinished.uid, "resumed_pixels": len(unfinished.done)}
    return gap_raster(
        station,
        unfinished.shape,
        unfinished.region,
        unfinished.windows,
        unfinished.calibration,
        limits=unfinished.limits,
        done=unfinished.done,
        backwards=bool(unfinished.start.get("backwards", False)),
        **between_rows(
            config,
            station,
            unfinished.shape,
            unfinished.windows,
            held,
            unfinished.landmark,
            unfinished.looked_at,
            turned=turned,
        ),
        objections=objections,
        **surroundings(config, station, journals, {**unfinished.described, **(md or {}), **resumes}, server),
    )


def surroundings(
    config: Config, station: EndStation, journals: RunJournals, md: Mapping[str, Any], server: ControlServer | None
) -> dict[str, Any]:
    """Return the arguments of `gap_raster` that are of the beamline and not of the raster.

    Raises
    ------
    microarpes.beamline.detector.DetectorError
        What the configuration declares of the detector cannot be used.
    ValueError
        Another process measures a run of the directory.
    """
    journals.refuse_second()
    detector = make_detector(config.analyser.detector)
    held = server.control.held if server is not None else lambda: ""
    guards = make_guards(config.guards, station.watched, journals.directory, held)
    if server is not None:
        server.control.guards = guards
    return {
        "directory": journals.directory,
        "storage_error": journals.error,
        "at_angles": functools.partial(at_angles, config),
        "flat_field": detector.flat_field,
        "guards": guards,
        "close_shutter": config.shutter.close_at_end,
        "md": {"detector": detector.document(), **start_metadata(config), **md},
        **({} if server is None else server.control.of_raster()),
    }


def run_raster(
    config: Config,
    station: EndStation,
    raster: Shape | Unfinished,
    directory: Path,
    *,
    stream: TextIO,
    question: PauseQuestion | None = None,
    wait_for_control: bool = False,
    md: Mapping[str, Any] | None = None,
    follower_timeout: float = 120.0,
    accept_differences: bool = False,
    backwards: bool = False,
    fly: Fly | None = None,
    done: Set[int] = frozenset(),
    calibration: Mapping[str, Any] | None = None,
) -> RasterOutcome:
    """Raster, fit and store; return when the followers have caught up.

    Parameters
    ----------
    config : Config
    station : EndStation
        Connected.
    raster : Shape or Unfinished
        A grid or another shape, or a raster of which another run has a part.
    directory : Path
        Where runs are kept.
    stream : file
        Progress is drawn here.
    question : callable
        Asked when the run pauses, instead of terminal and control channel.
    wait_for_control : bool
        Somebody looks at the control channel, such as a page: a run that pauses by itself waits for an answer there,
        even where there is no terminal. Otherwise such a run is aborted; one paused through the channel waits.
    md : mapping, optional
        Added to the start document.
    follower_timeout : float
        Seconds the followers may need after the last point.
    accept_differences : bool
        Resume though the beamline is not as it was.
    backwards : bool
        The last pixel of a shape is visited first.
    fly : Fly, optional
        Take the rows of a shape in flight.
    done : set of int, optional
        Pixels of a shape that are left out.
    calibration : mapping, optional
        The record a shape begins with, if not that of the configuration.

    Raises
    ------
    ValueError
        The raster cannot be done; no motor has moved.
    """
    engine, journals = make_engine(directory, station)
    server = ControlServer(engine, threading.Event())
    question = question or functools.partial(server.control.question, wait=wait_for_control)
    followers = Followers(directory, server=config.catalog.server())
    display = ProgressDisplay(directory, stream)
    watchers = Watcher(followers), Watcher(display)
    for watcher in watchers:
        engine.subscribe(watcher)
    started = time.monotonic()
    try:
        with StopSignals(server.control).answered():
            with server.listening(directory):
                if isinstance(raster, Unfinished):
                    plan = resumed_raster(
                        config, station, raster, journals, md, server,
                        accept_differences=accept_differences, tell=lambda line: print(line, file=stream, flush=True),
                    )  # fmt: skip
                    followers.catch_up(raster.uid)
                else:
                    plan = configured_raster(
                        config, station, raster, journals, md, server,
                        backwards=backwards, fly=fly, done=done, calibration=calibration,
                    )  # fmt: skip
                status = drive(engine, plan, question)
            elapsed = time.monotonic() - started
            problems = [] if watchers[0].settle(WATCHER_TIMEOUT) else ["the followers could not be started"]
            problems += followers.wait(follower_timeout)
            for remark in followers.remarks:
                print(f"note: {remark}", file=stream, flush=True)
    finally:
        display.close()
        followers.end()
    return RasterOutcome(journals.run_uid, status, elapsed, problems)


def drive(engine: RunEngine, plan: Any, question: PauseQuestion) -> str:
    """Run a plan to its end through any number of pauses; return ``success`` or ``abort``."""
    step: Callable[[], Any] = lambda: engine(plan)  # noqa: E731 - the first of several ways to go on
    while True:
        try:
            step()
            return "success"
        except RunEngineInterrupted:
            if engine.state != "paused":
                return "abort"
            answer, _, why = question().partition(": ")
            if answer == "abort":
                engine.abort(why or "aborted by the operator, or paused with nobody to ask")
                return "abort"
            step = engine.resume
