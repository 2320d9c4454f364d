"""What surrounds the sample: shutter, temperature, vacuum, source. Every read is an explicit get."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO
from ophyd import FormattedComponent as FCpt
from ophyd.status import Status

from microarpes.devices.channel_access import finish, read_fresh
from microarpes.devices.joint_status import followed_by
from microarpes.devices.outcome import Outcome

logger = logging.getLogger(__name__)

#: State of a shutter that lets the beam through.
OPEN = "Open"
#: What the source must keep through a run, with the largest accepted change; of the transmission as a part of it.
SOURCE_SETTINGS = {
    "photon_energy": 0.01,
    "polarisation": 0.0,
    "entrance_slit": 0.5,
    "exit_slit": 0.5,
    "transmission": 0.02,
}


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
        """Return all settings by explicit get, for the start document."""
        found = read_fresh({name: getattr(self, name) for name in self.component_names})
        return {
            name: str(reading["value"]) if name == "polarisation" else float(reading["value"])
            for name, reading in found.items()
        }


def is_kept(name: str, before: Any, now: Any) -> bool:
    """Tell whether a setting of the source is what it was, within what is accepted."""
    if isinstance(before, str):
        return str(now) == before
    slack = SOURCE_SETTINGS.get(name, 0.0) * (before if name == "transmission" else 1.0)
    return abs(float(now) - float(before)) <= slack


class AttenuatedSource(Source):
    """A photon source with a beam attenuator: its transmission, above 0 and up to 1, can be set.

    The statuses of `set` never fail: `error` says why the attenuator is not where it was asked to be.

    Parameters
    ----------
    transmission_pv : str
        What is set.
    transmission_readback_pv : str, optional
        What is read; by default the same.
    """

    transmission = FCpt(
        EpicsSignal, "{transmission_readback_pv}", write_pv="{transmission_pv}", auto_monitor=False, kind="normal"
    )

    #: Seconds an attenuator may take, and by which part of what was asked for it may be off: filters come in steps.
    SET_TIMEOUT = 20.0
    TOLERANCE = 0.1

    def __init__(
        self, prefix: str = "", *, transmission_pv: str, transmission_readback_pv: str | None = None, **kwargs: Any
    ) -> None:
        self.transmission_pv = transmission_pv
        self.transmission_readback_pv = transmission_readback_pv or transmission_pv
        #: Why the attenuator is not where it was asked to be; empty if it is.
        self.error = ""
        self._orders = 0
        super().__init__(prefix, **kwargs)

    def set(self, transmission: float) -> Outcome:
        """Set the transmission; ends when it reads back, when it does not in time, or when another is asked for.

        Raises
        ------
        ValueError
            It is not above 0 and up to 1.
        """
        if not 0.0 < transmission <= 1.0:
            raise ValueError(f"{self.name}: transmission = {transmission!r} must be above 0 and up to 1")
        self._orders += 1
        order = self._orders
        return followed_by(Outcome.reached(), lambda: self._attenuate(transmission, order))

    def _attenuate(self, wanted: float, order: int) -> None:
        deadline, found = time.monotonic() + self.SET_TIMEOUT, float("nan")
        try:
            self.transmission.put(wanted, wait=False)
            while order == self._orders and not self._near(found := self._read(), wanted):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it reads {found:g} after {self.SET_TIMEOUT:g} s")
                time.sleep(0.005)
            error = ""
        except Exception as problem:  # noqa: BLE001 - kept for whoever waits
            error = f"the attenuator did not go to transmission {wanted:g}: {problem}"
        if order == self._orders:
            self.error = error
            if error:
                logger.error(error)

    def _read(self) -> float:
        return float(self.transmission.get(use_monitor=False))

    def _near(self, found: float, wanted: float) -> bool:
        return abs(found - wanted) <= self.TOLERANCE * wanted

    def resting_transmission(self) -> float:
        """Return what to set to have the transmission of now: what was asked for, where it reads back, else that."""
        found, asked = self._read(), float(self.transmission.get_setpoint(use_monitor=False))
        return asked if self._near(found, asked) else found


class Heartbeat(Device):
    """A counter the IOC advances by itself; an answer with a new time stamp says the IOC is alive."""

    beat = FCpt(EpicsSignalRO, "{prefix}", auto_monitor=False)
