"""The soft device that carries a calibration record into its event: one read, no I/O in a bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from microarpes.devices.frame_file import FrameFile
from microarpes.devices.outcome import Outcome
from microarpes.devices.soft_record import SoftRecord

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
    "sensor_temperature": "K",
    "sensor_temperature_error": "K",
    "edge_temperature": "K",
    "edge_temperature_error": "K",
    "edge_temperature_limit": "K",
    "gain": "counts",
    "flux_shift": "eV",
    "flux_shift_error": "eV",
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


class CalibrationRecord(SoftRecord):
    """Keeps the frame of a reference in the run's file and its record for the event.

    Parameters
    ----------
    name : str
    example : mapping
        A record with the keys, types and shapes that all of the run will have.
    frames : FrameFile
    units : mapping, optional
        Units of what only this record has.
    """

    def __init__(
        self, name: str, example: Mapping[str, Any], frames: FrameFile, units: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name, example, {**_UNITS, **(units or {})}, source="reference")
        self.frames = frames

    def set(self, measured: MeasuredReference) -> Outcome:  # type: ignore[override]
        """Keep a reference; the status never fails: a full disk must not cost the record, which is in the event.

        Raises
        ------
        KeyError
            The values are not exactly the data keys; the message names the difference.
        """
        if measured.values is not None:
            self.check(measured.values)
        try:
            self.frames.keep_reference(
                measured.frame, measured.time, measured.exposures, measured.name, measured.status
            )
        except OSError as error:
            logger.error("the frame of reference %s could not be kept: %s", measured.name, error)
        return Outcome.reached() if measured.values is None else super().set(measured.values)
