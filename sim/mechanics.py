"""What a stage does behind its motor record: the motor's own position, lost motion, landing errors, vibration."""

from __future__ import annotations

import math
import time

import numpy as np

from microarpes.sim.motion import Braking, Trajectory
from microarpes.sim.signals import Signals, number

#: The stage rings at this frequency, Hz, and the ringing dies out with this time constant, s.
RINGING, DAMPING = 60.0, 0.02


class Mechanics:
    """Motor and stage of one axis, in units of the axis; three knobs say how imperfect they are, all 0 at boot.

    ``LOST_MOTION`` is the play between motor and stage: after a move in + direction the stage is half of it behind,
    after one in - direction half of it ahead. ``LANDING_ERROR`` is the sigma by which the motor misses its target.
    ``VIBRATION`` is the amplitude of the stage's ringing when the motor comes to rest.

    Parameters
    ----------
    pvname : str
        Of the motor record; the knobs are below it.
    units : str
    position : float
        Where motor and stage are.
    seed : sequence of int
        Of the landing errors.
    """

    def __init__(self, pvname: str, units: str, position: float, seed: list[int]) -> None:
        self.lost_motion, self.landing_error = number(0.0, units, writable=True), number(0.0, units, writable=True)
        self.vibration = number(0.0, units, writable=True)
        self.signals: Signals = {
            f"{pvname}:LOST_MOTION": self.lost_motion,
            f"{pvname}:LANDING_ERROR": self.landing_error,
            f"{pvname}:VIBRATION": self.vibration,
        }
        self._rng = np.random.default_rng(seed)
        self._rest = self._anchor = position
        self._behind = 0.0
        self._trajectory: Trajectory | None = None
        self._began = self._landed = -math.inf

    @property
    def moving(self) -> bool:
        """Whether a trajectory is being followed, or has ended and nobody has said `land` yet."""
        return self._trajectory is not None

    @property
    def left(self) -> float:
        """Seconds until the motor is at the end of its trajectory; negative afterwards."""
        return self._began + self._trajectory.duration - time.monotonic() if self._trajectory else 0.0

    def miss(self) -> float:
        """Draw by how much the motor will miss a target."""
        sigma = float(self.landing_error.value)
        return sigma * float(self._rng.standard_normal()) if sigma else 0.0

    def follow(self, trajectory: Trajectory) -> None:
        """Begin to follow a trajectory that starts where the motor is."""
        self._settle_anchor(self.motor())
        self._trajectory, self._began = trajectory, time.monotonic()

    def brake(self, deceleration: float) -> None:
        """Come to rest from whatever is under way."""
        if self._trajectory is not None:
            speed = self._trajectory.velocity(time.monotonic() - self._began)
            self.follow(Braking(self.motor(), speed, deceleration))

    def land(self, *, here: bool = False) -> None:
        """Be at rest at the end of the trajectory, or where the motor is now."""
        if self._trajectory is not None:
            end = self.motor() if here else self._trajectory.end
            self._settle_anchor(end)
            self._rest, self._landed = end, self._began + self._trajectory.duration
            self._trajectory = None

    def motor(self) -> float:
        """Return the motor's position now."""
        if self._trajectory is None:
            return self._rest
        return self._trajectory.position(time.monotonic() - self._began)

    def velocity(self) -> float:
        """Return the motor's velocity now, units/s."""
        return self._trajectory.velocity(time.monotonic() - self._began) if self._trajectory else 0.0

    def stage(self) -> float:
        """Return the stage's position now: where the sample is."""
        motor = self.motor()
        return motor - self._play(motor) + self._ringing()

    def _play(self, motor: float) -> float:
        """Return by how much the stage is behind the motor: the play, taken up in the direction of travel."""
        half = 0.5 * abs(float(self.lost_motion.value))
        return min(half, max(-half, self._behind + motor - self._anchor)) if half else 0.0

    def _settle_anchor(self, motor: float) -> None:
        self._behind, self._anchor = self._play(motor), motor

    def _ringing(self) -> float:
        amplitude = float(self.vibration.value)
        if not amplitude or self._trajectory is not None:
            return 0.0
        passed = time.monotonic() - self._landed
        # After ten time constants the stage is at rest, and at the same place in every frame.
        if passed > 10.0 * DAMPING:
            return 0.0
        return amplitude * math.exp(-passed / DAMPING) * math.cos(2.0 * math.pi * RINGING * passed)
