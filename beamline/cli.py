"""The console script ``microarpes``: one verb a task, one clear line when something is wrong."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microarpes.beamline.cli_options import (
    RUN_NAMES,
    ConfigFile,
    Control,
    Directory,
    Exposure,
    Page,
    Points,
    Refused,
    Seed,
    Step,
    Summary,
    parse_pair,
    parse_points,
)
from microarpes.beamline.cli_remote import publish, subscribe
from microarpes.beamline.cli_runs import (
    anisotropy,
    combine,
    compare,
    doctor,
    domains,
    export,
    reconcile,
    refit,
    report,
    retain,
    runs,
    show,
)

if TYPE_CHECKING:
    from microarpes.plans.shapes import Shape

app = typer.Typer(
    name="microarpes",
    help="Raster a sample under a micro-focused beam and map its gap while the scan runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

#: Exit status of bad input, as shells have it.
USAGE = 2
FAILED = 1
#: Of a run that the operator had end after a row: no failure, and not all that was asked for.
STOPPED = 3
#: 128 + SIGINT, also what typer makes of Ctrl-C.
INTERRUPTED = 130


@app.command()
def demo(
    points: Points = "20x20",
    step: Step = 10.0,
    seed: Seed = 7,
    directory: Directory = Path("microarpes-demo"),
    exposure: Exposure = 0.05,
    rate: Annotated[float, typer.Option(help="Photoelectrons per second on the frame.")] = 3e6,
    page: Page = True,
    control: Control = False,
    summary: Summary = None,
    undulation: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="The cleaved face waves by so much along the slit, deg.")
    ] = 0.0,
    follow_k_f: Annotated[bool, typer.Option("--follow-k-f", help="The windows follow k_F, frame by frame.")] = False,
    fit_depth: Annotated[float | None, typer.Option(help="How far below the gap the fits look, meV.")] = None,
    truth: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="standard; realistic: what no fit knows of, as hump, bonding band, superstructure; or some of it.",
        ),
    ] = "standard",
) -> None:
    """Raster the simulated beamline, fit live, store the run, compare with the known truth."""
    nx, ny = parse_points(points)
    from microarpes.beamline.demo import run_demo

    run_demo(
        nx, ny, step=step, seed=seed, directory=directory, exposure=exposure, rate=rate, summary=summary, page=page,
        control=control, undulation=undulation, follow_k_f=follow_k_f, fit_depth=fit_depth, truth=truth,
    )  # fmt: skip


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def sim(context: typer.Context) -> None:
    """Run the simulated IOC alone (the same as python -m microarpes.sim)."""
    from microarpes.sim.command_line import main as run_ioc

    raise typer.Exit(run_ioc(context.args, prog="microarpes sim"))


@app.command("map")
def map_(
    config: ConfigFile,
    points: Annotated[str | None, typer.Option(help="Pixels along x and y, NXxNY.")] = None,
    step: Annotated[float | None, typer.Option(help="Distance of neighbouring pixels, um.")] = None,
    centre: Annotated[str | None, typer.Option(help="Centre of the raster, x,y in um; else 0,0.")] = None,
    snake: Annotated[bool | None, typer.Option(help="Every other row backwards, as it is by default.")] = None,
    fast_axis: Annotated[str | None, typer.Option(help="The axis that moves at every point, x or y; else x.")] = None,
    shape: Annotated[
        Path | None, typer.Option(help="JSON or TOML file with a line, spiral, polygon, ..., instead of all of these.")
    ] = None,
    directory: Directory = Path("microarpes-data"),
    exposure: Exposure = None,
    sample: Annotated[str | None, typer.Option(help="Sample id, instead of the config's.")] = None,
    operator: Annotated[str | None, typer.Option(help="Operator, instead of the config's.")] = None,
    windows: Annotated[
        Path | None, typer.Option(help="TOML file with [[windows]], as the page saves it, instead of the config's.")
    ] = None,
    page: Page = True,
    control: Control = False,
    summary: Summary = None,
    resume: Annotated[
        str | None, typer.Option(help="Measure what is left of this run: uid, the beginning of one, -1, or its folder.")
    ] = None,
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="Resume though the beamline is not as it was.")
    ] = False,
    repeat: Annotated[
        int, typer.Option(min=1, help="Take the map so many times, every other time backwards; a summary FILE each.")
    ] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, whatever time and disk it takes.")] = False,
    fly: Annotated[bool, typer.Option("--fly", help="Expose while the axis moves over a row.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it will take, and move nothing.")] = False,
) -> None:
    """Raster whatever beamline the config names; or take up a raster where an earlier run of it ended."""
    grid = {"points": points, "step": step, "centre": centre, "snake": snake, "fast-axis": fast_axis}
    from microarpes.beamline.map import resume_map, run_map

    if resume is not None:
        others = shape, exposure, sample, operator, windows, dry_run, fly, repeat > 1
        if any(others) or any(value is not None for value in grid.values()):
            raise Refused(
                "--resume goes on as the run began: leave out where to measure, exposure, sample, windows and --fly"
            )
        resume_map(
            config, resume, directory=directory, accept_differences=accept_differences, page=page, control=control,
            summary=summary,
        )  # fmt: skip
        return
    run_map(
        config, _shape(shape, grid), directory=directory, exposure=exposure, sample=sample, operator=operator,
        page=page, control=control, summary=summary, windows=windows, yes=yes, dry_run=dry_run, fly=fly,
        repeat=repeat,
    )  # fmt: skip


def _shape(file: Path | None, grid: dict[str, Any]) -> Shape:
    """Return the shape that a file or the options of a grid ask for."""
    given = [f"--{name}" for name, value in grid.items() if value is not None]
    if file is not None:
        if given:
            raise Refused(f"--shape {file} says all of where to measure; leave out {', '.join(given)}")
        from microarpes.beamline.shape_file import load_shape

        return load_shape(file)
    if grid["points"] is None or grid["step"] is None:
        raise Refused("where to measure is missing; give --points NXxNY and --step UM, --shape FILE, or --resume RUN")
    if grid["fast-axis"] not in (None, "x", "y"):
        raise Refused(f"--fast-axis {grid['fast-axis']!r} is neither x nor y")
    nx, ny = parse_points(grid["points"])
    centre = parse_pair("--centre", grid["centre"] or "0,0")
    from microarpes.beamline.map import make_grid

    return make_grid(nx, ny, grid["step"], centre, grid["snake"] is not False, grid["fast-axis"] or "x")


@app.command()
def session(
    config: ConfigFile, directory: Directory = Path("microarpes-data"), page: Page = True, control: Control = False
) -> None:
    """Open IPython with RE, devices and plans ready."""
    from microarpes.beamline.session import open_session

    open_session(config, directory, page=page, control=control)


@app.command(context_settings=RUN_NAMES)
def live(
    run: Annotated[str | None, typer.Argument(help="As for the other verbs; the newest if left out.")] = None,
    directory: Directory = Path("microarpes-data"),
    snapshot: Annotated[Path | None, typer.Option(help="Write the picture of the run to this PNG and end.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 0,
    address: Annotated[
        str, typer.Option(help="Where to listen; other than loopback needs token and host.")
    ] = "127.0.0.1",
    host: Annotated[
        list[str] | None, typer.Option(help="NAME:PORT by which the page is reached; may be repeated.")
    ] = None,
    view_token: Annotated[Path | None, typer.Option(help="File with the token that viewers need.")] = None,
    operator_token: Annotated[Path | None, typer.Option(help="File with the token to control the run with.")] = None,
) -> None:
    """Serve the page alone, on a run that is being taken or a stored one; or write its picture."""
    if snapshot is not None:
        from microarpes.beamline.snapshot import write_snapshot

        sys.stdout.write(f"{write_snapshot(directory, run or '-1', snapshot)}\n")
        return
    from microarpes.beamline.live import run_live

    run_live(
        directory,
        run,
        port=port,
        address=address,
        hosts=host or [],
        view_token=view_token,
        operator_token=operator_token,
    )


@app.command()
def check(config: ConfigFile, directory: Directory = Path("microarpes-data")) -> None:
    """Look before the run: every PV, limits, units, disk, catalog, clock; list all that is wrong."""
    from microarpes.beamline.check import run_check

    raise typer.Exit(run_check(config, directory))


@app.command()
def chaos(
    kind: Annotated[list[str] | None, typer.Option(help="A kind of fault; may be repeated; else all.")] = None,
    injections: Annotated[int, typer.Option(min=1, help="How often each kind must have struck.")] = 8,
    seed: Seed = 7,
    summary: Summary = None,
) -> None:
    """Make the simulated beamline fail in every way it knows; count bad points kept as good."""
    from microarpes.beamline.chaos import run_chaos

    raise typer.Exit(run_chaos(kind or [], injections, seed, summary))


@app.command()
def replay(
    recording: Annotated[
        Path, typer.Argument(help="A file in a format of docs/how-to/replay.md, or the folder of a run.")
    ],
    speed: Annotated[float, typer.Option(help="How many times faster than recorded.")] = 10.0,
    directory: Directory = Path("microarpes-replay"),
    fermi_energy: Annotated[float | None, typer.Option(help="E_F, eV kinetic, in place of the recording's.")] = None,
    summary: Summary = None,
) -> None:
    """Put a recording behind the simulated devices and run the same plan and callbacks in front."""
    from microarpes.beamline.replay import run_replay

    run_replay(recording, speed=speed, directory=directory, fermi_energy=fermi_energy, summary=summary)


app.command()(runs)
app.command()(reconcile)
app.command()(retain)
app.command()(publish)
app.command()(subscribe)
for verb in (show, refit, report, export, anisotropy, compare, combine, doctor, domains):
    app.command(context_settings=RUN_NAMES)(verb)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status, 0 only when the work is really done."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    try:
        result = app(args=arguments, prog_name="microarpes", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the border to the user: one line, never a traceback
        return _explain(error)
    except KeyboardInterrupt:
        result = INTERRUPTED
    if result == INTERRUPTED:
        sys.stderr.write("microarpes: interrupted\n")
    return int(result or 0)


def _explain(error: Exception) -> int:
    if os.environ.get("MICROARPES_TRACEBACK"):
        raise error
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    from microarpes.beamline.map import RunStopped

    if isinstance(error, RunStopped):
        sys.stderr.write(f"microarpes: {error}\n")
        return STOPPED
    # typer carries its own copy of click, whose exceptions cannot be named from here for every version of it.
    usage = getattr(error, "format_message", None)
    text = usage() if usage is not None else _reason(error)
    sys.stderr.write(f"microarpes: {text}\n")
    return USAGE if usage is not None or isinstance(error, Refused) else FAILED


def _reason(error: BaseException) -> str:
    """Return what an error says; a failed status says it in what it was raised from."""
    if type(error).__name__ == "FailedStatus" and error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


if __name__ == "__main__":
    raise SystemExit(main())
