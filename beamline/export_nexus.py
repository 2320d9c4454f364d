"""A map as one NeXus file after the definition NXmpes_arpes, opened by viewers at the gap map.

The layout is in docs/explanation/exported-file.md. EDCs and frames go through in pieces; of a pixel only its readings
are kept in memory.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from microarpes.beamline.journal import RAW_JOURNAL
from microarpes.beamline.map_dataset import MAP, WINDOWS, map_dataset
from microarpes.beamline.map_frames import frame_files
from microarpes.beamline.map_planes import derived_start
from microarpes.beamline.map_terms import iso_time
from microarpes.beamline.moved_windows import WindowError
from microarpes.beamline.nexus_frames import write_frames
from microarpes.beamline.nexus_instrument import deflector_angle, write_geometry, write_instrument, write_sample
from microarpes.beamline.nexus_tree import add_field, add_group, number
from microarpes.beamline.open_run import OpenRun
from microarpes.beamline.pixel_events import PixelEvent, calibration_records
from microarpes.beamline.run_chain import read_start

logger = logging.getLogger(__name__)

DEFINITION = "NXmpes_arpes"
#: The state of https://github.com/nexusformat/definitions whose required fields are written.
DEFINITION_VERSION = "6cd4705fc649d39acd1f3e3f4e9b29c699462e16"
DEFINITION_URL = (
    f"https://github.com/nexusformat/definitions/blob/{DEFINITION_VERSION}/applications/NXmpes_arpes.nxdl.xml"
)


def write_nexus(path: Path, run: OpenRun, target: Path, *, copy_frames: bool = False) -> None:
    """Write a map.

    Parameters
    ----------
    path : Path
        File to make; it must not be there.
    run : OpenRun
    target : Path
        What the file will be called in the end: links to frames are relative to its folder.
    copy_frames : bool
        Copy the frames; else they are linked, and the file is read beside the run only.

    Raises
    ------
    OSError
        The file cannot be written.
    microarpes.beamline.moved_windows.WindowError
        Frames are to be copied and cannot be read.
    """
    folders, start = run.folders, run.start
    with h5py.File(path, "x", libver=("earliest", "v110")) as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "microarpes"})
        entry = add_group(file, "entry", "NXentry", default="gap_map")
        edcs = _EdcWriter(entry, start)
        dataset = map_dataset(folders, fits=run.fits, edcs=False, take=edcs)
        _write_entry(entry, start, folders, dataset)
        _write_maps(entry, dataset)
        write_geometry(entry, start)
        detector = write_instrument(entry, start, dataset)
        write_sample(entry, start, dataset)
        _write_calibration(entry, folders, dataset)
        _write_fit(entry, run)
        _write_data(entry, start, dataset, edcs, _frames(detector, folders, start, dataset, target, copy_frames))
        _write_provenance(entry, folders)


class _EdcWriter:
    """Puts the EDCs of each event into the file as it is read, and sums them."""

    def __init__(self, entry: Any, start: Mapping[str, Any]) -> None:
        self.shape = (*(int(n) for n in start["shape"]), len(start["windows"]), len(start["energy_axis"]))
        self.middles = np.array([0.5 * (each["angle_low"] + each["angle_high"]) for each in start["windows"]])
        self.group = add_group(entry, "edc", "NXdata", signal="edc", axes=["y", "x", "window", "energy"])
        self.counts = self.group.create_dataset(
            "edc", shape=self.shape, dtype="f8", chunks=(1, 1, *self.shape[2:]), fillvalue=np.nan,
            compression="gzip", compression_opts=1, shuffle=True,
        )  # fmt: skip
        self.counts.attrs["units"], self.counts.attrs["long_name"] = "counts", "counts"
        self.total = np.zeros(self.shape[2:])
        add_field(self.group, "window", self.middles, "deg", long_name="middle of the window (deg)")
        add_field(self.group, "window_name", [str(window["name"]) for window in start["windows"]])

    def __call__(self, event: PixelEvent) -> None:
        counts = np.asarray(event.data.get("edc", np.nan), dtype=np.float64)
        if counts.shape == self.shape[2:]:
            self.counts[divmod(event.pixel, self.shape[1])] = counts
            self.total += counts


def _write_entry(entry: Any, start: Mapping[str, Any], folders: Sequence[Path], dataset: xr.Dataset) -> None:
    add_field(entry, "definition", DEFINITION, version=DEFINITION_VERSION, URL=DEFINITION_URL)
    sample = dataset.attrs.get("sample") or "sample"
    add_field(entry, "title", f"spectral gap of {sample}, run {str(start['uid'])[:8]}")
    add_field(entry, "start_time", iso_time(float(read_start(folders[0])["time"])))
    last = dataset["time"].values if "time" in dataset else np.empty(0)
    if np.isfinite(last).any():
        add_field(entry, "end_time", iso_time(float(np.nanmax(last))))
    add_field(entry, "method", "angle-resolved photoelectron spectroscopy (ARPES)")
    add_field(entry, "entry_identifier", str(start["uid"]))
    add_field(entry, "program_name", "microarpes", version=dataset.attrs["microarpes_version"])
    if start.get("operator"):
        user = add_group(entry, "user", "NXuser")
        add_field(user, "name", str(start["operator"]))
        add_field(user, "affiliation", "not stated")


def _axes(group: Any, dataset: xr.Dataset) -> None:
    for axis in MAP:
        add_field(group, axis, dataset[axis].values, "um", long_name=f"{axis} (um)")


def _write_maps(entry: Any, dataset: xr.Dataset) -> None:
    """Write the gap map, where viewers open the file; the readings; the windows by themselves."""
    add_field(entry["edc"], "energy", dataset["energy"].values, "eV", type="kinetic", long_name="kinetic energy (eV)")
    fitted = "gap" in dataset
    gap_map = add_group(
        entry, "gap_map", "NXdata", title="spectral gap at k_F" if fitted else "counts; there is no fit",
        axes=["y", "x"], signal="gap" if fitted else "total_counts", auxiliary_signals=["gamma1"] if fitted else None,
    )  # fmt: skip
    pixels = add_group(entry, "pixels", "NXdata", axes=["y", "x"], signal="total_counts")
    for group in (entry["edc"], gap_map, pixels):
        _axes(group, dataset)
    for name, plane in dataset.data_vars.items():
        if plane.dims == MAP:
            _plane(gap_map if name in _FIT else pixels, str(name), plane)
    _plane(entry["edc"], "ef", dataset["ef"])
    if fitted:
        gap_map["gap_errors"], gap_map["gamma1_errors"] = gap_map["gap_error"], gap_map["gamma1_error"]
    else:
        gap_map["total_counts"] = pixels["total_counts"]
    if "window_gap" in dataset:
        _write_windows(entry, dataset)


def _write_windows(entry: Any, dataset: xr.Dataset) -> None:
    group = add_group(entry, "gap_by_window", "NXdata", axes=["window", "y", "x"], signal="window_gap")
    _axes(group, dataset)
    for shared in ("window", "window_name"):
        group[shared] = entry["edc"][shared]
    for name, plane in dataset.data_vars.items():
        if plane.dims == WINDOWS and name != "ef":
            _plane(group, str(name), plane.transpose("window", *MAP))


def _plane(group: Any, name: str, plane: xr.DataArray) -> None:
    words, units = str(plane.attrs.get("long_name", name)), str(plane.attrs.get("units", ""))
    values: NDArray[Any] = plane.values
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    told = f"{words} ({units})" if units not in ("", "1") else words
    add_field(group, name, values, units, long_name=told)


def _write_calibration(entry: Any, folders: Sequence[Path], dataset: xr.Dataset) -> None:
    records = list(itertools.chain.from_iterable(calibration_records(folder / RAW_JOURNAL) for folder in folders))
    process = add_group(entry, "calibration", "NXprocess")
    add_field(process, "program", "microarpes")
    add_field(process, "version", dataset.attrs["microarpes_version"])
    about = "Records in the order they held; each pixel is fitted with the last before it, see /entry/edc/ef"
    add_field(process, "description", about)
    for key, units in _RECORD.items():
        add_field(process, key, _one_row_each(records, key), units)
    if any("edge_assumed" in record for record in records):
        assumed = [str(record.get("edge_assumed", "")) for record in records]
        about = "what was taken for known as the Fermi edge was fitted; empty of a record that is of no edge"
        add_field(process, "edge_assumed", assumed, comment=about)
    reference = add_group(entry, "energy_referencing", "NXcalibration")
    add_field(reference, "physical_quantity", "energy")
    add_field(reference, "reference_peak", "Fermi edge")
    add_field(reference, "binding_energy", 0.0, "eV")
    edge = float((dataset["binding_energy"] + dataset["energy"]).mean())
    about = "E - E_F with the mean edge of the windows at the start of the run"
    add_field(reference, "calibrated_axis", dataset["energy"].values - edge, "eV", comment=about)


def _one_row_each(records: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64] | None:
    """Return what records say of a quantity, NaN where one does not; None where none does, or not alike."""
    rows = [np.asarray(record.get(key, np.nan), dtype=np.float64) for record in records]
    shapes = {row.shape for row, record in zip(rows, records, strict=True) if key in record}
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    return np.array([np.broadcast_to(row, shape) for row in rows])


#: Numbers of a calibration record and their units; those of sensor and edge only of references of known resolution.
_RECORD = {
    "time": "s", "ef": "eV", "ef_error": "eV", "resolution": "eV", "resolution_error": "eV", "temperature": "K",
    "temperature_error": "K", "sensor_temperature": "K", "sensor_temperature_error": "K", "edge_temperature": "K",
    "edge_temperature_error": "K", "edge_temperature_limit": "K", "gain": "1", "flux_shift": "eV",
    "flux_shift_error": "eV", "row_shift": "1",
}  # fmt: skip
_FIT = ("gap", "gap_error", "gap_systematic", "gap_upper_limit", "gamma1", "gamma1_error", "gamma0", "deviance", "dof",
        "status", "kept")  # fmt: skip


def _write_fit(entry: Any, run: OpenRun) -> None:
    """Write what the gap map was made with; its numbers are in ``gap_map`` and ``gap_by_window``."""
    derived = derived_start(run.fits)
    if not derived:
        return
    process = add_group(entry, "fit", "NXprocess", default="gap_map")
    add_field(process, "program", "microarpes")
    taken_with = run.start.get("versions") or {}  # the live fit is of the same installation
    add_field(process, "version", derived.get("microarpes_version") or taken_with.get("microarpes"))
    add_field(process, "date", iso_time(number(derived.get("time"))))
    for key in ("uid", "model", "gamma0", "engine"):
        add_field(process, key, None if derived.get(key) is None else str(derived[key]))
    for group in {"gap_map", "gap_by_window"} & set(entry):
        process[group] = entry[group]


def _frames(
    detector: Any, folders: Sequence[Path], start: Mapping[str, Any], dataset: xr.Dataset, target: Path, copy: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Write the frames; return angle and sum, or None where there are none."""
    try:
        files = frame_files(folders)
    except WindowError as error:
        if copy:
            raise
        logger.warning("the file is written without frames: %s", error)
        del detector.attrs["default"]
        return None
    angle = np.asarray(start["angle_axis"], dtype=np.float64)
    return angle, write_frames(detector, dataset, files, angle, target, copy=copy)


