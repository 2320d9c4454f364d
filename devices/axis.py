"""One axis of the manipulator: an EPICS motor record whose moves are done only when they arrived.

Why not ophyd's EpicsMotor: it has no deadline of its own, takes an external stop or a reconnect for success, and
its status can be lost between two fast moves (bluesky/ophyd issues 734, 782). Here a move ends by put-completion
and is then judged by explicit reads against the *requested* position.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import fields
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO

from microarpes.devices.channel_access import INVALID, WRITE_TIMEOUT, finish, read_fresh
from microarpes.devices.deadlines import deadlines
from microarpes.devices.motor_settings import MODES, MotorSettings, WatchedSettings
from microarpes.devices.outcome import Outcome
from microarpes.devices.region import is_number

#: Bit of MSTA by which a motor record says that its controller has a problem.
PROBLEM_BIT = 1 << 9
#: Seconds allowed to a move beyond twice its kinematic time.
MOVE_MARGIN = 2.0


class MoveFailed(RuntimeError):
    """A move did not arrive; the message says what was asked and what was found."""


class Axis(Device):
    """A motor record.

    Parameters
    ----------
    prefix : str
        Record name.
    tolerance : float
        Largest accepted distance between the readback and the *request*, in the axis' unit.
    units : str
        Engineering unit the configuration speaks; compared with ``.EGU`` by `check_units`.
    """

    setpoint = Cpt(EpicsSignal, ".VAL", put_complete=True, auto_monitor=False)
    readback = Cpt(EpicsSignalRO, ".RBV", auto_monitor=False)
    done = Cpt(EpicsSignalRO, ".DMOV", auto_monitor=False)
    stop_request = Cpt(EpicsSignal, ".STOP", auto_monitor=False)
    low_limit = Cpt(EpicsSignalRO, ".LLM", auto_monitor=True)
    high_limit = Cpt(EpicsSignalRO, ".HLM", auto_monitor=True)
    velocity = Cpt(EpicsSignal, ".VELO", auto_monitor=True)
    acceleration_time = Cpt(EpicsSignal, ".ACCL", auto_monitor=True)
    settle_time = Cpt(EpicsSignal, ".DLY", auto_monitor=True)
    backlash = Cpt(EpicsSignal, ".BDST", auto_monitor=True)
    backlash_velocity = Cpt(EpicsSignal, ".BVEL", auto_monitor=True)
    backlash_acceleration_time = Cpt(EpicsSignal, ".BACC", auto_monitor=True)
    direction = Cpt(EpicsSignalRO, ".DIR", auto_monitor=True)
    offset = Cpt(EpicsSignalRO, ".OFF", auto_monitor=True)
    mode = Cpt(EpicsSignal, ".SPMG", auto_monitor=True)
    egu = Cpt(EpicsSignalRO, ".EGU", string=True, auto_monitor=True)
    limit_violation = Cpt(EpicsSignalRO, ".LVIO", auto_monitor=False)
    missed = Cpt(EpicsSignalRO, ".MISS", auto_monitor=False)
    high_switch = Cpt(EpicsSignalRO, ".HLS", auto_monitor=False)
    low_switch = Cpt(EpicsSignalRO, ".LLS", auto_monitor=False)
    status_bits = Cpt(EpicsSignalRO, ".MSTA", auto_monitor=False)

    def __init__(self, prefix: str, *, tolerance: float, units: str, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self.tolerance = tolerance
        self.units = units
        #: The last request, None before the first, and the way to it, in the axis' unit.
        self.requested: float | None = None
        self.distance = 0.0
        #: Where the last move was found to have ended, by explicit get; None where that is not known.
        self._found: float | None = None
        #: Seconds the last move may take before it counts as stalled.
        self.allowed = 0.0
        self._moving: Outcome | None = None
        self._others: dict[str, EpicsSignalRO] = {}
        self._settings = WatchedSettings({field.name: getattr(self, field.name) for field in fields(MotorSettings)})
        self.setpoint.subscribe(self._on_connection, event_type=self.setpoint.SUB_META, run=False)
        for limit in (self.low_limit, self.high_limit):
            limit.subscribe(self._on_limits, run=False)

    @property
    def settings(self) -> MotorSettings:
        """Limits, speeds, backlash, mode and unit as the record has them now; read anew after a lost connection."""
        return self._settings.now()

    @property
    def limits(self) -> tuple[float, float]:
        """Soft limits as the record has them now, in the axis' unit."""
        settings = self.settings
        return settings.low_limit, settings.high_limit

    @property
    def position(self) -> float:
        """Readback by explicit get, in the axis' unit."""
        return float(read_fresh({"readback": self.readback})["readback"]["value"])

    def check_units(self) -> None:
        """Raise ValueError unless the record's EGU is the unit the configuration speaks."""
        found = self.settings.units
        if found != self.units:
            raise ValueError(f"{self.prefix}.EGU is {found!r}, the config says {self.units!r}; correct one of them")

    def check_value(self, value: object) -> None:
        """Raise before any motion if a position cannot be asked for.

        Raises
        ------
        ValueError
            Not a finite number; outside the soft limits, or the backlash approach to it is; the record speaks another
            unit than the configuration, or somebody has paused it.
        ConnectionError
            The record is away.
        """
        if not is_number(value):
            raise ValueError(f"{self.name} = {value!r} is not a finite number of {self.units}; nothing was moved")
        if not self.setpoint.connected:
            raise ConnectionError(
                f"{self.name} = {value} {self.units}: {self.prefix} is not connected, is its IOC running? "
                f"nothing was moved"
            )
        request = float(value)  # type: ignore[arg-type]
        settings = self.settings
        self.check_units()
        if not settings.allows(request):
            raise ValueError(f"{self.name} = {value} {self.units} is {self._outside(settings)}; nothing was moved")
        turn = request + settings.overshoot
        if not settings.allows(turn):
            raise ValueError(
                f"{self.name} = {value} {self.units} is approached from {turn:g} {self.units} (BDST), which is "
                f"{self._outside(settings)}; nothing was moved"
            )
        if MODES[settings.mode] != "Go":
            raise ValueError(
                f"{self.name} = {value} {self.units}: somebody paused the axis, {self.prefix}.SPMG is "
                f"{MODES[settings.mode]}; set it to Go; nothing was moved"
            )

    def _outside(self, settings: MotorSettings) -> str:
        return (
            f"outside the soft limits [{settings.low_limit:g}, {settings.high_limit:g}] {self.units} of {self.prefix}"
        )

    def signal_of(self, field: str) -> EpicsSignalRO:
        """Return a monitored signal of a field of the record, such as ``.RBV``: the same each time.

        It lives as long as the axis. libca has one channel for all who ask for a name: one that is let go in between
        may take that of another signal with it, which then reads whatever is connected next.
        """
        if field not in self._others:
            self._others[field] = EpicsSignalRO(
                f"{self.prefix}{field}", name=f"{self.name}{field}".replace(".", "_"), auto_monitor=True
            )
        return self._others[field]

    def destroy(self) -> None:
        """Let go of all channels."""
        for signal in self._others.values():
            signal.destroy()
        super().destroy()

    def set_velocity(self, velocity: float) -> None:
        """Have the next moves made at a velocity, units/s, and wait until the record has it.

        Raises
        ------
        ValueError
            It keeps another one: its VBAS or VMAX forbid this one.
        ConnectionError, TimeoutError
            It is away.
        """
        self.velocity.put(velocity, use_complete=True, wait=True, timeout=WRITE_TIMEOUT)
        self._settings.forget()  # the next deadline must not be that of the old velocity
        found = float(read_fresh({"velocity": self.velocity})["velocity"]["value"])
        if not math.isclose(found, velocity, rel_tol=1e-3):
            raise ValueError(
                f"{self.name}: {self.prefix}.VELO is {found:g}, {velocity:g} {self.units}/s was asked for; "
                "its VBAS and VMAX say what it can be"
            )

    def kinematic_time(self, distance: float) -> float:
        """Return the least time a move over `distance` takes, s, backlash and settling included."""
        return self.settings.kinematic_time(distance)

    def set(self, value: float) -> Outcome:
        """Move to `value`; the status fails unless the readback ends within `tolerance` of it.

        It fails at once when the connection is lost or when the soft limits change so that the request lies outside
        them, and after twice the kinematic time of the way plus `MOVE_MARGIN`; the axis is then told to stop.
        """
        self.check_value(value)
        request = float(value)
        # Not asked again where its last move ended. Somebody who moved it since makes a deadline wrong, no more.
        found, self._found = self._found, None
        self.distance = request - (self.position if found is None else found)
        status = Outcome()
        self.allowed = 2 * self.kinematic_time(self.distance) + MOVE_MARGIN
        deadlines.watch(status, self.allowed, lambda: finish(status, self._stalled(request)))
        self.requested = request
        self._moving = status
        status.add_callback(self._stop_if_failed)

        def arrived(**_: Any) -> None:
            try:
                self._judge(request)
            except MoveFailed as error:
                finish(status, error)
            except Exception as error:  # noqa: BLE001 - a put also ends, as if done, when its connection is lost
                finish(status, self._lost(f": {error}"))
            else:
                finish(status)

        self.setpoint.put(request, use_complete=True, callback=arrived)
        return status

    def _stop_if_failed(self, status: Outcome) -> None:
        if not status.success:
            with contextlib.suppress(Exception):  # the first cause is in the status; a lost IOC cannot be stopped
                self.stop()

    def _on_connection(self, connected: bool = True, **_: Any) -> None:
        if connected:
            return
        self._settings.forget()
        self._found = None
        if self._moving is not None:
            finish(self._moving, self._lost())

    def _lost(self, detail: str = "") -> MoveFailed:
        return MoveFailed(f"{self.name}: the connection to {self.prefix} was lost during a move{detail}")

    def _on_limits(self, **_: Any) -> None:
        status, request = self._moving, self.requested
        if status is None or status.done or request is None:
            return
        settings = self.settings
        if not settings.allows(request):
            finish(
                status,
                MoveFailed(
                    f"{self.name}: the soft limits were changed during a move, {request:g} {self.units} is now "
                    f"{self._outside(settings)}"
                ),
            )

    def _judge(self, request: float) -> None:
        found = read_fresh({"readback": self.readback, "done": self.done, "violation": self.limit_violation})
        position = float(found["readback"]["value"])
        asked = f"{self.name}: asked for {request:g} {self.units}"
        if int(found["done"]["value"]) != 1:
            raise MoveFailed(f"{asked}, still moving at {position:g}")
        if found["readback"]["alarm_severity"] >= INVALID:
            raise MoveFailed(f"{asked}, the readback is INVALID")
        if not abs(position - request) <= self.tolerance:
            raise MoveFailed(
                f"{asked}, found {position:g}, more than {self.tolerance:g} {self.units} away: {self._why(request)}"
            )
        if int(found["violation"]["value"]):
            raise MoveFailed(f"{asked}, now {self._outside(self.settings)} (LVIO): they were changed during the move")
        self._found = position

    def _why(self, request: float) -> str:
        """Say what the record itself knows of a move that did not arrive."""
        names = ("setpoint", "mode", "limit_violation", "missed", "high_switch", "low_switch", "status_bits")
        found = {name: reading["value"] for name, reading in read_fresh({n: getattr(self, n) for n in names}).items()}
        told = {
            "limit_violation": "the record refused it, its limits exclude it (LVIO)",
            "missed": "retries are exhausted (MISS)",
            "high_switch": "the high limit switch is hit",
            "low_switch": "the low limit switch is hit",
        }
        reasons = [text for name, text in told.items() if int(found[name])]
        if int(found["status_bits"]) & PROBLEM_BIT:
            reasons.append("the controller reports a problem (MSTA)")
        if MODES[int(found["mode"])] != "Go":
            reasons.append(f"somebody paused the axis (SPMG is {MODES[int(found['mode'])]})")
        elif not reasons and float(found["setpoint"]) != request:
            reasons.append(f"somebody stopped it or sent it elsewhere (VAL is {float(found['setpoint']):g})")
        return ", ".join(reasons) or "the record knows no reason; steps lost, or a wrong readback?"

    def _stalled(self, request: float) -> MoveFailed:
        """Return what is to be said of a move that was not done at its deadline."""
        try:
            found = read_fresh({"readback": self.readback, "done": self.done})
            where = f"at {float(found['readback']['value']):g}, DMOV = {int(found['done']['value'])}"
            if found["readback"]["alarm_severity"] >= INVALID:
                where += ", the readback is INVALID"
        except Exception as error:  # noqa: BLE001 - that it does not answer is what there is to say
            where = f"the record does not answer ({error})"
        return MoveFailed(f"{self.name}: asked for {request:g} {self.units}, stalled: not done in time, {where}")

    def stop(self, *, success: bool = False) -> None:
        """Stop the motor; a move under way then fails, being short of its request."""
        self.stop_request.put(1, wait=False)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return readback and last request, the readback by explicit get."""
        reading = read_fresh({self.name: self.readback})
        request = self.requested if self.requested is not None else reading[self.name]["value"]
        reading[f"{self.name}_setpoint"] = {"value": request, "timestamp": reading[self.name]["timestamp"]}
        return reading

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data keys of `read`, in the axis' unit."""
        key = {"dtype": "number", "shape": [], "units": self.units, "source": f"PV:{self.prefix}.RBV"}
        return {self.name: key, f"{self.name}_setpoint": {**key, "source": f"PV:{self.prefix}.VAL"}}

    @property
    def hints(self) -> dict[str, Any]:
        """Field to plot against."""
        return {"fields": [self.name]}
