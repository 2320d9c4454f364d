"""Motor records over Channel Access beyond the simple move: backlash, retries, modes, coordinates, faults."""

from contextlib import contextmanager

import pytest

X = "MANIP:X"


@pytest.fixture(scope="module")
def client(start_beamline):
    with start_beamline("M:") as found:
        yield found


@pytest.fixture(autouse=True)
def _at_zero(client):
    client.put("MANIP:X", 0.0)
    assert client.get("MANIP:X") == 0.0
    yield
    client.put("MANIP:X.SPMG", 3)
    client.put("MANIP:X.DHLM", 5000.0)
    client.put("MANIP:X.DLLM", -5000.0)


@contextmanager
def changed(client, **fields):
    """Fields of X at other values for a while."""
    before = {name: client.get(f"{X}{name}") for name in fields}
    for name, value in fields.items():
        client.put(f"{X}{name}", value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.put(f"{X}{name}", value)


@contextmanager
def fault(client, name, amount=None):
    if amount is not None:
        client.put(f"FAULT:{name}:AMOUNT", amount)
    client.put(f"FAULT:{name}:ENABLE", 1)
    try:
        yield
        assert client.get(f"FAULT:{name}:COUNT") == 1
        assert client.text("FAULT:LAST").split()[0] == name
    finally:
        client.put(f"FAULT:{name}:ENABLE", 0)


def readbacks(seen):
    return [value for name, value in seen if name == X + ".RBV"]


def test_with_backlash_the_last_part_is_always_travelled_upwards(client):
    with changed(client, **{".BDST": 100.0, ".BVEL": 500.0}), client.monitor(X + ".RBV", X + ".DMOV") as events:
        client.put(X, -400.0)
        seen = readbacks(events.until(X + ".DMOV", 1))
    # 100 um too far, and back at 500 um/s: 0.2 s, of which a readback every 50 ms shows some.
    assert min(seen) < -430.0
    assert seen[-1] == pytest.approx(-400.0, abs=0.4)
    assert seen.index(min(seen)) < len(seen) - 1


def test_lost_motion_scatters_without_backlash_and_not_with_it(client):
    def land_on_50():
        found = []
        for start in (0.0, 100.0):
            client.put(X, start)
            client.put(X, 50.0)
            found.append(client.get(X + ".RBV"))
        return found

    with changed(client, **{":LOST_MOTION": 4.0, ".RTRY": 0}):
        from_below, from_above = land_on_50()
        # Half of it behind after going up, half ahead after coming down; encoder noise is 0.05 um (sigma).
        assert from_above - from_below == pytest.approx(4.0, abs=0.5)
        with changed(client, **{".BDST": 10.0}):
            from_below, from_above = land_on_50()
            assert from_above == pytest.approx(from_below, abs=0.5)


def test_retries_take_the_stage_into_its_deadband(client):
    with changed(client, **{":LOST_MOTION": 4.0}):
        client.put(X, 50.0)
        assert client.get(X + ".RCNT") >= 1
        assert client.get(X + ".RBV") == pytest.approx(50.0, abs=0.5 + 0.1)
        assert client.get(X + ".MISS") == 0


def test_retries_that_run_out_are_a_miss(client):
    with changed(client, **{":LANDING_ERROR": 500.0, ".RTRY": 2}):
        client.put(X, 50.0)
        # An error of 500 um (sigma) hits a deadband of +-0.5 um three times in 3 x 0.08 %.
        assert (client.get(X + ".RCNT"), client.get(X + ".MISS")) == (2, 1)
    client.put(X, 10.0)
    assert client.get(X + ".MISS") == 0


def test_the_stage_rings_when_it_does_not_wait(client):
    with changed(client, **{":VIBRATION": 50.0, ".DLY": 0.0, ".RTRY": 0}):
        client.put(X, 10.0)
        # The readback at DMOV = 1 is taken at the first swing.
        assert abs(client.get(X + ".RBV") - 10.0) > 1.0
        client.put(X + ".DLY", 0.3)
        client.put(X, 20.0)
        assert client.get(X + ".RBV") == pytest.approx(20.0, abs=0.4)


def test_pause_keeps_the_target_and_go_takes_it_up(client):
    with client.monitor(X + ".DMOV") as events:
        client.put(X, 2000.0, wait=False)
        events.until(X + ".DMOV", 0)
        client.put(X + ".SPMG", 1)
        events.until(X + ".DMOV", 1)
        assert client.get(X + ".RBV") < 1990.0
        assert client.get(X) == 2000.0
        client.put(X + ".SPMG", 3)
        events.until(X + ".DMOV", 1)
    assert client.get(X + ".RBV") == pytest.approx(2000.0, abs=0.6)


def test_move_mode_pauses_after_one_move_and_stop_mode_moves_nothing(client):
    client.put(X + ".SPMG", 2)
    client.put(X, 10.0)
    assert client.label(X + ".SPMG") == "Pause"
    assert client.get(X + ".RBV") == pytest.approx(10.0, abs=0.6)
    client.put(X + ".SPMG", 0)
    client.put(X, 50.0)
    assert client.get(X) == 10.0
    assert client.get(X + ".RBV") == pytest.approx(10.0, abs=0.6)


def test_set_redefines_the_position_and_takes_the_limits_along(client):
    client.put(X, 100.0)
    client.put(X + ".SET", 1)
    with client.monitor(X + ".DMOV") as events:
        client.put(X, 0.0)
        client.put(X + ".SET", 0)
        assert client.get(X + ".OFF") == pytest.approx(-100.0)
        assert (client.get(X + ".HLM"), client.get(X + ".LLM")) == pytest.approx((4900.0, -5100.0))
        metadata = client.pv(X).read(data_type="control").metadata
        assert (metadata.lower_ctrl_limit, metadata.upper_ctrl_limit) == pytest.approx((-5100.0, 4900.0))
        # Nothing has moved: the dial is where it was, and the only edges are those of the next move.
        assert client.get(X + ".DRBV") == pytest.approx(100.0, abs=0.6)
        client.put(X, 20.0)
        assert events.until(X + ".DMOV", 1) == [(X + ".DMOV", 0), (X + ".DMOV", 1)]
    assert client.get(X + ".DVAL") == pytest.approx(120.0)
    client.put(X + ".OFF", 0.0)
    assert client.get(X) == pytest.approx(120.0)
    assert client.get(X + ".RBV") == pytest.approx(120.0, abs=0.6)


def test_a_negative_direction_mirrors_user_coordinates_and_limits(client):
    client.put(X + ".DHLM", 300.0)
    client.put(X + ".DIR", 1)
    try:
        assert client.get(X + ".LLM") == -300.0
        client.put(X, 40.0)
        assert client.get(X + ".DVAL") == -40.0
        assert client.get(X + ".RBV") == pytest.approx(40.0, abs=0.6)
    finally:
        client.put(X + ".DIR", 0)


def test_dial_relative_tweak_and_home_are_moves_too(client):
    client.put(X + ".DVAL", 30.0)
    assert client.get(X + ".RBV") == pytest.approx(30.0, abs=0.6)
    client.put(X + ".RLV", 5.0)
    assert client.get(X) == 35.0
    client.put(X + ".TWV", 2.0)
    client.put(X + ".TWF", 1)
    assert (client.get(X), client.get(X + ".TWF")) == (37.0, 0)
    client.put(X + ".TWR", 1)
    assert client.get(X) == 35.0
    client.put(X + ".HOMF", 1)
    assert (client.get(X), client.get(X + ".ATHM")) == (0.0, 1)


def test_jogging_goes_on_until_the_button_is_let_go(client):
    with client.monitor(X + ".DMOV", X + ".RBV") as events:
        client.put(X + ".JOGF", 1, wait=False)
        events.until(X + ".DMOV", 0)
        client.put(X + ".JOGF", 0)
        events.until(X + ".DMOV", 1)
    assert 0.0 <= client.get(X + ".RBV") + 0.4 < 4000.0
    assert client.get(X + ".JOGF") == 0


def test_an_axis_that_sticks_is_not_done_until_it_is_stopped(client):
    with fault(client, "MOTOR_STALL"), client.monitor(X + ".DMOV", "HEARTBEAT") as events:
        client.put(X, 200.0, wait=False)
        events.until(X + ".DMOV", 0)
        # 0.11 s of travel: after 0.6 s it would have been there.
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 3)
        assert client.get(X + ".DMOV") == 0
        client.put(X + ".STOP", 1)
        events.until(X + ".DMOV", 1)
    assert client.get(X + ".RBV") < 199.0


