"""The verbs of the command line that look at stored runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from microarpes.beamline.cli_options import (
    RUN_HELP,
    Directory,
    Summary,
    parse_moment,
    parse_status,
    parse_temperature,
)
from microarpes.beamline.run_search import RunSearch

#: Of what fits many pixels.
Processes = Annotated[int | None, typer.Option(help="Processes; all cores if left out.")]
Scheduler = Annotated[str | None, typer.Option(help="tcp://HOST:PORT of a Dask scheduler (extra dask).")]


def runs(
    directory: Directory = Path("microarpes-data"),
    sample: Annotated[str, typer.Option(help="Only runs with this in the sample id.")] = "",
    since: Annotated[str | None, typer.Option(help="Only from this day or time on, 2026-11-26T08:30.")] = None,
    until: Annotated[str | None, typer.Option(help="Only up to this time, or to the end of this day.")] = None,
    text: Annotated[str, typer.Option(help="Only with this anywhere in what is known of the run.")] = "",
    status: Annotated[str | None, typer.Option(help="Only success, stopped, abort, fail, interrupted, open.")] = None,
    temperature: Annotated[str | None, typer.Option(help="Only at this temperature, or LOW,HIGH; K.")] = None,
) -> None:
    """List the runs of the catalog, or those that are looked for."""
    search = RunSearch(
        sample=sample,
        text=text,
        status=parse_status(status),
        since=parse_moment("--since", since),
        until=parse_moment("--until", until, end=True),
        temperature=parse_temperature(temperature),
    )
    from microarpes.beamline.browse import print_runs

    print_runs(directory, search)


def show(
    run: Annotated[str, typer.Argument(help="uid, the beginning of one, or -1 for the newest.")],
    directory: Directory = Path("microarpes-data"),
    line: Annotated[bool, typer.Option("--line", help="One line for the logbook, from the run's folder.")] = False,
) -> None:
    """Show one run: uid or the beginning of one."""
    if line:
        from microarpes.beamline.logbook import logbook_line

        sys.stdout.write(f"{logbook_line(directory, run)}\n")
        return
    from microarpes.beamline.browse import print_run

    print_run(directory, run)


def reconcile(
    directory: Directory = Path("microarpes-data"),
    config: Annotated[Path | None, typer.Option(help="Configuration that names a Tiled server: that one too.")] = None,
) -> None:
    """Bring the catalogs up to the journals: write what they lack, close runs that were cut off as interrupted."""
    from microarpes.beamline.reconcile_catalog import reconcile_catalogs

    sys.stdout.write(reconcile_catalogs(directory, config))


def export(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    format: Annotated[str, typer.Option(help="nexus, netcdf, csv, or figures.")] = "nexus",
    directory: Directory = Path("microarpes-data"),
    output: Annotated[
        Path | None, typer.Option(help="File to write, of figures the folder; else in the run's folder.")
    ] = None,
    copy_frames: Annotated[
        bool, typer.Option("--copy-frames", help="Copy the frames into the NeXus file; else they are linked.")
    ] = False,
    fit: Annotated[str, typer.Option(help="live, or the uid of a refit, or the beginning of it.")] = "live",
) -> None:
    """Write a stored run as a file for other programs: NeXus, netCDF, CSV, or vector figures."""
    from microarpes.beamline.export import export_run

    sys.stdout.write(f"{export_run(directory, run, format, output, copy_frames=copy_frames, fit=fit)}\n")


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
    follow_k_f: Annotated[
        bool | None,
        typer.Option("--follow-k-f/--no-follow-k-f", help="Windows follow k_F, frame by frame; else as in the run."),
    ] = None,
    fit_depth: Annotated[
        float | None, typer.Option(help="How far below the gap the fits look, meV; else as in the run.")
    ] = None,
    correct_ageing: Annotated[
        bool,
        typer.Option("--correct-ageing", help="Bring gaps back to the map's start by the slope of its control pixels."),
    ] = False,
    directory: Directory = Path("microarpes-data"),
    processes: Processes = None,
    scheduler: Scheduler = None,
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
        follow_k_f=follow_k_f,
        fit_depth=fit_depth,
        correct_ageing=correct_ageing,
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


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help=RUN_HELP)],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="The same again: two fits of one run.")],
    directory: Directory = Path("microarpes-data"),
    fit_a: Annotated[str, typer.Option(help="live, or the uid of a refit of RUN_A, or the beginning of it.")] = "live",
    fit_b: Annotated[str, typer.Option(help="The same of RUN_B.")] = "live",
    output: Annotated[Path, typer.Option(help="Picture to write, PNG.")] = Path("comparison.png"),
    tc: Annotated[
        float | None,
        typer.Option(help="Transition temperature, K: RUN_A is below, RUN_B above; where does the gap close?"),
    ] = None,
) -> None:
    """Compare two maps of one place, or two fits of one run: differences of the gaps in sigmas."""
    if tc is not None:
        from microarpes.beamline.above_tc import closing_of

        sys.stdout.write(closing_of(directory, first, second, tc, output, fit=fit_a, second_fit=fit_b))
        return
    from microarpes.beamline.compare import compare_runs

    sys.stdout.write(compare_runs(directory, first, second, output, fit=fit_a, second_fit=fit_b))


def combine(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help=f"{RUN_HELP} Repeats of one map, the first of them the one whose pixels count."
        ),
    ],
    model: Annotated[str, typer.Option(help="Line shape.")] = "norman",
    gamma0: Annotated[str, typer.Option(help="Policy for gamma0: prior, zero, or a value in meV.")] = "prior",
    calibration: Annotated[
        str, typer.Option(help="live: the last record before each pixel; interpolated: between the records, in time.")
    ] = "live",
    fit_depth: Annotated[
        float | None, typer.Option(help="How far below the gap the fits look, meV; else as in the runs.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where the gaps differ, or the counts show another place.")
    ] = False,
    directory: Directory = Path("microarpes-data"),
    processes: Processes = None,
    scheduler: Scheduler = None,
    summary: Summary = None,
) -> None:
    """Fit repeat maps of one place together, pixel by pixel, each with its own E_F, as a new derived run."""
    from microarpes.beamline.combine import combine_runs

    combine_runs(
        directory,
        names,
        model=model,
        gamma0=gamma0,
        calibration=calibration,
        fit_depth=fit_depth,
        force=force,
        processes=processes,
        scheduler=scheduler,
        summary=summary,
    )


def doctor(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help=f"{RUN_HELP} Else all.")] = None,
    directory: Directory = Path("microarpes-data"),
    frames: Annotated[bool, typer.Option("--frames", help="Read every frame and compare its counts too.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
) -> None:
    """Look whether journals, frames, fits and catalog of each run agree; the exit status is 1 where they do not."""
    from microarpes.beamline.doctor import doctor_of

    told, left = doctor_of(directory, names or [], frames=frames, repair=repair)
    sys.stdout.write(told)
    if left:
        raise typer.Exit(1)


def retain(
    config: Annotated[Path, typer.Option(help="Configuration with the policy, under [retention].")],
    directory: Directory = Path("microarpes-data"),
    copied_to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where copies of the folders of runs are.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; else it is only told what could go.")] = False,
) -> None:
    """Tell whose frames the policy lets go, or remove those whose copy is equal; the exit status is 1 on any doubt."""
    from microarpes.beamline.config import load_config
    from microarpes.beamline.retention import retain as retained

    told, doubts = retained(directory, load_config(config).retention, copied_to, remove=yes)
    sys.stdout.write(told)
    if doubts and yes:
        raise typer.Exit(1)


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
