"""A map as one xarray Dataset: EDCs, places, fit, and what is needed to read them, each with its unit and name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from microarpes.beamline.engine import versions
from microarpes.beamline.journal import RAW_JOURNAL
from microarpes.beamline.kept_mask import read_mask
from microarpes.beamline.map_frames import MapFrames, frame_files
from microarpes.beamline.map_planes import Planes, derived_start, fit_journals, fitted_planes, reading_planes
from microarpes.beamline.map_terms import AGED, COMBINED, FITTED, FOLLOWED, iso_time, reading_terms
from microarpes.beamline.pixel_events import PixelEvent, data_units
from microarpes.beamline.planned import planned_mask
from microarpes.beamline.run_chain import read_start
from microarpes.beamline.stored_figures import sample_id
from microarpes.beamline.stored_run import NoSuchRun

Document = Mapping[str, Any]

MAP = ("y", "x")
WINDOWS = (*MAP, "window")
_OURS: dict[str, tuple[str, str]] = {
    "time": ("s", "time of the event since 1970-01-01 UTC"),
    "seq_num": ("1", "number of the event in its run"),
    "run": ("1", "place in `runs` of the run that took the pixel"),
    "frame_row": ("1", "row of the frame in the frame file of its run"),
    "ef": ("eV", "Fermi edge that held, kinetic energy"),
    "status": ("", "verdict of the joint fit"),
    "window_status": ("", "verdict of the fit of a window"),
}
_OURS |= {ours: (units, f"{words}, joint fit") for _, ours, units, words in FITTED}
_OURS |= FOLLOWED | AGED | COMBINED
_OURS |= {f"window_{ours}": (units, f"{words}, window by itself") for _, ours, units, words in FITTED}


def map_dataset(
    folders: Sequence[Path],
    *,
    fits: Sequence[Path] | None = None,
    edcs: bool = True,
    frames: bool = False,
    take: Callable[[PixelEvent], None] | None = None,
) -> xr.Dataset:
    """Read a map.

    Parameters
    ----------
    folders : sequence of Path
        Of the runs it was taken in, the oldest first; see `microarpes.beamline.run_chain.chain_folders`.
    fits : sequence of Path, optional
        Journals of the fit, see `microarpes.beamline.map_planes.fit_journals`; by default those of the live fit.
    edcs : bool
        With the EDCs, the larger part of it.
    frames : bool
        With the frames, each read when it is indexed.
    take : callable, optional
        Without `edcs`: is given each event as it is read, see `reading_planes`.

    Raises
    ------
    NoSuchRun
        The newest run is of a plan that has no map.
    microarpes.beamline.moved_windows.WindowError
        Frames are asked for and not there.
    microarpes.beamline.kept_mask.KeptMaskError
        ``mask.json`` cannot be read.
    """
    start = read_start(folders[-1])
    if not {"shape", "grid", "windows", "energy_axis"} <= start.keys():
        raise NoSuchRun(f"run {start['uid']} is of plan {start.get('plan_name')!r} and has no map; name a raster")
    counts = np.full((*start["shape"], len(start["windows"]), len(start["energy_axis"])) if edcs else (0,), np.nan)

    def keep(event: PixelEvent) -> None:
        counts[divmod(event.pixel, counts.shape[1])] = event.data.get("edc", np.nan)

    planes = reading_planes(folders, start, keep if edcs else take)
    measured = planes["run"] >= 0
    fits = fit_journals(folders) if fits is None else fits
    units = data_units(folders[-1] / RAW_JOURNAL)
    variables: dict[str, Any] = {
        name: (MAP if plane.ndim == 2 else WINDOWS, plane, _attributes(name, units))
        for name, plane in (fitted_planes(fits, start, measured) | planes).items()
    }
    coordinates = _coordinates(start)
    if edcs:
        told = {"units": "counts", "long_name": "EDC, counts summed over the window"}
        variables["edc"] = ((*WINDOWS, "energy"), counts, told)
    if frames:
        coordinates["angle"] = ("angle", start["angle_axis"], {"units": "deg", "long_name": "angle along the slit"})
        told = {"units": "counts", "long_name": "frame as it was counted"}
        variables["frame"] = ((*MAP, "angle", "energy"), _frames(folders, start, planes), told)
    variables |= _masks(folders, start, measured)
    return xr.Dataset(variables, coordinates, _provenance(folders, start, planes, derived_start(fits)))


def _coordinates(start: Document) -> dict[str, Any]:
    grid, windows = start["grid"], start["windows"]
    energy = np.asarray(start["energy_axis"], dtype=np.float64)
    edges = np.asarray((start.get("calibration") or {}).get("ef", [np.nan] * len(windows)), dtype=np.float64)
    found: dict[str, Any] = {
        axis: (axis, np.linspace(*(grid[axis][part] for part in ("start", "stop", "num"))),
               {"units": "um", "long_name": f"nominal {axis} of the pixel centre"})
        for axis in MAP
    }  # fmt: skip
    found["energy"] = ("energy", energy, {"units": "eV", "long_name": "kinetic energy"})
    found["window"] = ("window", [str(window["name"]) for window in windows], {"long_name": "k_F window"})
    for edge, words in (("angle_low", "lower"), ("angle_high", "upper")):
        values = [float(window[edge]) for window in windows]
        found[edge] = ("window", values, {"units": "deg", "long_name": f"{words} edge of the window"})
    about = "binding energy from the Fermi edge at the start of the run; `ef` is the edge that held at each pixel"
    found["binding_energy"] = (
        ("window", "energy"), edges[:, None] - energy, {"units": "eV", "long_name": "binding energy", "comment": about},
    )  # fmt: skip
    momentum = start.get("momentum") or {}
    for key, unit, words in (("kx", "1/angstrom", "k_x"), ("ky", "1/angstrom", "k_y"), ("phi", "deg", "angle phi")):
        if np.shape(momentum.get(key, 0.0)) == (len(windows),):
            told = {"units": unit, "long_name": f"{words} of the window's middle at E_F"}
            found[key] = ("window", np.asarray(momentum[key], dtype=np.float64), told)
    return found


def _attributes(name: str, units: Mapping[str, str]) -> dict[str, str]:
    unit, words = _OURS.get(name) or reading_terms(name, units.get(name, ""))
    return {"units": unit, "long_name": words} if unit else {"long_name": words}


def _frames(folders: Sequence[Path], start: Document, planes: Planes) -> indexing.LazilyIndexedArray:
    shape = len(start["angle_axis"]), len(start["energy_axis"])
    places = planes["run"], planes["frame_row"], planes["frame_id"]
    return indexing.LazilyIndexedArray(MapFrames(frame_files(folders), *places, shape))


def _masks(folders: Sequence[Path], start: Document, measured: NDArray[np.bool_]) -> dict[str, Any]:
    mask = read_mask(folders[-1])
    kept = measured.copy()
    told = {"long_name": "measured and not masked by an operator"}
    if mask is not None:
        kept.flat[[pixel for pixel in mask.pixels if pixel < kept.size]] = False
        told |= {"comment": f"{mask.limits}; kept by {mask.kept_by}, {mask.kept_on}"}
    return {"planned": (MAP, planned_mask(start), {"long_name": "visited by the plan"}), "kept": (MAP, kept, told)}


def _provenance(folders: Sequence[Path], start: Document, planes: Planes, fit: Document) -> dict[str, Any]:
    """Return the attributes of the run: numbers and strings, which every file format takes."""
    temperatures = planes.get("sample_temperature", np.empty(0))
    known = temperatures[np.isfinite(temperatures)]
    temperature = known.mean() if known.size else (start.get("calibration") or {}).get("temperature")
    told = {
        "uid": str(start["uid"]),
        "runs": " ".join(str(read_start(folder)["uid"]) for folder in folders),
        "plan": start.get("plan_name"),
        "sample": sample_id(dict(start)),
        "operator": start.get("operator"),
        "start_time": iso_time(float(start["time"])),
        "photon_energy": (start.get("source") or {}).get("photon_energy"),
        "photon_energy_units": "eV",
        "temperature": temperature,
        "temperature_units": "K",
        "fit": fit.get("uid"),
        "fit_model": fit.get("model"),
        "fit_runs": " ".join(fit["original_run_uids"]) if "original_run_uids" in fit else None,
        "calibration": json.dumps(start.get("calibration"), default=_listed),
        "start_document": json.dumps(start, default=_listed),
        "microarpes_version": versions()["microarpes"],
    }
    return {key: value if isinstance(value, str) else float(value) for key, value in told.items() if value is not None}


def _listed(value: Any) -> Any:
    """Return an array of a document as a list, for JSON."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
