"""One thread for all deadlines."""

from __future__ import annotations

import threading

from ophyd.status import Status

from microarpes.devices.deadlines import Deadlines

#: Seconds within which what must happen has happened.
SOON = 5.0


def test_deadlines_pass_in_their_own_order_whichever_was_set_first():
    passed, all_passed, watched = [], threading.Event(), Deadlines()

    def note(name):
        passed.append(name)
        if len(passed) == 2:
            all_passed.set()

    watched.watch(Status(), 0.3, lambda: note("late"))
    watched.watch(Status(), 0.01, lambda: note("early"))
    assert all_passed.wait(SOON)
    assert passed == ["early", "late"]


def test_one_that_takes_long_to_pass_keeps_no_other_waiting():
    blocked, second, watched = threading.Event(), threading.Event(), Deadlines()
    watched.watch(Status(), 0.01, blocked.wait)
    watched.watch(Status(), 0.02, second.set)
    assert second.wait(SOON)
    blocked.set()


def test_many_moves_need_one_thread():
    before, watched = set(threading.enumerate()), Deadlines()
    statuses = [Status() for _ in range(50)]
    for status in statuses:
        watched.watch(status, 60.0, lambda: None)
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["deadlines"]
