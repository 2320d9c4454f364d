"""The soft device that carries a calibration record into its event: one read, no I/O in a bundle."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd.status import Status

from microarpes.devices.frame_file import FrameFile

logger = logging.getLogger(__name__)

#: Units of what a record and its reference say; what is not here has none.
_UNITS = {
    "time": "s",
    "row_shift": "channels",
    "ef": "eV",
    "ef_error": "eV",
    "resolution": "eV",
    "resolution_error": "eV",
    "temperature": "K",
    "temperature_error": "K",
    "gain": "counts",
    "photon_energy": "eV",
    "ring_current": "mA",
}


@dataclass(frozen=True, eq=False, repr=False)
class MeasuredReference:
    """A reference as it was measured; one object, because bluesky makes a list of every array in a message.

    Parameters
    ----------
    frame : ndarray, shape (n_angle, n_energy)
        Sum of its exposures.
    time : float, s
        Mean of their middles.
    exposures : int
    name, status : str
    values : mapping or None
        Data key to value, for exactly the data keys of the `CalibrationRecord`; None where it gave no record.
    """

    frame: NDArray[Any]
    time: float
    exposures: int
    name: str
    status: str
    values: Mapping[str, Any] | None


class CalibrationRecord:
    """Keeps the frame of a reference in the run's file and its record for the event.

    Parameters
    ----------
    name : str
    example : mapping
        A record with the keys, types and shapes that all of the run will have.
    frames : FrameFile
    """

    parent = None

    def __init__(self, name: str, example: Mapping[str, Any], frames: FrameFile) -> None:
        self.name = name
        self.frames = frames
        self._keys = {key: _described(key, value) for key, value in example.items()}
        self._readings: dict[str, dict[str, Any]] = {}

    def set(self, measured: MeasuredReference) -> Status:
        """Keep a reference; the status never fails: a full disk must not cost the record, which is in the event.

        Raises
        ------
        KeyError
            The values are not exactly the data keys; the message names the difference.
        """
        if measured.values is not None and (difference := set(measured.values) ^ set(self._keys)):
            raise KeyError(f"{self.name}: values and data keys differ in {', '.join(sorted(difference))}")
        try:
            self.frames.keep_reference(
                measured.frame, measured.time, measured.exposures, measured.name, measured.status
            )
        except OSError as error:
            logger.error("the frame of reference %s could not be kept: %s", measured.name, error)
        if measured.values is not None:
            now = time.time()
            self._readings = {key: {"value": value, "timestamp": now} for key, value in measured.values.items()}
        status = Status()
        status.set_finished()
        return status

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the last record."""
        return self._readings

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data keys."""
        return self._keys

    def describe_configuration(self) -> dict[str, Any]:
        """Return nothing: the settings are in the start document."""
        return {}

    def read_configuration(self) -> dict[str, Any]:
        """Return nothing: the settings are in the start document."""
        return {}


def _described(key: str, value: Any) -> dict[str, Any]:
    described = {"source": "reference", "units": _UNITS.get(key, "")}
    if isinstance(value, str):
        return {**described, "dtype": "string", "dtype_numpy": "<U200", "shape": []}
    array = np.asarray(value)
    numpy, scalar = ("<i8", "integer") if array.dtype.kind in "iu" else ("<f8", "number")
    return {
        **described,
        "dtype": "array" if array.ndim else scalar,
        "dtype_numpy": numpy,
        "shape": list(array.shape),
    }
