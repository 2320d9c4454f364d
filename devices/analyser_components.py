"""The signals of an analyser, from a vendor's map: settings, state, axes, and the array plugin."""

from __future__ import annotations

from typing import Any

from ophyd import EpicsSignal, EpicsSignalRO

from microarpes.devices.analyser_pvs import AnalyserPVs

Definition = dict[str, tuple[type, str, dict[str, Any]]]

#: What a region sets, by the names of the map.
SETTINGS = (
    *("acquisition_mode", "energy_mode", "lens_mode", "pass_energy", "energy_step", "slices", "iterations"),
    *("acquire_time", "deflector_angle", "excitation_energy", "low_energy", "centre_energy", "high_energy"),
)
_FRESH: dict[str, Any] = {"auto_monitor": False}


def settings_of(pvs: AnalyserPVs) -> Definition:
    """Return the settings this driver has; each is written, and read back from its ``_RBV``."""
    found: Definition = {}
    for name in SETTINGS:
        if suffix := getattr(pvs, name):
            options = {"write_pv": f"{pvs.cam}{suffix}", "put_complete": True, **_FRESH}
            found[name] = (EpicsSignal, f"{pvs.cam}{suffix}_RBV", options)
    return found


def state_of(pvs: AnalyserPVs) -> Definition:
    """Return what the driver reports, and its commands."""
    cam = pvs.cam
    found: Definition = {
        "detector_state": (EpicsSignalRO, f"{cam}DetectorState_RBV", _FRESH),
        "message": (EpicsSignalRO, f"{cam}StatusMessage_RBV", {"string": True, **_FRESH}),
        "acquiring": (EpicsSignalRO, f"{cam}Acquire_RBV", {"auto_monitor": True}),
        "acquire": (EpicsSignal, f"{cam}Acquire", {"put_complete": True, **_FRESH}),
        "data_type": (EpicsSignalRO, f"{cam}DataType_RBV", {"string": True, **_FRESH}),
        "sweep_points": (EpicsSignalRO, cam + pvs.sweep_points, _FRESH),
    }
    if pvs.time_left:
        found["time_left"] = (EpicsSignalRO, cam + pvs.time_left, {"auto_monitor": True})
    for name in ("angle_unit", "connected"):
        if suffix := getattr(pvs, name):
            found[name] = (EpicsSignalRO, cam + suffix, {"string": True, **_FRESH})
    for name, suffix in zip(define_names(pvs), pvs.define, strict=True):
        found[name] = (EpicsSignal, cam + suffix, {"put_complete": True, **_FRESH})
    for axis in ("energy_axis", "angle_axis"):
        for name, suffix in zip(axis_names(pvs, axis), getattr(pvs, axis).pvs, strict=True):
            found[name] = (EpicsSignalRO, cam + suffix, _FRESH)
    return found


def image_of(pvs: AnalyserPVs) -> Definition:
    """Return the array plugin's signals."""
    image = pvs.image
    return {
        "frame_id": (EpicsSignalRO, f"{image}UniqueId_RBV", _FRESH),
        "n_energy": (EpicsSignalRO, f"{image}ArraySize0_RBV", _FRESH),
        "n_angle": (EpicsSignalRO, f"{image}ArraySize1_RBV", _FRESH),
        "array": (EpicsSignalRO, f"{image}ArrayData", _FRESH),
        "address": (EpicsSignalRO, f"{image}NDArrayAddress_RBV", _FRESH),
    }


def axis_names(pvs: AnalyserPVs, axis: str) -> tuple[str, ...]:
    """Return the names of the signals an axis, ``energy_axis`` or ``angle_axis``, is made of."""
    return tuple(f"{axis}_{index}" for index in range(len(getattr(pvs, axis).pvs)))


def define_names(pvs: AnalyserPVs) -> tuple[str, ...]:
    """Return the names of the commands a spectrum needs after every change, in order."""
    return tuple(f"define_{index}" for index in range(len(pvs.define)))
