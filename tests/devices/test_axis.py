"""An axis is done only where it was asked to be, and says why when it is not."""

from __future__ import annotations

import pytest

from microarpes.devices import axis as module
from microarpes.devices.axis import MoveFailed


def failure(status):
    with pytest.raises(MoveFailed) as caught:
        status.wait(10.0)
    return str(caught.value)


def nothing_was_put(record):
    return [put for put in record.puts if put[0] == ".VAL"] == []


def test_a_move_that_ends_at_its_request_has_succeeded(make_axis):
    axis, record = make_axis()
    axis.set(42.0).wait(10.0)
    assert record.puts == [(".VAL", 42.0)]


def test_a_move_ends_well_within_the_tolerance_and_badly_beyond_it(make_axis):
    axis, record = make_axis()
    record.behave = lambda value: record.arrive(value + 0.99)
    axis.set(10.0).wait(10.0)
    record.behave = lambda value: record.arrive(value + 1.01)
    assert "asked for 20 um, found 21.01, more than 1 um away" in failure(axis.set(20.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "3", [1.0], None])
def test_what_is_no_number_is_refused(make_axis, value):
    axis, record = make_axis()
    with pytest.raises(ValueError, match=r"is not a finite number of um; nothing was moved"):
        axis.set(value)
    assert nothing_was_put(record)


@pytest.mark.parametrize("value", [100.1, -100.1])
def test_a_request_beyond_a_soft_limit_is_refused(make_axis, value):
    axis, record = make_axis()
    with pytest.raises(ValueError, match=rf"x = {value} um is outside the soft limits \[-100, 100\] um of M:X"):
        axis.set(value)
    assert nothing_was_put(record)


def test_limits_that_are_equal_are_no_limits(make_axis):
    axis, _ = make_axis(LLM=0.0, HLM=0.0)
    axis.set(1e4).wait(10.0)


def test_limits_changed_before_a_move_count(make_axis):
    axis, record = make_axis()
    axis.set(50.0).wait(10.0)
    record.post(".HLM", 60.0)
    with pytest.raises(ValueError, match=r"\[-100, 60\]"):
        axis.set(70.0)


# BDST = 10: the record goes 10 um below every target and comes up to it; with DIR = Neg user coordinates run the other
# way and it comes down. A target whose turning point is beyond a limit would make the record refuse, or worse.
@pytest.mark.parametrize(("direction", "good", "bad", "turn"), [(0, 95.0, -95.0, "-105"), (1, -95.0, 95.0, "105")])
def test_a_request_whose_backlash_approach_leaves_the_limits_is_refused(make_axis, direction, good, bad, turn):
    axis, record = make_axis(BDST=10.0, DIR=direction)
    axis.set(good).wait(10.0)
    record.puts.clear()
    with pytest.raises(ValueError, match=rf"is approached from {turn} um \(BDST\), which is outside the soft limits"):
        axis.set(bad)
    assert nothing_was_put(record)


def test_a_slow_backlash_approach_is_given_its_time(make_axis, monkeypatch):
    # 100 um out, 10 um too far, and 10 um back at 1 um/s: 10 s, of which a deadline from VELO alone knows nothing.
    axis, _ = make_axis(BDST=10.0, BVEL=1.0, VELO=1000.0, ACCL=0.0, BACC=0.0)
    assert axis.kinematic_time(-50.0) == pytest.approx(60.0 / 1000.0 + 10.0)
    assert axis.kinematic_time(50.0) == pytest.approx(40.0 / 1000.0 + 10.0)
    # within the backlash and in its direction there is no turn
    assert axis.kinematic_time(5.0) == pytest.approx(5.0)
    allowed = []
    monkeypatch.setattr(module.deadlines, "watch", lambda status, seconds, expired: allowed.append(seconds))
    axis.set(50.0)
    assert allowed[0] > 20.0


def test_a_velocity_that_the_record_does_not_take_is_refused(make_axis):
    axis, record = make_axis()
    record.allowed = lambda velocity: max(velocity, 50.0)
    with pytest.raises(ValueError, match=r"M:X.VELO is 50, 10 um/s was asked for; its VBAS and VMAX"):
        axis.set_velocity(10.0)


