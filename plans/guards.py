"""Guards: what must be well for a run to go on, watched beside it, and holding it until it is well again.

Every doubt trips: a value that is out of range, no number, INVALID, not updated, not answered for or disconnected. What
trips is not a suspender of bluesky, whose faults are of the kind a guard is there to exclude: it hears of nothing when
its signal dies or comes as NaN; tripped while the run is paused, or resumed out of its wait, it holds no more; and it
is over after its delay though it tripped again meanwhile. Here the plan asks before each exposure and after it, and
nothing but a guard that is well lets it go on (docs/how-to/guards.md).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from microarpes.devices.channel_access import INVALID, Reading
from microarpes.plans.guard_limits import GuardLimits
from microarpes.plans.interruptions import HOLD, Interruption, InterruptionLog

logger = logging.getLogger(__name__)

#: Guard name to what was read, or why it was not.
Readings = Mapping[str, Reading | Exception]


class Guard:
    """One guard: pure, looked at with what was read and a time.

    Parameters
    ----------
    name : str
    limits : GuardLimits
    """

    def __init__(self, name: str, limits: GuardLimits) -> None:
        self.name, self.limits = name, limits
        #: Whether it lets the run go on: False also before it has heard enough to say so.
        self.clear = False
        #: Why it tripped; empty where it is not tripped.
        self.reason = ""
        self._well_since: float | None = None
        self._stamp: float | None = None
        self._heard: float | None = None
        self._updates = 0
        self._began_with: float | None = None

    def look(self, found: Reading | Exception, now: float, *, exposing: bool) -> None:
        """Take what was read at a monotonic time, s."""
        wrong = self._fault(found, now) or (self._refusal(found, exposing) if not isinstance(found, Exception) else "")
        if wrong:
            self._well_since = None
            if not self.reason:
                self.clear, self.reason = False, f"{self.name} {wrong}"
        elif self.reason:
            self._well_since = now if self._well_since is None else self._well_since
            if now - self._well_since >= self.limits.delay:
                self.clear, self.reason, self._well_since = True, "", None
        elif self.limits.max_age is None or self._updates > 1:
            self.clear = True

    def _fault(self, found: Reading | Exception, now: float) -> str:
        """Return why what was read cannot be believed; empty if it can."""
        if isinstance(found, Exception):
            return f"cannot be read: {found}"
        if self._heard is None or found["timestamp"] != self._stamp:
            self._stamp, self._heard = found["timestamp"], now
            self._updates += 1
        # By this clock alone, from update to update: clocks of two machines are never compared.
        age = now - self._heard
        if self.limits.max_age is not None and not age <= self.limits.max_age:
            return f"was not updated for {age:.1f} s, at most {self.limits.max_age:g} s is accepted"
        return "is INVALID" if found["alarm_severity"] >= INVALID else ""

    def _refusal(self, found: Reading, exposing: bool) -> str:
        if self.limits.while_exposing:
            if not exposing:
                self._began_with = None
                return ""
            if self._began_with is None:
                self._began_with = found["timestamp"]
            if found["timestamp"] == self._began_with:
                return ""
        return self.limits.refusal(found["value"], tripped=bool(self.reason))


class Guards:
    """All guards of a run, and the thread that looks at what they watch.

    Parameters
    ----------
    limits : mapping of str to GuardLimits
    read : callable
        Returns by guard what is read now, or the error instead; may take its time.
    held : callable
        Returns the text with which an operator holds the run, empty where none does.
    period : float
        s between two looks.
    """

    def __init__(
        self,
        limits: Mapping[str, GuardLimits] | None = None,
        read: Callable[[], Readings] = dict,
        held: Callable[[], str] = lambda: "",
        period: float = 0.2,
    ) -> None:
        self.limits = dict(limits or {})
        self._read, self._held, self._period = read, held, period
        self._guards: dict[str, Guard] = {}
        self._hold = ""
        self._open: dict[str, Interruption] = {}
        self._lock = threading.Lock()
        self._log = InterruptionLog()
        self._stop: Callable[[], None] = lambda: None
        self._exposing = False
        #: What the exposure under way, or the last one, told of: a guard may let go before the attempt has ended.
        self._by_exposure: list[str] = []
        #: How often a guard has tripped: an exposure that finds another number than it began with is void.
        self.trips = 0

    @contextlib.contextmanager
    def watching(self, log: InterruptionLog, stop: Callable[[], None]) -> Iterator[None]:
        """Watch until the context is left.

        Parameters
        ----------
        log : InterruptionLog
            Told of each trip and its end.
        stop : callable
            Stops an exposure that a trip made void; called from the thread that looks.
        """
        self.begin(log, stop)
        ended = threading.Event()
        threading.Thread(target=self._watch, args=(ended,), name="guards", daemon=True).start()
        try:
            yield
        finally:
            # Not joined: it may be waiting for an answer, and from now on nobody listens to it.
            ended.set()

    def begin(self, log: InterruptionLog, stop: Callable[[], None]) -> None:
        """Begin with guards that have heard of nothing; see `watching`."""
        self._log, self._stop = log, stop
        self._guards = {name: Guard(name, limits) for name, limits in self.limits.items()}
        self._open, self._hold = {}, ""

    def _watch(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                found = self._read() if self._guards else {}
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known: every guard trips
                found = dict.fromkeys(self._guards, error)
            if not ended.is_set():
                self.look(found, time.monotonic())
            ended.wait(self._period)

    def look(self, found: Readings, now: float) -> None:
        """Take what was read at a monotonic time, s; what is missing has not answered."""
        with self._lock:
            before = self.trips
            self._hold = self._held()
            self._note(HOLD, self._hold)
            for name, guard in self._guards.items():
                reading = found.get(name, TimeoutError("nothing was read"))
                guard.look(reading, now, exposing=self.exposing)
                self._note(name, guard.reason)
            void = self.exposing and self.trips != before
        if void:
            self._stop()

    def _note(self, name: str, reason: str) -> None:
        if reason and name not in self._open:
            self.trips += 1
            if name in self.limits and self.limits[name].while_exposing:
                self._by_exposure.append(reason)
            self._open[name] = self._log.begin(name, reason)
            logger.warning("the run is held: %s: %s", name, reason)
        elif not reason and name in self._open:
            self._log.end(self._open.pop(name))
            logger.warning("%s lets the run go on", name)

    def holding(self) -> dict[str, str]:
        """Return by guard why the run may not go on, those included that have not heard enough yet; empty if it may."""
        with self._lock:
            held = {HOLD: self._hold} if self._hold else {}
            unheard = "has not been heard of yet"
            return held | {name: guard.reason or unheard for name, guard in self._guards.items() if not guard.clear}

    def tripped_by_exposure(self) -> list[str]:
        """Return the reasons of those that only an exposure can tell of: trips of theirs count as faults of a point."""
        with self._lock:
            return list(self._by_exposure)

    @property
    def exposing(self) -> bool:
        """Whether an exposure is under way; what the last one told of is forgotten when another begins."""
        return self._exposing

    @exposing.setter
    def exposing(self, exposing: bool) -> None:
        with self._lock:
            if exposing:
                self._by_exposure = []
            self._exposing = exposing

    @property
    def close_shutter(self) -> bool:
        """Whether one that is tripped wants the shutter closed."""
        with self._lock:
            return any(guard.limits.close_shutter and guard.reason for guard in self._guards.values())

    def document(self) -> dict[str, Any]:
        """Return the limits for the start document."""
        return {name: limits.model_dump() for name, limits in self.limits.items()}
