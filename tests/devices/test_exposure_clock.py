"""Deadlines of exposures, without hardware."""

from __future__ import annotations

import math

import pytest
from ophyd import Signal
from ophyd.status import Status

from microarpes.devices.exposure_clock import ExposureClock

#: Seconds within which what must happen has happened; a mutant without it is found that late.
SOON = 5.0


@pytest.fixture
def signals():
    return Signal(name="acquiring", value=0), Signal(name="time_left", value=0.0)


def test_the_start_of_an_exposure_has_the_time_of_its_stamp(signals):
    clock = ExposureClock(*signals)
    clock.forget()
    assert math.isnan(clock.edge_time(0.0))
    signals[0].put(1, timestamp=1234.5)
    signals[0].put(0, timestamp=1235.5)
    assert clock.edge_time(0.0) == 1234.5


def test_only_the_first_time_left_of_an_exposure_is_how_long_it_takes(signals):
    acquiring, left = signals
    clock = ExposureClock(*signals)
    left.put(9.0)
    assert clock.told == 0.0
    acquiring.put(1)
    for seconds in (3.0, 2.0, 7.0):
        left.put(seconds)
    assert clock.told == 3.0
    clock.forget()
    left.put(5.0)
    assert clock.told == 0.0


def test_an_exposure_that_outlives_its_time_fails(signals):
    status = Status()
    ExposureClock(*signals).watch(status, lambda: 0.01)
    with pytest.raises(TimeoutError, match=r"did not end within 0.01 s"):
        status.wait(SOON)


def test_a_time_that_was_told_late_puts_the_deadline_off(signals):
    # The first answer has passed when it is asked for again; only the second is the deadline.
    answers = iter([0.01, 0.05, 0.05])
    status = Status()
    ExposureClock(*signals).watch(status, lambda: next(answers))
    with pytest.raises(TimeoutError, match=r"within 0.05 s"):
        status.wait(SOON)


def test_an_exposure_that_ended_is_left_alone(signals):
    asked = []
    ended, later = Status(), Status()
    clock = ExposureClock(*signals)
    clock.watch(ended, lambda: asked.append(0.01) or 0.01)
    ended.set_finished()
    # Deadlines pass in order: when the second has, the first has too.
    clock.watch(later, lambda: 0.02)
    with pytest.raises(TimeoutError):
        later.wait(SOON)
    assert ended.success
    assert asked == [0.01]
