"""Where the motors must be for a spot of the sample to be in the beam, whatever the angles; pure, no hardware.

Conventions. x, y and z are the directions of the three translations: y along the polar axis, z along the axis of the
analyser's lens, x making them right-handed. As on every raster they say where the *beam* is on the sample: x = 100 um
puts the spot that is 100 um to the +x side of the origin into the beam. The translations carry the rotations, the
polar axis carries the tilt axis, and that the azimuth axis, so that the sample turns by ::

    R(polar, tilt, azimuth) = Ry(-polar) Rx(tilt) Rz(azimuth)

with right-handed Rx, Ry, Rz. A positive polar (tilt) angle turns emission towards +x (+y) into the lens, as kx = k
sin(polar) has it; a positive azimuth turns the sample counter-clockwise for who looks at its face. A motor that counts
the other way has the sense -1.

u, v and w belong to the sample: at the reference angles they are x, y and z. u and v run over its surface if the
reference angles are those at which the surface is parallel to x and y; w is the height above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Triple = tuple[float, float, float]


def rotation(polar: float, tilt: float, azimuth: float) -> Array:
    """Return the matrix by which the sample has turned, shape (3, 3); angles in deg.

    Examples
    --------
    >>> rotation(90.0, 0.0, 0.0).round(6) @ [0.0, 0.0, 1.0]  # the normal turns away from +x
    array([-1.,  0.,  0.])
    """
    (cp, sp), (ct, st), (ca, sa) = ((math.cos(a), math.sin(a)) for a in map(math.radians, (polar, tilt, azimuth)))
    about_y = np.array([[cp, 0.0, -sp], [0.0, 1.0, 0.0], [sp, 0.0, cp]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, ct, -st], [0.0, st, ct]])
    about_z = np.array([[ca, -sa, 0.0], [sa, ca, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(about_y @ about_x @ about_z)


@dataclass(frozen=True)
class SampleGeometry:
    """How sample and motor coordinates belong together.

    Parameters
    ----------
    centre : tuple of float, um
        The rotation centre: x, y, z at which the point that no rotation moves is in the beam.
    reference : tuple of float, deg
        Polar, tilt, azimuth at which u, v, w are x, y, z.
    senses : tuple of int
        +1 or -1 for polar, tilt, azimuth; -1 for a motor that counts against the convention of this module.

    Raises
    ------
    ValueError
        A sense is neither +1 nor -1, or a number is not finite.
    """

    centre: Triple = (0.0, 0.0, 0.0)
    reference: Triple = (0.0, 0.0, 0.0)
    senses: tuple[int, int, int] = (1, 1, 1)

    def __post_init__(self) -> None:
        if any(sense not in (1, -1) for sense in self.senses):
            raise ValueError(f"rotation senses {self.senses} of polar, tilt, azimuth must each be 1 or -1")
        if not np.all(np.isfinite([*self.centre, *self.reference])):
            raise ValueError(f"rotation centre {self.centre} um and reference {self.reference} deg must be finite")

    def absolute(self, angles: ArrayLike) -> Array:
        """Return the matrix by which the sample has turned since all angles were 0, shape (3, 3).

        Parameters
        ----------
        angles : array_like, shape (3,), deg
            Polar, tilt, azimuth as the motors count them.
        """
        polar, tilt, azimuth = (sense * float(a) for sense, a in zip(self.senses, np.asarray(angles), strict=True))
        return rotation(polar, tilt, azimuth)

    def turned(self, angles: ArrayLike) -> Array:
        """Return the matrix by which the sample has turned since it was at the reference angles, shape (3, 3)."""
        return np.asarray(self.absolute(angles) @ self.absolute(self.reference).T)

    def motors(self, spot: ArrayLike, angles: ArrayLike) -> Array:
        """Return x, y, z (um, shape (3,)) that put a spot of the sample into the beam.

        Parameters
        ----------
        spot : array_like, shape (3,), um
            u, v, w.
        angles : array_like, shape (3,), deg
            Polar, tilt, azimuth.
        """
        centre = np.asarray(self.centre)
        return np.asarray(centre + self.turned(angles) @ (np.asarray(spot, dtype=np.float64) - centre))

    def spot(self, motors: ArrayLike, angles: ArrayLike) -> Array:
        """Return u, v, w (um, shape (3,)) of what is in the beam; the exact inverse of `motors`.

        Parameters
        ----------
        motors : array_like, shape (3,), um
            x, y, z.
        angles : array_like, shape (3,), deg
            Polar, tilt, azimuth.
        """
        centre = np.asarray(self.centre)
        return np.asarray(centre + self.turned(angles).T @ (np.asarray(motors, dtype=np.float64) - centre))