def test_a_move_is_given_the_time_that_a_new_velocity_takes(make_axis):
    axis, _ = make_axis()
    assert axis.kinematic_time(100.0) < 0.1
    axis.set_velocity(1.0)
    assert axis.kinematic_time(100.0) > 100.0


def test_an_axis_that_somebody_paused_is_refused(make_axis):
    axis, record = make_axis()
    record.fields[".SPMG"] = 1
    with pytest.raises(ValueError, match=r"somebody paused the axis, M:X.SPMG is Pause; set it to Go"):
        axis.set(1.0)
    record.post(".SPMG", 3)
    axis.set(1.0).wait(10.0)


def test_another_unit_than_the_configuration_says_is_refused(make_axis):
    axis, record = make_axis()
    record.fields[".EGU"] = "mm"
    with pytest.raises(ValueError, match=r"M:X.EGU is 'mm', the config says 'um'"):
        axis.set(1.0)
    assert nothing_was_put(record)


@pytest.mark.parametrize("egu", ["um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m "])
def test_a_micro_sign_is_a_u(make_axis, egu):
    axis, _ = make_axis()
    axis.record.fields[".EGU"] = egu
    axis.check_units()


def test_an_axis_still_moving_when_its_put_completes_has_failed(make_axis):
    axis, record = make_axis()
    record.behave = lambda value: record.arrive(value, DMOV=0)
    assert "still moving at 5" in failure(axis.set(5.0))


def test_an_invalid_readback_is_no_arrival(make_axis):
    axis, record = make_axis()
    record.severity = 3
    assert "the readback is INVALID" in failure(axis.set(5.0))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"MISS": 1}, r"retries are exhausted (MISS)"),
        ({"HLS": 1}, "the high limit switch is hit"),
        ({"LLS": 1}, "the low limit switch is hit"),
        ({"MSTA": 1 << 9}, "the controller reports a problem (MSTA)"),
        ({"LVIO": 1}, "its limits exclude it (LVIO)"),
        ({"SPMG": 1}, "somebody paused the axis (SPMG is Pause)"),
        ({"VAL": 3.0}, "somebody stopped it or sent it elsewhere (VAL is 3)"),
        ({}, "the record knows no reason; steps lost, or a wrong readback?"),
    ],
)
def test_a_move_that_ended_elsewhere_says_why(make_axis, fields, reason):
    axis, record = make_axis()
    record.behave = lambda _: record.arrive(3.0, **fields)
    assert reason in failure(axis.set(50.0))


def test_a_limit_changed_unheard_during_a_move_is_seen_at_its_end(make_axis):
    axis, record = make_axis()
    record.behave = lambda value: record.arrive(value, HLM=40.0, LVIO=1)
    assert "(LVIO): they were changed during the move" in failure(axis.set(50.0))


def test_a_limit_changed_during_a_move_ends_it_at_once_and_stops_the_axis(make_axis):
    axis, record = make_axis()
    record.behave = lambda _: record.post(".HLM", 40.0)
    assert "changed during a move, 50 um is now outside the soft limits [-100, 40] um" in failure(axis.set(50.0))
    assert (".STOP", 1) in record.puts


def test_a_connection_lost_during_a_move_ends_it_at_once(make_axis):
    axis, record = make_axis()
    record.behave = lambda _: record.lose()
    assert "the connection to M:X was lost during a move" in failure(axis.set(50.0))


def test_a_put_that_ends_because_its_connection_is_lost_is_no_arrival(make_axis):
    # libca ends a put with callback when the circuit breaks; the record may then not answer, or answer too late.
    axis, record = make_axis()

    def broken(_):
        record.answers = False
        record.complete()

    record.behave = broken
    assert "the connection to M:X was lost during a move: " in failure(axis.set(50.0))


def test_an_axis_that_sticks_fails_at_its_deadline_and_says_where(make_axis, monkeypatch):
    monkeypatch.setattr(module, "MOVE_MARGIN", 0.05)
    axis, record = make_axis()
    record.behave = lambda _: record.fields.update({".DMOV": 0, ".RBV": 12.0})
    assert "asked for 50 um, stalled: not done in time, at 12, DMOV = 0" in failure(axis.set(50.0))
    assert (".STOP", 1) in record.puts


