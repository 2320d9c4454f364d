"""From the evidence of an accepted attempt to the values of its event (docs/explanation/run-documents.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.evidence import Evidence
from microarpes.devices.manipulator import AXES
from microarpes.devices.region import AngleWindow
from microarpes.devices.spectra import angular_contrast, sum_windows
from microarpes.plans.limits import GateLimits

LEDGER = ("time_kinematic", "time_overlap", "time_move", "time_expose", "time_read", "time_gate")
_SLOW = {"ring_current": "mA", "sample_temperature": "K", "pressure": "mbar"}


class PointEvent:
    """Compose the event of a point.

    Parameters
    ----------
    windows : sequence of AngleWindow
    energy_axis : ndarray, shape (n_energy,), eV kinetic
    angle_axis : ndarray, shape (n_angle,), deg
    calibration : mapping
        The calibration record: ``row_shift`` is applied while summing, ``ef`` places the angular contrast.
    sub_frames : int
        Exposures summed into a point.
    limits : GateLimits, optional
        How the beam is checked, and which live time makes a point partial.
    shift_of : callable, optional
        Returns for a pixel the shift, um along x and y, by which its target followed the sample.
    flown : sequence of str
        Axes that may move during an exposure: how far they went is told by ``blur_<axis>``.
    """

    def __init__(
        self,
        windows: Sequence[AngleWindow],
        energy_axis: NDArray[np.float64],
        angle_axis: NDArray[np.float64],
        calibration: Mapping[str, Any],
        *,
        sub_frames: int = 1,
        limits: GateLimits | None = None,
        shift_of: Callable[[int], tuple[float, float]] | None = None,
        flown: Sequence[str] = (),
    ) -> None:
        self.shift_of = shift_of
        self.sub_frames = sub_frames
        self.flown = tuple(flown)
        self.limits = limits or GateLimits()
        self.energy_axis = energy_axis
        self.channels = [window.channels(angle_axis) for window in windows]
        self.row_shift = np.asarray(calibration["row_shift"], dtype=np.intp)
        self.fermi_energy = float(np.mean(calibration["ef"]))
        if self.row_shift.shape != angle_axis.shape:
            raise ValueError(
                f"calibration row_shift has {self.row_shift.size} entries, the analyser {angle_axis.size} channels"
            )

    def data_keys(self) -> dict[str, dict[str, Any]]:
        """Return the data keys of the primary stream, without the frame."""
        keys: dict[str, dict[str, Any]] = {}
        for name in ("pixel", "attempt", "frame_id"):
            keys[name] = {"dtype": "integer", "dtype_numpy": "<i8", "shape": [], "units": ""}
        for name in AXES:
            units = "um" if name in "xyz" else "deg"
            for key in (f"manipulator_{name}", f"manipulator_{name}_setpoint"):
                keys[key] = _number(units)
        if self.shift_of is not None:
            keys |= {"shift_x": _number("um"), "shift_y": _number("um")}
        keys |= {f"blur_{name}": _number("um" if name in "xyz" else "deg") for name in self.flown}
        keys["edc"] = {
            "dtype": "array",
            "dtype_numpy": "<f8",
            "shape": [len(self.channels), len(self.energy_axis)],
            "units": "counts",
            "dims": ["window", "energy"],
        }
        if self.sub_frames > 1:
            keys["sub_frame_ids"] = {
                "dtype": "array",
                "dtype_numpy": "<i8",
                "shape": [self.sub_frames],
                "units": "",
                "dims": ["sub_frame"],
            }
        keys |= {"total_counts": _number("counts"), "angular_contrast": _number("")}
        if self.limits.beam_check == "gated":
            keys["i0"] = _number("nA s")
        keys |= {name: _number("s") for name in ("acquire_time", "live_time", *LEDGER, "time_write")}
        keys |= {name: _number(units) for name, units in _SLOW.items()}
        for name in ("gate", "beam_check"):
            keys[name] = {"dtype": "string", "dtype_numpy": "<U8", "shape": [], "units": ""}
        return {name: {"source": "end_station", **key} for name, key in keys.items()}

    def compose(self, evidence: Evidence, pixel: int, attempt: int) -> tuple[dict[str, Any], dict[str, float]]:
        """Return values and IOC time stamps of an accepted attempt."""
        frame = np.asarray(evidence.frame)
        values: dict[str, Any] = {
            "pixel": pixel,
            "attempt": attempt,
            "frame_id": int(evidence.value("frame_id")),
            "edc": sum_windows(frame, self.channels, self.row_shift),
            "total_counts": float(frame.sum(dtype=np.float64)),
            "angular_contrast": angular_contrast(frame, self.energy_axis, self.fermi_energy),
            "acquire_time": evidence.acquire_time,
            **self._beam(evidence),
        }
        if self.sub_frames > 1:
            values["sub_frame_ids"] = np.array(evidence.sub_frame_ids, dtype=np.int64)
        if self.shift_of is not None:
            values["shift_x"], values["shift_y"] = self.shift_of(pixel)
        values |= {name: evidence.value(name) for name in _SLOW}
        values |= {name: float(evidence.ledger[name]) for name in LEDGER}
        stamps = {name: evidence.readings[name]["timestamp"] for name in (*_SLOW, "frame_id")}
        stamps["edc"] = stamps["frame_id"]
        if "i0" in values:
            stamps["i0"] = stamps["frame_id"]
        for name in AXES:
            readback = evidence.readings[f"{name} readback"]
            flew = evidence.flown if evidence.flown is not None and evidence.flown.axis == name else None
            position = float(readback["value"]) if flew is None else flew.position
            if name in self.flown:
                values[f"blur_{name}"] = 0.0 if flew is None else flew.blur
            values[f"manipulator_{name}"] = position
            values[f"manipulator_{name}_setpoint"] = float(evidence.request.get(name, position))
            # What was read behind the exposure is not where the axis was during it.
            stamps[f"manipulator_{name}"] = (readback if flew is None else evidence.readings["frame_id"])["timestamp"]
        return values, stamps

    def _beam(self, evidence: Evidence) -> dict[str, Any]:
        """Return what the check of the beam found; without gated I0 the beam was there all the time or not at all."""
        check = self.limits.beam_check
        if check == "delayed":
            return {
                "live_time": evidence.acquire_time * evidence.counted_fraction,
                "gate": "accepted",
                "beam_check": check,
            }
        lit = evidence.value("open_fraction")
        return {
            "live_time": evidence.acquire_time * evidence.counted_fraction * lit,
            "i0": evidence.value("i0_integral"),
            "gate": "accepted" if lit >= self.limits.min_open_fraction else "partial",
            "beam_check": check,
        }


def _number(units: str) -> dict[str, Any]:
    return {"dtype": "number", "dtype_numpy": "<f8", "shape": [], "units": units}
