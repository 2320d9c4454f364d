"""The console script ``microarpes``: one verb a task, one clear line when something is wrong."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

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


class Refused(Exception):
    """The command line asks for something that cannot be done; the message is the whole explanation."""


def parse_points(text: str) -> tuple[int, int]:
    """Read ``NXxNY``.

    Examples
    --------
    >>> parse_points("20x10")
    (20, 10)
    """
    match = re.fullmatch(r"([0-9]{1,7})x([0-9]{1,7})", text)
    if match is None or 0 in (nx := int(match[1]), ny := int(match[2])):
        raise Refused(f"--points {text!r} is not NXxNY with whole numbers above 0; write 20x20")
    return nx, ny


def parse_pair(option: str, text: str) -> tuple[float, float]:
    """Read two comma-separated numbers, such as a centre in um."""
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise Refused(f"{option} {text!r} is not two numbers; write 0,0") from None
    return first, second


Points = Annotated[str, typer.Option(help="Pixels along x and y, NXxNY.")]
Step = Annotated[float, typer.Option(help="Distance of neighbouring pixels, um.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the simulated sample and its noise.")]
Directory = Annotated[Path, typer.Option(help="Where runs are kept; made if missing.")]
ConfigFile = Annotated[Path, typer.Option("--config", help="The beamline's TOML file.")]
Summary = Annotated[Path | None, typer.Option(help="Write the numbers of the run to this JSON file.")]
Page = Annotated[bool, typer.Option("--page/--no-page", help="Serve the live page while the run is taken.")]
Control = Annotated[
    bool, typer.Option("--control", help="Let who has the operator's token control the run on the page.")
]
Exposure = Annotated[float | None, typer.Option(help="Exposure of a point, s; else the region's acquire_time.")]


#: So that ``-1``, the newest run, is taken for a run and not for an option.
RUN_NAMES = {"ignore_unknown_options": True}
RUN_HELP = "uid, the beginning of one, -1 for the newest, or the run's folder."


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
) -> None:
    """Raster the simulated beamline, fit live, store the run, compare with the known truth."""
    nx, ny = parse_points(points)
    from microarpes.beamline.demo import run_demo

    run_demo(
        nx, ny, step=step, seed=seed, directory=directory, exposure=exposure, rate=rate, summary=summary, page=page,
        control=control,
    )  # fmt: skip


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def sim(context: typer.Context) -> None:
    """Run the simulated IOC alone (the same as python -m microarpes.sim)."""
    from microarpes.sim.command_line import main as run_ioc

    raise typer.Exit(run_ioc(context.args))


@app.command("map")
def map_(
    config: ConfigFile,
    points: Points,
    step: Step,
    centre: Annotated[str, typer.Option(help="Centre of the raster, x,y in um.")] = "0,0",
    snake: Annotated[bool, typer.Option(help="Every other row backwards.")] = True,
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
) -> None:
    """Raster whatever beamline the config names."""
    nx, ny = parse_points(points)
    from microarpes.beamline.map import run_map

    run_map(
        config, (nx, ny), step=step, centre=parse_pair("--centre", centre), snake=snake, directory=directory,
        exposure=exposure, sample=sample, operator=operator, page=page, control=control, summary=summary,
        windows=windows,
    )  # fmt: skip


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
def runs(directory: Directory = Path("microarpes-data")) -> None:
    """List the runs of the catalog."""
    from microarpes.beamline.browse import print_runs

    print_runs(directory)


@app.command(context_settings=RUN_NAMES)
def show(run: str, directory: Directory = Path("microarpes-data")) -> None:
    """Show one run: uid or the beginning of one."""
    from microarpes.beamline.browse import print_run

    print_run(directory, run)


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="A recording: FITS raster, HDF5 raster.")],
    speed: Annotated[float, typer.Option(help="How many times faster than recorded.")] = 10.0,
    directory: Directory = Path("microarpes-replay"),
    fermi_energy: Annotated[float | None, typer.Option(help="E_F, eV kinetic; else photon energy - 4.4 eV.")] = None,
    summary: Summary = None,
) -> None:
    """Put a recording behind the simulated devices and run the same plan and callbacks in front."""
    from microarpes.beamline.replay import run_replay

    run_replay(recording, speed=speed, directory=directory, fermi_energy=fermi_energy, summary=summary)


@app.command(context_settings=RUN_NAMES)
def refit(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    model: Annotated[str, typer.Option(help="Line shape.")] = "norman",
    gamma0: Annotated[str, typer.Option(help="Policy for gamma0: prior, zero, or a value in meV.")] = "prior",
    window: Annotated[
        list[str] | None,
        typer.Option(help="NAME,LOW,HIGH in deg: sum the EDCs again from the frames in this window; repeat for more."),
    ] = None,
    calibration: Annotated[
        str, typer.Option(help="live: the last record before each pixel; interpolated: between the records, in time.")
    ] = "live",
    directory: Directory = Path("microarpes-data"),
    processes: Annotated[int | None, typer.Option(help="Processes; all cores if left out.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="tcp://HOST:PORT of a Dask scheduler (extra dask).")] = None,
    summary: Summary = None,
) -> None:
    """Fit a stored run again, on all cores or on a Dask cluster, as a new derived run."""
    from microarpes.beamline.refit import refit_run

    refit_run(
        directory,
        run,
        model=model,
        gamma0=gamma0,
        windows=window or (),
        calibration=calibration,
        processes=processes,
        scheduler=scheduler,
        summary=summary,
    )


@app.command(context_settings=RUN_NAMES)
def report(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    directory: Directory = Path("microarpes-data"),
    output: Annotated[Path | None, typer.Option(help="File to write; else report.html in the run's folder.")] = None,
) -> None:
    """Write the report of a stored run again: one HTML file that opens without network."""
    from microarpes.beamline.html_report import report_run

    sys.stdout.write(f"{report_run(directory, run, output)}\n")


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
