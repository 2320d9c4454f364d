"""Flights over a row: the way, the velocity, and where the axis was during an exposure."""

from __future__ import annotations

import pytest

from microarpes.devices.evidence import Evidence, Flown
from microarpes.devices.flight import Flight, Leg


def test_the_way_of_a_row_has_room_for_speed_and_backlash(make_axis):
    axis, _ = make_axis(ACCL=0.5, BDST=3.0)
    # 10 um/s: 2.5 um of acceleration, 10 um of lead; taking out the backlash forward is another speed
    leg = Leg.over(axis, "x", -20.0, 20.0, step=10.0, velocity=10.0, lead=1.0)
    assert (leg.start, leg.cruise, leg.stop) == (-32.5, (-30.0, 30.0), 35.5)
    assert Leg.over(axis, "x", 20.0, -20.0, step=10.0, velocity=10.0, lead=1.0).stop == -32.5
    with pytest.raises(ValueError, match=r"run-out of a row .*: x = 105\.5 um is outside the soft limits"):
        Leg.over(axis, "x", 0.0, 90.0, step=10.0, velocity=10.0, lead=1.0)


def test_the_place_of_a_frame_is_the_mean_of_readbacks_of_constant_velocity_around_it(make_axis):
    axis, record = make_axis()
    flight = Flight({"x": axis}, {"x": axis.readback})
    flight._leg = Leg("x", -20.0, 20.0, 10.0, (-15.0, 15.0), 10.0)
    heard = flight._listener("x")
    evidence = Evidence(request={"x": 0.0}, flown=Flown("x", 5.0))
    evidence.edge_time = 2.0
    evidence.readings["frame_id"] = {"value": 1, "timestamp": 3.0}
    # while it gathers speed: nothing to draw a straight line from
    evidence.readings["x readback"] = {"value": -19.0, "timestamp": 1.0}
    heard(value=-4.0, timestamp=1.9)
    assert not flight.locate(evidence)  # nothing from after it
    heard(value=10.0, timestamp=3.3)
    assert flight.locate(evidence)
    # 10 um/s: -3 um at 2 s, 7 um at 3 s
    assert (evidence.flown.position, evidence.flown.blur) == pytest.approx((2.0, 10.0))
    assert record.puts == []


def flown(make_axis, allowed=lambda velocity: velocity):
    axis, record = make_axis()
    record.allowed = allowed
    return Flight({"x": axis}, {"x": axis.readback}), record


LEG = Leg("x", 0.0, 20.0, 10.0, (5.0, 15.0), 10.0)


def test_the_velocity_is_set_before_the_axis_sets_out_and_put_back_when_it_has_landed(make_axis):
    flight, record = flown(make_axis)
    flight.set(LEG).wait(10)
    flight.set(None).wait(10)
    assert record.puts == [(".VELO", 10.0), (".VAL", 20.0), (".VELO", 2000.0)]
    assert (flight.error, flight.velocities) == ("", {})


def test_an_axis_that_does_not_take_the_velocity_does_not_set_out_and_gets_its_own_back(make_axis):
    flight, record = flown(make_axis, allowed=lambda velocity: max(velocity, 50.0))
    flight.set(LEG).wait(10)
    flight.set(None).wait(10)
    assert "VELO is 50, 10 um/s was asked for" in flight.error
    assert ".VAL" not in [field for field, _ in record.puts]
    assert record.fields[".VELO"] == 2000.0


def test_an_axis_that_is_stopped_while_its_velocity_is_set_does_not_set_out(make_axis):
    flight, record = flown(make_axis, allowed=lambda velocity: flight.stop() or velocity)
    flight.set(LEG).wait(10)
    assert ".VAL" not in [field for field, _ in record.puts]
    assert "stopped before it had set out" in flight.error


def test_an_axis_that_is_not_at_its_run_up_does_not_set_out(make_axis):
    flight, record = flown(make_axis)
    record.fields[".RBV"] = 3.0
    flight.set(LEG).wait(10)
    assert record.puts == []
    assert "not at its run-up" in flight.error
