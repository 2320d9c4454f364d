"""A simulated sample that turns about a centre of its own: with the sample frame the spot stays, without it leaves.

The simulation has its own model of the rotation and of where the beam meets the face; ``TRUTH:SPOT:U`` and ``V`` are
its word for the spot in the beam.
"""

from __future__ import annotations

import math
import time

import pytest

from microarpes.devices.rotation_centre import fit_rotation_centre
from microarpes.devices.sample_frame import SampleFrame
from microarpes.devices.sample_geometry import SampleGeometry

CENTRE = (30.0, -20.0, 200.0)
REFERENCE = (9.425, 0.0, 0.0)
GEOMETRY = SampleGeometry(CENTRE, REFERENCE)


@pytest.fixture
def manipulator(station):
    """The manipulator of a sample whose rotation centre is off."""
    from epics import caput

    for name, value in zip("XYZ", CENTRE, strict=True):
        caput(f"SIM:MANIP:ROTATION_CENTRE:{name}", value, wait=True, timeout=60.0)
    # What another test had begun may still be turning.
    go_to_reference(station.manipulator)
    yield station.manipulator
    for name in "XYZ":
        caput(f"SIM:MANIP:ROTATION_CENTRE:{name}", 0.0, wait=True, timeout=60.0)
    go_to_reference(station.manipulator)


def go_to_reference(manipulator):
    for name, axis in manipulator.axes.items():
        axis.set(REFERENCE[0] if name == "polar" else 0.0).wait(20.0)


@pytest.fixture
def frame(manipulator):
    return SampleFrame(manipulator, GEOMETRY, name="sample")


def truth():
    """Return the spot in the beam now: it is posted before each heartbeat, so after two of them it is new."""
    from epics import caget

    start, deadline = caget("SIM:HEARTBEAT", use_monitor=False), time.monotonic() + 60.0
    while caget("SIM:HEARTBEAT", use_monitor=False) < start + 2:
        assert time.monotonic() < deadline, "the heartbeat has stopped"
    return tuple(caget(f"SIM:TRUTH:SPOT:{name}", use_monitor=False) for name in "UV")


def test_turning_with_the_frame_keeps_the_spot_in_the_beam(frame):
    # Axes that were not asked before are where their encoders say, within noise of 0.05 um (sigma) and 1e-4 deg; over
    # 200 um that is another 0.0003 um. Half a micrometre is ten sigma, and a thirtieth of what the test below loses.
    frame.set({"u": 12.0, "v": -7.0}).wait(20.0)
    assert truth() == pytest.approx((12.0, -7.0), abs=0.5)
    first = truth()
    for turn in ({"polar": REFERENCE[0] + 5.0}, {"polar": 2.0, "tilt": -6.0, "azimuth": 45.0}, {"azimuth": -90.0}):
        frame.set(turn).wait(20.0)
        assert truth() == pytest.approx(first, abs=0.3)
    frame.set({"u": -20.0, "v": 30.0}).wait(20.0)
    assert truth() == pytest.approx((-20.0, 30.0), abs=0.5)
    assert (frame.u.position, frame.v.position) == pytest.approx((-20.0, 30.0), abs=0.5)


def test_without_it_the_spot_leaves_the_beam(manipulator):
    before = truth()
    manipulator.polar.set(REFERENCE[0] + 5.0).wait(20.0)
    u, v = truth()
    # 200 um sin(5 deg) = 17 um and more, with a beam of 10 um
    assert math.hypot(u - before[0], v - before[1]) > 15.0


def test_a_wrong_centre_is_a_wrong_spot(manipulator):
    # The test above could pass for a reason of its own; a frame that takes the centre for 0 must fail it.
    frame = SampleFrame(manipulator, SampleGeometry((0.0, 0.0, 0.0), REFERENCE))
    frame.set({"polar": REFERENCE[0] + 5.0}).wait(20.0)
    assert math.hypot(*truth()) > 15.0


def test_the_centre_can_be_measured_by_finding_one_spot_again_at_several_angles(manipulator):
    positions, angles = [], []
    for turn in [(0.0, 0.0, 0.0), (8.0, 0.0, 0.0), (-8.0, 4.0, 0.0), (0.0, -5.0, 20.0), (4.0, 5.0, -20.0)]:
        turned = (REFERENCE[0] + turn[0], turn[1], turn[2])
        for name, angle in zip(("polar", "tilt", "azimuth"), turned, strict=True):
            getattr(manipulator, name).set(angle).wait(20.0)
        x, y = _find_origin(manipulator, math.radians(turn[2]))
        positions.append((x, y, 0.0))
        angles.append(turned)
    fit = fit_rotation_centre(positions, angles, reference=REFERENCE, incidence=45.0)
    # The search ends within 0.1 um of the spot; 5 deg make 1 um of the centre of that, which the fit says itself.
    assert fit.centre == pytest.approx(CENTRE, abs=5.0)
    assert fit.residual < 0.2


def _find_origin(manipulator, azimuth):
    """Move x and y, as an operator with an image does, until the origin of the sample is in the beam."""
    x, y = manipulator.x.position, manipulator.y.position
    for _ in range(12):
        u, v = truth()
        if math.hypot(u, v) < 0.1:
            return x, y
        x -= math.cos(azimuth) * u - math.sin(azimuth) * v
        y -= math.sin(azimuth) * u + math.cos(azimuth) * v
        manipulator.x.set(x).wait(20.0)
        manipulator.y.set(y).wait(20.0)
    raise AssertionError(f"the origin was not found: {u}, {v}")


def poll(condition, what):
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, f"not within 20 s: {what}"
        time.sleep(0.01)


def test_a_turn_that_needs_more_than_a_soft_limit_allows_moves_nothing(frame, manipulator):
    from epics import caput

    frame.set({"u": 0.0, "v": 0.0}).wait(20.0)
    before = {name: axis.setpoint.get(use_monitor=False) for name, axis in manipulator.axes.items()}
    caput("SIM:MANIP:X.HLM", 10.0, wait=True, timeout=60.0)
    # Limits are known by their monitors, which come beside the answer to the put.
    poll(lambda: manipulator.x.limits[1] == 10.0, "x has its new limit")
    try:
        # x would have to follow by 200 um sin(5 deg) = 17 um
        with pytest.raises(ValueError, match=r"x = 1\d\.\d+ um is outside the soft limits \[-5000, 10\] um") as caught:
            frame.set({"polar": REFERENCE[0] + 5.0})
        assert "\n" not in str(caught.value)
    finally:
        caput("SIM:MANIP:X.HLM", 5000.0, wait=True, timeout=60.0)
        poll(lambda: manipulator.x.limits[1] == 5000.0, "x has its old limit")
    assert {name: axis.setpoint.get(use_monitor=False) for name, axis in manipulator.axes.items()} == before
