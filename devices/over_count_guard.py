"""The over-count guard: a detector that counts too fast is spared before it is judged.

This is the second line of defence; the first is the site's hardware interlock, which `microarpes check` asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Device, EpicsSignalRO
from ophyd import FormattedComponent as FCpt


class OverCountGuard(Device):
    """Watch the detector's count rate and call for help when it passes its limit.

    Parameters
    ----------
    prefix : str
        The process variable of the count rate on the whole detector, counts/s.
    limit : float
        counts/s.
    """

    rate = FCpt(EpicsSignalRO, "{prefix}", auto_monitor=True)

    def __init__(self, prefix: str, *, limit: float, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self.limit = limit
        #: What was found beyond the limit, counts/s, since `reset`; None if nothing was.
        self.tripped: float | None = None
        self._on_trip: Callable[[float], None] | None = None
        self.rate.subscribe(self._on_rate, run=False)

    def reset(self, on_trip: Callable[[float], None]) -> None:
        """Watch from now on; `on_trip` is called once, with the rate, from the thread that hears of it."""
        self.tripped = None
        self._on_trip = on_trip

    @property
    def refusal(self) -> str:
        """Why it tripped since `reset`; empty if it did not."""
        if self.tripped is None:
            return ""
        return f"the detector counted {self.tripped:.3g} counts/s, its limit is {self.limit:.3g} counts/s"

    def look_at(self, frame: NDArray[Any] | None, seconds: float) -> None:
        """Trip on a frame of so many seconds that holds more than the detector may count.

        The count rate is told beside the frame and may be heard of only after it.
        """
        counts = 0.0 if frame is None else float(np.sum(frame, dtype=np.float64))
        if seconds > 0 and counts > self.limit * seconds:
            self._trip(counts / seconds)

    def _on_rate(self, value: Any = None, **_: Any) -> None:
        if not float(value) <= self.limit:
            self._trip(float(value))

    def _trip(self, rate: float) -> None:
        if self.tripped is None:
            self.tripped = rate
            if self._on_trip is not None:
                self._on_trip(rate)
