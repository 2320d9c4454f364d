"""What a motor record is set to: the fields that decide where it may go, how, and for how long.

They are watched by monitors, so that a move costs no reads; after a lost connection nothing that was heard before
counts any more and all are read anew, in one batch, before the next move.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ophyd.signal import EpicsSignalBase

from microarpes.devices.channel_access import read_fresh

#: SPMG, as the record counts.
MODES = ("Stop", "Pause", "Move", "Go")


def travel_time(distance: float, velocity: float, acceleration_time: float, settle_time: float = 0.0) -> float:
    """Return the least time a trapezoidal move takes, s.

    Parameters
    ----------
    distance : float
        In the axis' unit; the sign does not matter.
    velocity : float
        Units per second at full speed (VELO).
    acceleration_time : float
        Seconds from rest to full speed (ACCL); a short move never reaches it.
    settle_time : float
        Seconds waited after arrival (DLY).

    Examples
    --------
    >>> round(travel_time(10.0, velocity=2000.0, acceleration_time=0.01), 6)
    0.014142
    """
    distance = abs(distance)
    if distance == 0 or velocity <= 0:
        return settle_time
    ramp = velocity * acceleration_time
    if distance <= ramp:
        return 2 * math.sqrt(distance * acceleration_time / velocity) + settle_time
    return distance / velocity + acceleration_time + settle_time


@dataclass(frozen=True)
class MotorSettings:
    """Fields of a motor record, in the axis' unit and s.

    Parameters
    ----------
    low_limit, high_limit : float
        LLM and HLM, user coordinates; a low one that is not below the high one means no limits.
    velocity, acceleration_time, settle_time : float
        VELO, ACCL, DLY.
    backlash : float
        BDST, dial coordinates: the last part of every move is travelled in its direction.
    backlash_velocity, backlash_acceleration_time : float
        BVEL, BACC.
    direction : int
        DIR: 0 when user and dial coordinates count the same way, 1 when they do not.
    mode : int
        SPMG, an index of `MODES`.
    egu : str
        EGU.
    offset : float
        OFF: what user coordinates have and dial coordinates have not.
    """

    low_limit: float
    high_limit: float
    velocity: float
    acceleration_time: float
    settle_time: float
    backlash: float
    backlash_velocity: float
    backlash_acceleration_time: float
    direction: int
    mode: int
    egu: str
    offset: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> MotorSettings:
        """Return settings from the fields' values, whatever their types."""
        numbers = {name: float(value) for name, value in values.items() if name not in ("direction", "mode", "egu")}
        return cls(
            **numbers, direction=int(values["direction"]), mode=int(values["mode"]), egu=str(values["egu"]).strip()
        )

    @property
    def units(self) -> str:
        """EGU with u for micro, as a configuration writes it."""
        return self.egu.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")

    @property
    def overshoot(self) -> float:
        """By how much a move goes beyond its target before the backlash is taken out, user coordinates."""
        return self.backlash if self.direction else -self.backlash

    def allows(self, position: float) -> bool:
        """Tell whether a user coordinate is within the soft limits."""
        return not self.low_limit < self.high_limit or self.low_limit <= position <= self.high_limit

    def kinematic_time(self, distance: float) -> float:
        """Return the least time a move over `distance` takes, s, backlash and settling included."""
        fast, slow = (self.velocity, self.acceleration_time), (self.backlash_velocity, self.backlash_acceleration_time)
        last = -self.overshoot
        if last == 0.0:
            return travel_time(distance, *fast, self.settle_time)
        if 0.0 <= math.copysign(1.0, last) * distance <= abs(last):
            return travel_time(distance, *slow, self.settle_time)
        return travel_time(distance - last, *fast) + travel_time(last, *slow, self.settle_time)


class WatchedSettings:
    """The settings of a motor record as its monitors tell them.

    Parameters
    ----------
    signals : mapping of str to EpicsSignalBase
        Monitored; one for each field of `MotorSettings`.
    """

    def __init__(self, signals: Mapping[str, EpicsSignalBase]) -> None:
        self._signals = dict(signals)
        self._values: dict[str, Any] = {}
        self._known: MotorSettings | None = None
        self._heard_all = False
        self._lock = threading.Lock()
        for name, signal in self._signals.items():
            signal.subscribe(self._listener(name), run=False)

    def _listener(self, name: str) -> Any:
        def heard(value: Any = None, **_: Any) -> None:
            with self._lock:
                self._values[name] = value
                self._known = None

        return heard

    def forget(self) -> None:
        """Let the next look be a fresh read: the IOC was away and may have other settings now."""
        with self._lock:
            self._known, self._heard_all = None, False

    def now(self) -> MotorSettings:
        """Return the settings.

        Raises
        ------
        ConnectionError, TimeoutError
            They had to be read and the record did not answer.
        """
        if not self._heard_all:
            found = read_fresh(self._signals)
            with self._lock:
                self._values = {name: reading["value"] for name, reading in found.items()}
                self._known, self._heard_all = None, True
        with self._lock:
            if self._known is None:
                self._known = MotorSettings.of(self._values)
            return self._known
