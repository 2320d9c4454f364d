"""The beam: ring current, gated I0 where there is one, and the countdown to the next injection."""

from __future__ import annotations

import math
import time
from typing import Any

from ophyd import Device, EpicsSignalRO
from ophyd import FormattedComponent as FCpt

from microarpes.devices.channel_access import INVALID, Reading, read_fresh


class Beam(Device):
    """The ring current: all that is known of the beam where no gated I0 exists (``beam_check = "delayed"``).

    Parameters
    ----------
    ring_pv : str
        The ring current, mA.
    patience : float
        Seconds `wait_for_news` waits for a value younger than the end of an exposure.
    """

    ring_current = FCpt(EpicsSignalRO, "{ring_pv}", auto_monitor=False)

    #: How the beam of an exposure is judged.
    check = "delayed"
    #: Seconds between two looks at a ring current that is not yet new.
    POLL = 0.02

    def __init__(self, prefix: str = "", *, ring_pv: str, patience: float = 3.0, **kwargs: Any) -> None:
        self.ring_pv = ring_pv
        self.patience = patience
        super().__init__(prefix, **kwargs)

    def signals(self) -> dict[str, EpicsSignalRO]:
        """Return what is read of the beam after an exposure."""
        return {"ring_current": self.ring_current}

    def wait_for_news(self, since: float) -> bool:
        """Wait until the ring current is younger than an IOC time, s; False when it was not within `patience`."""
        deadline = time.monotonic() + self.patience
        while not read_fresh({"ring": self.ring_current})["ring"]["timestamp"] > since:
            if time.monotonic() > deadline:
                return False
            time.sleep(self.POLL)
        return True


class GatedBeam(Beam):
    """Ring current and I0.

    The gated I0 is integrated by the IOC over the exposure and stamped with the frame's UniqueId.
    """

    i0 = FCpt(EpicsSignalRO, "{i0_prefix}CURRENT", auto_monitor=False)
    i0_integral = FCpt(EpicsSignalRO, "{i0_prefix}INTEGRAL", auto_monitor=False)
    i0_frame_id = FCpt(EpicsSignalRO, "{i0_prefix}FRAME_ID", auto_monitor=False)
    open_fraction = FCpt(EpicsSignalRO, "{i0_prefix}OPEN_FRACTION", auto_monitor=False)

    check = "gated"

    def __init__(self, prefix: str = "", *, ring_pv: str, i0_prefix: str, **kwargs: Any) -> None:
        self.i0_prefix = i0_prefix
        super().__init__(prefix, ring_pv=ring_pv, **kwargs)

    def signals(self) -> dict[str, EpicsSignalRO]:
        """Return what is read of the beam after an exposure."""
        gated = ("i0_integral", "i0_frame_id", "open_fraction")
        return {**super().signals(), **{name: getattr(self, name) for name in gated}}


class TopUp(Device):
    """The ring's announcement of injections: seconds to the next one."""

    countdown = FCpt(EpicsSignalRO, "{prefix}", auto_monitor=False)

    def reading(self) -> Reading:
        """Return the countdown by explicit get; never raises, what cannot be read is NaN and INVALID."""
        try:
            return read_fresh({"countdown": self.countdown})["countdown"]
        except (ConnectionError, TimeoutError):
            return {"value": math.nan, "timestamp": math.nan, "alarm_severity": INVALID}

    def read(self) -> dict[str, Reading]:
        """Return `reading` under the signal's name."""
        return {self.countdown.name: self.reading()}
