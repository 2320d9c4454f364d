"""``microarpes map``: a raster on whatever beamline the configuration names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from microarpes.beamline.config import ConfigError, load_config
from microarpes.beamline.page_process import shown_page
from microarpes.beamline.window_file import load_windows
from microarpes.plans.grid import RasterGrid
from microarpes.plans.shapes import Shape

if TYPE_CHECKING:
    from microarpes.beamline.raster_run import RasterOutcome


class RunFailed(Exception):
    """A run did not come to its end; the message says how far it came and where its data are."""


class RunStopped(Exception):
    """The operator had a run end before its last row; the message says after which, and where its data are."""


def make_grid(
    nx: int, ny: int, step: float, centre: tuple[float, float], snake: bool, fast_axis: str = "x"
) -> RasterGrid:
    """Return the raster a command line asks for.

    Raises
    ------
    ConfigError
        It is no raster; the message names the value and what is allowed.
    """
    try:
        return RasterGrid.centred(nx, ny, step, centre=centre, snake=snake, fast_axis=fast_axis)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, p['loc']))}: {p['msg'].removeprefix('Value error, ')}" for p in error.errors())
        raise ConfigError("; ".join(problems).removeprefix(": ")) from None
    except ValueError as error:
        raise ConfigError(str(error)) from None


def resume_map(
    config_file: Path,
    name: str,
    *,
    directory: Path,
    accept_differences: bool,
    page: bool,
    control: bool,
    summary: Path | None,
) -> None:
    """Measure what is left of a raster that was cut off, as a run that resumes it.

    Raises
    ------
    ConfigError, ValueError, ConnectionError, NoSuchRun
        Bad input, a run that cannot be resumed, or a beamline that is not there or not as it was; no motor has moved.
    RunFailed, RunStopped
        As for `run_map`.
    """
    config = load_config(config_file)
    from microarpes.beamline.instrument import connect_end_station, prepare_channel_access

    prepare_channel_access(config.channel_access)
    from microarpes.beamline.orphans import close_orphan
    from microarpes.beamline.resume import find_unfinished
    from microarpes.beamline.run_names import run_folder

    folder = run_folder(directory, name)
    unfinished = find_unfinished(folder)
    station = connect_end_station(config)
    from microarpes.beamline.raster_run import run_raster

    close_orphan(folder)
    sys.stdout.write(f"resuming run {unfinished.uid[:8]}: {len(unfinished.done)} pixels are there\n")
    with shown_page(folder.parent, page, control=control):
        outcome = run_raster(
            config, station, unfinished, folder.parent, stream=sys.stdout, wait_for_control=control,
            accept_differences=accept_differences,
        )  # fmt: skip
    _finish(folder.parent, outcome, summary)


def _finish(directory: Path, outcome: RasterOutcome, summary: Path | None) -> None:
    # What draws reports takes half a second to load: time of the beam before a run, none after it.
    from microarpes.beamline.finish import finish_run

    finish_run(directory, outcome, summary=summary)


def _numbered(file: Path | None, number: int) -> Path | None:
    return None if file is None else file.with_stem(f"{file.stem}-{number}")


def run_map(
    config_file: Path,
    shape: Shape,
    *,
    directory: Path,
    exposure: float | None,
    sample: str | None,
    operator: str | None,
    page: bool,
    control: bool,
    summary: Path | None,
    windows: Path | None = None,
    yes: bool = False,
    dry_run: bool = False,
    fly: bool = False,
    repeat: int = 1,
) -> None:
    """Say what a raster will take, then raster, fit live, store; print where the run is.

    With `dry_run` it ends after the first: no motor moves. What takes very long or most of the disk is asked about,
    unless `yes` answers before. With `fly` the rows are taken in flight. With `repeat` the map is taken so many times,
    every other time backwards, and the summary of the second is ``FILE-2.json``.

    Raises
    ------
    ConfigError, ValueError, ConnectionError
        Bad input or a beamline that is not there; no motor has moved.
    RunFailed
        The run was aborted or a follower did not finish.
    RunStopped
        The operator had it end after a row; no other map is taken.
    """
    config = load_config(config_file)
    changes: dict[str, dict[str, Any]] = {}
    if exposure is not None:
        changes["region"] = {"acquire_time": exposure}
    if sample is not None:
        changes["sample"] = {"id": sample}
    if operator is not None:
        changes["beamline"] = {"operator": operator}
    config = config.changed(**changes)
    if windows is not None:
        config = config.model_copy(update={"windows": load_windows(windows)})
    from microarpes.beamline.instrument import connect_end_station

    station = connect_end_station(config)
    from microarpes.beamline.outlook import agreed, look_ahead

    outlook = look_ahead(config, station, shape, directory, repeat)
    sys.stdout.write("".join(f"{line}\n" for line in outlook.lines()))
    sys.stdout.write("".join(f"note: {line}\n" for line in outlook.warnings))
    if dry_run:
        sys.stdout.write("".join(f"to be agreed to: {line}\n" for line in outlook.doubts))
        return
    agreed(outlook, yes)
    from microarpes.beamline.raster_run import run_raster
    from microarpes.beamline.repeats import repeats

    with shown_page(directory, page, control=control):
        for md, backwards in repeats(repeat):
            number = md["repeat"]["number"]
            outcome = run_raster(
                config, station, shape, directory, stream=sys.stdout, wait_for_control=control, backwards=backwards,
                md=md if repeat > 1 else None, fly=config.fly if fly else None,
            )  # fmt: skip
            _finish(directory, outcome, _numbered(summary, number) if number > 1 else summary)
