"""The footprint of the beam on the tilted sample; pure, no hardware.

The beam travels in the horizontal plane, x-z of `sample_geometry`, and comes from the +x side at `incidence` degrees
from the axis of the lens (from the -x side when that is negative). All angles 0 put the surface normal on that axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from microarpes.devices.sample_geometry import SampleGeometry


@dataclass(frozen=True)
class Footprint:
    """The ellipse at half maximum of a Gaussian beam on the surface.

    Parameters
    ----------
    u, v : float, um FWHM
        Of the profile along u (summed over v) and along v (summed over u).
    major, minor : float, um FWHM
        Principal axes.
    orientation : float, deg
        From u to the major axis, towards v; in (-90, 90].
    incidence : float, deg
        Between the beam and the surface normal.
    """

    u: float
    v: float
    major: float
    minor: float
    orientation: float
    incidence: float


def footprint(
    spot_size: tuple[float, float], incidence: float, angles: ArrayLike, geometry: SampleGeometry | None = None
) -> Footprint:
    """Return the footprint of a beam.

    Parameters
    ----------
    spot_size : (horizontal, vertical), um FWHM
        Of the Gaussian beam, across its direction.
    incidence : float, deg
        Between the beam and the axis of the lens.
    angles : array_like, shape (3,), deg
        Polar, tilt, azimuth.
    geometry : SampleGeometry, optional
        Its senses say how the motors count.

    Raises
    ------
    ValueError
        A size is not above 0, or the beam does not strike the face of the sample.

    Examples
    --------
    >>> found = footprint((10.0, 12.0), 60.0, (0.0, 0.0, 0.0))
    >>> round(found.u, 6), round(found.v, 6)  # 10 um / cos(60 deg)
    (20.0, 12.0)
    """
    if not all(size > 0 and math.isfinite(size) for size in spot_size):
        raise ValueError(f"spot_size = {spot_size} um FWHM must be above 0")
    turned = (geometry or SampleGeometry()).absolute(angles)
    away = math.radians(incidence)
    towards_source = np.array([math.sin(away), 0.0, math.cos(away)])
    cosine = float(towards_source @ turned[:, 2])
    if cosine <= 1e-6:
        raise ValueError(
            f"at polar, tilt, azimuth = {tuple(map(float, np.asarray(angles)))} deg a beam at {incidence:g} deg does "
            f"not strike the face of the sample; is the sign of the incidence right?"
        )
    across = np.array([[math.cos(away), 0.0, -math.sin(away)], [0.0, 1.0, 0.0]]) / np.array(spot_size)[:, None]
    # Half maximum lies where the distances across the beam, in units of its FWHM, have the square sum 1/4.
    form = across @ turned[:, :2]
    covariance = np.linalg.inv(form.T @ form)
    (minor, major), vectors = np.linalg.eigh(covariance)
    orientation = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    return Footprint(
        u=math.sqrt(covariance[0, 0]),
        v=math.sqrt(covariance[1, 1]),
        major=math.sqrt(major),
        minor=math.sqrt(minor),
        orientation=90.0 - (90.0 - orientation) % 180.0,
        incidence=math.degrees(math.acos(min(1.0, cosine))),
    )