def test_an_axis_somebody_stops_is_done_short_of_its_target(client):
    with fault(client, "MOTOR_STOP"):
        client.put(X, 200.0)
    assert client.get(X + ".DMOV") == 1
    assert client.get(X + ".RBV") < 199.0
    assert client.get(X) == pytest.approx(client.get(X + ".RBV"))


def test_a_wrong_readback_is_wrong_until_the_next_move(client):
    with fault(client, "WRONG_READBACK", -7.0):
        client.put(X, 20.0)
    assert client.get(X + ".DMOV") == 1
    assert client.get(X + ".RBV") == pytest.approx(13.0, abs=0.4)
    client.put(X, 20.0)
    assert client.get(X + ".RBV") == pytest.approx(20.0, abs=0.4)


def test_an_axis_that_cannot_get_there_says_miss(client):
    with fault(client, "MOTOR_MISS", 3.0):
        client.put(X, 20.0)
    assert (client.get(X + ".MISS"), client.get(X + ".RCNT")) == (1, client.get(X + ".RTRY"))
    assert client.get(X + ".RBV") == pytest.approx(23.0, abs=0.4)


def test_a_limit_switch_stops_the_axis_and_raises_an_alarm(client):
    with fault(client, "LIMIT_SWITCH"):
        client.put(X, 200.0)
    assert (client.get(X + ".HLS"), client.get(X + ".LLS")) == (1, 0)
    assert client.pv(X + ".RBV").read(data_type="time").metadata.severity == 2
    assert client.get(X + ".MSTA") & (1 << 2)
    client.put(X, 0.0)
    assert client.get(X + ".HLS") == 0
    assert client.pv(X + ".RBV").read(data_type="time").metadata.severity == 0


