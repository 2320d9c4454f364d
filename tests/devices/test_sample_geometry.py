"""Sample and motor coordinates: one rotation order, one set of signs, exact both ways."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from microarpes.devices.sample_geometry import SampleGeometry, rotation

RNG = np.random.default_rng(20181127)
CASES = [(RNG.uniform(-5000, 5000, 3), RNG.uniform(-5000, 5000, 3), RNG.uniform(-180, 180, (2, 3))) for _ in range(50)]


@pytest.mark.parametrize("angles", [RNG.uniform(-180, 180, 3) for _ in range(20)])
def test_the_rotation_is_that_of_an_independent_library(angles):
    # Capital letters: each axis is carried by the one before. The polar angle counts against the right-handed y.
    polar, tilt, azimuth = angles
    oracle = Rotation.from_euler("YXZ", [-polar, tilt, azimuth], degrees=True).as_matrix()
    assert rotation(polar, tilt, azimuth) == pytest.approx(oracle, abs=1e-14)


@pytest.mark.parametrize(("polar", "tilt"), [(10.0, 0.0), (0.0, 7.0), (-20.0, 12.0), (35.0, -5.0)])
def test_a_positive_angle_brings_emission_towards_plus_x_and_plus_y_into_the_lens(polar, tilt):
    # What enters the lens, along z, seen from the sample: kx / k = sin(polar), ky / k = cos(polar) sin(tilt).
    p, t = np.radians((polar, tilt))
    seen = rotation(polar, tilt, 0.0).T @ [0.0, 0.0, 1.0]
    assert seen == pytest.approx([np.sin(p), np.cos(p) * np.sin(t), np.cos(p) * np.cos(t)], abs=1e-14)


def test_a_positive_azimuth_turns_the_face_counter_clockwise():
    assert rotation(0.0, 0.0, 90.0) @ [1.0, 0.0, 0.0] == pytest.approx([0.0, 1.0, 0.0], abs=1e-15)


@pytest.mark.parametrize(("centre", "spot", "angles"), CASES)
def test_spot_to_motors_and_back_is_exact(centre, spot, angles):
    geometry = SampleGeometry(tuple(centre), tuple(angles[0]), (1, -1, 1))
    motors = geometry.motors(spot, angles[1])
    assert geometry.spot(motors, angles[1]) == pytest.approx(spot, abs=1e-9)
    assert geometry.motors(geometry.spot(spot, angles[1]), angles[1]) == pytest.approx(spot, abs=1e-9)


@pytest.mark.parametrize(("centre", "spot", "angles"), CASES[:10])
def test_motors_agree_with_an_independent_rotation_about_the_centre(centre, spot, angles):
    reference, turned = (Rotation.from_euler("YXZ", [-p, t, a], degrees=True) for p, t, a in angles)
    expected = centre + (turned * reference.inv()).apply(spot - centre)
    geometry = SampleGeometry(tuple(centre), tuple(angles[0]))
    assert geometry.motors(spot, angles[1]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("centre", "spot", "angles"), CASES[:10])
def test_at_the_reference_angles_u_v_w_are_x_y_z(centre, spot, angles):
    geometry = SampleGeometry(tuple(centre), tuple(angles[0]))
    assert geometry.motors(spot, angles[0]) == pytest.approx(spot, abs=1e-9)


@pytest.mark.parametrize(("centre", "_spot", "angles"), CASES[:10])
def test_a_spot_on_the_rotation_centre_needs_no_motion(centre, _spot, angles):
    geometry = SampleGeometry(tuple(centre), tuple(angles[0]))
    assert geometry.motors(centre, angles[1]) == pytest.approx(centre, abs=1e-9)


def test_five_degrees_about_a_centre_200_um_off_by_hand():
    # The centre is met 200 um further along z: the spot swings about it by 200 sin 5 = 17.431 um to -x of where it
    # was, and the beam must be 17.431 um to that side; it also comes 200 (1 - cos 5) = 0.761 um.
    geometry = SampleGeometry(centre=(0.0, 0.0, 200.0))
    assert geometry.motors([0.0, 0.0, 0.0], [5.0, 0.0, 0.0]) == pytest.approx([17.431, 0.0, 0.761], abs=1e-3)


def test_a_motor_that_counts_the_other_way_has_the_other_sense():
    one, other = SampleGeometry((10.0, 20.0, 300.0)), SampleGeometry((10.0, 20.0, 300.0), senses=(-1, 1, -1))
    spot = [40.0, -30.0, 5.0]
    assert one.motors(spot, [8.0, 3.0, 30.0]) == pytest.approx(other.motors(spot, [-8.0, 3.0, -30.0]), abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"senses": (1, 0, 1)}, "must each be 1 or -1"),
        ({"centre": (0.0, float("nan"), 0.0)}, "must be finite"),
        ({"reference": (float("inf"), 0.0, 0.0)}, "must be finite"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        SampleGeometry(**arguments)
