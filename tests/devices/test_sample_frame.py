"""The sample frame: a spot that stays in the beam while the angles turn, or an error that says why not."""

from __future__ import annotations

import time

import numpy as np
import pytest

from microarpes.devices import axis
from microarpes.devices.axis import MoveFailed
from microarpes.devices.sample_frame import SampleFrame
from microarpes.devices.sample_geometry import SampleGeometry

GEOMETRY = SampleGeometry(centre=(30.0, -20.0, 200.0))
ANGLES = ("polar", "tilt", "azimuth")
#: Seconds within which what needs no hardware must have happened; a mutant without it is found that late.
SOON = 10.0


@pytest.fixture
def frame(manipulator):
    return SampleFrame(manipulator, GEOMETRY, name="frame")


def spot_in_beam(manipulator):
    here = manipulator.where()
    return GEOMETRY.spot([here[name] for name in "xyz"], [here[name] for name in ANGLES])


def failure(status):
    with pytest.raises(MoveFailed) as caught:
        status.wait(SOON)
    return str(caught.value)


def test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone(frame, manipulator):
    frame.set({"u": 12.0, "v": -7.0}).wait(SOON)
    assert manipulator.moved() == {"x", "y"}
    assert (manipulator.where()["x"], manipulator.where()["y"]) == pytest.approx((12.0, -7.0))


def test_turning_takes_x_y_z_along_and_the_spot_stays(frame, manipulator):
    frame.set({"u": 12.0, "v": -7.0}).wait(SOON)
    manipulator.moved()
    frame.set({"polar": 5.0, "tilt": 2.0, "azimuth": -30.0}).wait(SOON)
    assert manipulator.moved() == {"x", "y", "z", "polar", "tilt", "azimuth"}
    assert spot_in_beam(manipulator) == pytest.approx([12.0, -7.0, 0.0], abs=1e-9)


def test_without_it_a_turn_takes_the_spot_out_of_the_beam(manipulator):
    manipulator.axes["polar"].set(5.0).wait(SOON)
    # 200 um behind the spot, 5 deg: 17 um, more than the 10 um of the beam
    assert np.linalg.norm(spot_in_beam(manipulator)) > 10.0


def test_turning_to_and_fro_does_not_wander(frame, manipulator):
    # Every readback is off by up to the tolerance; a frame that took readbacks for the spot would walk away with them.
    rng = np.random.default_rng(3)
    for record in manipulator.records.values():
        size = 0.3 if record.fields[".EGU"] == "um" else 0.003
        record.behave = lambda value, record=record, size=size: record.arrive(value + rng.uniform(-size, size))
    frame.set({"u": 50.0, "v": 20.0}).wait(SOON)
    first = frame.targets({"polar": 0.0})
    for polar in [10.0, -10.0] * 20:
        frame.set({"polar": polar}).wait(SOON)
    assert frame.targets({"polar": 0.0}) == pytest.approx(first, abs=1e-9)


def test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves(frame, manipulator):
    # At 90 deg of azimuth the spot lies where y ends, though x has all the way.
    manipulator.records["y"].post(".HLM", 40.0)
    with pytest.raises(ValueError, match=r"y = .* um is outside the soft limits \[-5000, 40\] um of M:Y; nothing was"):
        frame.set({"u": 300.0, "azimuth": 90.0})
    assert manipulator.moved() == set()
    with pytest.raises(ValueError, match="M:Y"):
        frame.check_value({"u": 300.0, "azimuth": 90.0})


def test_an_axis_at_rest_whose_limits_exclude_it_is_refused_too(frame, manipulator):
    manipulator.records["tilt"].post(".LLM", 1.0)
    with pytest.raises(ValueError, match=r"tilt = .* outside the soft limits \[1, 5000\] deg"):
        frame.set({"u": 10.0})
    assert manipulator.moved() == set()


@pytest.mark.parametrize("request_", [{}, {"q": 1.0}, {"u": float("nan")}, {"v": "3"}, {"polar": True}])
def test_what_cannot_be_asked_for_is_refused(frame, manipulator, request_):
    with pytest.raises(ValueError, match="cannot be asked for; give numbers for any of u, v, w"):
        frame.set(request_)
    assert manipulator.moved() == set()


def test_a_second_request_under_way_is_refused(frame, manipulator):
    manipulator.records["x"].behave = lambda _: None
    status = frame.set({"u": 10.0})
    with pytest.raises(ValueError, match="frame is moving; ask for all coordinates in one request"):
        frame.set({"v": 10.0})
    manipulator.records["x"].arrive(10.0)
    status.wait(SOON)


