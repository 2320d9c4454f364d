"""What held a run up, and for how long: collected from any thread, told by events of the stream ``interruptions``.

RunEngine.record_interruptions stays off: its events go into a stream of the same name, have no duration, and come
wherever the pause struck.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg

STREAM = "interruptions"
#: Who a pause by hand, and one the plan made itself, is put down to; guards have names of their own.
OPERATOR, PLAN = "operator", "plan"
#: Name of the guard that an operator trips with a text, and lets go.
HOLD = "operator hold"
#: Characters of a reason that are kept.
MAX_REASON = 300


@dataclass(eq=False)
class Interruption:
    """One hold-up; `duration` in s, None while it lasts."""

    guard: str
    reason: str
    began: float = field(default_factory=time.time)
    duration: float | None = None
    _started: float = field(default_factory=time.monotonic)

    def lasted(self) -> float:
        """Return how long it was, or has been until now, s."""
        return time.monotonic() - self._started if self.duration is None else self.duration


class InterruptionLog:
    """What held the run up and is not yet told; every method may be called from any thread.

    It is also the device that is read into the events: the one that is to be told next.
    """

    name = STREAM
    parent = None

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold: list[Interruption] = []
        self._telling: Interruption | None = None
        self.declared = False

    def begin(self, guard: str, reason: str) -> Interruption:
        """Note that something holds the run up from now on."""
        found = Interruption(guard, " ".join(reason.split())[:MAX_REASON])
        with self._lock:
            self._untold.append(found)
        return found

    def end(self, interruption: Interruption) -> None:
        """Note that it does so no more."""
        with self._lock:
            if interruption.duration is None:
                interruption.duration = interruption.lasted()

    def lasts(self, guard: str) -> bool:
        """Tell whether a guard of this name holds the run up now."""
        with self._lock:
            return any(each.guard == guard and each.duration is None for each in self._untold)

    def next(self, *, ending: bool) -> Interruption | None:
        """Return the oldest that is over and untold; at the end of a run also one that is not over."""
        with self._lock:
            self._telling = next((each for each in self._untold if ending or each.duration is not None), None)
        return self._telling

    def told(self, interruption: Interruption) -> None:
        """Note that its event is about to be written."""
        with self._lock:
            self._untold = [each for each in self._untold if each is not interruption]

    def not_told(self) -> None:
        """Note that the bundle of an event was dropped: if it was one of this stream, it is untold again."""
        with self._lock:
            if self._telling is not None and all(each is not self._telling for each in self._untold):
                self._untold.insert(0, self._telling)

    def forget(self) -> None:
        """Forget what was before this run."""
        with self._lock:
            self._untold, self._telling, self.declared = [], None, False

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the readings of the interruption that is being told."""
        told = self._telling or Interruption("", "")
        values = {"reason": told.reason, "guard": told.guard, "began": told.began, "duration": told.lasted()}
        now = time.time()
        return {key: {"value": value, "timestamp": now} for key, value in values.items()}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data keys of the stream."""
        text = {"source": "engine", "dtype": "string", "dtype_numpy": f"<U{MAX_REASON}", "shape": [], "units": ""}
        seconds = {"source": "engine", "dtype": "number", "dtype_numpy": "<f8", "shape": [], "units": "s"}
        return {"reason": dict(text), "guard": dict(text), "began": dict(seconds), "duration": dict(seconds)}

    def describe_configuration(self) -> dict[str, Any]:
        """Return nothing: limits are in the start document."""
        return {}

    def read_configuration(self) -> dict[str, Any]:
        """Return nothing: limits are in the start document."""
        return {}


def tell_interruptions(log: InterruptionLog, *, ending: bool = False) -> Generator[Msg, Any, None]:
    """Emit an event for each interruption that is over; at the end of a run for those that are not over as well.

    To be run outside a bundle, where the RunEngine may not rewind.
    """
    while (found := log.next(ending=ending)) is not None:
        if not log.declared:
            # Only in runs that were held up; now, so that nothing is described within the bundle.
            yield from bps.declare_stream(log, name=STREAM)
            log.declared = True
        yield Msg("create", None, name=STREAM)
        yield Msg("read", log)
        # Before the save: after it nobody can say whether an abort came before or after the event was written.
        log.told(found)
        yield Msg("save")
