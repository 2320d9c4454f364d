"""An axis that moves at constant velocity while frames are taken, and where it was during each of them.

The readback of the axis is monitored while it flies: an explicit get returns what the record last posted, of unknown
age, and would be sent between two exposures. What is stored as the place of a frame comes from the IOC's times alone;
this machine's clock only says when to begin the next exposure.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ophyd.signal import EpicsSignalBase
from ophyd.status import Status

from microarpes.devices.axis import Axis
from microarpes.devices.channel_access import CONNECTION_TIMEOUT
from microarpes.devices.evidence import Evidence

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leg:
    """One flight over a row, in the axis' unit and s.

    Parameters
    ----------
    axis : str
    start, stop : float
        Where it sets out and where it is sent.
    velocity : float
        Unsigned.
    cruise : (float, float)
        Between these two, in the direction of the flight, the velocity is constant.
    step : float
        Distance of neighbouring pixels, unsigned.
    """

    axis: str
    start: float
    stop: float
    velocity: float
    cruise: tuple[float, float]
    step: float

    @classmethod
    def over(
        cls, axis: Axis, name: str, first: float, last: float, *, step: float, velocity: float, lead: float
    ) -> Leg:
        """Return the flight over pixels from `first` to `last` that has `lead` s of constant velocity beside them.

        Raises
        ------
        ValueError
            It sets out or ends where the axis may not go, backlash included; the message says where.
        """
        settings, way = axis.settings, math.copysign(1.0, last - first)
        ramp = 0.5 * velocity * settings.acceleration_time
        # Where the backlash is taken out in the direction of the flight, the last part is travelled at another speed.
        slow_end = abs(settings.overshoot) if settings.overshoot * way < 0.0 else 0.0
        enters, leaves = first - way * velocity * lead, last + way * velocity * lead
        start, stop = enters - way * ramp, leaves + way * (ramp + slow_end)
        for what, position in (("run-up", start), ("run-out", stop)):
            try:
                axis.check_value(position)
            except ValueError as error:
                raise ValueError(f"{what} of a row from {first:g} to {last:g} {axis.units}: {error}") from None
        return cls(name, start, stop, velocity, (enters, leaves), step)

    @property
    def way(self) -> float:
        """1 when the readback grows, else -1."""
        return math.copysign(1.0, self.stop - self.start)

    def cruises(self, position: float) -> bool:
        """Tell whether the velocity is constant at a position."""
        low, high = sorted(self.cruise)
        return low <= position <= high


class Flight:
    """Flies one axis at a time: sets its velocity, sends it off, follows it, and puts the velocity back.

    Its statuses never fail: what went wrong is in `error`, and the pixels that were not flown over are there to be
    taken otherwise.

    Parameters
    ----------
    axes : mapping of str to Axis
        Connected; those that may fly.
    readbacks : mapping of str to EpicsSignalBase, optional
        Monitored readbacks of the same; by default `Axis.signal_of`, as the readback of an `Axis` is not monitored.
    """

    parent = None
    name = "flight"

    def __init__(self, axes: Mapping[str, Axis], readbacks: Mapping[str, EpicsSignalBase] | None = None) -> None:
        self._axes = dict(axes)
        self._readbacks = dict(readbacks or {name: axis.signal_of(".RBV") for name, axis in self._axes.items()})
        self._lock, self._busy = threading.Lock(), threading.Lock()
        self._leg: Leg | None = None
        self._move: Status | None = None
        self._stopped = False
        #: IOC time to readback, of the cruise under way; and the last of them with this machine's time.
        self._track: dict[float, float] = {}
        self._last: tuple[float, float] | None = None
        #: Axis to the velocity that is to be put back.
        self.velocities: dict[str, float] = {}
        #: Why the last flight was none, or ended badly; empty if all is well.
        self.error = ""
        self._heard = [
            (signal, signal.subscribe(self._listener(name), run=False)) for name, signal in self._readbacks.items()
        ]
        for signal in self._readbacks.values():
            signal.wait_for_connection(timeout=CONNECTION_TIMEOUT)

    def _listener(self, name: str) -> Any:
        def heard(value: Any = None, timestamp: float = 0.0, **_: Any) -> None:
            with self._lock:
                if self._leg is not None and self._leg.axis == name and value is not None:
                    self._note(float(timestamp), float(value), time.monotonic())

        return heard

    def _note(self, stamp: float, position: float, heard: float | None) -> None:
        # Speeding up and slowing down nothing can be said of the time between two readbacks.
        if self._leg is not None and self._leg.cruises(position):
            self._track[stamp] = position
            if heard is not None:
                self._last = position, heard

    def set(self, leg: Leg | None) -> Status:
        """Set out on a flight, or, with None, wait for the end of the last one and put the velocity back."""
        status = Status(timeout=None)
        action = self._land if leg is None else lambda: self._launch(leg)
        self._stopped = self._stopped and leg is None

        def act() -> None:
            try:
                # A landing that was asked for while the axis sets out comes after that.
                with self._busy:
                    action()
            except Exception as error:  # noqa: BLE001 - told, and the pixels are taken otherwise
                self.error = str(error)
                logger.error("flight: %s", error)
            finally:
                status.set_finished()

        threading.Thread(target=act, daemon=True).start()
        return status

    def _launch(self, leg: Leg) -> None:
        axis = self._axes[leg.axis]
        self.error, self._move = "", None
        here = axis.position
        if not abs(here - leg.start) <= axis.tolerance:
            raise RuntimeError(f"{axis.name} is at {here:g} {axis.units}, not at its run-up, {leg.start:g}")
        self.velocities.setdefault(leg.axis, axis.settings.velocity)
        axis.set_velocity(leg.velocity)
        with self._lock:
            self._leg, self._track, self._last = leg, {}, None
        if self._stopped:
            raise RuntimeError(f"{axis.name} was stopped before it had set out")
        self._move = axis.set(leg.stop)
        if self._stopped:  # between the look and the command
            axis.stop()

    def _land(self) -> None:
        if self._move is not None:
            # It has a deadline of its own, and one that was stopped short has failed.
            with contextlib.suppress(Exception):
                self._move.wait()
        with self._lock:
            self._leg = None
        for name, velocity in list(self.velocities.items()):
            self._axes[name].set_velocity(velocity)
            del self.velocities[name]

    def stop(self, *, success: bool = False) -> None:
        """Stop the axis; one that is about to set out does not."""
        self._stopped = True
        leg = self._leg
        if leg is not None:
            self._axes[leg.axis].stop(success=success)

    @property
    def flying(self) -> bool:
        """Whether the axis is on its way."""
        return self._move is not None and not self._move.done

    def seconds_until(self, position: float) -> float | None:
        """Return the s until the axis comes to a position, negative if it has passed; None while it gathers speed."""
        with self._lock:
            leg, last = self._leg, self._last
        if leg is None or last is None:
            return None
        there, heard = last
        return leg.way * (position - there) / leg.velocity - (time.monotonic() - heard)

    def locate(self, evidence: Evidence) -> bool:
        """Put into the evidence of a frame where the axis was and how far it went; tell whether that is known.

        It is known when there are readbacks of constant velocity from before the exposure and from after it.
        """
        flown = evidence.flown
        if flown is None or not {"frame_id", f"{flown.axis} readback"} <= set(evidence.readings):
            return False
        readback = evidence.readings[f"{flown.axis} readback"]
        begin, end = evidence.edge_time, float(evidence.readings["frame_id"]["timestamp"])
        with self._lock:
            self._note(float(readback["timestamp"]), float(readback["value"]), None)
            track = np.array(sorted(self._track.items()), dtype=np.float64).reshape(-1, 2)
        if not (len(track) and track[0, 0] <= begin < end <= track[-1, 0]):
            return False
        flown.position, flown.blur = mean_and_width(track[:, 0], track[:, 1], begin, end)
        return True

    def lowest_velocity(self, name: str) -> float:
        """Return VBAS, units/s; 0 of a record that has none."""
        base = self._axes[name].signal_of(".VBAS")
        try:
            base.wait_for_connection(timeout=CONNECTION_TIMEOUT)
        except TimeoutError:
            return 0.0
        return float(base.get())

    def destroy(self) -> None:
        """Hear no more of the axes."""
        for signal, number in self._heard:
            signal.unsubscribe(number)


def mean_and_width(times: Any, places: Any, begin: float, end: float) -> tuple[float, float]:
    """Return mean and full width of a way between two times, straight between the places where it is known.

    Parameters
    ----------
    times, places : ndarray, shape (n,)
        Ascending times that include `begin` and `end`.

    Examples
    --------
    >>> mean_and_width(np.array([0.0, 4.0]), np.array([0.0, 8.0]), 1.0, 2.0)
    (3.0, 2.0)
    """
    inside = times[(times > begin) & (times < end)]
    nodes = np.concatenate([[begin], inside, [end]])
    way = np.interp(nodes, times, places)
    return float(np.trapezoid(way, nodes) / (end - begin)), float(np.ptp(way))
