"""An outcome is a status bluesky takes: it ends once, and tells everybody who asked, whenever they asked."""

import threading

import pytest
from bluesky.protocols import Status
from ophyd.utils.errors import InvalidState, WaitTimeoutError

from microarpes.devices.channel_access import finish
from microarpes.devices.outcome import Outcome


def test_bluesky_takes_it_for_a_status():
    assert isinstance(Outcome(), Status)


def test_who_asked_before_its_end_and_who_asks_after_it_are_both_told_once():
    outcome, told = Outcome(), []
    outcome.add_callback(lambda ended: told.append(("before", ended.success)))
    assert (outcome.done, outcome.success, told) == (False, False, [])
    outcome.set_finished()
    outcome.add_callback(lambda ended: told.append(("after", ended.success)))
    assert told == [("before", True), ("after", True)]
    assert outcome.exception() is None
    outcome.wait()


def test_it_fails_with_the_error_it_was_given():
    outcome, lost = Outcome(), ConnectionError("the IOC is away")
    outcome.set_exception(lost)
    assert (outcome.done, outcome.success, outcome.exception(0)) == (True, False, lost)
    with pytest.raises(ConnectionError, match="the IOC is away"):
        outcome.wait()


def test_it_ends_once_and_a_deadline_that_comes_later_changes_nothing():
    outcome = Outcome.reached()
    with pytest.raises(InvalidState, match="ended already"):
        outcome.set_exception(TimeoutError("too late"))
    finish(outcome, TimeoutError("too late"))
    assert outcome.success


def test_who_waits_too_short_a_time_is_told_so():
    with pytest.raises(WaitTimeoutError, match=r"has not ended within 0\.01 s"):
        Outcome().wait(0.01)


def test_one_callback_that_fails_keeps_none_of_the_others_from_being_told(caplog):
    outcome, told = Outcome(), []
    outcome.add_callback(lambda ended: 1 / 0)
    outcome.add_callback(told.append)
    outcome.set_finished()
    assert told == [outcome]
    assert "a callback of an outcome failed" in caplog.text


def test_of_many_threads_that_end_it_one_does_and_nobody_is_told_twice():
    outcome, told, start = Outcome(), [], threading.Barrier(8)
    outcome.add_callback(told.append)

    def end():
        start.wait()
        finish(outcome)

    threads = [threading.Thread(target=end) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [outcome]