def test_an_axis_whose_controller_is_lost_says_so_at_its_deadline(make_axis, monkeypatch):
    monkeypatch.setattr(module, "MOVE_MARGIN", 0.05)
    axis, record = make_axis()

    def lost(_):
        record.severity = 3

    record.behave = lost
    assert "stalled: not done in time, at 0, DMOV = 1, the readback is INVALID" in failure(axis.set(50.0))


def test_a_record_that_does_not_answer_is_said_to(make_axis, monkeypatch):
    monkeypatch.setattr(module, "MOVE_MARGIN", 0.05)
    axis, record = make_axis()

    def frozen(_):
        record.answers = False

    record.behave = frozen
    assert "the record does not answer" in failure(axis.set(50.0))


def test_a_record_that_is_away_is_not_moved(make_axis):
    axis, record = make_axis()
    record.connected = False
    with pytest.raises(
        ConnectionError, match=r"x = 1.0 um: M:X is not connected, is its IOC running\? nothing was moved"
    ):
        axis.set(1.0)
    assert nothing_was_put(record)


def test_a_record_that_is_there_and_does_not_answer_is_not_moved(make_axis):
    axis, record = make_axis()
    record.answers = False
    with pytest.raises(TimeoutError):
        axis.set(1.0)
    assert nothing_was_put(record)


# What an IOC has after a reboot may differ from what its monitors told before it went, and not every monitor has come
# back when the first request is made.
@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({".HLM": 20.0}, r"outside the soft limits \[-100, 20\]"),
        ({".EGU": "mm"}, r"EGU is 'mm'"),
        ({".BDST": 200.0}, r"approached from -150 um \(BDST\)"),
        ({".SPMG": 0}, r"SPMG is Stop"),
    ],
)
def test_after_a_lost_connection_all_settings_are_read_again_before_a_move(make_axis, changed, match):
    axis, record = make_axis()
    axis.set(10.0).wait(10.0)
    record.lose()
    record.fields |= changed
    record.puts.clear()
    with pytest.raises(ValueError, match=match):
        axis.set(50.0)
    assert nothing_was_put(record)


def test_after_a_lost_connection_the_deadline_follows_the_new_velocity(make_axis):
    axis, record = make_axis()
    assert axis.kinematic_time(100.0) < 0.1
    record.lose()
    record.fields[".VELO"] = 1.0
    assert axis.kinematic_time(100.0) > 100.0


def test_a_move_costs_no_reads_of_what_is_monitored(make_axis):
    # Each explicit get is a round trip in the dead time of every point.
    axis, record = make_axis()
    axis.set(1.0).wait(10.0)
    record.reads.clear()
    axis.set(2.0).wait(10.0)
    # Where it starts from is where the move before was found to have ended.
    assert record.reads == [".RBV", ".DMOV", ".LVIO"]
    assert axis.distance == 1.0


def test_where_a_move_starts_is_read_again_after_a_failed_one_and_after_a_lost_connection(make_axis):
    axis, record = make_axis()
    axis.set(1.0).wait(10.0)
    record.lose()
    record.fields[".RBV"] = 30.0
    axis.set(40.0).wait(10.0)
    assert axis.distance == 10.0
    record.behave = lambda value: record.arrive(45.0)
    assert "found 45" in failure(axis.set(60.0))
    record.behave = record.arrive
    axis.set(46.0).wait(10.0)
    assert axis.distance == 1.0


def test_a_destroyed_axis_lets_go_of_the_fields_it_was_asked_for(make_axis, monkeypatch):
    axis, _ = make_axis()
    field_signal = type(axis.readback)
    monkeypatch.setattr(module, "EpicsSignalRO", lambda pv, *, name, **_: field_signal(pv, name=name, parent=axis))
    missed = axis.signal_of(".MISS")
    assert axis.signal_of(".MISS") is missed
    assert not missed._destroyed
    axis.destroy()
    assert missed._destroyed
