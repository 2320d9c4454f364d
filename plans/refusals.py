"""Exposures the gate refused: how soon one is taken again, and when an operator is called."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluesky.utils import Msg

from microarpes.plans.interruptions import PLAN
from microarpes.plans.top_up import INJECTION

if TYPE_CHECKING:
    from microarpes.plans.take_point import PointTaker

logger = logging.getLogger(__name__)

MsgGenerator = Generator[Msg, Any, Any]

#: Seconds before the retake after the first, second, ... failure: most faults of a beamline pass by themselves.
RETAKE_DELAYS = (0.0, 0.2, 1.0, 3.0)


@dataclass
class Refusals:
    """What went wrong with a point so far, and when it is too much.

    Parameters
    ----------
    pixel : int
        Negative for what is no pixel.
    limit : int
        Faults, or refusals in a row, after which an operator is called.
    """

    pixel: int
    limit: int
    attempt: int = 1
    faults: int = 0
    in_a_row: int = 0

    @property
    def what(self) -> str:
        """What failed, as an operator calls it."""
        return f"pixel {self.pixel}" if self.pixel >= 0 else "an exposure between the rows"

    def pause_or_delay(self, taker: PointTaker, reasons: list[str]) -> MsgGenerator:
        """Count a refused exposure: pause for an operator, or wait a little before it is taken again."""
        self.in_a_row += 1
        if reasons != [INJECTION]:
            # An injection is no fault, and after one there is none for a while: only in a row do they count.
            self.faults += 1
        if over_counted := taker.station.over_counted:
            # Never retaken by itself: somebody has to see what shone so brightly, and open the shutter again.
            yield from pause_with_reason(taker, f"{self.what}: {over_counted}; the shutter is closed")
            self.faults = self.in_a_row = 0
        elif max(self.faults, self.in_a_row) >= self.limit:
            times = max(self.faults, self.in_a_row)
            yield from pause_with_reason(taker, f"{self.what} failed {times} times, last: {'; '.join(reasons)}")
            self.faults = self.in_a_row = 0
        yield Msg("sleep", None, RETAKE_DELAYS[min(self.faults, len(RETAKE_DELAYS)) - 1] if self.faults else 0.0)


def pause_with_reason(taker: PointTaker, reason: str) -> MsgGenerator:
    """Pause for an operator, who is told why."""
    logger.error("paused: %s", reason)
    taker.announce(reason)
    interruption = taker.interruptions.begin(PLAN, reason)
    yield Msg("pause", None, defer=False)
    taker.interruptions.end(interruption)
