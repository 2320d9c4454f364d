"""The hemispherical analyser: a region set as a whole, one exposure a trigger, one frame read by explicit get."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Device, DynamicDeviceComponent, EpicsSignalRO
from ophyd.signal import EpicsSignalBase
from ophyd.status import Status

from microarpes.devices.analyser_components import axis_names, define_names, image_of, settings_of, state_of
from microarpes.devices.analyser_limits import AnalyserLimits, differences, wrong_sweep
from microarpes.devices.analyser_pvs import EV, SES, AnalyserPVs
from microarpes.devices.channel_access import WRITE_TIMEOUT, ask, finish, read_fresh, read_limits
from microarpes.devices.exposure_clock import ExposureClock
from microarpes.devices.exposure_time import ExposureTime
from microarpes.devices.outcome import Outcome
from microarpes.devices.region import Region

#: Seconds allowed to an exposure beyond its length: readout, plugins, a busy IOC.
READOUT_MARGIN = 10.0
#: Seconds in which a driver's readbacks follow what was written.
SETTLING = 1.0
#: Seconds a whole region may take to be set.
REGION_TIMEOUT = 60.0
#: DetectorState_RBV of areaDetector.
STATES = "Idle Acquire Readout Correct Saving Aborting Error Waiting Initializing Disconnected Aborted".split()


class Analyser(Device):
    """An areaDetector-style analyser; `analyser_class` makes one for a vendor's map.

    `set` takes a `Region`, `trigger` exposes once, `read_frame` returns what the exposure gave. Vendors differ only
    in `pvs`.

    Parameters
    ----------
    prefix : str
    energy_ratio : mapping of str to (float, float), optional
        Lens mode to the range of kinetic over pass energy its lens table covers. No driver serves it.
    """

    pvs: AnalyserPVs = SES
    settings: Any
    state: Any
    image: Any

    def __init__(
        self, prefix: str, *, energy_ratio: Mapping[str, tuple[float, float]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(prefix, **kwargs)
        self.region: Region | None = None
        self._energy_ratio = dict(energy_ratio or {})
        self._axes: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._sweep_points = 0
        self._as_set: dict[str, Any] = {}
        self._clock = ExposureClock(self.state.acquiring, self.state.time_left if self.pvs.time_left else None)

    def limits_now(self) -> AnalyserLimits:
        """Read what the connected analyser can do: enum strings, control limits, and why it can do nothing now."""
        choices, ranges, faults = {}, {}, []
        for name in self.settings.component_names:
            signal = getattr(self.settings, name)
            found = read_limits(signal)
            unit = self.pvs.unit(name)
            if found.choices:
                choices[name] = found.choices
            elif found.range is not None:
                ranges[name] = (found.range[0] * unit, found.range[1] * unit)
            if found.unit in EV and name != "pass_energy" and EV[found.unit] != unit:
                faults.append(f"{signal.setpoint_pvname} is in {found.unit}, the analyser's map says otherwise")
        if self.pvs.connected and (answer := self.state.connected.get(use_monitor=False)) != "Connected":
            faults.append(f"{self.state.connected.pvname} is {answer}: the driver does not reach the analyser")
        if address := int(self.image.address.get(use_monitor=False)):
            faults.append(f"{self.image.address.pvname} is {address}, where frames are not final; set it to 0")
        return AnalyserLimits(self.pvs, choices, ranges, self._energy_ratio, tuple(faults))

    def refusals(self, region: Region) -> list[str]:
        """Return why the connected analyser cannot do a region, every reason; nothing is written."""
        return self.limits_now().refusals(region)

    def check_region(self, region: Region) -> None:
        """Refuse a region the connected analyser cannot do; nothing is written.

        Raises
        ------
        ValueError
            Lists every reason, with value, unit and limit.
        """
        self.limits_now().settings(region)

    def set(self, region: Region) -> Status:
        """Check a region, write it, read it back and read the axes it gives.

        The status fails when the analyser cannot do the region, before anything is written; or when it then has
        something else, which the message names.
        """
        status = Status(self, timeout=REGION_TIMEOUT)
        threading.Thread(target=self._apply, args=(region, status), daemon=True).start()
        return status

    def _apply(self, region: Region, status: Status) -> None:
        try:
            asked = self.limits_now().settings(region)
            began = float(read_fresh({"message": self.state.message})["message"]["timestamp"])
            for name, value in asked.items():
                written = value if isinstance(value, str) else value / self.pvs.unit(name)
                getattr(self.settings, name).set(written).wait(WRITE_TIMEOUT)
            for name in define_names(self.pvs):
                getattr(self.state, name).put(1, use_complete=True, wait=True, timeout=WRITE_TIMEOUT)
            self._compare(asked, began)
            self.read_axes()
            if region.swept and (wrong := wrong_sweep(region, self.axes[0])):
                raise ValueError(f"{self.name}: {wrong}")
            self._clock.forget()
            self._as_set = {name: reading["value"] for name, reading in read_fresh(self._signals_of(asked)).items()}
            self.region = region
        except Exception as error:  # noqa: BLE001 - any failure means the region is not set
            finish(status, error)
        else:
            finish(status)

    def _compare(self, asked: Mapping[str, Any], began: float) -> None:
        """Refuse what differs from what was asked once the readbacks had time to follow, and what was complained of."""
        deadline = time.monotonic() + SETTLING
        while (wrong := differences(asked, self.read_settings())) and time.monotonic() < deadline:
            time.sleep(0.02)
        message = read_fresh({"message": self.state.message})["message"]
        said = f" ({message['value']})" if message["timestamp"] > began and message["value"] else ""
        if wrong:
            raise ValueError(f"{self.name}: {'; '.join(wrong)}{said}")
        if said and self.pvs.define:
            raise ValueError(f"{self.name}: the spectrum was not accepted{said}")

    def _signals_of(self, names: Iterable[str]) -> dict[str, EpicsSignalBase]:
        return {name: getattr(self.settings, name) for name in names}

    def read_settings(self) -> dict[str, Any]:
        """Read back all settings by name: enums as the driver's strings, energies in eV."""
        signals = self._signals_of(self.settings.component_names)
        return {name: self._named(name, reading["value"]) for name, reading in read_fresh(signals).items()}

    def _named(self, name: str, value: Any) -> Any:
        """Return the value of a setting as the region has it."""
        # Which settings are enums the connected driver says, not the map: of pass energies some are.
        choices = read_limits(getattr(self.settings, name)).choices if isinstance(value, int) else ()
        unit = self.pvs.unit(name)
        return choices[value] if choices else value if unit == 1 else value * unit

    def read_region(self) -> Region:
        """Read back the region the analyser has, whoever set it.

        Raises
        ------
        ValueError
            It is none of ours, as in an acquisition mode that is neither fixed nor a sweep of energies.
        """
        found = self.read_settings()
        modes = {driver: ours for ours, driver in self.pvs.modes.items()}
        mode = modes.get(found["acquisition_mode"], found["acquisition_mode"])
        follow = ("centre_energy",) if mode == "Swept" else ("low_energy", "high_energy")
        found = {name: value for name, value in found.items() if name not in (*follow, "energy_mode")}
        found |= {name: int(found[name]) for name in ("slices", "iterations")}
        name = self.region.name if self.region is not None else "as it is"
        return Region.model_validate(found | {"name": name, "acquisition_mode": mode})

    def read_axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read and keep the channel centres: energy, eV kinetic, and angle, deg.

        Raises
        ------
        ValueError
            An axis is empty, not finite or not strictly ascending.
        """
        energy = self._centres("energy_axis") * self.pvs.unit("centre_energy")
        angle = self._centres("angle_axis")
        self._sweep_points = int(self.state.sweep_points.get(use_monitor=False))
        for what, axis in (("energy", energy), ("angle", angle)):
            if axis.size == 0 or not np.all(np.isfinite(axis)) or np.any(np.diff(axis) <= 0):
                raise ValueError(f"{self.name}: the {what} axis ({axis.size} channels) is not strictly ascending")
        self._axes = (energy, angle)
        return self._axes

    def _centres(self, axis: str) -> NDArray[np.float64]:
        found = read_fresh({name: getattr(self.state, name) for name in axis_names(self.pvs, axis)})
        return np.asarray(getattr(self.pvs, axis).centres([reading["value"] for reading in found.values()]))

    @property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Energy axis, eV kinetic, and angle axis, deg, of the region that is set."""
        return self._axes if self._axes is not None else self.read_axes()

    @property
    def frame_dtype(self) -> str:
        """Type of a stored frame: int32 for counts, float64 for anything else."""
        return "<f8" if str(self.state.data_type.get()).startswith("Float") else "<i4"

    def trigger(self) -> Outcome:
        """Expose once; the status fails when the driver does not finish within the exposure and `READOUT_MARGIN`.

        Success says only that the driver is done. Whether the frame is good is the gate's to judge.
        """
        self._clock.forget()
        _ = self.exposure_time  # where no region is set this refuses: an exposure without it has no deadline
        status = Outcome()
        self._clock.watch(status, lambda: self.exposure_time.real + READOUT_MARGIN)
        self.state.acquire.put(1, use_complete=True, callback=lambda **_: finish(status))
        return status

    @property
    def exposure_time(self) -> ExposureTime:
        """Times of a frame of the region that is set; of a driver that does not count its lead-in, of the last one."""
        if (region := self.region) is None:
            raise RuntimeError(f"{self.name} has no region; set one first")
        return ExposureTime.of(region, n_energy=self.axes[0].size, points=self._sweep_points, told=self._clock.told)

    def abort(self) -> None:
        """Stop an exposure under way; its frame is discarded."""
        self.state.acquire.put(0, wait=False)

    def stop(self, *, success: bool = False) -> None:
        """Stop whatever the analyser does."""
        self.abort()

    def acquire_edge_time(self, timeout: float = 0.5) -> float:
        """Return the IOC's time of the last start of an exposure, s; NaN when it was not seen in time."""
        return self._clock.edge_time(timeout)

    def counters(self) -> Mapping[str, dict[str, Any]]:
        """Read frame id and state by explicit get: ``frame_id``, ``detector_state``."""
        return self.ask_counters()()

    def ask_counters(self) -> Callable[[], Mapping[str, dict[str, Any]]]:
        """Ask for what `counters` returns, and return what waits for the answer."""
        return ask({"frame_id": self.image.frame_id, "detector_state": self.state.detector_state})

    def read_frame(self, others: Mapping[str, EpicsSignalRO] | None = None) -> tuple[dict[str, Any], NDArray[Any]]:
        """Read the counters and the last frame, as it came, the region and other signals, in one round trip.

        Parameters
        ----------
        others : mapping of str to EpicsSignalRO, optional

        Returns
        -------
        readings : dict
            As `counters`, with those of `others`, and what `changed_settings` looks at.
        frame : ndarray, shape (n_angle, n_energy), or flat when the size does not fit that
        """
        found = read_fresh(
            {
                "detector_state": self.state.detector_state,
                "frame_id": self.image.frame_id,
                "n_energy": self.image.n_energy,
                "n_angle": self.image.n_angle,
                "array": self.image.array,
                **{f"region {name}": signal for name, signal in self._signals_of(self._as_set).items()},
                **(others or {}),
            }
        )
        flat = np.asarray(found.pop("array")["value"])
        shape = (int(found["n_angle"]["value"]), int(found["n_energy"]["value"]))
        return found, flat.reshape(shape) if flat.size == shape[0] * shape[1] else flat

    def changed_settings(self, readings: Mapping[str, dict[str, Any]]) -> list[str]:
        """Return what of the region is no longer as it was set, by the readings of a frame."""
        found = {name: readings[f"region {name}"]["value"] for name in self._as_set}
        wrong = [name for name, value in self._as_set.items() if differences({name: float(value)}, found)]
        asked, has = ({name: self._named(name, of[name]) for name in wrong} for of in (self._as_set, found))
        return [f"somebody changed the region: {difference}" for difference in differences(asked, has)]

    def describe_region(self) -> dict[str, Any]:
        """Return the region as it is set, with the energies the driver gives it, for the start document.

        ``excitation_energy`` is None of a driver that knows none.
        """
        if self.region is None:
            raise RuntimeError(f"{self.name} has no region; set one first")
        names = ("low_energy", "centre_energy", "high_energy", "excitation_energy")
        found = {name: float(value) for name, value in self.read_settings().items() if name in names}
        return {**self.region.model_dump(), **found, "driver": self.pvs.driver}

    @property
    def images_angles(self) -> bool:
        """Whether the angle axis of the region that is set is in deg, as far as the driver says."""
        return not self.pvs.angle_unit or str(self.state.angle_unit.get(use_monitor=False)) == "deg"


def analyser_class(pvs: AnalyserPVs = SES) -> type[Analyser]:
    """Return the `Analyser` class for a vendor's map."""
    return type(
        "Analyser",
        (Analyser,),
        {
            "pvs": pvs,
            "settings": DynamicDeviceComponent(settings_of(pvs)),
            "state": DynamicDeviceComponent(state_of(pvs)),
            "image": DynamicDeviceComponent(image_of(pvs)),
        },
    )
