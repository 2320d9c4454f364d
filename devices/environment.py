"""What surrounds the sample: shutter, temperature, vacuum, source. Every read is an explicit get."""

from __future__ import annotations

import threading
import time
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO
from ophyd import FormattedComponent as FCpt
from ophyd.status import Status

from microarpes.devices.channel_access import finish, read_fresh

#: State of a shutter that lets the beam through.
OPEN = "Open"


class Shutter(Device):
    """A photon shutter with two command buttons and a position (NSLS-II convention)."""

    open_command = Cpt(EpicsSignal, "Cmd:Opn-Cmd", auto_monitor=False)
    close_command = Cpt(EpicsSignal, "Cmd:Cls-Cmd", auto_monitor=False)
    state = Cpt(EpicsSignalRO, "Pos-Sts", string=True, auto_monitor=True)

    #: Seconds a shutter may take.
    MOVE_TIMEOUT = 5.0

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        #: IOC time at which the shutter was last heard to be anything but open, s.
        self.last_not_open = float("-inf")
        self.state.subscribe(self._on_state, run=False)

    def _on_state(self, value: Any = None, timestamp: float = 0.0, **_: Any) -> None:
        if value not in (OPEN, 0):
            self.last_not_open = float(timestamp)

    def set(self, value: str) -> Status:
        """Open or close (``"open"``, ``"close"``); the status fails if the state does not follow in time."""
        if value not in ("open", "close"):
            raise ValueError(f"{self.name}: {value!r} is not a shutter state; ask for 'open' or 'close'")
        status = Status(self, timeout=self.MOVE_TIMEOUT + 1.0)
        threading.Thread(target=self._move, args=(value, status), daemon=True).start()
        return status

    def _move(self, value: str, status: Status) -> None:
        wanted = OPEN if value == "open" else "Not Open"
        try:
            (self.open_command if value == "open" else self.close_command).put(1, wait=False)
            deadline = time.monotonic() + self.MOVE_TIMEOUT
            found = self.state.get(use_monitor=False)
            while found != wanted:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{self.name}: asked to {value}, still {found!r} after {self.MOVE_TIMEOUT:g} s; interlock?"
                    )
                time.sleep(0.005)
                found = self.state.get(use_monitor=False)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits on the status
            finish(status, error)
        else:
            finish(status)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the state by explicit get."""
        return read_fresh({self.name: self.state})

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data key of `read`."""
        return {self.name: {"dtype": "string", "shape": [], "source": f"PV:{self.state.pvname}"}}


class Cryostat(Device):
    """A Lake Shore 336 (synApps): sample temperature and setpoint, K."""

    temperature = FCpt(EpicsSignalRO, "{prefix}{sensor}", auto_monitor=False)
    setpoint = Cpt(EpicsSignal, "OUT1:SP_RBV", write_pv="OUT1:SP", auto_monitor=False)

    def __init__(self, prefix: str, *, sensor: str = "IN1", **kwargs: Any) -> None:
        self.sensor = sensor
        super().__init__(prefix, **kwargs)


class VacuumGauge(Device):
    """A pressure gauge, mbar."""

    pressure = FCpt(EpicsSignalRO, "{prefix}", auto_monitor=False)


class Source(Device):
    """The photon source: energy (eV), polarisation, entrance and exit slit (um)."""

    photon_energy = FCpt(EpicsSignalRO, "{photon_energy_pv}", auto_monitor=False)
    polarisation = FCpt(EpicsSignalRO, "{polarisation_pv}", string=True, auto_monitor=False)
    entrance_slit = FCpt(EpicsSignalRO, "{slit_prefix}ENTRANCE", auto_monitor=False)
    exit_slit = FCpt(EpicsSignalRO, "{slit_prefix}EXIT", auto_monitor=False)

    def __init__(
        self, prefix: str = "", *, photon_energy_pv: str, polarisation_pv: str, slit_prefix: str, **kwargs: Any
    ) -> None:
        self.photon_energy_pv = photon_energy_pv
        self.polarisation_pv = polarisation_pv
        self.slit_prefix = slit_prefix
        super().__init__(prefix, **kwargs)

    def settings(self) -> dict[str, Any]:
        """Return the four settings by explicit get, for the start document."""
        found = read_fresh({name: getattr(self, name) for name in self.component_names})
        return {
            name: str(reading["value"]) if name == "polarisation" else float(reading["value"])
            for name, reading in found.items()
        }


class Heartbeat(Device):
    """A counter the IOC advances by itself; an answer with a new time stamp says the IOC is alive."""

    beat = FCpt(EpicsSignalRO, "{prefix}", auto_monitor=False)
