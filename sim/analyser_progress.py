"""Progress of an acquisition as the driver reports it, and the driver's commands beside Acquire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from microarpes.sim.frame_source import SWEPT_CHANNELS, Window
from microarpes.sim.signals import Signals, SkipWrite, choice, count, number
from microarpes.sim.vendors import Vendor

_OFF_ON = ("No", "Yes")


class AnalyserProgress:
    """Times left, points done; without a sweep all channels of a frame are one point after another.

    Parameters
    ----------
    cam : str
        Prefix of the driver's PVs.
    vendor : Vendor
    notice : callable
        Shows a message to the operator.
    """

    def __init__(self, cam: str, vendor: Vendor, notice: Callable[[str], Awaitable[None]]) -> None:
        self._notice = notice
        self._left, self._percent = number(0.0, "s"), number(0.0, "%")
        self._total = number(0.0, "s")
        self._point, self._lead_point = count(0), count(0)
        self._leading_in = choice(("Data", "Lead-in"), "Data")
        self._stop_next = choice(_OFF_ON, "No", writable=True)
        left, percent, point = self._left, self._percent, self._point
        reported = {
            "TimeRemaining_RBV": left, "REGION_TIME_LEFT_RBV": left, "TOTAL_TIME_LEFT_RBV": left,
            "PROGRESS_RBV": percent, "REGION_PROGRESS_RBV": percent, "TOTAL_TIME_RBV": self._total,
            "TOTAL_ACQ_TIME_RBV": self._total, "CURRENT_CHANNEL_RBV": point, "CURRENT_POINT_RBV": point,
            "CURRENT_DATA_POINT_RBV": point, "LEADING_IN_RBV": self._leading_in,
            "CURRENT_LEAD_POINT_RBV": self._lead_point, "STOP_NEXT_ITERATION": self._stop_next,
            "PAUSE": choice(_OFF_ON, "No", on_put=self._put_pause),
            "ZERO_SUPPLIES": choice(_OFF_ON, "No", on_put=self._put_zero_supplies),
        }  # fmt: skip
        named = ((vendor.suffix(name), signal) for name, signal in reported.items())
        self.signals: Signals = {cam + name: signal for name, signal in named if name is not None}

    @property
    def stop_asked(self) -> bool:
        """Whether the acquisition is to end after the frame under way."""
        return bool(self._stop_next.value == "Yes")

    async def begin(self, window: Window) -> None:
        """Post the start of a frame."""
        await self._total.post(window.exposure)
        await self.update(window, 0.0)

    async def update(self, window: Window, passed: float) -> None:
        """Post where an exposure is after `passed` seconds."""
        await self._left.post(max(0.0, window.exposure - passed))
        await self._percent.post(100.0 * min(1.0, passed / window.exposure))
        if not window.swept:
            await self._point.post(int(window.n_energy * min(1.0, passed / window.exposure)))
            return
        point = int(passed / window.dwell) % window.points if passed < window.exposure else window.points
        lead = min(point, SWEPT_CHANNELS)
        await self._lead_point.post(lead)
        await self._point.post(max(0, point - SWEPT_CHANNELS))
        label = "Lead-in" if point < SWEPT_CHANNELS else "Data"
        if self._leading_in.value != label:
            await self._leading_in.post(label)

    async def finish(self) -> None:
        """Clear what asked this acquisition to end."""
        if self.stop_asked:
            await self._stop_next.post("No")

    async def _put_pause(self, value: str) -> str:
        if value == "Yes":
            await self._notice("PAUSE is not simulated; abort with Acquire = 0")
            raise SkipWrite
        return value

    async def _put_zero_supplies(self, _value: str) -> str:
        # The supplies of a simulation are always at zero: the command clears itself.
        return "No"
