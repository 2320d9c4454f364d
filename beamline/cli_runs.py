"""The verbs of the command line that look at stored runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from microarpes.beamline.cli_options import RUN_HELP, Directory, Summary


def runs(directory: Directory = Path("microarpes-data")) -> None:
    """List the runs of the catalog."""
    from microarpes.beamline.browse import print_runs

    print_runs(directory)


def show(run: str, directory: Directory = Path("microarpes-data")) -> None:
    """Show one run: uid or the beginning of one."""
    from microarpes.beamline.browse import print_run

    print_run(directory, run)


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


def report(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    directory: Directory = Path("microarpes-data"),
    output: Annotated[Path | None, typer.Option(help="File to write; else report.html in the run's folder.")] = None,
) -> None:
    """Write the report of a stored run again: one HTML file that opens without network."""
    from microarpes.beamline.html_report import report_run

    sys.stdout.write(f"{report_run(directory, run, output)}\n")


def anisotropy(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help=f"{RUN_HELP} One map of a series: all of them.")],
    directory: Directory = Path("microarpes-data"),
    output: Annotated[Path, typer.Option(help="Picture and table to write, .png and .csv.")] = Path("anisotropy"),
) -> None:
    """Fit the gap function of each pixel from maps at several cuts: Delta_0, node, deviation from a d-wave."""
    from microarpes.beamline.anisotropy import anisotropy_of

    sys.stdout.write(anisotropy_of(directory, names, output))


def domains(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    directory: Directory = Path("microarpes-data"),
    number: Annotated[
        int | None, typer.Option(min=1, max=10, help="Of domains; else as many as the counts tell.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for picture, table and a mask of each domain.")] = Path(
        "domains"
    ),
) -> None:
    """Group the pixels of a run by their EDCs, before any model: where the domains are, their spectra and gaps."""
    from microarpes.beamline.domains import report_domains

    sys.stdout.write(report_domains(directory, run, output, number))
