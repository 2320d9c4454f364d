"""One coordinate of the sample frame as a device of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ophyd.status import Status

Readings = dict[str, dict[str, Any]]


class Frame(Protocol):
    """What a coordinate asks its `SampleFrame`."""

    name: str

    def set(self, request: Mapping[str, float]) -> Status:
        """Move."""

    def check_value(self, request: Mapping[str, float]) -> None:
        """Raise ValueError if `set` would refuse."""

    def read(self) -> Readings:
        """Return all coordinates."""

    def describe(self) -> Readings:
        """Return all data keys."""

    def stop(self, *, success: bool = False) -> None:
        """Stop all axes."""


class SampleCoordinate:
    """One coordinate of a `SampleFrame` by itself, so that stock plans can move and scan it.

    Parameters
    ----------
    frame : SampleFrame
    key : {"u", "v", "w", "polar", "tilt", "azimuth"}
        um, or deg for an angle; an angle turns about the spot in the beam.
    """

    def __init__(self, frame: Frame, key: str) -> None:
        self.name, self._frame, self._key = f"{frame.name}_{key}", frame, key
        #: Whoever reads frame and coordinate together reads the frame.
        self.parent = frame

    def set(self, value: float) -> Status:
        """Move; see `SampleFrame.set`."""
        return self._frame.set({self._key: value})

    def check_value(self, value: float) -> None:
        """Raise ValueError if the move would be refused."""
        self._frame.check_value({self._key: value})

    @property
    def position(self) -> float:
        """Where it is, um or deg, by explicit get."""
        return float(self._frame.read()[self.name]["value"])

    def stop(self, *, success: bool = False) -> None:
        """Stop all axes."""
        self._frame.stop(success=success)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the coordinate by explicit get, and where it was asked to be."""
        return self._mine(self._frame.read())

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data keys of `read`."""
        return self._mine(self._frame.describe())

    def _mine(self, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {key: found[key] for key in (self.name, f"{self.name}_setpoint")}

    @property
    def hints(self) -> dict[str, Any]:
        """Field to plot against."""
        return {"fields": [self.name]}
