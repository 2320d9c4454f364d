"""Our own export read back: a NeXus file after NXmpes_arpes, written with ``--copy-frames``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.assumed_values import settings_of
from microarpes.beamline.guarded_hdf5 import read_numbers, read_setting
from microarpes.beamline.recording_format import MAP_NAMES, POINT_UNITS, Frames, Recording, RecordingError, micrometres

_ANALYSER = "entry/instrument/electronanalyzer"
_DETECTOR = f"{_ANALYSER}/electron_detector"
_SETTINGS = {
    "photon_energy": "entry/instrument/beam_probe/incident_energy",
    "pass_energy": f"{_ANALYSER}/energydispersion/pass_energy",
    "lens_mode": f"{_ANALYSER}/collectioncolumn/lens_mode",
    "temperature": "entry/instrument/manipulator/temperature_sensor/value",
}


def is_exported(file: Any) -> bool:
    """Return whether an open HDF5 file has frames and readings as our export lays them out."""
    return f"{_DETECTOR}/raw_data/pixel" in file and "entry/pixels" in file


def read_exported(file: Any, path: Path) -> tuple[Recording, Frames]:
    """Return the recording and its frames, those that a pixel counts, from an open file of this layout.

    Raises
    ------
    RecordingError
        A part is missing or has the wrong shape or type, or two frames are of one pixel.
    """
    sets = [f"{_DETECTOR}/{name}" for name in file[_DETECTOR] if name.startswith("raw_data")]
    sets.sort(key=lambda name: int(name.rpartition("_")[2]) if name[-1].isdigit() else 1)
    stored = [read_numbers(file, f"{name}/raw", path, 3) for name in sets]
    pixels = [np.asarray(read_numbers(file, f"{name}/pixel", path, 1)) for name in sets]
    if [len(each) for each in stored] != [len(each) for each in pixels]:
        raise RecordingError(f"{path} has another number of frames than of pixels they are of; export the run again")
    rows = [(number, int(row)) for number, each in enumerate(pixels) for row in np.flatnonzero(each >= 0)]
    order = np.array([pixels[number][row] for number, row in rows], dtype=np.int64)
    if not rows:
        raise RecordingError(f"{path} holds no frame that a pixel counts; there is nothing to replay")
    if len(np.unique(order)) != len(order):
        raise RecordingError(f"two frames in {path} are of one pixel; export the run again")
    energy, angle = (
        np.asarray(read_numbers(file, f"{sets[0]}/{name}", path, 1), dtype=np.float64)
        for name in ("energy", "angular0")
    )
    if any(each.shape[1:] != (len(angle), len(energy)) for each in stored):
        raise RecordingError(
            f"frames in {path} are not of {len(angle)} angles x {len(energy)} energies, as its axes say"
        )
    told = {name: read_setting(file, place) for name, place in _SETTINGS.items()}
    times = _column(file, "live_time", order, path)
    recording = Recording(
        title=str(read_setting(file, "entry/title") or path.stem),
        source=path.name,
        points=_points(file, order, path),
        energy=energy,
        angle=angle,
        **settings_of(told | {"acquire_time": None if times is None else float(np.median(times))}, path),
    )
    return recording, _Frames(stored, rows)


class _Frames:
    def __init__(self, stored: list[Any], rows: list[tuple[int, int]]) -> None:
        self._stored = stored
        self._rows = rows

    def __getitem__(self, index: int) -> Any:
        number, row = self._rows[index]
        return self._stored[number][row]


def _points(file: Any, order: NDArray[np.int64], path: Path) -> dict[str, NDArray[np.float64]]:
    points = {}
    for column, units in POINT_UNITS.items():
        name = MAP_NAMES.get(column, column)
        values = _column(file, name, order, path)
        if values is None:
            continue
        if units == "um":
            told = str(file[f"entry/pixels/{name}"].attrs.get("units", "no unit"))
            values = micrometres(values, told, name, str(path))
        points[column] = values
    return points


def _column(file: Any, name: str, order: NDArray[np.int64], path: Path) -> NDArray[np.float64] | None:
    """Return one reading of the frames, or None where it is not known of all of them."""
    if f"entry/pixels/{name}" not in file:
        return None
    plane = np.asarray(read_numbers(file, f"entry/pixels/{name}", path, 2), dtype=np.float64).ravel()
    if order.max() >= plane.size:
        raise RecordingError(
            f"{path} has a frame of pixel {order.max()} in a map of {plane.size}; export the run again"
        )
    return plane[order] if np.all(np.isfinite(plane[order])) else None
