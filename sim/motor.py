"""Motor records of the manipulator, event driven: nothing runs while nothing moves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from caproto import SkipWrite

from microarpes.sim.mechanics import Mechanics
from microarpes.sim.motion import Move
from microarpes.sim.motor_coordinates import Coordinates
from microarpes.sim.motor_faults import MoveFaults
from microarpes.sim.motor_record import DIRECTION, DONE, MOVING, PRESENT, PROBLEM, AxisSettings, motor_record

#: Seconds between readbacks of a long move.
READBACK_PERIOD = 0.05
#: While the axis moves its readback is this many seconds behind.
FOLLOWING_LAG = 0.002

Readback = Callable[[float, bool], float]
Permit = Callable[[float], Awaitable[bool]]
#: Where a leg of a move ends (motor coordinate), its velocity (units/s) and acceleration time (s).
Leg = tuple[float, float, float]


class Axis:
    """One axis: the stage and the motor record that speaks for it.

    Parameters
    ----------
    pvname : str
    settings : AxisSettings
    mechanics : Mechanics
    faults : MoveFaults
    readback : callable
        True position, and whether it is at rest, to what the encoder says.
    permit : callable, optional
        Asked before a move; False refuses it.
    on_arrival : callable, optional
        Awaited at the end of a move, after RBV and before DMOV.
    """

    def __init__(
        self,
        pvname: str,
        settings: AxisSettings,
        mechanics: Mechanics,
        faults: MoveFaults,
        readback: Readback,
        permit: Permit | None = None,
        on_arrival: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.mechanics, self._faults = mechanics, faults
        self._readback, self._permit, self._on_arrival = readback, permit, on_arrival
        self._legs: list[Leg] = []
        self._moves = 0
        self._stopping = self._paused = self._seeking_home = False
        self._changed = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._task: asyncio.Task[None] | None = None
        #: The rest of a move that was paused, once it was taken up.
        self.resuming: asyncio.Task[None] | None = None
        self.record = motor_record(pvname, settings, readback(settings.position, True))
        self.record.on_put = self._put_val
        self.coordinates = Coordinates(self.record)
        faults.attach(self)

    @property
    def target(self) -> float:
        """Where the axis was asked to go."""
        return float(self.record.value)

    @property
    def moving(self) -> bool:
        """Whether the record says so (DMOV = 0)."""
        return not self._at_rest.is_set()

    def position(self) -> float:
        """Return the true position of the stage now."""
        return self.mechanics.stage()

    async def _put_val(self, value: float) -> None:
        if self.coordinates.setting:
            await self.coordinates.redefine(float(value), self.mechanics.motor())
        else:
            await self.go_to(float(value))
        # VAL was posted when the move began, and STOP may have changed it since.
        raise SkipWrite

    async def go_to(self, user: float) -> None:
        """Do what a put of VAL does, and wait until the record is done."""
        mode = self.record.get("SPMG")
        if mode == "Stop":
            return
        if self._permit is not None and not await self._permit(user):
            await self.refuse()
            return
        first, *_ = self._legs_to(self.coordinates.motor(user))
        if not (self.coordinates.within(user) and self.coordinates.within(self.coordinates.user(first[0]))):
            await self.record.show("LVIO", 1)
            return
        if mode == "Pause":
            await self._show_target(user)
            self._paused = True
            return
        await self.move(user, self._legs_to(self.coordinates.motor(user)))

    async def refuse(self) -> None:
        """Show a refused move: LVIO and the problem bit of MSTA; VAL and DMOV stay as they are."""
        await self.record.show("LVIO", 1)
        await self.record.show("MSTA", DONE | PRESENT | PROBLEM)

    def _legs_to(self, end: float) -> list[Leg]:
        """Return the way to a motor position: with BDST the last part is always travelled in its direction."""
        get, start = self.record.get, self.mechanics.motor()
        fast = float(get("VELO")), float(get("ACCL"))
        backlash = float(get("BDST"))
        if backlash == 0.0:
            return [(end, *fast)]
        slow = float(get("BVEL")), float(get("BACC"))
        if 0.0 <= math.copysign(1.0, backlash) * (end - start) <= abs(backlash):
            return [(end, *slow)]
        return [(end - backlash, *fast), (end, *slow)]

    async def move(self, user: float, legs: list[Leg]) -> None:
        """Begin to move, in place of what is under way, and wait until the record is done."""
        self._moves += 1
        self._legs, self._stopping, self._paused = list(legs), False, False
        await self._faults.begin()
        forward = self._start_leg()
        self._at_rest.clear()
        show = self.record.show
        await show("DMOV", 0)
        await show("MOVN", 1)
        await self._show_target(user)
        await show("LVIO", 0)
        for field in ("RCNT", "MISS", "HLS", "LLS", "ATHM"):
            if self.record.get(field):
                await show(field, 0)
        await show("TDIR", forward)
        await show("MSTA", PRESENT | MOVING | (DIRECTION if forward else 0))
        self._faults.schedule(max(0.0, self.mechanics.left))
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._travel())
        await self._at_rest.wait()

    async def _show_target(self, user: float) -> None:
        await self.record.post(user)
        await self.record.show("DVAL", self.coordinates.motor(user) - self.coordinates.datum)

    def _start_leg(self) -> int:
        """Set out on the next leg; return whether it goes forward (1) or back (0)."""
        end, velocity, acceleration_time = self._legs.pop(0)
        start = self.mechanics.motor()
        missed = self._faults.missed_by + self.mechanics.miss()
        self.mechanics.follow(Move(start, end + missed, velocity, acceleration_time))
        return int(end >= start)

    async def _travel(self) -> None:
        """Follow the legs, which a put or a STOP may replace under way, until the last has ended and settled."""
        while True:
            self._changed.clear()
            await self._faults.due()
            left = self._left()
            if left > 0.0:
                step = min(left, READBACK_PERIOD, self._faults.next_in)
                if not await self._interrupted(step) and left > READBACK_PERIOD:
                    await self.post_readback(at_rest=False)
                continue
            if self._legs and not self._stopping:
                self._start_leg()
                continue
            self.mechanics.land()
            moves = self._moves
            await self._arrive()
            if moves == self._moves and self._at_rest.is_set():
                return

    def _left(self) -> float:
        """Seconds until the leg under way has ended, and settled if it is the last; infinite for an axis that sticks.

        One timer for travel and settling: a short move wakes once.
        """
        settle = 0.0 if self._legs and not self._stopping else max(0.0, float(self.record.get("DLY")))
        return max(self.mechanics.left + settle if self.mechanics.moving else 0.0, self._faults.held_for)

    async def _interrupted(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._changed.wait(), max(seconds, 0.0))
        except TimeoutError:
            return False
        return True

    async def _arrive(self) -> None:
        record, moves = self.record, self._moves
        await self.post_readback(at_rest=True)
        if not self._stopping and await self._retried():
            return
        if self._stopping:
            await self._show_target(float(record.get("RBV")))
        if self._on_arrival is not None:
            await self._on_arrival()
        if moves != self._moves:
            return
        if self._seeking_home and not self._stopping:
            await record.show("ATHM", 1)
        self._seeking_home = False
        await record.show("MSTA", DONE | PRESENT | self._faults.status | (DIRECTION if record.get("TDIR") else 0))
        await record.show("MOVN", 0)
        await self._faults.post_done()
        if record.get("SPMG") == "Move":
            await record.show("SPMG", "Pause")
        self._at_rest.set()

    async def _retried(self) -> bool:
        """Try again when the readback is further than RDBD from the target; after RTRY times say MISS."""
        get, show = self.record.get, self.record.show
        # A readback that goes wrong does so afterwards: a retry would take the stage to where it reads right.
        error = float(get("DVAL")) - float(get("DRBV")) + self._faults.readback_error
        retries = int(get("RTRY"))
        if retries == 0 or abs(error) <= max(float(get("RDBD")), abs(float(get("MRES")))) or self._paused:
            return False
        if int(get("RCNT")) >= retries:
            await show("MISS", 1)
            return False
        await show("RCNT", int(get("RCNT")) + 1)
        here = self.mechanics.motor()
        end = here - self._faults.missed_by if self._faults.missed_by else here + error
        self._legs = [(end, float(get("BVEL")), float(get("BACC")))]
        self._start_leg()
        return True

    async def refresh(self) -> None:
        """Post the readback of an axis at rest once more: what it shows may depend on the other axes."""
        if not self.moving:
            await self.post_readback(at_rest=True)

    async def post_readback(self, *, at_rest: bool) -> None:
        """Post what the encoder says, in dial, raw and user units."""
        if self._faults.offline:
            return
        lag = 0.0 if at_rest else FOLLOWING_LAG * self.mechanics.velocity()
        shown = self._readback(self.position() - lag, at_rest) + self._faults.readback_error
        dial, show = shown - self.coordinates.datum, self.record.show
        await show("DRBV", dial)
        await show("RRBV", round(dial / max(abs(float(self.record.get("MRES"))), 1e-12)))
        await show("DIFF", float(self.record.get("DVAL")) - dial)
        await show("RBV", self.coordinates.user(shown))

    async def brake(self) -> None:
        """Come to rest within ACCL, short of the target; VAL will follow the readback."""
        if not self.moving:
            return
        ramp = float(self.record.get("ACCL"))
        self.mechanics.brake(float(self.record.get("VELO")) / ramp if ramp > 0 else math.inf)
        self._faults.release()
        self._stopping = True
        self._changed.set()

    async def pause(self) -> None:
        """Come to rest and keep the target, for `resume`."""
        self._legs = []
        if self.moving:
            target = self.target
            await self.brake()
            await self._at_rest.wait()
            await self._show_target(target)
            self._paused = True

    async def resume(self) -> None:
        """Go on to the target that `pause` kept."""
        if self._paused:
            self._paused = False
            await self.go_to(self.target)

    async def home(self) -> None:
        """Seek the home position, dial 0, and wait until the record is done."""
        self._seeking_home = True
        end = self.coordinates.datum
        leg = (end, float(self.record.get("HVEL")), float(self.record.get("ACCL")))
        await self.move(self.coordinates.user(end), [leg])
