"""The recording format: a raster as it was measured, in one HDF5 file that points to nothing outside itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from microarpes.sim.global_heap import check_heaps
from microarpes.sim.recorded_environment import Change, read_changes

Array = NDArray[np.float64]

#: Root attributes that say what a file is.
FORMAT, VERSION = "microarpes-recording", 1
#: Optional arrays of points.
OPTIONAL = (
    "z", "polar", "tilt", "azimuth", "x_setpoint", "y_setpoint", "i0", "time", "temperature", "ring_current",
    "pressure",
)  # fmt: skip
#: How far, um, a request may be from a recording's only point, which has no neighbour to tell a step.
REACH_OF_ONE = 1.0
#: Frames that claim to be so many times larger than their file are not served.
MAX_EXPANSION = 64


class RecordingError(ValueError):
    """A file is not a recording that can be served; the message says what was found."""


@dataclass(frozen=True)
class Recording:
    """A recorded raster of n points; frames are read one by one.

    Parameters
    ----------
    title, lens_mode : str
    photon_energy, pass_energy : float, eV
    acquire_time : float, s
    energy : ndarray, shape (n_energy,), eV kinetic, ascending
    angle : ndarray, shape (n_angle,), deg, ascending
    points : mapping
        ``x`` and ``y`` (um readbacks) and what else was recorded, each of shape (n,); see `OPTIONAL`.
    changes : tuple of Change
        What the environment did between points.
    """

    title: str
    lens_mode: str
    photon_energy: float
    pass_energy: float
    acquire_time: float
    energy: Array
    angle: Array
    points: Mapping[str, Array]
    _frames: Any
    _order: tuple[int, int]
    _tree: Any = field(repr=False, default=None)
    changes: tuple[Change, ...] = ()

    @property
    def n_points(self) -> int:
        """Recorded points."""
        return int(self.points["x"].size)

    @property
    def dtype(self) -> str:
        """``"int32"`` when the frames are int32, else ``"float64"``."""
        return "int32" if self._frames.dtype == np.int32 else "float64"

    @property
    def requested(self) -> Array:
        """Requested positions, shape (n, 2), um; the readbacks where none were recorded."""
        return np.column_stack([self.points.get(f"{axis}_setpoint", self.points[axis]) for axis in "xy"])

    @property
    def reach(self) -> float:
        """How far (um) a request may be from a recorded point: half the median distance of neighbours, 1 um for one."""
        if self.n_points < 2:
            return REACH_OF_ONE
        distance, _ = self._tree.query(self.requested, k=2)
        return 0.5 * float(np.median(distance[:, 1]))

    def nearest(self, x: float, y: float) -> tuple[int, float]:
        """Return the index of the recorded point nearest to (x, y), um, and its distance, um."""
        distance, index = self._tree.query([x, y])
        return int(index), float(distance)

    def frame(self, index: int) -> NDArray[Any]:
        """Return a frame, shape (n_angle, n_energy), along ascending axes."""
        raw = np.asarray(self._frames[index])[:: self._order[0], :: self._order[1]]
        return raw if self.dtype == "int32" else raw.astype(np.float64)

    def close(self) -> None:
        """Close the file."""
        self._frames.file.close()


def open_recording(path: str | os.PathLike[str]) -> Recording:
    """Open a recording.

    Parameters
    ----------
    path : path

    Raises
    ------
    RecordingError
        The file is missing, not HDF5, not in this format, of inconsistent shapes, or refers to other files.
    """
    if not Path(path).is_file():
        raise RecordingError(f"recording {str(path)!r} is not a file; give the path of an HDF5 recording")
    try:
        check_heaps(Path(path))
        file = h5py.File(path, "r")
    except ValueError as error:
        raise RecordingError(f"recording {str(path)!r} is damaged: {error}") from None
    except OSError as error:
        raise RecordingError(f"recording {str(path)!r} is not a readable HDF5 file: {error}") from error
    try:
        return _read(file)
    except Exception as error:  # a damaged file makes HDF5 raise whatever it likes
        file.close()
        raise RecordingError(f"recording {str(path)!r}: {error}") from error


def _read(file: h5py.File) -> Recording:
    for index in range(h5py.h5a.get_num_attrs(file.id)):
        kind = h5py.h5a.open(file.id, index=index).get_type().get_class()
        # h5py may crash on damaged ones of other types.
        if kind not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING):
            raise RecordingError("an attribute of the file is no number and no text")
    found = (_text(file.attrs.get("format", "")), int(file.attrs.get("version", 0)))
    if found != (FORMAT, VERSION):
        raise RecordingError(f"format and version are {found}, expected {(FORMAT, VERSION)}")
    _refuse_links(file)
    frames = _dataset(file, "frames", 3)
    n, n_angle, n_energy = frames.shape
    if min(frames.shape) < 1 or frames.dtype.kind not in "iuf":
        raise RecordingError(f"/frames is {frames.dtype} {frames.shape}; need numbers [n, n_angle, n_energy]")
    size = Path(file.filename).stat().st_size
    if frames.nbytes > MAX_EXPANSION * size:
        raise RecordingError(f"/frames claims {frames.nbytes / 2**20:.0f} MiB in a file of {size / 2**20:.2f} MiB")
    energy, flip_energy = _axis(file, "energy", n_energy)
    angle, flip_angle = _axis(file, "angle", n_angle)
    points = {name: _points(file, name, n) for name in ("x", "y")}
    points |= {name: _points(file, name, n) for name in OPTIONAL if name in file["points"]}
    requested = np.column_stack([points.get(f"{axis}_setpoint", points[axis]) for axis in "xy"])
    number = {name: float(file.attrs[name]) for name in ("photon_energy", "pass_energy", "acquire_time")}
    return Recording(
        title=_text(file.attrs.get("title", "")),
        lens_mode=_text(file.attrs.get("lens_mode", "")) or "Recorded",
        energy=energy,
        angle=angle,
        points=points,
        _frames=frames,
        _order=(flip_angle, flip_energy),
        _tree=cKDTree(requested),
        changes=_changes(file, n),
        **number,
    )


def _changes(file: h5py.File, n_points: int) -> tuple[Change, ...]:
    names = list(file["environment"]) if "environment" in file else []
    tables = ((str(name), _dataset(file, f"environment/{name}", 2)[()]) for name in names)
    return tuple(change for name, table in tables for change in read_changes(name, table, n_points))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _refuse_links(file: h5py.File) -> None:
    groups, seen = [file], set()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = type(link).__name__
                raise RecordingError(f"{group.name}/{name} is a {kind}; a recording holds its data itself")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            # A group may hold itself, or one that holds it.
            if isinstance(item, h5py.Group) and address not in seen:
                seen.add(address)
                groups.append(item)


def _dataset(file: h5py.File, name: str, dimensions: int) -> h5py.Dataset:
    if name not in file or not isinstance(file[name], h5py.Dataset):
        raise RecordingError(f"/{name} is missing")
    dataset = file[name]
    if dataset.external or dataset.is_virtual:
        raise RecordingError(f"/{name} keeps its data in other files; a recording holds its data itself")
    if dataset.id.get_type().get_class() not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        raise RecordingError(f"/{name} does not hold numbers")
    if dataset.ndim != dimensions:
        raise RecordingError(f"/{name} has shape {dataset.shape}; expected {dimensions} dimensions")
    return dataset


def _axis(file: h5py.File, name: str, size: int) -> tuple[Array, int]:
    """Return an axis in ascending order, and the step (1 or -1) that brings the frames into that order."""
    values = np.asarray(_dataset(file, name, 1)[()], dtype=np.float64)
    steps = np.diff(values)
    if values.size != size or not np.all(np.isfinite(values)) or not (np.all(steps > 0) or np.all(steps < 0)):
        raise RecordingError(f"/{name} has {values.size} values; need {size} finite ones, all ascending or descending")
    order = -1 if values[0] > values[-1] else 1
    return values[::order].copy(), order


def _points(file: h5py.File, name: str, size: int) -> Array:
    values = np.asarray(_dataset(file, f"points/{name}", 1)[()], dtype=np.float64)
    if values.size != size:
        raise RecordingError(f"/points/{name} has {values.size} values for {size} frames")
    if name[0] in "xy" and not np.all(np.isfinite(values)):
        raise RecordingError(f"/points/{name} has values that are not finite")
    return values
