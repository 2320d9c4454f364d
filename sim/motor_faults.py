"""What goes wrong with a move, as `Axis` asks for it."""

from __future__ import annotations

import math
import time
from typing import Protocol

from caproto import AlarmSeverity, AlarmStatus

from microarpes.sim.fault_kinds import MOVE
from microarpes.sim.faults import Faults, Strike
from microarpes.sim.mechanics import Mechanics
from microarpes.sim.motor_coordinates import Coordinates
from microarpes.sim.motor_record import LOST, MINUS_LIMIT, PLUS_LIMIT, PROBLEM, MotorRecord

#: Kinds that strike under way, at the phase that was drawn.
_UNDER_WAY = ("MOTOR_STALL", "MOTOR_STOP", "LIMIT_SWITCH", "LIMIT_CHANGE", "MOTOR_OFFLINE")


class FaultyAxis(Protocol):
    """What a fault does something to."""

    record: MotorRecord
    mechanics: Mechanics
    coordinates: Coordinates

    async def brake(self) -> None:
        """Come to rest."""

    async def post_readback(self, *, at_rest: bool) -> None:
        """Post RBV."""


class MoveFaults:
    """The faults of one axis.

    Parameters
    ----------
    name : str
        Of the axis, for example ``X``.
    faults : Faults
    """

    def __init__(self, name: str, faults: Faults) -> None:
        self._name, self._faults = name, faults
        self._struck: dict[str, Strike] = {}
        self._due: list[tuple[float, str, Strike]] = []
        self._offline_until = -math.inf
        self._stuck = False
        self.status = 0

    def attach(self, axis: FaultyAxis) -> None:
        """Name the axis; before its first move."""
        self._axis = axis

    async def begin(self) -> None:
        """Decide what will go wrong with the move that begins."""
        self._struck = await self._faults.strikes(MOVE, self._name)
        self._due, self._stuck, self.status = [], False, 0
        record = self._axis.record
        if record.alarm.severity != AlarmSeverity.NO_ALARM and not self.offline:
            await record.alarm_state(AlarmStatus.NO_ALARM, AlarmSeverity.NO_ALARM)

    def schedule(self, duration: float) -> None:
        """Set the times of what happens under way, in a first leg of `duration` seconds."""
        begin = time.monotonic()
        under_way = ((n, self._struck[n]) for n in _UNDER_WAY if n in self._struck)
        self._due = sorted(((begin + s.phase * duration, n, s) for n, s in under_way), key=lambda due: due[0])

    @property
    def next_in(self) -> float:
        """Seconds until something happens; infinite when nothing will."""
        return self._due[0][0] - time.monotonic() if self._due else math.inf

    @property
    def held_for(self) -> float:
        """Seconds the axis cannot be done: infinite while it sticks; 0 when nothing holds it."""
        return math.inf if self._stuck else max(0.0, self._offline_until - time.monotonic())

    @property
    def offline(self) -> bool:
        """Whether the controller is lost."""
        return time.monotonic() < self._offline_until

    @property
    def missed_by(self) -> float:
        """By how much the axis misses its target and cannot help it, units of the axis."""
        return self._struck["MOTOR_MISS"].amount if "MOTOR_MISS" in self._struck else 0.0

    @property
    def readback_error(self) -> float:
        """By how much the readback is wrong, units of the axis."""
        return self._struck["WRONG_READBACK"].amount if "WRONG_READBACK" in self._struck else 0.0

    def release(self) -> None:
        """Let go of an axis that sticks: it was told to stop."""
        self._stuck = False

    async def due(self) -> None:
        """Do what is due."""
        while self._due and self.next_in <= 0.0:
            _, name, strike = self._due.pop(0)
            await getattr(self, f"_{name.lower()}")(strike)

    async def _motor_stall(self, _strike: Strike) -> None:
        self._axis.mechanics.land(here=True)
        self._stuck = True

    async def _motor_stop(self, _strike: Strike) -> None:
        await self._axis.brake()

    async def _limit_switch(self, _strike: Strike) -> None:
        record = self._axis.record
        forward = bool(record.get("TDIR"))
        self.status |= (PLUS_LIMIT if forward else MINUS_LIMIT) | PROBLEM
        await record.show("HLS" if forward else "LLS", 1)
        await record.alarm_state(AlarmStatus.HIGH if forward else AlarmStatus.LOW, AlarmSeverity.MAJOR_ALARM)
        await self._axis.brake()

    async def _limit_change(self, strike: Strike) -> None:
        record = self._axis.record
        target, forward = float(record.value), bool(record.get("TDIR"))
        short = target - strike.amount if forward else target + strike.amount
        await self._axis.coordinates.set_user_limit("HLM" if forward else "LLM", short)

    async def _motor_offline(self, strike: Strike) -> None:
        self._offline_until = time.monotonic() + strike.amount
        await self._axis.record.alarm_state(AlarmStatus.COMM, AlarmSeverity.INVALID_ALARM)
        await self._axis.record.show("MSTA", LOST | PROBLEM)

    async def post_done(self) -> None:
        """Post DMOV = 1, or change it and tell nobody."""
        record = self._axis.record
        if record.alarm.severity == AlarmSeverity.INVALID_ALARM:
            await record.alarm_state(AlarmStatus.NO_ALARM, AlarmSeverity.NO_ALARM)
        if await self._faults.strike("DROPPED_MONITOR", self._name):
            record.show_unsaid("DMOV", 1)
        else:
            await record.show("DMOV", 1)
