"""``microarpes export``: a run as a file for others, which appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterator
from pathlib import Path

import xarray as xr

from microarpes.beamline.cli_options import Refused
from microarpes.beamline.map_dataset import MAP
from microarpes.beamline.open_run import OpenRun, open_run

#: Format to what its file is called in the folder of the run.
FORMATS = {"nexus": "export.nxs", "netcdf": "export.nc", "csv": "export.csv", "figures": "figures"}


def export_run(
    directory: Path,
    name: str,
    format: str = "nexus",
    output: Path | None = None,
    *,
    copy_frames: bool = False,
    fit: str = "live",
) -> Path:
    """Write a stored run, with those it resumes, as a file for others.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    name : str
        As `microarpes.beamline.run_names.run_folder` takes it.
    format : {"nexus", "netcdf", "csv", "figures"}
    output : Path, optional
        File to write, for figures the folder; by default in the run's folder, see `FORMATS`. One that is there is
        replaced.
    copy_frames : bool
        In a NeXus file copy the frames; else they are linked.
    fit : str
        ``live``, or the uid of a refit, or the beginning of it.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    Refused
        The format is unknown, or has no frames to copy, or `output` is a file of the run itself.
    microarpes.beamline.stored_run.NoSuchRun
        There is no such run or fit, or the run has no map.
    OSError
        The file cannot be written.
    """
    if format not in FORMATS:
        raise Refused(f"--format {format!r} is not known; give one of {', '.join(FORMATS)}")
    if copy_frames and format != "nexus":
        raise Refused(f"--copy-frames is for --format nexus; {format} has no frames")
    run = open_run(name, directory, fit)
    target = Path(output) if output is not None else run.folder / FORMATS[format]
    _check_target(target, run, folder=format == "figures")
    if format == "figures":
        from microarpes.beamline.export_figures import write_figures

        write_figures(target, run)
        return target
    with _whole(target) as fresh:
        if format == "csv":
            write_csv(fresh, run)
        elif format == "netcdf":
            run.to_xarray().to_netcdf(fresh, engine="h5netcdf")
        else:
            from microarpes.beamline.export_nexus import write_nexus

            write_nexus(fresh, run, target, copy_frames=copy_frames)
    return target


def _check_target(target: Path, run: OpenRun, *, folder: bool) -> None:
    if target.is_dir() and not folder:
        raise Refused(f"--output {target} is a folder; name a file in it")
    if target.exists() and folder and not target.is_dir():
        raise Refused(f"--output {target} is a file; figures need a folder")
    inside = any(target.resolve().parent == each.resolve() for each in run.folders)
    if inside and target.suffix not in (".nxs", ".nc", ".csv", ""):
        raise Refused(f"--output {target} may be a part of the run; give it the ending .nxs, .nc or .csv")
    if not target.resolve().parent.is_dir():
        raise Refused(f"--output {target}: {target.resolve().parent} is not there; make it first")


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Give a name beside the target to write to; what was written gets the target's name when all of it is there."""
    fresh = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        yield fresh
        with open(fresh, "rb") as file:
            os.fsync(file.fileno())
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def write_csv(path: Path, run: OpenRun) -> None:
    """Write one line a measured pixel: its numbers and verdicts; a window's have its name behind theirs.

    Lines that begin with # say what the run is and the unit of each column; an empty cell is no number.
    """
    dataset = run.to_xarray(edcs=False)
    columns = _columns(dataset)
    with open(path, "w", newline="", encoding="utf-8") as file:
        told = {key: value for key, value in dataset.attrs.items() if key not in ("calibration", "start_document")}
        for key, value in told.items():
            file.write(f"# {key}: {' '.join(str(value).split())}\n")
        units = {name: column.attrs.get("units", "") for name, column in columns.items()}
        file.write(f"# units: {', '.join(f'{name} {unit}' for name, unit in units.items() if unit not in ('', '1'))}\n")
        lines = csv.writer(file)
        lines.writerow(["pixel", *columns])
        measured = (dataset["run"].values >= 0).ravel()
        values = [column.values.ravel() for column in columns.values()]
        for pixel in measured.nonzero()[0]:
            lines.writerow([pixel, *(_cell(column[pixel]) for column in values)])


def _columns(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return what has one value a pixel; nominal coordinates first."""
    nominal = xr.broadcast(dataset["y"], dataset["x"])
    columns = {"x": nominal[1].transpose(*MAP), "y": nominal[0].transpose(*MAP)}
    for name, variable in dataset.data_vars.items():
        if variable.dims == MAP:
            columns[str(name)] = variable
        else:
            for place, window in enumerate(dataset["window"].values):
                columns[f"{name}[{window}]"] = variable.isel(window=place)
    return columns


def _cell(value: object) -> object:
    text = str(value)
    return "" if text == "nan" else text
