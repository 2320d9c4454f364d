"""State, counters and arrays of the simulated analyser, and the order in which they are posted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.analyser_settings import MOST_CHANNELS
from microarpes.sim.area_detector import driver_records, plugin_records
from microarpes.sim.faults import Faults
from microarpes.sim.signals import (
    Integer,
    OnPut,
    Signals,
    SkipWrite,
    choice,
    count,
    doubles,
    drop_monitor,
    integers,
    number,
    text,
)
from microarpes.sim.vendors import Vendor

#: DetectorState_RBV of areaDetector.
DETECTOR_STATES = (
    "Idle", "Acquire", "Readout", "Correct", "Saving", "Aborting", "Error", "Waiting", "Initializing",
    "Disconnected", "Aborted",
)  # fmt: skip
#: Seconds from 1970 to the EPICS epoch, 1990.
EPICS_EPOCH = 631152000


class AnalyserPVs:
    """What the driver and its array plugin report.

    Parameters
    ----------
    prefix : str
        For example ``SIM:ARPES:``.
    vendor : Vendor
    faults : Faults
    dtype : {"int32", "float64"}
        Of the frames.
    n_energy, n_angle : int
        Frame size at boot.
    """

    def __init__(self, prefix: str, vendor: Vendor, faults: Faults, dtype: str, n_energy: int, n_angle: int) -> None:
        cam, image = f"{prefix}cam1:", f"{prefix}image1:"
        self._faults, self._dtype = faults, dtype
        self.acquire = choice(("Done", "Acquire"), "Done", writable=True)
        self.acquire_rbv = choice(("Done", "Acquire"), "Done")
        self.busy = choice(("Done", "Acquiring"), "Done")
        self.state = choice(DETECTOR_STATES, "Idle")
        self.message = text("")
        self.exposures, self.images, self.last_exposures = count(0), count(0), count(0)
        self.array_counter = count(0)
        self._array_counter_demand = count(0, on_put=self._put_array_counter)
        self._unique_id, self._image_id, self._image_counter = count(0), count(0), count(0)
        self._time, self._seconds, self._nanoseconds = number(0.0, "s"), count(0), count(0)
        self._image_time = number(0.0, "s")
        self._edge = number(0.0, "s")
        self._spectra = [doubles(np.zeros(n_energy), room=max(4000, n_energy)) for _ in range(2)]
        frame = np.zeros(n_energy * n_angle)
        room = max(frame.size, MOST_CHANNELS)
        make: Any = integers if dtype == "int32" else doubles
        self._frames = [make(frame, room=room) for _ in range(3)]
        for large in self._frames:
            large.max_subscription_backlog = 4
        self._sizes = [count(v) for v in (n_energy, n_angle, 0)]
        self._dtypes = ("Int32", "Float64")
        self._own_dtype = self._dtypes[dtype != "int32"]
        self._data_type = choice(self._dtypes, self._own_dtype)
        self._dimensions = integers(np.array([n_energy, n_angle]), room=10)
        self.rate, self._array_rate, self._last_stamp = number(0.0, "1/s"), number(0.0, "1/s"), 0.0
        self.connected = choice(("Disconnected", "Connected"), "Connected")
        named = ((vendor.suffix(name), signal) for name, signal in self._cam(vendor).items())
        cam_signals = {cam + name: signal for name, signal in named if name is not None}
        self.signals: Signals = {f"{prefix}ACQUIRE_EDGE": self._edge} | cam_signals | self._image(image)

    def _cam(self, vendor: Vendor) -> Signals:
        connection = {"CONNECTED_RBV": self.connected} if vendor.needs_definition else {}
        return (
            driver_records()
            | connection
            | {
                "ArrayRate_RBV": self._array_rate,
                "Acquire": self.acquire,
                "Acquire_RBV": self.acquire_rbv,
                "AcquireBusy": self.busy,
                "DetectorState_RBV": self.state,
                "StatusMessage_RBV": self.message,
                "NumExposuresCounter_RBV": self.exposures,
                "NumImagesCounter_RBV": self.images,
                "NEXPOSURES_LAST_RBV": self.last_exposures,
                "ArrayCounter": self._array_counter_demand,
                "ArrayCounter_RBV": self.array_counter,
                "UniqueId_RBV": self._unique_id,
                "TimeStamp_RBV": self._time,
                "EpicsTSSec_RBV": self._seconds,
                "EpicsTSNsec_RBV": self._nanoseconds,
                "INT_SPECTRUM": self._spectra[0],
                "INT_SPECTRUM_LAST": self._spectra[1],
                "IMAGE": self._frames[0],
                "IMAGE_LAST": self._frames[1],
                "COUNT_RATE_RBV": self.rate,
                "PortName_RBV": text("SIM", long=False),
                "Manufacturer_RBV": text(vendor.manufacturer, long=False),
                "Model_RBV": text(vendor.model, long=False),
                "SerialNumber_RBV": text("0", long=False),
                "FirmwareVersion_RBV": text("none", long=False),
                "SDKVersion_RBV": text("none", long=False),
                "DriverVersion_RBV": text("0.1", long=False),
                "ADCoreVersion_RBV": text("none", long=False),
            }
        )

    def _image(self, p: str) -> Signals:
        sizes = {f"{p}ArraySize{i}_RBV": size for i, size in enumerate(self._sizes)}
        enabled = ("Disable", "Enable")
        fixed = {
            "EnableCallbacks": choice(enabled, "Enable", on_put=_only("Enable")),
            "BlockingCallbacks": choice(("No", "Yes"), "Yes", on_put=_only("Yes")),
            "MinCallbackTime": number(0.0, "s"),
            "NDArrayAddress": count(0),
            "NDArrayPort": text("SIM", long=False),
            "DroppedArrays": count(0),
            "QueueSize": count(1),
        }
        both = {f"{p}{name}{end}": signal for name, signal in fixed.items() for end in ("", "_RBV")}
        rest = {p + name: signal for name, signal in plugin_records().items()}
        shape = {f"{p}Dim{i}SA": count(0) for i in range(3)} | {f"{p}Dimensions_RBV": self._dimensions}
        return (
            rest
            | shape
            | sizes
            | both
            | {
                f"{p}ArrayData": self._frames[2],
                f"{p}UniqueId_RBV": self._image_id,
                f"{p}TimeStamp_RBV": self._image_time,
                f"{p}ArrayCounter": count(0, on_put=self._put_image_counter),
                f"{p}ArrayCounter_RBV": self._image_counter,
                f"{p}ArrayRate_RBV": self._array_rate,
                f"{p}NDimensions_RBV": count(2),
                f"{p}DataType_RBV": self._data_type,
                f"{p}QueueFree": count(1),
                f"{p}PluginType_RBV": text("NDPluginStdArrays", long=False),
            }
        )

    async def _put_array_counter(self, value: int) -> int:
        await self.array_counter.post(value)
        return value

    async def _put_image_counter(self, value: int) -> int:
        await self._image_counter.post(value)
        return value

    async def begin(self, edge: float) -> None:
        """Post the start of an acquisition at a time (seconds since 1970)."""
        await self._edge.post(edge, timestamp=edge)
        await self.images.post(0)
        await self.exposures.post(0)
        await self.message.post("")
        await self.state.post("Acquire", timestamp=edge)
        await self.busy.post("Acquiring", timestamp=edge)
        await self.acquire.post("Acquire", timestamp=edge)
        await self.acquire_rbv.post("Acquire", timestamp=edge)

    async def post_last_data(self, counts: NDArray[Any], stamp: float) -> None:
        """Post spectrum and image: the first thing at the end of an exposure, and what there is of them before."""
        await self._spectra[0].post(counts.sum(axis=0, dtype=np.float64), timestamp=stamp)
        await self._frames[0].post(self._stored(counts), timestamp=stamp)

    def _stored(self, counts: NDArray[Any]) -> NDArray[Any]:
        """Return a frame as the arrays hold it: flat, and of the type they were made with.

        A waveform keeps its type whatever the detector sends. In an integer one a C driver's cast leaves INT_MIN where
        the detector had no number.
        """
        if self._dtype == "int32" and counts.dtype.kind == "f":
            counts = np.where(np.isnan(counts), np.iinfo(np.int32).min, counts).astype(np.int32)
        return counts.ravel()

    async def post_counters(self, frame_id: int, counts: NDArray[Any], stamp: float, exposures: int) -> None:
        """Post the driver's counters, then the copies of what they count."""
        await self.array_counter.post(frame_id, timestamp=stamp)
        await self.images.post(int(self.images.value) + 1, timestamp=stamp)
        await self._frames[1].post(self._stored(counts), timestamp=stamp)
        await self._spectra[1].post(self._spectra[0].value, timestamp=stamp)
        await self.last_exposures.post(exposures)
        await self._array_rate.post(1.0 / max(stamp - self._last_stamp, 1e-3))
        self._last_stamp = stamp
        await self._unique_id.post(frame_id, timestamp=stamp)
        await self._time.post(stamp, timestamp=stamp)
        await self._seconds.post(int(stamp) - EPICS_EPOCH, timestamp=stamp)
        await self._nanoseconds.post(int(stamp % 1.0 * 1e9), timestamp=stamp)

    async def post_array(self, frame_id: int, counts: NDArray[Any], stamp: float) -> None:
        """Post the array plugin: size, data, then the UniqueId that says they belong together."""
        n_angle, n_energy = counts.shape
        await _post_changed(self._sizes[0], n_energy)
        await _post_changed(self._sizes[1], n_angle)
        await self._dimensions.post([n_energy, n_angle])
        found = "Float64" if counts.dtype.kind == "f" else self._own_dtype
        if self._data_type.value != found:
            await self._data_type.post(found)
        await self._frames[2].post(self._stored(counts), timestamp=stamp)
        await self._image_time.post(stamp, timestamp=stamp)
        await self._image_counter.post(int(self._image_counter.value) + 1, timestamp=stamp)
        await self._image_id.post(frame_id, timestamp=stamp)

    async def finish(self, state: str, message: str) -> None:
        """Post the end of an acquisition."""
        await self.message.post(message)
        if await self._faults.strike("DROPPED_MONITOR", "analyser"):
            drop_monitor(self.acquire_rbv, "Done")
        else:
            await self.acquire_rbv.post("Done")
        await self.acquire.post("Done")
        await self.state.post(state)
        await self.busy.post("Done")


async def _post_changed(signal: Integer, value: int) -> None:
    if signal.value != value:
        await signal.post(value)


def _only(value: str) -> OnPut:
    """Return an `on_put` for a setting that has one value here."""

    async def on_put(asked: str) -> str:
        if asked != value:
            raise SkipWrite
        return asked

    return on_put
