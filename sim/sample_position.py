"""Where on the sample the beam falls, for six axes of a manipulator whose rotation centre is where it is.

The translations carry the rotations: polar about the vertical y, on it tilt about x, on that azimuth about z, the axis
of the lens. kx = k sin(polar) and ky = k sin(tilt) give the senses. The motors count where the beam is on the sample.
At the angles of the boot the cleaved face is taken to be the x-y plane through the origin, z towards the lens; there
the beam is at u = x, v = y. It comes from the +x side at `INCIDENCE` from the lens, so that a face out of focus (z) is
hit to the side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.frame_source import Pose
from microarpes.sim.signals import Signals, number

#: Between beam and lens, deg.
INCIDENCE = 45.0
#: From the sample towards the source, in the frame of the translations.
_TOWARDS_SOURCE = np.array([np.sin(np.radians(INCIDENCE)), 0.0, np.cos(np.radians(INCIDENCE))])
#: Rows are the axes about which polar, tilt and azimuth turn, right-handed.
_AXES = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def turned(vector: NDArray[np.float64], axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return a vector turned about an axis by an angle in deg (Rodrigues' formula)."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along = axis * (axis @ vector)
    return np.asarray(along + cosine * (vector - along) + sine * np.cross(axis, vector))


def outermost_last(vector: NDArray[np.float64], angles: Sequence[float], sign: int) -> NDArray[np.float64]:
    """Return a vector turned with the sample (`sign` 1: azimuth, then tilt, then polar) or against it (-1)."""
    order = (2, 1, 0) if sign > 0 else (0, 1, 2)
    for index in order:
        vector = turned(vector, _AXES[index], sign * angles[index])
    return vector


@dataclass(frozen=True)
class Mounting:
    """How the sample sits on its manipulator.

    Parameters
    ----------
    centre : tuple of float, um
        Motor positions at which the rotation centre is in the beam.
    boot_angles : tuple of float, deg
        Polar, tilt, azimuth at which u, v are x, y.
    """

    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    boot_angles: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def spot(self, pose: Pose) -> tuple[float, float]:
        """Return u, v (um) of the point where the beam meets the face; far away when it does not meet it."""
        angles = (pose.polar, pose.tilt, pose.azimuth)
        if angles == self.boot_angles and pose.z == 0.0:
            return pose.x, pose.y
        centre = np.array(self.centre)
        focus = centre + self._on_sample(np.array([pose.x, pose.y, pose.z]) - centre, angles)
        towards_source = self._on_sample(_TOWARDS_SOURCE, angles)
        if towards_source[2] < 1e-3:
            return 1e9, 1e9
        u, v, _ = focus - towards_source * (focus[2] / towards_source[2])
        return float(u), float(v)

    def _on_sample(self, vector: NDArray[np.float64], angles: Sequence[float]) -> NDArray[np.float64]:
        """Return a direction of the translations as the sample sees it."""
        return outermost_last(outermost_last(vector, angles, -1), self.boot_angles, 1)


class SamplePosition:
    """The rotation centre, and the spot in the beam as a truth that no client under test reads.

    Parameters
    ----------
    prefix : str
        Of the PVs.
    centre : tuple of float, um
        Rotation centre at boot.
    boot_angles : tuple of float, deg
    """

    def __init__(
        self, prefix: str, centre: tuple[float, float, float], boot_angles: tuple[float, float, float]
    ) -> None:
        self._boot_angles = boot_angles
        self.centre = [number(value, "um", writable=True) for value in centre]
        self.spot = [number(0.0, "um") for _ in range(2)]
        names = [f"{prefix}MANIP:ROTATION_CENTRE:{axis}" for axis in "XYZ"] + [f"{prefix}TRUTH:SPOT:{c}" for c in "UV"]
        self.signals: Signals = dict(zip(names, (*self.centre, *self.spot), strict=True))

    def in_beam(self, pose: Pose) -> Pose:
        """Return a pose whose x and y are the spot in the beam, um."""
        x, y, z = (float(signal.value) for signal in self.centre)
        u, v = Mounting((x, y, z), self._boot_angles).spot(pose)
        return replace(pose, x=u, y=v)

    async def update(self, pose: Pose) -> None:
        """Post the spot of a pose as `in_beam` returned it."""
        for signal, value in zip(self.spot, (pose.x, pose.y), strict=True):
            await signal.post(value)
