"""One guard, looked at with readings and times: every doubt trips, and it is over only when all was well for long."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from microarpes.plans.guard_limits import GuardLimits
from microarpes.plans.guards import Guard, Guards
from microarpes.plans.interruptions import HOLD, InterruptionLog


def reading(value, timestamp=0.0, severity=0):
    return {"value": value, "timestamp": timestamp, "alarm_severity": severity}


def ring(**limits):
    return Guard("ring_current", GuardLimits(low=200.0, **limits))


def look(guard, *found, start=0.0):
    """Look once a second; return after which looks the guard let the run go on."""
    seen = []
    for second, each in enumerate(found):
        guard.look(each, start + second, exposing=False)
        seen.append(guard.clear)
    return seen


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (reading(199.9), "is 199.9, at least 200 is asked for"),
        (reading(math.nan), "is nan, at least 200"),
        (reading("no beam"), "not a number"),
        (reading(None), "not a number"),
        (reading(300.0, severity=3), "is INVALID"),
        (ConnectionError("SIM:RING:CURRENT is not connected"), "cannot be read: SIM:RING:CURRENT is not connected"),
        (TimeoutError("no answer"), "cannot be read: no answer"),
    ],
)
def test_every_doubt_trips_as_a_bad_value_does(found, why):
    guard = ring()
    assert look(guard, reading(300.0), found) == [True, False]
    assert guard.reason.startswith("ring_current ")
    assert why in guard.reason


def test_a_value_of_high_alarm_that_is_no_invalid_one_does_not_trip():
    assert look(ring(), reading(300.0, severity=2)) == [True]


def test_it_lets_nothing_go_on_before_it_has_heard_and_with_an_age_before_it_has_heard_an_update():
    guard = ring(max_age=3.0)
    assert not guard.clear
    # The first reading may be as old as it likes: a value that was dead for an hour looks the same.
    assert look(guard, reading(300.0, 1.0), reading(300.0, 1.0), reading(300.0, 2.0)) == [False, False, True]
    assert guard.reason == ""


def test_a_signal_that_is_not_updated_trips_after_its_age_and_is_over_with_the_next_update():
    guard = ring(max_age=3.0)
    # heard at 0 and 1 s; the value stays good, but 3 s after the last update it is no longer believed
    stamps = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 7.0]
    assert look(guard, *(reading(300.0, t) for t in stamps)) == [False, True, True, True, True, False, True]


def test_a_signal_that_was_dead_from_the_beginning_trips():
    guard = ring(max_age=3.0)
    assert look(guard, *[reading(300.0, 1.0)] * 6) == [False] * 6
    assert "was not updated" in guard.reason


def test_between_the_thresholds_it_stays_what_it_was():
    guard = ring(resume_low=250.0)
    found = [reading(value) for value in (300.0, 220.0, 199.0, 220.0, 249.0, 250.0, 220.0)]
    assert look(guard, *found) == [True, True, False, False, False, True, True]


def test_it_is_over_only_when_all_was_well_for_the_whole_delay():
    guard = ring(delay=3.0)
    # Well for 2 s, bad again, well: the 3 s begin anew. bluesky's suspender would have been over at the first.
    found = [reading(value) for value in (300, 0, 300, 300, 0, 300, 300, 300, 300)]
    assert look(guard, *found) == [True, False, False, False, False, False, False, False, True]


def test_a_text_must_be_the_one_that_is_asked_for():
    guard = Guard("shutter", GuardLimits(value="Open"))
    assert look(guard, reading("Open"), reading("Not Open"), reading("Open")) == [True, False, True]


def test_a_count_rate_is_judged_only_by_what_came_after_the_start_of_an_exposure():
    guard = Guard("count_rate", GuardLimits(low=100.0, while_exposing=True, delay=2.0))
    seen = []
    # (s, exposing, rate, stamp): the 0 of before the exposure is no verdict; that of within it is
    for now, exposing, rate, stamp in [
        (0, False, 0, 0), (1, True, 0, 0), (2, True, 500, 2), (3, False, 0, 3), (4, True, 0, 3), (5, True, 0, 5),
        (6, False, 0, 6), (7, False, 0, 7), (8, False, 0, 8),
    ]:  # fmt: skip
        guard.look(reading(rate, float(stamp)), float(now), exposing=exposing)
        seen.append(guard.clear)
    assert seen == [True, True, True, True, True, False, False, False, True]


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({}, "give low, high or both"),
        ({"low": 1.0, "value": "Open"}, "give low, high or both"),
        ({"low": 2.0, "high": 1.0}, "is not within"),
        ({"low": 2.0, "resume_low": 1.0}, "is not within"),
        ({"high": 2.0, "resume_high": 3.0}, "is not within"),
        ({"low": 1.0, "high": 4.0, "resume_low": 3.0, "resume_high": 2.0}, "is not within"),
        ({"low": 1.0, "resume_high": 3.0}, "resume_high = 3 needs high"),
        ({"low": math.nan}, "finite"),
        ({"low": 1.0, "delay": -1.0}, "greater than or equal to 0"),
        ({"low": 1.0, "max_age": 0.0}, "greater than 0"),
        ({"low": 1.0, "hysteresis": 1.0}, "Extra inputs"),
        ({"low": 1.0, "pv": "RING CURRENT\n"}, "match pattern"),
    ],
)
def test_limits_that_are_no_guard_are_refused(limits, why):
    with pytest.raises(ValidationError, match=why):
        GuardLimits(**limits)


class Watched:
    """Guards whose thread is not needed: what they are shown is given by hand."""

    def __init__(self, **limits):
        self.held = ""
        self.guards = Guards(limits, held=lambda: self.held)
        self.log, self.stopped = InterruptionLog(), 0
        self.guards.begin(self.log, self.stop)

    def stop(self):
        self.stopped += 1


def test_each_trip_is_logged_with_its_reason_and_its_end():
    w = Watched(ring_current=GuardLimits(low=200.0))
    for value in (300.0, 10.0, 5.0, 300.0):
        w.guards.look({"ring_current": reading(value)}, 0.0)
    over = w.log.next(ending=False)
    assert (over.guard, over.reason) == ("ring_current", "ring_current is 10, at least 200 is asked for")
    assert over.duration >= 0.0
    assert w.guards.trips == 1


def test_what_was_not_answered_for_at_all_trips():
    w = Watched(ring_current=GuardLimits(low=200.0))
    w.guards.look({}, 0.0)
    assert "nothing was read" in w.guards.holding()["ring_current"]


def test_a_reader_that_fails_as_a_whole_trips_every_guard():
    import time

    def fails():
        raise OSError("no network")

    guards = Guards({"a": GuardLimits(low=0.0), "b": GuardLimits(high=1.0)}, fails, period=0.01)
    with guards.watching(InterruptionLog(), lambda: None):
        deadline = time.monotonic() + 60.0
        while guards.trips < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert all("no network" in why for why in guards.holding().values())
        assert len(guards.holding()) == 2


def test_an_operator_holds_with_a_text_and_lets_go():
    w = Watched()
    assert w.guards.holding() == {}
    w.held = "the cryostat is being filled"
    w.guards.look({}, 0.0)
    assert w.guards.holding() == {HOLD: "the cryostat is being filled"}
    assert w.log.next(ending=False) is None
    w.held = ""
    w.guards.look({}, 1.0)
    assert w.guards.holding() == {}
    assert w.log.next(ending=False).guard == HOLD


@pytest.mark.parametrize("exposing", [True, False])
def test_only_an_exposure_under_way_is_stopped_by_a_trip_and_only_once(exposing):
    w = Watched(ring_current=GuardLimits(low=200.0))
    w.guards.look({"ring_current": reading(300.0)}, 0.0)
    w.guards.exposing = exposing
    for second in range(3):
        w.guards.look({"ring_current": reading(0.0)}, 1.0 + second)
    assert w.stopped == int(exposing)


def test_what_an_exposure_told_of_counts_though_the_guard_let_go_before_the_attempt_had_ended():
    # Else an exposure that is wrong each time is taken for ever: only what is a fault of the point calls somebody.
    guards = Guards({"count_rate": GuardLimits(low=200.0, while_exposing=True)})
    guards.begin(InterruptionLog(), lambda: None)
    guards.exposing = True
    guards.look({"count_rate": reading(300.0, 1.0)}, 0.0)
    guards.look({"count_rate": reading(100.0, 2.0)}, 0.2)
    guards.exposing = False
    guards.look({"count_rate": reading(100.0, 2.0)}, 0.4)
    assert guards.holding() == {}
    (reason,) = guards.tripped_by_exposure()
    assert "count_rate is 100" in reason
    guards.exposing = True
    assert guards.tripped_by_exposure() == []