def test_limits_that_change_under_a_move_are_seen_in_the_metadata(client):
    with fault(client, "LIMIT_CHANGE", 5.0):
        client.put(X, 200.0)
    assert client.get(X + ".HLM") == 195.0
    assert client.pv(X).read(data_type="control").metadata.upper_ctrl_limit == 195.0
    assert client.get(X + ".LVIO") == 1


def test_a_lost_controller_makes_the_readback_invalid_for_its_time(client):
    with fault(client, "MOTOR_OFFLINE", 0.6), client.monitor(X + ".DMOV", X + ".MSTA") as events:
        client.put(X, 200.0, wait=False)
        seen = events.until(X + ".DMOV", 0)
        while not any(name == X + ".MSTA" and value & (1 << 12) for name, value in seen):
            seen.append(events.next())
        assert client.pv(X + ".RBV").read(data_type="time").metadata.severity == 3
        events.until(X + ".DMOV", 1)
    assert client.pv(X + ".RBV").read(data_type="time").metadata.severity == 0
    assert client.get(X + ".RBV") == pytest.approx(200.0, abs=0.6)


def test_a_reboot_forgets_everything_but_what_was_done(start_beamline):
    with start_beamline("M:") as client:
        client.put(X, 50.0)
        client.put("ARPES:cam1:AcquireTime", 0.05)
        client.put("ARPES:cam1:Acquire", 1)
        client.put("FAULT:REBOOT:ENABLE", 1)
        with client.disconnection(X):
            client.put("ARPES:cam1:Acquire", 1, wait=False)
        assert client.get(X) == 0.0
        assert client.get("ARPES:cam1:ArrayCounter_RBV") == 0
        assert client.get("ARPES:cam1:AcquireTime") == 0.1
        assert client.get("FAULT:REBOOT:COUNT") == 1
        assert client.text("FAULT:LAST").startswith("REBOOT ")
        assert client.process.poll() is None
