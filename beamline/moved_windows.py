"""Windows placed anew after the run: the EDCs are summed again from the frames, with the calibration that held then."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.guarded_hdf5 import has_writer, own_dataset
from microarpes.beamline.recording_format import RecordingError
from microarpes.beamline.removed_frames import read_removed
from microarpes.devices.flat_field import FlatFieldError, check_factors, read_dataset, window_factors
from microarpes.devices.frame_file import FLAT_FIELD
from microarpes.devices.region import AngleWindow
from microarpes.devices.spectra import sum_windows

DATASET = "entry/data/data"
FRAME_ID = "entry/data/frame_id"

Document = dict[str, Any]


class WindowError(ValueError):
    """Windows, or frames to sum them from, are not what a refit needs; the message says what is."""


def parse_window(text: str) -> AngleWindow:
    """Read ``NAME,LOW,HIGH``, deg.

    Raises
    ------
    WindowError
        The text is not that, or `LOW` is not below `HIGH`.

    Examples
    --------
    >>> parse_window("+k_F,1.59,1.79").angle_high
    1.79
    """
    parts = text.rsplit(",", 2)
    try:
        low, high = (float(part) for part in parts[1:])
    except ValueError:
        raise WindowError(f"--window {text!r} is not NAME,LOW,HIGH in deg; write +k_F,1.59,1.79") from None
    name = parts[0].strip()
    if not (name and np.isfinite([low, high]).all() and low < high):
        raise WindowError(f"--window {text!r}: give a name and finite edges, the lower one first, deg")
    return AngleWindow(name=name, angle_low=low, angle_high=high)


def frame_path(folder: Path, start: Mapping[str, Any]) -> Path:
    """Return the frame file a start document names.

    Raises
    ------
    WindowError
        It names none, one outside the run's folder, or one that is not there.
    """
    name = start.get("frame_file")
    if not isinstance(name, str) or not name:
        raise WindowError(f"run {start['uid']} names no frame_file: its windows cannot be placed anew")
    folder = Path(folder).resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise WindowError(f"frame_file {name!r} lies outside the run's folder {folder}; it is not followed")
    if not path.is_file() and (removed := read_removed(folder)) is not None:
        raise WindowError(f"{removed}; copy it back to {folder}, it is needed for this")
    if not path.is_file():
        raise WindowError(f"{path} is not there: without frames the windows cannot be placed anew")
    return path


def fermi_edge_sources(start: Mapping[str, Any], windows: Sequence[AngleWindow]) -> list[int]:
    """Return for each new window the window of the run whose Fermi edge holds for it.

    That is the one of the same name, or else the one whose middle is nearest.
    """
    old = start["windows"]
    names = [str(window["name"]) for window in old]
    middles = np.array([(float(window["angle_low"]) + float(window["angle_high"])) / 2 for window in old])
    return [
        names.index(window.name)
        if window.name in names
        else int(np.argmin(np.abs(middles - (window.angle_low + window.angle_high) / 2)))
        for window in windows
    ]


def check_windows(start: Mapping[str, Any], windows: Sequence[AngleWindow]) -> None:
    """Refuse windows that this run cannot have.

    Raises
    ------
    WindowError
        Two have the same name, or one holds no angle channel.
    """
    names = [window.name for window in windows]
    if len(set(names)) != len(names):
        raise WindowError(f"two windows have the same name among {', '.join(names)}; name them apart")
    angle = np.asarray(start["angle_axis"], dtype=np.float64)
    for window in windows:
        try:
            window.channels(angle)
        except ValueError as error:
            raise WindowError(str(error)) from None


class MovedWindows:
    """Turn the documents of a run into those it would have had with other windows.

    Parameters
    ----------
    windows : sequence of AngleWindow
    frames : Path, optional
        The run's frame file, opened here; or later, by `open`.

    Attributes
    ----------
    without_frame : int
        Events whose frame is not in the file; they keep no EDC and so are ``bad-input``.

    Raises
    ------
    WindowError
        The frame file, or the flat field in it, cannot be read.
    """

    def __init__(self, windows: Sequence[AngleWindow], frames: Path | None = None) -> None:
        self.windows = tuple(windows)
        self.without_frame = 0
        self._open = contextlib.ExitStack()
        self._file: Any = None
        self._flat_field: NDArray[np.float64] | None = None
        self._sources: list[int] = []
        self._channels: list[NDArray[np.intp]] = []
        self._streams: dict[str, str] = {}
        self._rows: dict[int, int] = {}
        self._times: list[float] = []
        self._shifts: list[NDArray[np.intp] | None] = []
        self._n_angle = 0
        if frames is not None:
            self.open(frames)

    def open(self, frames: Path) -> None:
        """Open the frame file.

        Raises
        ------
        WindowError
            It, or the flat field in it, cannot be read.
        """
        self._file = self._open.enter_context(open_frames(frames))
        self._flat_field = stored_flat_field(self._file, frames)

    def close(self) -> None:
        """Close the frame file."""
        self._open.close()

    def __call__(self, name: str, doc: Document) -> Document:
        """Return a document as it would be with these windows."""
        if name == "start":
            return self._start(doc)
        if name == "descriptor":
            self._streams[doc["uid"]] = doc.get("name", "primary")
        elif name == "stream_datum" and self._streams.get(doc["descriptor"]) == "primary":
            seq_nums, indices = doc["seq_nums"], doc["indices"]
            self._rows |= dict(zip(_range(seq_nums), _range(indices), strict=False))
        elif name == "event":
            stream = self._streams.get(doc["descriptor"])
            if stream == "calibration":
                return {**doc, "data": self._calibration(float(doc["time"]), doc["data"])}
            if stream == "primary":
                return self._event(doc)
            if stream == "control":
                return self._look(doc)
        return doc

    def _look(self, doc: Document) -> Document:
        """Leave a look at a control pixel without EDCs: its frame is not kept, and they are of other windows."""
        return {**doc, "data": {**doc["data"], "edc": None}}

    def _start(self, doc: Document) -> Document:
        angle = np.asarray(doc["angle_axis"], dtype=np.float64)
        self._n_angle = angle.size
        self._channels = [window.channels(angle) for window in self.windows]
        self._sources = fermi_edge_sources(doc, self.windows)
        record = self._calibration(-np.inf, doc.get("calibration"))
        return {**doc, "windows": [window.model_dump() for window in self.windows], "calibration": record}

    def _calibration(self, since: float, record: Any) -> Any:
        """Keep the row shift of a record and give each new window the Fermi edge of an old one."""
        shift: NDArray[np.intp] | None = None
        moved = record
        if isinstance(record, Mapping):
            with contextlib.suppress(KeyError, TypeError, ValueError, IndexError):
                edges = {key: np.asarray(record[key])[self._sources] for key in ("ef", "ef_error") if key in record}
                values = np.asarray(record.get("row_shift", np.zeros(self._n_angle)), dtype=np.intp)
                shift = values if values.shape == (self._n_angle,) else None
                moved = {**record, **edges}
            if record.get("flat_field") is not None:
                moved = {**moved, "flat_field": self._factors(shift)}
        place = bisect.bisect_right(self._times, since)
        self._times.insert(place, since)
        self._shifts.insert(place, shift)
        return moved

    def _factors(self, shift: NDArray[np.intp] | None) -> list[list[float]]:
        """Flat field of the new windows, from the one that is kept beside the frames."""
        if self._flat_field is None:
            raise WindowError(
                f"the run was taken with a flat field and its frame file holds no {FLAT_FIELD}: without it the windows "
                "cannot be placed anew"
            )
        try:
            factors: list[list[float]] = window_factors(self._flat_field, self._channels, shift).tolist()
        except (FlatFieldError, IndexError) as error:
            raise WindowError(f"the flat field does not fit the new windows: {error}") from None
        return factors

    def _event(self, doc: Document) -> Document:
        edc = None
        frame = self._frame(doc)
        if frame is None:
            self.without_frame += 1
        else:
            shift = self._shifts[bisect.bisect_right(self._times, float(doc["time"])) - 1]
            edc = None if shift is None else sum_windows(frame, self._channels, shift)
        return {**doc, "data": {**doc["data"], "edc": edc}}

    def _frame(self, doc: Document) -> NDArray[Any] | None:
        """Read the frame of an event; None where the file holds none with the event's frame_id."""
        frame_id, ids = doc["data"].get("frame_id"), self._file[FRAME_ID]
        ids.refresh()  # the file may be growing
        row = self._rows.get(doc["seq_num"])
        if row is None:
            found = np.flatnonzero(ids[:] == frame_id)
            row = int(found[0]) if found.size == 1 else len(ids)
        # An analyser that was restarted counts from 0 again: an equal id in another row is another pixel's frame.
        if not 0 <= row < len(ids) or ids[row] != frame_id:
            return None
        frames = self._file[DATASET]
        frames.refresh()
        if row >= len(frames):
            return None
        frame: NDArray[Any] = frames[row]
        return frame if frame.ndim == 2 and frame.shape[0] == self._n_angle else None


