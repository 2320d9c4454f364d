"""A setting that is waited for: steady for a time, whatever is in doubt begins anew, and an end to it."""

from __future__ import annotations

import time

import pytest
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from ophyd.status import Status

from microarpes.plans.guard_limits import GuardLimits
from microarpes.plans.settle import LOOK, NotSettled, settle

#: K; steady for 2 s, updated every 3 s at least.
LIMITS = GuardLimits(low=19.5, high=20.5, delay=2.0, max_age=3.0)


class Thermometer:
    """Gives its readings one after the other, a second apart on its own clock; the last one for ever."""

    def __init__(self, *readings):
        self.readings, self.now, self.looks = readings, 0.0, 0

    def read(self):
        found = self.readings[min(self.looks, len(self.readings) - 1)]
        self.looks += 1
        self.now += 1.0
        if isinstance(found, Exception):
            return found
        value, severity = found if isinstance(found, tuple) else (found, 0)
        return {"value": value, "timestamp": self.now, "alarm_severity": severity}

    def clock(self):
        return self.now


def waited(thermometer, limits=LIMITS, deadline=30.0):
    """The messages of a plan that nobody interrupts; nothing sleeps."""
    signal = Signal(name="setpoint")
    return list(settle("temperature", signal, 20.0, thermometer.read, limits, deadline=deadline,
                       clock=thermometer.clock))  # fmt: skip


def test_it_is_set_once_and_waited_for_until_it_was_well_for_the_whole_time():
    thermometer = Thermometer(10.0, 15.0, 19.0, 19.8, 20.1, 20.0, 20.0)
    messages = waited(thermometer)
    assert [(msg.command, msg.args) for msg in messages if msg.command == "set"] == [("set", (20.0,))]
    # the fourth look is the first that is well; two s later it is settled
    assert thermometer.looks == 6


def test_a_place_that_it_was_near_before_is_not_taken_for_settled():
    thermometer = Thermometer(20.0)
    waited(thermometer)
    assert thermometer.looks == 3


@pytest.mark.parametrize("doubt", [25.0, float("nan"), (20.0, 3), TimeoutError("no answer")])
def test_whatever_is_in_doubt_begins_the_time_anew(doubt):
    thermometer = Thermometer(20.0, 20.0, doubt, 20.0)
    waited(thermometer)
    assert thermometer.looks == 6


@pytest.mark.parametrize(
    ("reading", "told"),
    [
        (15.0, "it is 15, at least 19.5 is asked for"),
        (float("nan"), "it is nan, at least"),
        ((20.0, 3), "dead or INVALID"),
        (TimeoutError("no answer"), "it cannot be read: no answer"),
    ],
)
def test_what_does_not_settle_ends_at_the_deadline_and_says_where_it_is(reading, told):
    with pytest.raises(NotSettled, match=f"temperature was to be 20.0 for 2 s within 30 s: .*{told}"):
        waited(Thermometer(reading))


def test_a_readback_that_is_no_more_updated_is_not_steady():
    stuck = Thermometer(20.0)
    read = stuck.read
    stuck.read = lambda: {**read(), "timestamp": 1.0}
    with pytest.raises(NotSettled, match="its readback is dead"):
        waited(stuck, LIMITS.model_copy(update={"delay": 10.0}))


def test_a_text_is_waited_for_as_a_number_is():
    assert waited(Thermometer("LH", "LH", "LV"), GuardLimits(value="LV"))
    with pytest.raises(NotSettled, match="it is 'LH', not 'LV'"):
        waited(Thermometer("LH"), GuardLimits(value="LV"))


def test_a_setting_that_is_refused_is_told_and_not_waited_for(engine):
    class Refusing(Signal):
        def set(self, value, **_):
            status = Status()
            status.set_exception(TimeoutError("the record keeps 10"))
            return status

    read = Thermometer(10.0)
    with pytest.raises(NotSettled, match=r"temperature could not be set to 20.0: the record keeps 10"):
        engine(settle("temperature", Refusing(name="setpoint"), 20.0, read.read, LIMITS, deadline=30.0))
    assert read.looks == 0


def test_a_pause_goes_on_waiting_when_resumed_and_does_not_count(bench, engine):
    away, arrived = [], []

    def read():
        return {"value": 20.0 if arrived else 10.0, "timestamp": time.time(), "alarm_severity": 0}

    signal = Signal(name="setpoint")
    limits = GuardLimits(low=19.5, delay=LOOK / 2)
    plan = settle("temperature", signal, 20.0, read, limits, deadline=3.0, clock=lambda: time.monotonic() + sum(away))
    # in the sleep after the first look
    bench().interrupt(4, "pause")
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    assert engine.state == "paused"
    arrived.append(True)
    away.append(3600.0)
    engine.msg_hook = None
    engine.resume()
    assert engine.state == "idle"
    assert signal.get() == 20.0
