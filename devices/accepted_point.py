"""The soft device that carries an accepted point into its event: one read, no I/O, nothing to go wrong in a bundle."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.frame_file import FrameFile
from microarpes.devices.outcome import Outcome

FRAME_KEY = "analyser_frame"
WRITE_TIME_KEY = "time_write"


@dataclass(frozen=True, eq=False, repr=False)
class JudgedPoint:
    """What passed the gate; one object, because bluesky makes a list of every array in the arguments of a message.

    Parameters
    ----------
    frame : ndarray, shape (n_angle, n_energy)
    values : mapping
        Data key to value, for exactly the data keys of an `AcceptedPoint` but ``time_write``, which is measured there.
    timestamps : mapping
        Data key to IOC time, s, where there is one.
    """

    frame: NDArray[Any]
    values: Mapping[str, Any]
    timestamps: Mapping[str, float]


class EventArray(np.ndarray):
    """An array with a short repr: event_model prints an event 20 times while it validates it, 7 ms for one EDC."""

    def __repr__(self) -> str:
        return f"<array of shape {self.shape}, {self.dtype}>"


class AcceptedPoint:
    """Readings that passed the gate, and the row of the frame file that belongs to them.

    It also counts interruptions: the RunEngine calls `pause` on every device it has seen when it pauses or
    suspends, so an attempt that finds another count than it began with was not undisturbed.

    Parameters
    ----------
    name : str
    data_keys : mapping
        Data key to its description, without the frame's.
    frames : FrameFile
        Where the accepted frames are.
    """

    parent = None

    def __init__(self, name: str, data_keys: Mapping[str, Mapping[str, Any]], frames: FrameFile) -> None:
        self.name = name
        self.frames = frames
        self.interruptions = 0
        self._data_keys = {key: dict(description) for key, description in data_keys.items()}
        self._resource: dict[str, Any] | None = None
        self._readings: dict[str, dict[str, Any]] = {}
        self._row: int | None = None
        self._saved = 0
        self.error: OSError | None = None

    def set(self, point: JudgedPoint) -> Outcome:
        """Write the frame of an accepted point and keep its readings for the event.

        The status never fails; a disk that refuses the frame is told by `error`, and the point does not count.

        Raises
        ------
        KeyError
            The values are not exactly the data keys; the message names the difference.
        """
        values = point.values
        difference = (set(values) | {WRITE_TIME_KEY}) ^ set(self._data_keys)
        if difference:
            raise KeyError(f"{self.name}: values and data keys differ in {', '.join(sorted(difference))}")
        started = time.perf_counter()
        self.frames.discard_after(self._saved)
        try:
            self._row = self.frames.append(point.frame, int(values["frame_id"]))
            self.error = None
        except OSError as error:
            self.error = error
        now = time.time()
        complete = {**values, WRITE_TIME_KEY: time.perf_counter() - started}
        self._readings = {
            key: {"value": in_event(value), "timestamp": point.timestamps.get(key, now)}
            for key, value in complete.items()
        }
        return Outcome.reached()

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the readings of the point that was put."""
        return self._readings

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data keys, the external frame among them."""
        frame = {
            "source": str(self.frames.path),
            "dtype": "array",
            "dtype_numpy": "<i4" if self.frames.dtype == "<i4" else "<f8",
            "shape": list(self.frames.shape),
            "units": "counts",
            "external": "STREAM:",
            "dims": ["angle", "energy"],
        }
        return {**self._data_keys, FRAME_KEY: frame}

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the StreamResource once and one StreamDatum for the row of the point, once."""
        if self._row is None:
            return
        if self._resource is None:
            self._resource = self.frames.stream_resource(FRAME_KEY)
            yield "stream_resource", dict(self._resource)
        row, self._row = self._row, None
        self._saved = row + 1
        yield (
            "stream_datum",
            {
                "stream_resource": self._resource["uid"],
                "uid": f"{self._resource['uid']}/{uuid.uuid4()}",
                "seq_nums": {"start": 0, "stop": 0},
                "indices": {"start": row, "stop": row + 1},
                "descriptor": "",
            },
        )

    def describe_configuration(self) -> dict[str, Any]:
        """Return nothing: the settings are in the start document."""
        return {}

    def read_configuration(self) -> dict[str, Any]:
        """Return nothing: the settings are in the start document."""
        return {}

    def stage(self) -> list[Any]:
        """Make the RunEngine know this device from the first message of the run."""
        return [self]

    def unstage(self) -> list[Any]:
        """Take back a frame whose event was never emitted, and close the file."""
        self.frames.discard_after(self._saved)
        self.frames.close()
        return [self]

    def pause(self) -> None:
        """Note that the RunEngine paused or suspended."""
        self.interruptions += 1

    def resume(self) -> None:
        """Nothing to restore; part of bluesky's Pausable protocol."""


def in_event(value: Any) -> Any:
    """Return a value as it goes into an event: an array with a short repr."""
    return value.view(EventArray) if isinstance(value, np.ndarray) else value
