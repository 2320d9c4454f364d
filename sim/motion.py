"""Kinematics of one axis: trapezoid velocity profile and braking. Pure functions of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Trajectory(Protocol):
    """A move that ends by itself."""

    @property
    def duration(self) -> float:
        """Seconds from begin to rest."""

    @property
    def end(self) -> float:
        """Position at rest."""

    def position(self, time: float) -> float:
        """Position after `time` seconds."""

    def velocity(self, time: float) -> float:
        """Signed velocity after `time` seconds."""


def trapezoid(distance: float, velocity: float, acceleration_time: float) -> tuple[float, float, float]:
    """Return how long a move accelerates and cruises, and its peak speed.

    Parameters
    ----------
    distance : float
        Unsigned, in the axis' unit.
    velocity : float
        Full speed (VELO), unit/s, > 0.
    acceleration_time : float
        Seconds from rest to full speed (ACCL), >= 0.

    Returns
    -------
    ramp, cruise : float, s
        The move takes ``2 ramp + cruise``.
    peak : float, unit/s
        Below `velocity` when the move is too short to reach it.
    """
    if distance <= 0.0:
        return 0.0, 0.0, 0.0
    if distance >= velocity * acceleration_time:
        return acceleration_time, distance / velocity - acceleration_time, velocity
    acceleration = velocity / acceleration_time
    ramp = math.sqrt(distance / acceleration)
    return ramp, 0.0, acceleration * ramp


@dataclass(frozen=True)
class Move:
    """A move from rest to rest.

    Parameters
    ----------
    start, end : float
        In the axis' unit.
    full_speed : float
        VELO, unit/s.
    acceleration_time : float
        ACCL, s.
    """

    start: float
    end: float
    full_speed: float
    acceleration_time: float

    @property
    def duration(self) -> float:
        """Seconds from begin to rest; the kinematic minimum of the move, without settling."""
        ramp, cruise, _ = self._profile
        return 2 * ramp + cruise

    @property
    def _profile(self) -> tuple[float, float, float]:
        return trapezoid(abs(self.end - self.start), self.full_speed, self.acceleration_time)

    def position(self, time: float) -> float:
        """Return the position after `time` seconds."""
        ramp, cruise, peak = self._profile
        total = 2 * ramp + cruise
        if time >= total:
            return self.end
        if time <= 0.0:
            return self.start
        if time < ramp:
            travelled = 0.5 * peak * time * time / ramp
        elif time <= ramp + cruise:
            travelled = peak * (time - 0.5 * ramp)
        else:
            left = total - time
            travelled = abs(self.end - self.start) - 0.5 * peak * left * left / ramp
        return self.start + math.copysign(travelled, self.end - self.start)

    def velocity(self, time: float) -> float:
        """Return the signed velocity after `time` seconds."""
        ramp, cruise, peak = self._profile
        total = 2 * ramp + cruise
        if not 0.0 < time < total:
            return 0.0
        speed = peak if ramp == 0.0 else peak * min(1.0, time / ramp, (total - time) / ramp)
        return math.copysign(speed, self.end - self.start)


@dataclass(frozen=True)
class Braking:
    """Coming to rest from a velocity.

    Parameters
    ----------
    start : float
        In the axis' unit.
    initial : float
        Signed velocity, unit/s.
    deceleration : float
        unit/s^2, > 0; infinite stops at once.
    """

    start: float
    initial: float
    deceleration: float

    @property
    def duration(self) -> float:
        """Seconds to rest."""
        return abs(self.initial) / self.deceleration

    @property
    def end(self) -> float:
        """Position at rest."""
        return self.start + 0.5 * self.initial * self.duration

    def position(self, time: float) -> float:
        """Return the position after `time` seconds."""
        if time >= self.duration:
            return self.end
        slowed = math.copysign(0.5 * self.deceleration * time * time, self.initial)
        return self.start + self.initial * time - slowed

    def velocity(self, time: float) -> float:
        """Return the signed velocity after `time` seconds."""
        left = max(0.0, self.duration - time)
        return math.copysign(self.deceleration * left, self.initial) if left else 0.0