def _write_data(
    entry: Any, start: Mapping[str, Any], dataset: xr.Dataset, edcs: _EdcWriter,
    frames: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> None:  # fmt: skip
    """Write the spectrum the definition asks for: one energy and two angles, summed over the pixels."""
    angle, total = frames if frames is not None else (edcs.middles, edcs.total)
    group = add_group(
        entry, "data", "NXdata", signal="data", axes=["angular0", "angular1", "energy"], angular0_indices=0,
        angular1_indices=1, energy_indices=2,
        title="sum of the frames" if frames is not None else "sum of the EDCs; the frames are not there",
    )  # fmt: skip
    add_field(group, "data", total[:, None, :], "counts", long_name="counts")
    add_field(group, "angular0", angle, "deg", long_name="angle along the slit (deg)")
    add_field(group, "angular1", [deflector_angle(start)], "deg", long_name="angle across the slit (deg)")
    reference = "/entry/energy_referencing/calibrated_axis"
    add_field(group, "energy", dataset["energy"].values, "eV", type="kinetic", reference=reference,
              long_name="kinetic energy (eV)")  # fmt: skip


def _write_provenance(entry: Any, folders: Sequence[Path]) -> None:
    """Write the start document of every run, whole: settings, plan, arguments, versions."""
    group = add_group(entry, "provenance", "NXcollection")
    for folder in folders:
        start = read_start(folder)
        note = add_group(group, f"run_{str(start['uid'])[:8]}", "NXnote")
        add_field(note, "type", "application/json")
        add_field(note, "description", f"start document of run {start['uid']}")
        add_field(note, "data", json.dumps(start, default=lambda value: np.asarray(value).tolist()))
