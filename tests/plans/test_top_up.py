"""Injections: when to wait, and whether one fell into an exposure."""

from __future__ import annotations

import pytest
from bluesky.utils import RunEngineInterrupted

from microarpes.devices.evidence import Evidence
from microarpes.plans.limits import GateLimits
from microarpes.plans.top_up import INJECTION, injection_reasons, seconds_to_wait

#: An injection a minute that disturbs the beam for half a second.
LIMITS = GateLimits(top_up="gate", top_up_interval=60.0, injection_time=0.5)


def countdown(value, timestamp=1000.0, alarm_severity=0):
    return {"value": value, "timestamp": timestamp, "alarm_severity": alarm_severity}


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (30.0, 0.0),
        # 10 s of exposure and half a second for the age of the countdown fit in just so
        (10.5, 0.0),
        (10.4, 10.9),
        # an injection every 60 s: with 59.8 s to go one began 0.2 s ago and lasts for another 0.3 s
        (59.8, 0.3),
        (59.5, 0.0),
        # some rings count to zero and stay there while they inject
        (0.0, 0.5),
        (-3.0, 0.5),
    ],
)
def test_an_exposure_of_ten_seconds_begins_only_where_it_fits_between_injections(left, seconds):
    assert seconds_to_wait(countdown(left), 10.0, LIMITS) == pytest.approx(seconds)


def test_a_countdown_that_cannot_be_read_is_not_waited_for():
    assert seconds_to_wait(countdown(float("nan"), alarm_severity=3), 10.0, LIMITS) == 0.0
    assert seconds_to_wait(countdown(1.0), 10.0, GateLimits()) == 0.0


def seen(before, after, edge_time=1000.0):
    """An exposure from 1000 to 1010 s, the countdown read 0.1 s before and 0.1 s after it."""
    readings = {"countdown": after, "frame_id": {"value": 1, "timestamp": 1010.0}}
    return Evidence(readings=readings, countdown_before=before, edge_time=edge_time)


@pytest.mark.parametrize(
    ("before", "after", "clear"),
    [
        (30.0, 19.8, True),
        # announced for 1010.05 s, just after the end
        (10.15, 59.95, False),
        (10.30, 0.1, True),
        # announced for 1009.9 s
        (10.0, 59.8, False),
        # the same where the countdown stays at zero while the ring injects
        (10.0, 0.0, False),
        # the one before began 0.2 s before the exposure and lasted 0.5 s; 0.6 s before it was over in time
        (59.9, 49.7, False),
        (59.5, 49.3, True),
        # the countdown began anew though nothing was announced: the ring injected out of turn
        (30.0, 55.0, False),
        # announcements wander a little
        (30.0, 20.1, True),
        (float("nan"), 19.8, False),
        (30.0, float("nan"), False),
    ],
)
def test_an_injection_in_the_exposure_is_seen_in_the_countdown_before_and_after(before, after, clear):
    evidence = seen(countdown(before, 999.9), countdown(after, 1010.1))
    assert injection_reasons(evidence, LIMITS) == ([] if clear else [INJECTION])


def test_an_exposure_whose_start_was_not_seen_is_not_clear_of_injections():
    evidence = seen(countdown(30.0, 999.9), countdown(19.8, 1010.1), edge_time=float("nan"))
    assert injection_reasons(evidence, LIMITS) == [INJECTION]


def test_a_countdown_that_was_not_known_before_the_exposure_refuses_it():
    after = countdown(19.8, 1010.1)
    assert "was INVALID before" in injection_reasons(seen(countdown(30.0, 999.9, 3), after), LIMITS)[0]
    with pytest.raises(KeyError, match="countdown before"):
        injection_reasons(seen(None, after), LIMITS)


class Ring:
    """Counts down by what the plan is told to sleep."""

    name = "top_up"
    parent = None

    class countdown:  # noqa: N801 - stands for a signal
        name = "countdown"

    def __init__(self, *readings):
        self.readings = list(readings)

    def read(self):
        return {"countdown": self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]}

    def describe(self):
        return {}


def gated(bench, ring, interval=60.0, exposure=10.0):
    b = bench()
    b.gate.limits = GateLimits(top_up="gate", top_up_interval=interval, injection_time=interval / 120)
    b.station.top_up, b.station.exposure = ring, exposure
    return b


def test_no_exposure_begins_before_the_injection_that_would_fall_into_it(bench, engine, monkeypatch):
    b = gated(bench, Ring(countdown(4.0), countdown(59.9), countdown(59.5)))
    asked = []

    async def slept(msg):
        asked.append((round(msg.args[0], 6), b.station.exposed))

    engine.register_command("sleep", slept)
    engine(b.plan(1))
    # until the injection is over; then what is left of it; then the exposure
    assert asked == [(4.5, 0), (0.4, 0)]
    assert [event["frame_id"] for event in b.events()] == [1]


def test_an_injection_that_never_comes_is_not_waited_for_for_ever(bench, engine):
    # Three intervals of 0.06 s: then the exposure is made, and it is the gate's to judge.
    b = gated(bench, Ring(countdown(0.0)), interval=0.06)
    engine(b.plan(1))
    assert [event["frame_id"] for event in b.events()] == [1]


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("suspend", 0)])
def test_a_pause_while_waiting_for_an_injection_voids_the_wait_only(bench, how, later):
    def waiting():
        # one wait of 0.05 s, then 3 of 6 s are left for an exposure of 1 s
        return gated(bench, Ring(countdown(0.0), countdown(3.0)), interval=6.0, exposure=1.0)

    for index in range(waiting().count_messages(n=1) - 2):
        b = waiting()
        b.run_interrupted(index, how, later, n=1)
        assert [event["frame_id"] in b.gate.judged_good for event in b.events()] == [True], (how, index)


def test_injections_are_no_faults_until_they_follow_one_another(bench, engine):
    def judged(pattern):
        b = bench(sub_frames=3, max_attempts=3)
        outcomes = iter(pattern)
        b.gate.judge = lambda evidence: [INJECTION] if next(outcomes) == "i" else []
        return b

    # five refusals in all, never three in a row
    b = judged("iigiigig")
    engine(b.plan(1))
    assert len(b.events()) == 1
    b = judged("giiigg")
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan(1))
    assert b.station.exposed == 4
    engine.resume()
