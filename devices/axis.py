"""One axis of the manipulator: an EPICS motor record whose moves are done only when they arrived.

Why not ophyd's EpicsMotor: it has no deadline of its own, takes an external stop or a reconnect for success, and
its status can be lost between two fast moves (bluesky/ophyd issues 734, 782). Here a move ends by put-completion
and is then judged by explicit reads against the *requested* position.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from microarpes.devices.channel_access import INVALID, finish, is_number, read_fresh

#: Bit of MSTA by which a motor record says that its controller has a problem.
PROBLEM_BIT = 1 << 9
#: Seconds allowed to a move beyond twice its kinematic time.
MOVE_MARGIN = 2.0


class MoveFailed(RuntimeError):
    """A move did not arrive; the message says what was asked and what was found."""


def travel_time(distance: float, velocity: float, acceleration_time: float, settle_time: float = 0.0) -> float:
    """Return the least time a trapezoidal move takes, s.

    Parameters
    ----------
    distance : float
        In the axis' unit; the sign does not matter.
    velocity : float
        Units per second at full speed (VELO).
    acceleration_time : float
        Seconds from rest to full speed (ACCL); a short move never reaches it.
    settle_time : float
        Seconds waited after arrival (DLY).

    Examples
    --------
    >>> round(travel_time(10.0, velocity=2000.0, acceleration_time=0.01), 6)
    0.014142
    """
    distance = abs(distance)
    if distance == 0 or velocity <= 0:
        return settle_time
    ramp = velocity * acceleration_time
    if distance <= ramp:
        return 2 * math.sqrt(distance * acceleration_time / velocity) + settle_time
    return distance / velocity + acceleration_time + settle_time


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
    velocity = Cpt(EpicsSignal, ".VELO", auto_monitor=True)
    acceleration_time = Cpt(EpicsSignal, ".ACCL", auto_monitor=True)
    settle_time = Cpt(EpicsSignal, ".DLY", auto_monitor=True)
    low_limit = Cpt(EpicsSignalRO, ".LLM", auto_monitor=True)
    high_limit = Cpt(EpicsSignalRO, ".HLM", auto_monitor=True)
    egu = Cpt(EpicsSignalRO, ".EGU", string=True, auto_monitor=True)
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
        self._moving: Status | None = None
        self.setpoint.subscribe(self._on_connection, event_type=self.setpoint.SUB_META, run=False)
        for limit in (self.low_limit, self.high_limit):
            limit.subscribe(self._on_limits, run=False)

    @property
    def limits(self) -> tuple[float, float]:
        """Soft limits as the record has them now, in the axis' unit."""
        return float(self.low_limit.get()), float(self.high_limit.get())

    @property
    def position(self) -> float:
        """Readback by explicit get, in the axis' unit."""
        return float(self.readback.get(use_monitor=False))

    def check_units(self) -> None:
        """Raise ValueError unless the record's EGU is the unit the configuration speaks."""
        found = str(self.egu.get()).strip().replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
        if found != self.units:
            raise ValueError(f"{self.prefix}.EGU is {found!r}, the config says {self.units!r}; correct one of them")

    def check_value(self, value: object) -> None:
        """Raise before any motion if a position cannot be asked for.

        Raises
        ------
        ValueError
            Not a finite number, or outside the soft limits.
        """
        if not is_number(value):
            raise ValueError(f"{self.name} = {value!r} is not a finite number of {self.units}; nothing was moved")
        low, high = self.limits
        if low < high and not low <= float(value) <= high:  # type: ignore[arg-type]
            raise ValueError(
                f"{self.name} = {value} {self.units} is outside the soft limits "
                f"[{low:g}, {high:g}] {self.units} of {self.prefix}; nothing was moved"
            )

    def kinematic_time(self, distance: float) -> float:
        """Return the least time a move over `distance` takes, s, settling included."""
        return travel_time(
            distance,
            float(self.velocity.get()),
            float(self.acceleration_time.get()),
            float(self.settle_time.get()),
        )

    def set(self, value: float) -> Status:
        """Move to `value`; the status fails unless the readback ends within `tolerance` of it.

        It fails at once when the connection is lost or when the soft limits change so that the request lies outside
        them, and after twice the kinematic time of the way plus `MOVE_MARGIN`; the axis is then told to stop.
        """
        self.check_value(value)
        request = float(value)
        self.distance = request - self.position
        status = Status(self, timeout=2 * self.kinematic_time(self.distance) + MOVE_MARGIN)
        self.requested = request
        self._moving = status
        status.add_callback(self._stop_if_failed)

        def arrived(**_: Any) -> None:
            try:
                self._judge(request)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, the move did not arrive
                finish(status, error)
            else:
                finish(status)

        self.setpoint.put(request, use_complete=True, callback=arrived)
        return status

    def _stop_if_failed(self, status: Status) -> None:
        if not status.success:
            with contextlib.suppress(Exception):  # the first cause is in the status; a lost IOC cannot be stopped
                self.stop()

    def _on_connection(self, connected: bool = True, **_: Any) -> None:
        if not connected and self._moving is not None:
            finish(self._moving, MoveFailed(f"{self.name}: the connection to {self.prefix} was lost during a move"))

    def _on_limits(self, **_: Any) -> None:
        status, request = self._moving, self.requested
        if status is None or status.done or request is None:
            return
        low, high = self.limits
        if low < high and not low <= request <= high:
            finish(
                status,
                MoveFailed(
                    f"{self.name}: the soft limits of {self.prefix} were changed to [{low:g}, {high:g}] {self.units} "
                    f"during a move to {request:g} {self.units}"
                ),
            )

    def _judge(self, request: float) -> None:
        found = read_fresh({"readback": self.readback, "done": self.done})
        position = float(found["readback"]["value"])
        asked = f"{self.name}: asked for {request:g} {self.units}"
        if int(found["done"]["value"]) != 1:
            raise MoveFailed(f"{asked}, still moving at {position:g}")
        if found["readback"]["alarm_severity"] >= INVALID:
            raise MoveFailed(f"{asked}, the readback is INVALID")
        if not abs(position - request) <= self.tolerance:
            raise MoveFailed(
                f"{asked}, found {position:g}, more than {self.tolerance:g} {self.units} away"
                f"{self._why()}; stopped, stalled or lost?"
            )

    def _why(self) -> str:
        """Say what the record itself knows of a move that did not arrive."""
        found = read_fresh(
            {name: getattr(self, name) for name in ("missed", "high_switch", "low_switch", "status_bits")}
        )
        told = {
            "missed": "retries are exhausted",
            "high_switch": "the high limit switch is hit",
            "low_switch": "the low limit switch is hit",
        }
        reasons = [text for name, text in told.items() if int(found[name]["value"])]
        if int(found["status_bits"]["value"]) & PROBLEM_BIT:
            reasons.append("the controller reports a problem")
        return f" ({', '.join(reasons)})" if reasons else ""

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
