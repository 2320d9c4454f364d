"""Deadlines of what is under way, all of them watched by one thread.

ophyd gives every status with a timeout a thread of its own, which costs each move and each exposure two switches
between threads before anybody hears that it is done.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from microarpes.devices.outcome import Outcome

_Entry = tuple[float, int, Outcome, Callable[[], object]]


class Deadlines:
    """Calls what is to happen when a status has not ended in time."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._numbers = itertools.count()
        self._earlier = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, status: Outcome, seconds: float, expired: Callable[[], object]) -> None:
        """Call `expired`, in a thread of its own, unless `status` has ended `seconds` from now."""
        entry = (time.monotonic() + seconds, next(self._numbers), status, expired)
        with self._earlier:
            heapq.heappush(self._entries, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif self._entries[0] is entry:
                self._earlier.notify()

    def _run(self) -> None:
        while True:
            with self._earlier:
                left = self._entries[0][0] - time.monotonic() if self._entries else None
                if left is None or left > 0.0:
                    self._earlier.wait(left)
                    continue
                _, _, status, expired = heapq.heappop(self._entries)
            if not status.done:
                # What is to happen may have to ask a slow beamline; no other deadline waits for that.
                threading.Thread(target=expired, name="deadline passed", daemon=True).start()


#: Of the whole process.
deadlines = Deadlines()
