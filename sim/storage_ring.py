"""The storage ring in top-up operation: its current, and what can happen to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from caproto import AlarmSeverity, AlarmStatus

from microarpes.sim.signals import Signals, SkipWrite, number

#: Ring current just after a top-up and just before the next, mA; seconds between top-ups at boot.
FULL_CURRENT, LOW_CURRENT, TOPUP_PERIOD = 300.0, 297.0, 60.0
#: Shortest TOPUP_PERIOD a client may set, s.
SHORTEST_PERIOD = 0.1
#: Seconds a beam loss is remembered: no exposure is longer.
MEMORY = 2 * 36000.0

#: What a recording has at the present point, or None.
Recorded = Callable[[], float | None]
#: Begin and end, monotonic s.
Interval = tuple[float, float]


def without(intervals: Iterable[Interval], gaps: Iterable[Interval]) -> list[Interval]:
    """Return what is left of disjoint intervals where no gap is."""
    left = list(intervals)
    for begin, end in gaps:
        parts = [part for low, high in left for part in ((low, min(high, begin)), (max(low, end), high))]
        left = [(low, high) for low, high in parts if low < high]
    return left


class Ring:
    """Top-up operation: a saw-tooth from 300 to 297 mA, and what the injections do to the beam.

    ``TOPUP_PERIOD`` sets the seconds between injections; the next is then one period away. ``INJECTION_TIME`` sets how
    long each keeps the beam off the sample; at boot injections are not noticed.

    Parameters
    ----------
    prefix : str
    frozen : bool
        True keeps the current at its maximum, for tests of equality.
    recorded : callable
        The current (mA) to show instead, where a recording has one.
    """

    def __init__(self, prefix: str, *, frozen: bool = False, recorded: Recorded = lambda: None) -> None:
        self._frozen, self._recorded = frozen, recorded
        self._origin = time.monotonic()
        self._dumps: list[Interval] = []
        self._dead_until = self._invalid_until = -math.inf
        self.current = number(FULL_CURRENT, "mA")
        self.countdown = number(TOPUP_PERIOD, "s")
        self.period = number(TOPUP_PERIOD, "s", on_put=self._put_period)
        self.injection_time = number(0.0, "s", on_put=self._put_injection_time)
        self.signals: Signals = {
            f"{prefix}RING:CURRENT": self.current,
            f"{prefix}RING:TOPUP_COUNTDOWN": self.countdown,
            f"{prefix}RING:TOPUP_PERIOD": self.period,
            f"{prefix}RING:INJECTION_TIME": self.injection_time,
        }

    async def _put_period(self, value: float) -> float:
        if not SHORTEST_PERIOD <= value <= MEMORY:
            raise SkipWrite
        self._origin = time.monotonic()
        await self.countdown.post(value)
        return value

    async def _put_injection_time(self, value: float) -> float:
        if not 0.0 <= value < float(self.period.value):
            raise SkipWrite
        return value

    def injections(self, begin: float, end: float) -> list[Interval]:
        """Return when injections kept the beam off the sample between two monotonic times; the first is a period old.

        A frozen ring has none.
        """
        period, lasts = float(self.period.value), float(self.injection_time.value)
        if self._frozen or lasts == 0.0:
            return []
        first = max(1, math.floor((begin - lasts - self._origin) / period))
        last = math.floor((end - self._origin) / period)
        starts = [self._origin + number * period for number in range(first, last + 1)]
        return [(start, start + lasts) for start in starts if start < end and start + lasts > begin]

    def current_at(self, now: float) -> float:
        """Return the current (mA) at a monotonic time, s."""
        if any(begin <= now < end for begin, end in self._dumps):
            return 0.0
        if self._frozen:
            return FULL_CURRENT
        period = float(self.period.value)
        phase = math.fmod(now - self._origin, period) / period
        return FULL_CURRENT - (FULL_CURRENT - LOW_CURRENT) * phase

    def charge(self, begin: float, end: float) -> float:
        """Return the integral of the current between two monotonic times with beam (see `stored`), mA s; exact."""
        if self._frozen:
            return FULL_CURRENT * (end - begin)
        return self._charge_since_start(end) - self._charge_since_start(begin)

    def _charge_since_start(self, now: float) -> float:
        period = float(self.period.value)
        periods, rest = divmod(now - self._origin, period)
        drop = FULL_CURRENT - LOW_CURRENT
        whole = periods * period * (FULL_CURRENT - drop / 2)
        return whole + FULL_CURRENT * rest - drop * rest * rest / (2 * period)

    def stored(self, intervals: Iterable[Interval]) -> list[Interval]:
        """Return what is left of time intervals where there was beam in the ring."""
        return without(intervals, self._dumps)

    def dump(self, seconds: float) -> None:
        """Lose the beam now; after `seconds` it is back at once."""
        now = time.monotonic()
        self._dumps = [gap for gap in self._dumps if gap[1] > now - MEMORY] + [(now, now + seconds)]

    def die(self, seconds: float) -> None:
        """Stop to update the current's PV."""
        self._dead_until = time.monotonic() + seconds

    async def invalidate(self, seconds: float) -> None:
        """Give the current's PV the severity INVALID."""
        self._invalid_until = time.monotonic() + seconds
        await self.update()

    async def update(self) -> None:
        """Post current and countdown."""
        now = time.monotonic()
        if now >= self._dead_until:
            invalid = now < self._invalid_until
            alarm = self.current.alarm
            if invalid != (alarm.severity == AlarmSeverity.INVALID_ALARM):
                status = AlarmStatus.READ if invalid else AlarmStatus.NO_ALARM
                severity = AlarmSeverity.INVALID_ALARM if invalid else AlarmSeverity.NO_ALARM
                await alarm.write(status=status, severity=severity, publish=False)
            recorded = self._recorded()
            await self.current.post(self.current_at(now) if recorded is None else recorded)
        period = float(self.period.value)
        await self.countdown.post(period - math.fmod(now - self._origin, period))
