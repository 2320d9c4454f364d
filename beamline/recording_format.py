"""The recording format: one HDF5 file that holds a raster measured elsewhere, for the simulated devices to replay.

Root attributes ``format="microarpes-recording"``, ``version``, ``title``, ``source``, ``licence``, ``photon_energy``
(eV), ``pass_energy`` (eV), ``lens_mode``, ``acquire_time`` (s), ``temperature`` (K) and ``assumed``, the names among
these that the source does not tell. Datasets ``/points/*`` ``[n]`` in the order of the visit, each with its ``units``;
``/frames`` ``[n, n_angle, n_energy]``, ``/energy`` (eV kinetic, ascending) and ``/angle`` (deg). Where the environment
held the run up, ``/environment/SIGNAL`` ``[m, 4]`` with a row a change; see `microarpes.sim.recorded_environment`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from microarpes.sim.recorded_environment import COLUMNS, SIGNALS, Change

FORMAT = "microarpes-recording"
VERSION = 1
#: Units of the columns of /points; x and y are always there.
POINT_UNITS = {
    **dict.fromkeys(("x", "y", "z", "x_setpoint", "y_setpoint"), "um"),
    **dict.fromkeys(("polar", "tilt", "azimuth"), "deg"),
    "i0": "nA",
    "time": "s",
    "temperature": "K",
    "ring_current": "mA",
    "pressure": "mbar",
}
#: What a map calls a column that it calls otherwise.
MAP_NAMES = {
    **{axis: f"manipulator_{axis}" for axis in ("x", "y", "z", "polar", "tilt", "azimuth")},
    **{f"{axis}_setpoint": f"manipulator_{axis}_setpoint" for axis in "xy"},
    "temperature": "sample_temperature",
}
#: A frame set that claims to be larger than this, or than so many times its file, is not read.
MAX_BYTES = 8 * 2**30
MAX_EXPANSION = 64


class RecordingError(Exception):
    """A file cannot be taken as a recording; the message says what was found in it and what is needed."""


class Frames(Protocol):
    """Frames of a recording, read one at a time: ``frames[i]`` is ``[n_angle, n_energy]``."""

    def __getitem__(self, index: int) -> Any: ...


class CheckedFrames:
    """Frames of a file that comes from elsewhere: one that cannot be read is a `RecordingError`."""

    def __init__(self, frames: Frames, path: Path) -> None:
        self._frames = frames
        self._path = path

    def __getitem__(self, index: int) -> Any:
        with one_clear_error(self._path, f"a recording at frame {index}"):
            return np.asarray(self._frames[index])


@dataclass(frozen=True)
class Recording:
    """Everything of a recording but its frames.

    Attributes
    ----------
    title, source, licence : str
        What was measured, where it was read from, and under which licence it may be passed on (may be empty).
    photon_energy : float
        eV.
    pass_energy : float
        eV.
    lens_mode : str
        Name the analyser gives it.
    acquire_time : float
        Exposure of one frame, s.
    temperature : float
        Of the sample, K.
    points : mapping of str to ndarray [n]
        Columns named as in `POINT_UNITS`, in the order of the visit; ``x`` and ``y`` are readbacks in um.
    energy : ndarray [n_energy]
        Kinetic energy, eV, ascending.
    angle : ndarray [n_angle]
        deg; a single 0 for angle-integrated spectra.
    assumed : tuple of str
        Fields above that the source does not tell and that were set to a nominal value.
    changes : tuple of Change
        What the environment did between points.
    """

    title: str
    source: str
    photon_energy: float
    pass_energy: float
    lens_mode: str
    acquire_time: float
    temperature: float
    points: Mapping[str, NDArray[np.float64]]
    energy: NDArray[np.float64]
    angle: NDArray[np.float64]
    licence: str = ""
    assumed: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        check_recording(self)

    @property
    def n_points(self) -> int:
        """Number of points, and of frames."""
        return len(self.points["x"])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a frame, ``(n_angle, n_energy)``."""
        return len(self.angle), len(self.energy)


