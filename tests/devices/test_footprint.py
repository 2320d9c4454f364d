"""The footprint: cases by hand, and the profile of a Gaussian beam summed up on a tilted face."""

from __future__ import annotations

import math

import numpy as np
import pytest

from microarpes.devices.footprint import footprint
from microarpes.devices.sample_geometry import SampleGeometry, rotation

BEAM = (10.0, 12.0)


# A plane tilted by a from the beam's cross-section stretches the spot by 1 / cos a in the direction of the tilt.
@pytest.mark.parametrize(
    ("incidence", "angles", "u", "v"),
    [
        (0.0, (0.0, 0.0, 0.0), 10.0, 12.0),
        (60.0, (0.0, 0.0, 0.0), 20.0, 12.0),
        (-60.0, (0.0, 0.0, 0.0), 20.0, 12.0),
        # a positive polar angle turns the normal away from a source at +x: 45 + 15 = 60 deg
        (45.0, (15.0, 0.0, 0.0), 20.0, 12.0),
        # and a negative one towards it
        (45.0, (-45.0, 0.0, 0.0), 10.0, 12.0),
        (45.0, (9.42, 0.0, 0.0), 10.0 / math.cos(math.radians(54.42)), 12.0),
        (0.0, (0.0, 60.0, 0.0), 10.0, 24.0),
        # turned by a quarter about its normal, u lies across the plane of incidence
        (60.0, (0.0, 0.0, 90.0), 12.0, 20.0),
    ],
)
def test_the_footprint_by_hand(incidence, angles, u, v):
    found = footprint(BEAM, incidence, angles)
    assert (found.u, found.v) == pytest.approx((u, v), rel=1e-9)


def test_the_long_axis_stays_in_the_plane_of_incidence_when_the_face_turns():
    found = footprint(BEAM, 60.0, (0.0, 0.0, 45.0))
    # 20 um in the plane of incidence and 12 um across; the face has turned by +45 deg, so for it the beam by -45 deg.
    assert (found.major, found.minor, found.orientation) == pytest.approx((20.0, 12.0, -45.0))
    assert found.u == pytest.approx(math.sqrt((20.0**2 + 12.0**2) / 2))
    assert found.incidence == pytest.approx(60.0)


def half_width(axis, profile):
    above = axis[profile >= profile.max() / 2]
    return above[-1] - above[0]


@pytest.mark.parametrize("angles", [(12.0, 0.0, 0.0), (20.0, -15.0, 30.0), (-30.0, 25.0, -70.0)])
def test_the_widths_are_those_of_a_beam_summed_up_on_the_face(angles):
    axis = np.linspace(-60.0, 60.0, 2401)
    u, v = np.meshgrid(axis, axis, indexing="ij")
    x, y, z = np.einsum("ij,jkl->ikl", rotation(*angles)[:, :2], np.stack([u, v]))
    # across a beam from +x at 45 deg: what is left of a point after its way along the beam is taken off
    across = x * math.cos(math.radians(45)) - z * math.sin(math.radians(45))
    beam = np.exp(-4 * math.log(2) * ((across / BEAM[0]) ** 2 + (y / BEAM[1]) ** 2))
    found = footprint(BEAM, 45.0, angles)
    # the grid has steps of 0.05 um
    assert half_width(axis, beam.sum(axis=1)) == pytest.approx(found.u, abs=0.11)
    assert half_width(axis, beam.sum(axis=0)) == pytest.approx(found.v, abs=0.11)


def test_a_motor_that_counts_the_other_way_gives_the_other_side():
    senses = SampleGeometry(senses=(-1, 1, 1))
    assert footprint(BEAM, 45.0, (15.0, 0.0, 0.0), senses) == footprint(BEAM, 45.0, (-15.0, 0.0, 0.0))


@pytest.mark.parametrize("polar", [45.0, 60.0, 179.0])
def test_a_beam_that_does_not_strike_the_face_is_refused(polar):
    with pytest.raises(ValueError, match=r"does not strike the face of the sample; is the sign"):
        footprint(BEAM, 45.0, (polar, 0.0, 0.0))


@pytest.mark.parametrize("size", [(0.0, 12.0), (10.0, -1.0), (math.nan, 1.0), (math.inf, 1.0)])
def test_a_spot_without_a_size_is_refused(size):
    with pytest.raises(ValueError, match=r"spot_size = .* um FWHM must be above 0"):
        footprint(size, 45.0, (0.0, 0.0, 0.0))
