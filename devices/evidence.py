"""What one attempt at a point found: the only thing the gate judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from microarpes.devices.channel_access import Reading


@dataclass
class Flown:
    """Where an axis that moved during the exposure was; in its unit, NaN until it is known.

    Parameters
    ----------
    axis : str
    tolerance : float
        Half the width of a pixel: the largest accepted distance between the mean position and the request.
    position : float
        Mean over the exposure.
    blur : float
        Full width of the way; little more than that of a pixel is accepted.
    """

    axis: str
    tolerance: float
    position: float = float("nan")
    blur: float = float("nan")


@dataclass
class Evidence:
    """What was found after one attempt at a point; times are seconds, positions um and deg.

    ``readings`` holds value, IOC time stamp and alarm severity of every signal read after the exposure:
    ``<axis> readback``, ``<axis> done``, the frame counters, gated I0, slow signals, heartbeat.
    ``countdown_before`` is that of the next injection, read just before the exposure where it is known;
    ``shutter_not_open`` the IOC time at which the shutter was last heard not to be open;
    ``sub_frame_ids`` the frames whose sum ``frame`` is, empty where it is one exposure; ``flown`` tells of the axis
    that was to move during it.
    """

    request: dict[str, float] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    frame: NDArray[Any] | None = None
    frame_id_before: int = -1
    edge_time: float = float("nan")
    acquire_time: float = 0.0
    #: Share of `acquire_time` for which one energy is counted; below 1 in a sweep.
    counted_fraction: float = 1.0
    message: str = ""
    errors: list[str] = field(default_factory=list)
    ledger: dict[str, float] = field(default_factory=dict)
    countdown_before: Reading | None = None
    shutter_not_open: float = float("-inf")
    sub_frame_ids: tuple[int, ...] = ()
    flown: Flown | None = None

    def value(self, key: str) -> float:
        """Return one reading as a number."""
        return float(self.readings[key]["value"])
