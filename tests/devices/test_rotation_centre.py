"""The rotation centre from landmarks: exact without noise, and an error that means what it says with it."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.devices.rotation_centre import fit_rotation_centre
from microarpes.devices.sample_geometry import SampleGeometry

CENTRE = (120.0, -45.0, 310.0)
LANDMARKS = np.array([[60.0, 20.0, 0.0], [-150.0, 80.0, 3.0]])
#: What an afternoon gives: two landmarks, each found again at nine settings of three angles.
ANGLES = np.array([(p, t, a) for p in (-10.0, 0.0, 10.0) for t in (-5.0, 0.0, 5.0) for a in (3.0 * t,)])


def found_at(noise=0.0, seed=0, angles=ANGLES, out_of_focus=0.0):
    rng = np.random.default_rng(seed)
    geometry = SampleGeometry(CENTRE)
    which = [k for k in range(len(LANDMARKS)) for _ in angles]
    turns = [tuple(angle) for _ in LANDMARKS for angle in angles]
    exact = np.array([geometry.motors(LANDMARKS[k], angle) for k, angle in zip(which, turns, strict=True)])
    along = rng.uniform(-out_of_focus, out_of_focus, (len(exact), 1)) * np.array([[np.sqrt(0.5), 0.0, np.sqrt(0.5)]])
    return exact + along + noise * rng.standard_normal(exact.shape), turns, which


def test_without_noise_centre_and_landmarks_are_exact():
    fit = fit_rotation_centre(*found_at())
    assert fit.centre == pytest.approx(CENTRE, abs=1e-7)
    assert fit.landmarks == pytest.approx(LANDMARKS, abs=1e-7)
    assert fit.residual == pytest.approx(0.0, abs=1e-8)
    # 18 positions of 3 coordinates, less centre and two landmarks
    assert fit.dof == 54 - 9


@pytest.mark.parametrize("position_error", [2.0, None])
def test_the_error_means_what_it_says(position_error):
    # 2 um: how well a landmark is found with a 10 um beam. Over 300 seeds the pulls have unit width: the width of a
    # standard deviation from 300 draws is known to 4 %.
    fits = [fit_rotation_centre(*found_at(2.0, seed), position_error=position_error) for seed in range(300)]
    pulls = np.array([(np.array(fit.centre) - CENTRE) / fit.centre_stderr for fit in fits])
    assert np.abs(pulls.mean(axis=0)) == pytest.approx(0.0, abs=0.25)
    assert pulls.std(axis=0) == pytest.approx(1.0, abs=0.16)
    assert np.mean([fit.residual for fit in fits]) == pytest.approx(2.0, rel=0.03)


def test_a_centre_fitted_from_noisy_landmarks_holds_a_spot_within_the_beam():
    fit = fit_rotation_centre(*found_at(2.0, seed=5))
    geometry, truth = SampleGeometry(fit.centre), SampleGeometry(CENTRE)
    spot = np.array([40.0, -60.0, 0.0])
    for polar in (-10.0, -5.0, 5.0, 10.0):
        angles = (polar, 0.0, 0.0)
        off = truth.spot(geometry.motors(spot, angles), angles) - spot
        # a twentieth of a radian and more of turn times 10 um and less of error: a few um, under the 10 um of the beam
        assert np.linalg.norm(off) < 5.0


def test_positions_out_of_focus_still_give_the_centre_when_the_beam_is_known():
    # z stayed where it was: along the beam a position says nothing, across it all.
    positions, turns, which = found_at(out_of_focus=80.0)
    assert fit_rotation_centre(positions, turns, which, incidence=45.0).centre == pytest.approx(CENTRE, abs=1e-6)
    assert fit_rotation_centre(positions, turns, which).residual > 10.0


def test_what_the_angles_leave_open_has_an_infinite_error():
    # Turning about the vertical y alone cannot tell at which height the centre lies, and needs not know it.
    polar_only = np.array([(p, 0.0, 0.0) for p in (-10.0, -5.0, 0.0, 5.0, 10.0)])
    fit = fit_rotation_centre(*found_at(angles=polar_only))
    assert (fit.centre[0], fit.centre[2]) == pytest.approx((CENTRE[0], CENTRE[2]), abs=1e-6)
    assert fit.centre[1] == 0.0
    assert np.isinf(fit.centre_stderr[1])
    assert np.isfinite([fit.centre_stderr[0], fit.centre_stderr[2]]).all()


def test_the_senses_of_the_motors_are_heeded():
    positions, turns, which = found_at()
    mirrored = [(-p, t, a) for p, t, a in turns]
    fit = fit_rotation_centre(positions, mirrored, which, senses=(-1, 1, 1))
    assert fit.centre == pytest.approx(CENTRE, abs=1e-7)


@pytest.mark.parametrize(
    ("positions", "angles", "landmarks", "match"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), None, r"must be \(n, 3\)"),
        (np.zeros((4, 3)), np.zeros((3, 3)), None, r"must be \(n, 3\)"),
        (np.zeros((4, 3)), np.zeros((4, 3)), [0, 0], r"landmarks \(2,\) \(n,\)"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), None, "must be finite"),
        (np.zeros((1, 3)), np.zeros((1, 3)), None, "find the landmark at more angles"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused(positions, angles, landmarks, match):
    with pytest.raises(ValueError, match=match):
        fit_rotation_centre(positions, angles, landmarks)
