"""When an exposure began, how long the driver says it takes, and the deadline that follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ophyd import EpicsSignalRO

from microarpes.devices.channel_access import finish
from microarpes.devices.deadlines import deadlines
from microarpes.devices.outcome import Outcome


class ExposureClock:
    """Follow the starts of exposures.

    Parameters
    ----------
    acquiring : EpicsSignalRO
        Monitored; 1 while the driver acquires.
    time_left : EpicsSignalRO, optional
        Monitored; seconds left, of a driver that tells the length of an exposure only once it has begun.
    """

    def __init__(self, acquiring: EpicsSignalRO, time_left: EpicsSignalRO | None = None) -> None:
        self._begun = threading.Event()
        self._edge_time = 0.0
        #: Seconds the driver said the last exposure takes; 0 when it said nothing.
        self.told = 0.0
        acquiring.subscribe(self._on_acquiring, run=False)
        if time_left is not None:
            time_left.subscribe(self._on_time_left, run=False)

    def _on_acquiring(self, value: Any = None, timestamp: float = 0.0, **_: Any) -> None:
        if value in (1, "Acquire"):
            self._edge_time = float(timestamp)
            self._begun.set()

    def _on_time_left(self, value: Any = None, **_: Any) -> None:
        # The first since the start is how long it takes: a driver that repeats itself cannot put the deadline off.
        if self._begun.is_set() and self.told == 0.0:
            self.told = max(float(value), 0.0)

    def forget(self) -> None:
        """Forget the last exposure; the next is about to begin."""
        self._begun.clear()
        self.told = 0.0

    def edge_time(self, timeout: float) -> float:
        """Return the IOC's time of the last start, s; NaN when it was not seen within `timeout` seconds."""
        return self._edge_time if self._begun.wait(timeout) else float("nan")

    def watch(self, status: Outcome, allowed: Callable[[], float]) -> None:
        """Fail a status that has not ended `allowed` seconds from now; asked again when that has passed."""
        began = time.monotonic()

        def expired() -> None:
            seconds = allowed()
            left = began + seconds - time.monotonic()
            if left > 0:
                deadlines.watch(status, left, expired)
            else:
                finish(status, TimeoutError(f"the exposure did not end within {seconds:g} s"))

        deadlines.watch(status, allowed(), expired)