def test_one_axis_that_fails_stops_the_others_and_is_named(frame, manipulator, monkeypatch):
    # far beyond this test: nobody's own deadline stops an axis here
    monkeypatch.setattr(axis, "MOVE_MARGIN", 60.0)
    manipulator.records["x"].behave = lambda _: None
    manipulator.records["z"].behave = lambda _: None
    manipulator.records["polar"].behave = lambda value: manipulator.records["polar"].arrive(0.4 * value, HLS=1)
    status = frame.set({"polar": 5.0})
    deadline = time.monotonic() + SOON
    while not all((".STOP", 1) in manipulator.records[name].puts for name in "xz"):
        assert not status.done
        assert time.monotonic() < deadline, "the others were not stopped"
        time.sleep(0.005)
    for name in "xz":
        manipulator.records[name].arrive(1.0)
    said = failure(status)
    assert "polar: asked for 5 deg, found 2" in said
    assert "high limit switch" in said


def test_a_stop_reaches_every_axis(frame, manipulator):
    frame.stop()
    assert all((".STOP", 1) in record.puts for record in manipulator.records.values())


def test_after_a_failed_turn_the_same_request_returns_to_the_spot(frame, manipulator):
    frame.set({"u": 40.0, "v": 10.0}).wait(SOON)
    polar = manipulator.records["polar"]
    polar.behave = lambda _: polar.arrive(1.0, VAL=1.0)
    failure(frame.set({"polar": 8.0}))
    polar.behave = polar.arrive
    frame.set({"polar": 8.0}).wait(SOON)
    assert spot_in_beam(manipulator) == pytest.approx([40.0, 10.0, 0.0], abs=1e-9)


def test_a_spot_chosen_with_the_motors_is_the_one_a_turn_keeps(frame, manipulator):
    frame.set({"u": 40.0, "v": 10.0}).wait(SOON)
    manipulator.axes["x"].set(-15.0).wait(SOON)
    frame.set({"polar": 8.0}).wait(SOON)
    assert spot_in_beam(manipulator) == pytest.approx([-15.0, 10.0, 0.0], abs=1e-9)
    # and so is one that somebody else went to, with another client
    manipulator.records["y"].fields[".RBV"] = 33.0
    here = spot_in_beam(manipulator)
    frame.set({"polar": 2.0}).wait(SOON)
    assert spot_in_beam(manipulator) == pytest.approx(here, abs=1e-9)


def test_a_spot_that_is_off_though_every_axis_is_within_its_own_tolerance_has_failed(frame, manipulator):
    for name in "xy":
        manipulator.axes[name].tolerance = 5.0
        record = manipulator.records[name]
        record.behave = lambda value, record=record: record.arrive(value + 3.0)
    assert "in the beam is 13, 13 um, 4.2 um away, more than 2 um" in failure(frame.set({"u": 10.0, "v": 10.0}))


def test_an_invalid_readback_of_an_axis_at_rest_is_no_arrival(frame, manipulator):
    manipulator.records["azimuth"].severity = 3
    assert "the readback of azimuth is INVALID" in failure(frame.set({"u": 10.0}))


def test_an_axis_lost_between_check_and_move_fails_the_move(frame, manipulator, monkeypatch):
    def lost(_value):
        raise ConnectionError("M:Y is away")

    monkeypatch.setattr(manipulator.axes["y"], "set", lost)
    status = frame.set({"u": 10.0, "v": 10.0})
    with pytest.raises(ConnectionError, match="M:Y is away"):
        status.wait(SOON)


def test_it_reads_the_spot_in_the_beam_and_the_one_asked_for(frame, manipulator):
    frame.set({"u": 12.0, "polar": 5.0}).wait(SOON)
    manipulator.records["y"].fields[".RBV"] = 0.5
    reading = frame.read()
    assert set(reading) == set(frame.describe())
    assert reading["frame_v"]["value"] == pytest.approx(0.5)
    assert reading["frame_v_setpoint"]["value"] == 0.0
    assert frame.describe()["frame_polar"]["units"] == "deg"


def test_a_stock_scan_of_polar_stays_on_the_spot(frame, manipulator, engine):
    from bluesky.plans import scan

    frame.set({"u": 12.0, "v": -7.0}).wait(SOON)
    events = []
    engine(scan([frame], frame.polar, -4.0, 4.0, 5), {"event": [lambda _, event: events.append(event["data"])]})
    assert [event["frame_polar_setpoint"] for event in events] == [-4.0, -2.0, 0.0, 2.0, 4.0]
    assert [event["frame_u"] for event in events] == pytest.approx([12.0] * 5)
    assert [event["frame_v"] for event in events] == pytest.approx([-7.0] * 5)
    assert frame.polar.position == pytest.approx(4.0)
