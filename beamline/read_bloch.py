"""Spatial rasters in the layout of MAX IV Bloch: ``counts [row, column, angle, energy]`` beside ``x`` and ``y``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from microarpes.beamline.guarded_hdf5 import read_numbers
from microarpes.beamline.recording_format import Frames, Recording, RecordingError, micrometres

#: The layout has no place for these; a replay needs some value, and `Recording.assumed` says that it is ours.
ASSUMED: dict[str, Any] = {"acquire_time": 1.0, "temperature": 20.0}


def is_bloch(file: Any) -> bool:
    """Return whether an open HDF5 file has this layout."""
    return all(name in file for name in ("counts", "kinetic_energy", "angle", "x", "y"))


class _Frames:
    """Frames of a raster in reading order of its rows."""

    def __init__(self, counts: Any) -> None:
        self._counts = counts

    def __getitem__(self, index: int) -> Any:
        return self._counts[divmod(index, self._counts.shape[1])]


def read_bloch(file: Any, path: Path) -> tuple[Recording, Frames]:
    """Return the recording and its frames from an open file of this layout.

    Raises
    ------
    RecordingError
        A part has the wrong shape, unit or type; the message names it.
    """
    counts = read_numbers(file, "counts", path, 4)
    rows, columns, n_angle, n_energy = counts.shape
    energy = np.asarray(read_numbers(file, "kinetic_energy", path, 1), dtype=np.float64)
    angle = np.asarray(read_numbers(file, "angle", path, 1), dtype=np.float64)
    if (len(angle), len(energy)) != (n_angle, n_energy):
        raise RecordingError(
            f"counts in {path} have {n_angle} angles x {n_energy} energies, the axes {len(angle)} x {len(energy)}"
        )
    points = {}
    for axis in ("x", "y"):
        positions = read_numbers(file, axis, path, 2)
        if positions.shape != (rows, columns):
            raise RecordingError(f"{axis} in {path} has shape {positions.shape}, the raster {rows} x {columns}")
        units = str(positions.attrs.get("units", "no unit"))
        points[axis] = micrometres(np.asarray(positions, dtype=np.float64).ravel(), units, axis, str(path))
    return (
        Recording(
            title=str(file.attrs.get("beamline", path.stem)),
            source=path.name,
            licence=str(file.attrs.get("licence", "")),
            photon_energy=_attribute(file, "photon_energy_eV", path),
            pass_energy=_attribute(file, "pass_energy_eV", path),
            lens_mode=str(file.attrs.get("lens_mode", "unknown")),
            points=points,
            energy=energy,
            angle=angle,
            assumed=tuple(ASSUMED),
            **ASSUMED,
        ),
        _Frames(counts),
    )


def _attribute(file: Any, name: str, path: Path) -> float:
    if name not in file.attrs:
        raise RecordingError(f"{path} has no attribute {name!r}; add it to the root of the file")
    return float(file.attrs[name])
