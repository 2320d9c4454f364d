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

    def refusal(self, frame: NDArray[Any] | None, seconds: float) -> str:
        """Return why a frame of so many seconds holds more than the detector may count; empty if it does not.

        The count rate is told beside the frame and may be heard of only after it.
        """
        counts = 0.0 if frame is None else float(np.sum(frame, dtype=np.float64))
        if not seconds > 0 or not counts > self.limit * seconds:
            return ""
        return f"the frame holds {counts / seconds:.3g} counts/s, the limit is {self.limit:.3g} counts/s"

    def _on_rate(self, value: Any = None, **_: Any) -> None:
        rate = float(value)
        if not rate <= self.limit and self.tripped is None:
            self.tripped = rate
            if self._on_trip is not None:
                self._on_trip(rate)
