"""The recording format read back, with the same checks as any file that comes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from microarpes.beamline.guarded_hdf5 import read_numbers
from microarpes.beamline.recording_format import (
    FORMAT,
    POINT_UNITS,
    VERSION,
    Frames,
    Recording,
    RecordingError,
    micrometres,
)
from microarpes.sim.recorded_environment import Change, read_changes


def is_recording(file: Any) -> bool:
    """Return whether an open HDF5 file says that it is a recording."""
    return str(file.attrs.get("format", "")) == FORMAT


def read_stored(file: Any, path: Path) -> tuple[Recording, Frames]:
    """Return the recording and its frames from an open file in the recording format.

    Raises
    ------
    RecordingError
        It is of another version, or a part is missing or of the wrong shape.
    """
    version = int(file.attrs.get("version", 0))
    if version != VERSION:
        raise RecordingError(f"{path} is a recording of version {version}; this program reads version {VERSION}")
    needed = ("title", "photon_energy", "pass_energy", "lens_mode", "acquire_time", "temperature")
    if missing := [name for name in needed if name not in file.attrs]:
        raise RecordingError(f"{path} lacks the attributes {', '.join(missing)}; convert its source again")
    frames, points = read_numbers(file, "frames", path, 3), _points(file, path)
    recording = Recording(
        title=str(file.attrs["title"]),
        source=str(file.attrs.get("source", path.name)),
        licence=str(file.attrs.get("licence", "")),
        lens_mode=str(file.attrs["lens_mode"]),
        points=points,
        changes=_changes(file, path, len(points.get("x", ()))),
        energy=np.asarray(read_numbers(file, "energy", path, 1), dtype=np.float64),
        angle=np.asarray(read_numbers(file, "angle", path, 1), dtype=np.float64),
        assumed=tuple(name for name in str(file.attrs.get("assumed", "")).split(", ") if name),
        **{name: float(file.attrs[name]) for name in ("photon_energy", "pass_energy", "acquire_time", "temperature")},
    )
    if frames.shape != (recording.n_points, *recording.shape):
        raise RecordingError(
            f"frames in {path} have shape {frames.shape}; points and axes say {(recording.n_points, *recording.shape)}"
        )
    return recording, frames


def _points(file: Any, path: Path) -> dict[str, Any]:
    if "points" not in file:
        raise RecordingError(f"{path} has no group 'points'; a recording needs points/x and points/y")
    points = {}
    for name in file["points"]:
        column = read_numbers(file, f"points/{name}", path, 1)
        points[name] = np.asarray(column, dtype=np.float64)
        if POINT_UNITS.get(name) == "um":
            points[name] = micrometres(points[name], str(column.attrs.get("units", "um")), name, str(path))
    return points


def _changes(file: Any, path: Path, n_points: int) -> tuple[Change, ...]:
    found: list[Change] = []
    for name in file.get("environment", ()):
        table = np.asarray(read_numbers(file, f"environment/{name}", path, 2), dtype=np.float64)
        try:
            found += read_changes(str(name), table, n_points)
        except ValueError as error:
            raise RecordingError(f"{path}: {error}") from None
    return tuple(found)