def check_recording(recording: Recording) -> None:
    """Raise `RecordingError` unless columns and axes can be replayed."""
    for axis in ("x", "y"):
        if axis not in recording.points:
            raise RecordingError(f"{recording.source} has no positions {axis!r}; a raster needs x and y of every point")
    for name, column in recording.points.items():
        if name not in POINT_UNITS:
            raise RecordingError(f"{recording.source} has a column {name!r}; known are {', '.join(POINT_UNITS)}")
        if column.shape != (recording.n_points,) or not np.all(np.isfinite(column)):
            raise RecordingError(f"column {name!r} of {recording.source} is not {recording.n_points} finite numbers")
    steps = np.diff(recording.energy)
    if recording.energy.ndim != 1 or len(steps) < 1 or not np.all(np.isfinite(steps)) or not np.all(steps > 0):
        raise RecordingError(f"the energy axis of {recording.source} does not ascend in steps of finite size")
    if recording.angle.ndim != 1 or not len(recording.angle) or not np.all(np.isfinite(recording.angle)):
        raise RecordingError(f"the angle axis of {recording.source} is not a row of finite numbers")
    for name in ("photon_energy", "pass_energy", "acquire_time", "temperature"):
        value = getattr(recording, name)
        if not (np.isfinite(value) and value > 0):
            raise RecordingError(f"{name} of {recording.source} is {value}; it must be a finite number above 0")
    if unknown := set(recording.assumed) - {*recording.__dataclass_fields__, *POINT_UNITS}:
        raise RecordingError(f"{recording.source} says that {min(unknown)[:40]!r} is assumed, which no recording has")
    if recording.n_points < 1:
        raise RecordingError(f"{recording.source} holds no point")


def check_size(name: str, declared: int, path: Path) -> None:
    """Raise `RecordingError` if a part of `path` claims more bytes than a file of that size can honestly hold."""
    size = path.stat().st_size
    if declared > MAX_BYTES or declared > MAX_EXPANSION * size:
        raise RecordingError(
            f"{name} in {path} claims {declared / 2**20:.0f} MiB in a file of {size / 2**20:.2f} MiB; "
            f"limits are {MAX_BYTES // 2**30} GiB and {MAX_EXPANSION} times the file"
        )


def stored_type(frames: Frames, count: int) -> np.dtype[Any]:
    """Return int32 if every count of every frame is a whole number that fits, otherwise float64."""
    limits = np.iinfo(np.int32)
    for i in range(count):
        frame = np.asarray(frames[i])
        whole = frame.dtype.kind in "iu" or bool(np.all(frame == np.rint(frame)))
        if not whole or frame.min() < limits.min or frame.max() > limits.max:
            return np.dtype(np.float64)
    return np.dtype(np.int32)


def write_recording(path: Path, recording: Recording, frames: Frames) -> None:
    """Write `recording` and its `frames` to `path`, one frame at a time; the file appears only when it is whole.

    Parameters
    ----------
    path : Path
        File to write; one that exists is replaced.
    recording : Recording
        Description, axes and columns.
    frames : sequence of ndarray [n_angle, n_energy]
        Read once to find the type, once to write.
    """
    fresh = path.with_name(path.name + ".part")
    try:
        with h5py.File(fresh, "w") as file:
            _write_description(file, recording)
            kind = stored_type(frames, recording.n_points)
            shape = (recording.n_points, *recording.shape)
            stored = file.create_dataset("frames", shape, dtype=kind, chunks=(1, *recording.shape))
            for i in range(recording.n_points):
                stored[i] = np.asarray(frames[i])
        os.replace(fresh, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()


def _write_description(file: Any, recording: Recording) -> None:
    file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
    for name in ("title", "source", "licence", "photon_energy", "pass_energy", "lens_mode", "acquire_time"):
        file.attrs[name] = getattr(recording, name)
    file.attrs["temperature"] = recording.temperature
    file.attrs["assumed"] = ", ".join(recording.assumed)
    for name, column in recording.points.items():
        file[f"points/{name}"] = np.asarray(column, dtype=np.float64)
        file[f"points/{name}"].attrs["units"] = POINT_UNITS[name]
    for name, axis, units in (("energy", recording.energy, "eV"), ("angle", recording.angle, "deg")):
        file[name] = np.asarray(axis, dtype=np.float64)
        file[name].attrs["units"] = units
    for signal in sorted({change.signal for change in recording.changes}):
        rows = [[getattr(each, name) for name in COLUMNS] for each in recording.changes if each.signal == signal]
        file[f"environment/{signal}"] = np.asarray(rows, dtype=np.float64)
        file[f"environment/{signal}"].attrs["columns"] = ", ".join(COLUMNS)
        file[f"environment/{signal}"].attrs["units"] = SIGNALS[signal]


def micrometres(values: NDArray[np.float64], units: str, name: str, source: str) -> NDArray[np.float64]:
    """Return positions in um from the unit the source states; an unknown unit is refused, never guessed."""
    factors = {"um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "m": 1e6, "nm": 1e-3}
    if units not in factors:
        raise RecordingError(f"{name} in {source} is in {units!r}; positions must be in one of {', '.join(factors)}")
    return np.asarray(values, dtype=np.float64) * factors[units]


@contextlib.contextmanager
def one_clear_error(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into a `RecordingError` that names the file."""
    try:
        yield
    except RecordingError:
        raise
    except Exception as error:
        raise RecordingError(
            f"{path} cannot be read as {what}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