def stored_flat_field(file: Any, path: Path) -> NDArray[np.float64] | None:
    """Read the flat field that a run's open frame file holds; None where it holds none."""
    if file.get(FLAT_FIELD, getlink=True) is None:
        return None
    try:
        own_dataset(file, FLAT_FIELD, path)
        return check_factors(read_dataset(file, FLAT_FIELD), f"{FLAT_FIELD} of {path}")
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, RecordingError) as error:
        raise WindowError(f"{path}: {error}") from None


def flat_field_of(folder: Path, start: Mapping[str, Any]) -> NDArray[np.float64]:
    """Read the flat field that lies beside the frames of a run that was taken with one.

    Raises
    ------
    WindowError
        There is no frame file, or no flat field in it.
    """
    path = frame_path(folder, start)
    with open_frames(path) as file:
        factors = stored_flat_field(file, path)
    if factors is None:
        raise WindowError(f"{path} holds no flat field, and the run was taken with one")
    return factors


def _range(bounds: Mapping[str, int]) -> range:
    return range(int(bounds["start"]), int(bounds["stop"]))


@contextlib.contextmanager
def open_frames(path: Path) -> Iterator[Any]:
    """Open a frame file for reading, also one that is being written or was left by a killed writer.

    Raises
    ------
    WindowError
        It is no HDF5 file, or what it holds under ``/entry/data`` is not in it but elsewhere, or damaged.
    """
    try:
        file = h5py.File(path, "r", libver="latest", swmr=has_writer(path), locking="best-effort")
    except OSError as error:
        raise WindowError(f"{path} cannot be read as a frame file: {error}") from error
    with file:
        try:
            for name in (DATASET, FRAME_ID):
                own_dataset(file, name, path)
        except RecordingError as error:
            raise WindowError(str(error)) from None
        except (OSError, RuntimeError, ValueError, KeyError) as error:  # as HDF5 answers to damage
            raise WindowError(f"{path} cannot be read as a frame file: {error}") from None
        yield file
