"""Kinematics of one axis."""

import math

import numpy as np
import pytest

from microarpes.sim.motion import Braking, Move, trapezoid


def test_a_long_move_cruises():
    ramp, cruise, peak = trapezoid(1000.0, 2000.0, 0.01)
    # Two ramps of 10 ms cover 20 um; the other 980 um take 0.49 s.
    assert (ramp, cruise, peak) == pytest.approx((0.01, 0.49, 2000.0))


def test_a_short_move_never_reaches_full_speed():
    ramp, cruise, peak = trapezoid(10.0, 2000.0, 0.01)
    # a = 2e5 um/s^2: 2 sqrt(10 / a) = 14.1 ms for a 10 um step, peaking at a * 7.07 ms.
    assert 2 * ramp == pytest.approx(0.01414, abs=1e-5)
    assert cruise == 0.0
    assert peak == pytest.approx(1414.2, abs=0.1)


def test_no_distance_takes_no_time_and_no_acceleration_time_means_at_once():
    assert trapezoid(0.0, 5.0, 0.1) == (0.0, 0.0, 0.0)
    assert Move(0.0, 10.0, 5.0, 0.0).duration == pytest.approx(2.0)
    assert Move(0.0, 10.0, 5.0, 0.0).position(1.0) == pytest.approx(5.0)


@pytest.mark.parametrize("end", [1000.0, -1000.0, 10.0, -3.0])
def test_position_is_the_integral_of_velocity_and_ends_exactly(end):
    move = Move(100.0, 100.0 + end, 2000.0, 0.01)
    time = np.linspace(0.0, move.duration, 4001)
    velocity = np.array([move.velocity(t) for t in time])
    position = np.array([move.position(t) for t in time])
    integrated = 100.0 + np.concatenate([[0.0], np.cumsum((velocity[1:] + velocity[:-1]) / 2 * np.diff(time))])
    assert np.abs(position - integrated).max() < 1e-3 * abs(end)
    assert move.position(move.duration) == 100.0 + end
    assert np.abs(velocity).max() <= 2000.0 * (1 + 1e-12)


def test_braking_goes_on_for_half_the_time_at_the_first_speed():
    braking = Braking(0.0, -2000.0, 2e5)
    assert braking.duration == pytest.approx(0.01)
    assert braking.end == pytest.approx(-10.0)
    assert braking.position(0.005) == pytest.approx(-7.5)
    assert braking.velocity(0.005) == pytest.approx(-1000.0)
    assert braking.position(1.0) == braking.end
    assert braking.velocity(1.0) == 0.0


def test_braking_without_a_ramp_stops_on_the_spot():
    assert Braking(3.0, 5.0, math.inf).end == 3.0
