"""Where the beam falls on a sample that turns about a centre of its own."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from microarpes.sim.frame_source import Pose
from microarpes.sim.sample_position import INCIDENCE, Mounting

BOOT = (9.4, 0.0, 0.0)


def pose(x=0.0, y=0.0, z=0.0, polar=9.4, tilt=0.0, azimuth=0.0):
    return Pose(x, y, z, polar, tilt, azimuth, x, y)


def test_at_the_angles_of_the_boot_the_spot_is_where_the_motors_say_whatever_the_centre():
    assert Mounting((200.0, 50.0, 300.0), BOOT).spot(pose(12.5, -3.0)) == (12.5, -3.0)


def test_a_spot_on_the_rotation_centre_stays_there():
    mounting = Mounting((30.0, -20.0, 0.0), BOOT)
    assert mounting.spot(pose(30.0, -20.0, 0.0, 20.0, 5.0, 40.0)) == pytest.approx((30.0, -20.0), abs=1e-9)


def test_a_face_in_front_of_its_rotation_centre_swings_away():
    # The centre is 200 um behind: a turn by 5 deg takes the point that was in the beam 200 sin(5) = 17.43 um aside and
    # 200 (1 - cos(5)) = 0.76 um out of focus, where a beam at now 45 + 5 deg to the normal is tan(50) times that off.
    u, v = Mounting((0.0, 0.0, 200.0), BOOT).spot(pose(polar=14.4))
    five = np.radians(5.0)
    assert u == pytest.approx(-200 * np.sin(five) - 200 * (1 - np.cos(five)) * np.tan(np.radians(50.0)))
    assert v == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_the_spot_is_on_the_beam_and_on_the_face(seed):
    rng = np.random.default_rng(seed)
    centre, xyz = rng.uniform(-300, 300, 3), rng.uniform(-100, 100, 3)
    polar, tilt, azimuth = rng.uniform(-25, 25, 3)
    u, v = Mounting(tuple(centre), BOOT).spot(pose(*xyz, polar, tilt, azimuth))
    # An independent way: take the point of the face to where it is now; it must lie on the beam through the focus.
    turn = Rotation.from_euler("YXZ", [-polar, tilt, azimuth], degrees=True)
    turn = turn * Rotation.from_euler("YXZ", [-BOOT[0], *BOOT[1:]], degrees=True).inv()
    now = centre + turn.apply(np.array([u, v, 0.0]) - centre)
    beam = np.array([np.sin(np.radians(INCIDENCE)), 0.0, np.cos(np.radians(INCIDENCE))])
    assert np.cross(now - xyz, beam) == pytest.approx(np.zeros(3), abs=1e-8)


def test_a_face_out_of_focus_is_hit_to_the_side():
    # At 45 deg a sample that is 10 um too far in z is hit 10 um aside.
    u, _ = Mounting((0.0, 0.0, 0.0), BOOT).spot(pose(z=10.0))
    assert abs(u) == pytest.approx(10.0)


def test_a_beam_along_the_face_hits_nothing_near():
    u, v = Mounting((0.0, 0.0, 0.0), BOOT).spot(pose(polar=60.0))
    assert max(u, v) > 1e6


def test_a_turn_about_a_centre_that_is_not_on_the_spot_moves_the_truth(start_beamline):
    with start_beamline("T:", ["--rotation-centre", "0,0,200"]) as client:
        assert client.get("MANIP:ROTATION_CENTRE:Z") == 200.0
        assert client.get("TRUTH:SPOT:U") == pytest.approx(0.0, abs=1e-9)
        client.put("MANIP:POLAR", client.get("MANIP:POLAR") + 5.0)
        with client.monitor("HEARTBEAT") as events:
            events.until("HEARTBEAT", client.get("HEARTBEAT") + 2)
        swung = client.get("TRUTH:SPOT:U")
        assert 15.0 < abs(swung) < 21.0
        # back in the centre's place it would not have moved
        client.put("MANIP:ROTATION_CENTRE:Z", 0.0)
        with client.monitor("HEARTBEAT") as events:
            events.until("HEARTBEAT", client.get("HEARTBEAT") + 2)
        assert client.get("TRUTH:SPOT:U") == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("value", ["1,2", "a,b,c", "1,2,nan", "1,2,1e6", ""])
def test_a_centre_that_is_no_place_is_refused_in_one_line(value, capsys):
    from microarpes.sim.command_line import main

    assert main([f"--rotation-centre={value}", "--list-pvs"]) == 2
    assert "three numbers of um" in capsys.readouterr().err
