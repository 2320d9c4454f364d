"""Cuts, lines and maps in the NeXus layout of Diamond I05, one of NXarpes.

Read are ``entry1/analyser/data`` ``[scan..., angle, energy]`` with ``angles`` and ``energies`` beside it (an axis may
be repeated for every point, if it is the same), positions ``sax``, ``say``, ``saz`` or, of the nano branch, ``smx``,
``smy``, ``smz`` under ``entry1/analyser`` or ``entry1/instrument/manipulator``, and settings under
``entry1/instrument`` and ``entry1/sample``. The plane of a scan is x and y; where z was scanned it takes the place of
the one that was not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.assumed_values import TurnedFrames, ascending, one_point, settings_of
from microarpes.beamline.guarded_hdf5 import read_numbers, read_setting
from microarpes.beamline.recording_format import Frames, Recording, RecordingError, micrometres

_ANALYSER = "entry1/analyser"
_SETTINGS = {
    "photon_energy": "entry1/instrument/monochromator/energy",
    "pass_energy": "entry1/instrument/analyser/pass_energy",
    "lens_mode": "entry1/instrument/analyser/lens_mode",
    "acquire_time": "entry1/instrument/analyser/acquire_time",
    "temperature": "entry1/sample/temperature",
}
_PLACES = ("entry1/analyser", "entry1/instrument/manipulator")


def is_i05(file: Any) -> bool:
    """Return whether an open HDF5 file has this layout."""
    return all(f"{_ANALYSER}/{name}" in file for name in ("data", "angles", "energies"))


def read_i05(file: Any, path: Path) -> tuple[Recording, Frames]:
    """Return the recording and its frames from an open file of this layout.

    Raises
    ------
    RecordingError
        A part has the wrong shape, unit or type, or what was scanned is no position.
    """
    counts = file[f"{_ANALYSER}/data"]
    counts = read_numbers(file, f"{_ANALYSER}/data", path, max(2, getattr(counts, "ndim", 2)))
    scan = counts.shape[:-2]
    if len(scan) > 2 or not math.prod(counts.shape):
        raise RecordingError(f"{_ANALYSER}/data in {path} has shape {counts.shape}; at most two scanned axes are read")
    angle = _axis(file, "angles", counts.shape[-2], path)
    energy, turned = ascending(_axis(file, "energies", counts.shape[-1], path))
    points = _points(file, scan, path)
    unsure = () if points else ("x", "y")
    told = {name: read_setting(file, place) for name, place in _SETTINGS.items()}
    recording = Recording(
        title=read_setting(file, "entry1/title") or path.stem,
        source=path.name,
        points={**one_point(), **points},
        energy=energy,
        angle=angle,
        **settings_of(told, path, unsure=unsure),
    )
    return recording, TurnedFrames(counts, turned)


def _axis(file: Any, name: str, length: int, path: Path) -> NDArray[np.float64]:
    """Return an axis that every point of a scan has."""
    where = f"{_ANALYSER}/{name}"
    stored = read_numbers(file, where, path, getattr(file[where], "ndim", 1))
    if not stored.ndim or stored.shape[-1] != length:
        raise RecordingError(f"{where} in {path} has shape {stored.shape}, the counts {length} along it")
    values = np.asarray(stored, dtype=np.float64).reshape(-1, length)
    if not np.allclose(values, values[0], rtol=0, atol=1e-9):
        raise RecordingError(f"{where} in {path} differs from point to point; one axis for all points is needed")
    first: NDArray[np.float64] = values[0]
    return first


def _points(file: Any, scan: tuple[int, ...], path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the positions of the points in um, empty where a single point tells none."""
    count = math.prod(scan)
    found = {axis: column for axis in "xyz" if (column := _column(file, axis, scan, path)) is not None}
    scanned = [axis for axis, column in found.items() if count > 1 and np.ptp(column) > 0]
    if count > 1 and (not scanned or len(scanned) > 2):
        words = "sax, say, saz or smx, smy, smz"
        raise RecordingError(f"{path} has {count} points of which {words} do not tell one or two scanned positions")
    if "z" in scanned:
        free = "x" if "y" in scanned else "y"
        found[free] = found.pop("z")
    if found:
        found = {axis: np.zeros(count) for axis in "xy" if axis not in found} | found
    return found


def _column(file: Any, axis: str, scan: tuple[int, ...], path: Path) -> NDArray[np.float64] | None:
    for place in (f"{folder}/{stem}{axis}" for folder in _PLACES for stem in ("sa", "sm")):
        stored = file.get(place)
        if stored is None:
            continue
        values = read_numbers(file, place, path, getattr(stored, "ndim", 0))
        if values.size not in (1, math.prod(scan)):
            raise RecordingError(f"{place} in {path} has shape {values.shape}, the scan {scan}")
        units = _decoded(values.attrs.get("units", "no unit"))
        flat = np.asarray(values, dtype=np.float64).ravel()
        return micrometres(np.broadcast_to(flat, (math.prod(scan),)), units, place, str(path))
    return None


def _decoded(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
