"""The hemispherical analyser: a region set as a whole, one exposure a trigger, one frame read by explicit get."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Device, DynamicDeviceComponent, EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from microarpes.devices.analyser_pvs import SES, AnalyserPVs
from microarpes.devices.channel_access import finish, read_fresh
from microarpes.devices.region import Region

#: Seconds allowed to an exposure beyond its length: readout, plugins, a busy IOC.
READOUT_MARGIN = 10.0
#: DetectorState_RBV of areaDetector.
STATES = "Idle Acquire Readout Correct Saving Aborting Error Waiting Initializing Disconnected Aborted".split()

Definition = dict[str, tuple[type, str, dict[str, Any]]]

_REGION_FIELDS = (
    "acquisition_mode",
    "lens_mode",
    "pass_energy",
    "energy_step",
    "centre_energy",
    "slices",
    "iterations",
    "acquire_time",
)


def _setting(suffix: str, **kwargs: Any) -> tuple[type, str, dict[str, Any]]:
    return (EpicsSignal, suffix, {"put_complete": True, "auto_monitor": False, **kwargs})


def _components(pvs: AnalyserPVs) -> tuple[Definition, Definition, Definition]:
    cam, image = pvs.cam, pvs.image
    enumerated = {"acquisition_mode", "lens_mode", "pass_energy", "energy_mode"}
    settings: Definition = {
        name: _setting(cam + getattr(pvs, name), string=name in enumerated) for name in (*_REGION_FIELDS, "energy_mode")
    }
    fresh = {"auto_monitor": False}
    state: Definition = {
        "detector_state": (EpicsSignalRO, f"{cam}DetectorState_RBV", fresh),
        "message": (EpicsSignalRO, f"{cam}StatusMessage_RBV", {"string": True, **fresh}),
        "acquiring": (EpicsSignalRO, f"{cam}Acquire_RBV", {"auto_monitor": True}),
        "acquire": (EpicsSignal, f"{cam}Acquire", {"put_complete": True, **fresh}),
        "low_energy": (EpicsSignalRO, cam + pvs.low_energy, fresh),
        "high_energy": (EpicsSignalRO, cam + pvs.high_energy, fresh),
        "excitation_energy": (EpicsSignalRO, cam + pvs.excitation_energy, fresh),
        "energy_axis": (EpicsSignalRO, cam + pvs.energy_axis, fresh),
        "angle_axis": (EpicsSignalRO, cam + pvs.angle_axis, fresh),
        "data_type": (EpicsSignalRO, f"{cam}DataType_RBV", {"string": True, **fresh}),
    }
    plugin: Definition = {
        "frame_id": (EpicsSignalRO, f"{image}UniqueId_RBV", fresh),
        "n_energy": (EpicsSignalRO, f"{image}ArraySize0_RBV", fresh),
        "n_angle": (EpicsSignalRO, f"{image}ArraySize1_RBV", fresh),
        "array": (EpicsSignalRO, f"{image}ArrayData", fresh),
    }
    return settings, state, plugin


class Analyser(Device):
    """An areaDetector-style analyser; `analyser_class` makes one for a vendor's PV map.

    `set` takes a `Region`, `trigger` exposes once, `read_frame` returns what the exposure gave.
    """

    settings: Any
    state: Any
    image: Any

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self.region: Region | None = None
        self._axes: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._edge_seen = threading.Event()
        self._edge_time = 0.0
        self.state.acquiring.subscribe(self._on_acquiring, run=False)

    def _on_acquiring(self, value: Any = None, timestamp: float = 0.0, **_: Any) -> None:
        if value in (1, "Acquire"):
            self._edge_time = float(timestamp)
            self._edge_seen.set()

    def set(self, region: Region) -> Status:
        """Write a region, read it back and read the axes it gives.

        The status fails when a value is refused; the message names it with what was asked and what was found.
        """
        status = Status(self, timeout=30.0)
        threading.Thread(target=self._apply, args=(region, status), daemon=True).start()
        return status

    def _apply(self, region: Region, status: Status) -> None:
        try:
            # By string: the enum's order differs between drivers.
            self.settings.energy_mode.set("Kinetic").wait()
            for name in _REGION_FIELDS:
                self._write(name, getattr(region, name))
            self.read_axes()
            self.region = region
        except Exception as error:  # noqa: BLE001 - any failure means the region is not set
            finish(status, error)
        else:
            finish(status)

    def _write(self, name: str, asked: Any) -> None:
        signal = getattr(self.settings, name)
        choices = tuple(signal.enum_strs or ())
        value = _choice(name, asked, choices) if choices else asked
        signal.set(value).wait()
        found = signal.get(use_monitor=False)
        same = found == value if choices else np.isclose(float(found), float(value), rtol=1e-6, atol=1e-9)
        if not same:
            message = self.state.message.get()
            raise ValueError(
                f"{self.name}: {name} = {asked} was refused by {signal.pvname}, which stays at {found}"
                + (f" ({message})" if message else "")
            )

    def read_axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read and keep the channel centres: energy, eV kinetic, and angle, deg.

        Raises
        ------
        ValueError
            An axis is empty, not finite or not strictly ascending.
        """
        energy = np.atleast_1d(np.asarray(self.state.energy_axis.get(use_monitor=False), dtype=np.float64))
        angle = np.atleast_1d(np.asarray(self.state.angle_axis.get(use_monitor=False), dtype=np.float64))
        for what, axis in (("energy", energy), ("angle", angle)):
            if axis.size == 0 or not np.all(np.isfinite(axis)) or np.any(np.diff(axis) <= 0):
                raise ValueError(f"{self.name}: the {what} axis ({axis.size} channels) is not strictly ascending")
        self._axes = (energy, angle)
        return self._axes

    @property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Energy axis, eV kinetic, and angle axis, deg, of the region that is set."""
        return self._axes if self._axes is not None else self.read_axes()

    @property
    def frame_dtype(self) -> str:
        """Type of a stored frame: int32 for counts, float64 for anything else."""
        return "<f8" if str(self.state.data_type.get()).startswith("Float") else "<i4"

    def trigger(self) -> Status:
        """Expose once; the status fails when the driver does not finish within the exposure and `READOUT_MARGIN`.

        Success says only that the driver is done. Whether the frame is good is the gate's to judge.
        """
        exposure = self.region.exposure if self.region is not None else float(self.settings.acquire_time.get())
        self._edge_seen.clear()
        status = Status(self, timeout=exposure + READOUT_MARGIN)
        self.state.acquire.put(1, use_complete=True, callback=lambda **_: finish(status))
        return status

    def abort(self) -> None:
        """Stop an exposure under way; its frame is discarded."""
        self.state.acquire.put(0, wait=False)

    def stop(self, *, success: bool = False) -> None:
        """Stop whatever the analyser does."""
        self.abort()

    def acquire_edge_time(self, timeout: float = 0.5) -> float:
        """Return the IOC's time of the last start of an exposure, s; NaN when it was not seen in time."""
        return self._edge_time if self._edge_seen.wait(timeout) else float("nan")

    def counters(self) -> Mapping[str, dict[str, Any]]:
        """Read frame id and state by explicit get: ``frame_id``, ``detector_state``."""
        return read_fresh({"frame_id": self.image.frame_id, "detector_state": self.state.detector_state})

    def read_frame(self, others: Mapping[str, EpicsSignalRO] | None = None) -> tuple[dict[str, Any], NDArray[Any]]:
        """Read the counters and the last frame, as it came, and other signals in the same round trip.

        Parameters
        ----------
        others : mapping of str to EpicsSignalRO, optional

        Returns
        -------
        readings : dict
            As `counters`, with those of `others`.
        frame : ndarray, shape (n_angle, n_energy), or flat when the size does not fit that
        """
        found = read_fresh(
            {
                "detector_state": self.state.detector_state,
                "frame_id": self.image.frame_id,
                "n_energy": self.image.n_energy,
                "n_angle": self.image.n_angle,
                "array": self.image.array,
                **(others or {}),
            }
        )
        flat = np.asarray(found.pop("array")["value"])
        shape = (int(found["n_angle"]["value"]), int(found["n_energy"]["value"]))
        return found, flat.reshape(shape) if flat.size == shape[0] * shape[1] else flat

    def describe_region(self) -> dict[str, Any]:
        """Return the region as it is set, with the energies the driver gives it, for the start document."""
        if self.region is None:
            raise RuntimeError(f"{self.name} has no region; set one first")
        energies = read_fresh(
            {name: getattr(self.state, name) for name in ("low_energy", "high_energy", "excitation_energy")}
        )
        return {**self.region.model_dump(), **{name: float(r["value"]) for name, r in energies.items()}}


def _choice(name: str, asked: Any, choices: tuple[str, ...]) -> str:
    """Find the enum string that says what was asked; numbers are compared as numbers ('10' is 10.0)."""
    for choice in choices:
        if choice == asked:
            return choice
        try:
            if float(choice) == float(asked):
                return choice
        except ValueError:
            continue
    raise ValueError(f"{name} = {asked} is not offered by the connected analyser; it has {', '.join(choices)}")


def analyser_class(pvs: AnalyserPVs = SES) -> type[Analyser]:
    """Return the `Analyser` class for a vendor's PV map."""
    settings, state, image = _components(pvs)
    return type(
        "Analyser",
        (Analyser,),
        {
            "settings": DynamicDeviceComponent(settings),
            "state": DynamicDeviceComponent(state),
            "image": DynamicDeviceComponent(image),
        },
    )
