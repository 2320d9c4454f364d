"""The beam attenuator before the I0 mesh, which remembers what it let through when."""

from __future__ import annotations

import itertools
import math
import time

from microarpes.sim.signals import Signals, SkipWrite, number


class Attenuator:
    """Lets a part of the beam through to I0 and the sample; set at once, to any part above 0 and up to 1.

    Parameters
    ----------
    prefix : str
    """

    def __init__(self, prefix: str) -> None:
        self._steps: list[tuple[float, float]] = [(-math.inf, 1.0)]
        self._demand = number(1.0, on_put=self._put)
        self.readback = number(1.0)
        self.signals: Signals = {
            f"{prefix}ATT:TRANSMISSION": self._demand,
            f"{prefix}ATT:TRANSMISSION_RBV": self.readback,
        }

    @property
    def transmission(self) -> float:
        """Part of the beam that is let through now."""
        return self._steps[-1][1]

    async def _put(self, value: float) -> float:
        if not 0.0 < value <= 1.0:
            raise SkipWrite
        self._steps.append((time.monotonic(), float(value)))
        await self.readback.post(value)
        return value

    def pieces(self, begin: float, end: float) -> list[tuple[float, float, float]]:
        """Return begin, end and transmission of the parts of a time between two monotonic times, s."""
        steps = [*self._steps, (math.inf, 1.0)]
        parts = ((max(low, begin), min(high, end), part) for (low, part), (high, _) in itertools.pairwise(steps))
        return [(low, high, part) for low, high, part in parts if low < high]

    def forget(self, before: float) -> None:
        """Drop what happened before a monotonic time; the transmission at that time is kept."""
        while len(self._steps) > 1 and self._steps[1][0] < before:
            del self._steps[0]
