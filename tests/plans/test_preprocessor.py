"""Baseline readings around a run, without keeping what goes by."""

import weakref

import pytest
from bluesky import Msg
from bluesky.plan_stubs import close_run, open_run
from bluesky.plans import count
from bluesky.preprocessors import baseline_wrapper
from ophyd.sim import det, motor

from microarpes.plans.preprocessor import with_baseline


class Frame:
    """Something large that a message carries."""


def answered(plan, answer=lambda message: None):
    """Go through a plan as the RunEngine does; return its messages, and what it returns or raises."""
    messages, step, thrown = [], plan.send, None
    try:
        while True:
            message = step(thrown)
            messages.append(message)
            thrown = answer(message)
            step = plan.throw if isinstance(thrown, Exception) else plan.send
    except StopIteration as end:
        return messages, end.value
    except OSError as error:
        return messages, str(error)


def told(messages):
    """What of messages is the same in two passes through one plan; groups of waits are named at random."""
    return [(each.command, each.obj, each.args, each.run, each.kwargs.get("name")) for each in messages]


def two_runs():
    yield from open_run()
    yield from close_run()
    yield Msg("open_run", run="other")
    yield Msg("close_run", run="other")
    return "both"


def recovering():
    yield from open_run()
    try:
        yield Msg("null", None, "fails")
    except OSError:
        yield Msg("null", None, "recovered")
    yield from close_run()
    return "recovered"


@pytest.mark.parametrize("plan", [lambda: count([det], 3), two_runs, recovering])
@pytest.mark.parametrize("fails", ["nothing", "a message", "a reading"])
def test_the_messages_are_those_of_bluesky(plan, fails):
    def answer(message):
        if (fails == "a message" and message.args == ("fails",)) or (
            fails == "a reading" and message.command == "read"
        ):
            return OSError("away")
        return "uid" if message.command == "open_run" else None

    ours, ours_end = answered(with_baseline(plan(), [motor]), answer)
    theirs, theirs_end = answered(baseline_wrapper(plan(), [motor]), answer)
    assert told(ours) == told(theirs)
    assert ours_end == theirs_end
    assert len(ours) > 2


def test_no_message_outlives_its_step():
    """A point's message holds its frame of 0.5 MB; ten thousand points held 5 GB."""
    born = []

    def plan():
        yield from open_run()
        for _ in range(3):
            frame = Frame()
            born.append(weakref.ref(frame))
            yield Msg("null", None, frame)
            del frame
        yield from close_run()

    alive = []
    for message in with_baseline(plan(), [motor]):
        del message
        alive.append(sum(frame() is not None for frame in born))
    assert len(born) == 3
    assert max(alive) <= 1


def test_a_plan_that_is_closed_cleans_up():
    ended = []

    def plan():
        try:
            yield from open_run()
        finally:
            ended.append(True)

    steps = with_baseline(plan(), [motor])
    next(steps)
    steps.close()
    assert ended == [True]
