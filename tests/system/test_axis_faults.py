"""Each way a move goes wrong at the simulated beamline is named, and none is taken for an arrival."""

from __future__ import annotations

import contextlib
import time

import pytest

from microarpes.devices.axis import MoveFailed

PREFIX = "SIM:MANIP:X"


def put(name, value):
    from epics import caput

    assert caput(name, value, wait=True, timeout=20.0) == 1


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"


@contextlib.contextmanager
def fault(kind, amount=None):
    """Let a fault strike on every occasion."""
    put(f"SIM:FAULT:{kind}:PROBABILITY", 1.0)
    if amount is not None:
        put(f"SIM:FAULT:{kind}:AMOUNT", amount)
    put(f"SIM:FAULT:{kind}:ENABLE", "Enable")
    try:
        yield
    finally:
        put(f"SIM:FAULT:{kind}:ENABLE", "Disable")


@pytest.fixture
def x(station):
    axis = station.manipulator.x
    yield axis
    for field, value in {
        "HLM": 5e3,
        "LLM": -5e3,
        "SPMG": "Go",
        "BDST": 0.0,
        "BVEL": 2e3,
        "VELO": 2e3,
        "EGU": "um",
    }.items():
        put(f"{PREFIX}.{field}", value)
    until(lambda: axis.done.get(use_monitor=False) == 1)
    until(lambda: (axis.settings.egu, axis.settings.high_limit) == ("um", 5e3))
    axis.set(0.0).wait(20.0)


def failure(status):
    with pytest.raises(MoveFailed) as caught:
        status.wait(30.0)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "amount", "reason"),
    [
        ("MOTOR_STALL", None, "stalled: not done in time, at "),
        ("MOTOR_STOP", None, "somebody stopped it or sent it elsewhere (VAL is "),
        ("WRONG_READBACK", 5.0, "the record knows no reason; steps lost, or a wrong readback?"),
        ("MOTOR_MISS", 5.0, "retries are exhausted (MISS)"),
        ("LIMIT_SWITCH", None, "the high limit switch is hit, the controller reports a problem (MSTA)"),
        ("LIMIT_CHANGE", 1.0, "changed during"),
        # longer than the deadline of some 2 s, and over soon afterwards
        ("MOTOR_OFFLINE", 5.0, "DMOV = 0, the readback is INVALID"),
    ],
)
def test_what_went_wrong_with_a_move_is_named(x, kind, amount, reason):
    with fault(kind, amount):
        said = failure(x.set(200.0))
    assert reason in said
    assert "200 um" in said
    until(lambda: x.done.get(use_monitor=False) == 1)
    put(f"{PREFIX}.HLM", 5000.0)
    until(lambda: x.settings.high_limit == 5000.0)
    # and the next move is as good as ever
    x.set(100.0).wait(20.0)


def test_a_limit_switch_is_named_by_its_end(x):
    with fault("LIMIT_SWITCH"):
        assert "the low limit switch is hit" in failure(x.set(-200.0))


@pytest.mark.parametrize("mode", ["Pause", "Stop"])
def test_an_axis_that_somebody_paused_is_not_moved(x, mode):
    put(f"{PREFIX}.SPMG", mode)
    until(lambda: x.settings.mode != 3)
    before = x.setpoint.get(use_monitor=False)
    with pytest.raises(ValueError, match=rf"somebody paused the axis, {PREFIX}.SPMG is {mode}"):
        x.set(50.0)
    assert x.setpoint.get(use_monitor=False) == before


def test_a_pause_during_a_move_is_named(x):
    put(f"{PREFIX}.VELO", 100.0)
    until(lambda: x.settings.velocity == 100.0)
    status = x.set(400.0)
    put(f"{PREFIX}.SPMG", "Pause")
    assert "somebody paused the axis (SPMG is Pause)" in failure(status)


def test_a_backlash_approach_comes_from_its_side_and_in_its_time(x):
    # The last 30 um at 10 um/s: 3 s, more than a deadline that knew only of VELO.
    put(f"{PREFIX}.BDST", 30.0)
    put(f"{PREFIX}.BVEL", 10.0)
    until(lambda: (x.settings.backlash, x.settings.backlash_velocity) == (30.0, 10.0))
    seen, readback = [], x.signal_of(".RBV")
    readback.wait_for_connection(timeout=10.0)
    number = readback.subscribe(lambda value, **_: seen.append(value), run=False)
    x.set(-100.0).wait(30.0)
    readback.unsubscribe(number)
    assert min(seen) < -125.0
    assert x.position == pytest.approx(-100.0, abs=x.tolerance)


def test_a_backlash_approach_beyond_a_limit_is_refused(x):
    put(f"{PREFIX}.BDST", 30.0)
    until(lambda: x.settings.backlash == 30.0)
    with pytest.raises(ValueError, match=r"approached from -5010 um \(BDST\), which is outside the soft limits"):
        x.set(-4980.0)
    # the record itself agrees: this is what LVIO would have said
    put(PREFIX, -4980.0)
    from epics import caget

    assert caget(f"{PREFIX}.LVIO", use_monitor=False) == 1


def test_a_request_the_record_refuses_is_named(x, monkeypatch):
    # Somebody changes a limit between the check and the put.
    monkeypatch.setattr(x, "check_value", lambda value: None)
    assert "its limits exclude it (LVIO)" in failure(x.set(6000.0))


def test_a_unit_changed_under_way_is_refused(x):
    put(f"{PREFIX}.EGU", "mm")
    until(lambda: x.settings.egu == "mm")
    with pytest.raises(ValueError, match="EGU is 'mm', the config says 'um'"):
        x.set(1.0)


def test_a_reboot_fails_the_move_under_way_and_the_next_one_knows_the_new_settings(x, station):
    for field, value in {"HLM": 450.0, "VELO": 100.0, "BVEL": 50.0}.items():
        put(f"{PREFIX}.{field}", value)
    until(lambda: (x.settings.high_limit, x.settings.velocity) == (450.0, 100.0))
    with pytest.raises(ValueError, match=r"\[-5000, 450\]"):
        x.set(460.0)
    status = x.set(440.0)
    put("SIM:FAULT:REBOOT:PROBABILITY", 1.0)
    put("SIM:FAULT:REBOOT:ENABLE", "Enable")
    station.analyser.state.acquire.put(1, wait=False)
    assert "the connection to SIM:MANIP:X was lost during a move" in failure(status)
    until(lambda: x.connected, 60.0)
    put("SIM:FAULT:REBOOT:ENABLE", "Disable")
    # 450 and 100 are forgotten, whatever the monitors have said or not yet said
    assert (x.settings.high_limit, x.settings.velocity, x.settings.backlash_velocity) == (5000.0, 2000.0, 2000.0)
    x.set(460.0).wait(20.0)
    station.prepare(60.0).wait(90.0)
    assert not station.lost
