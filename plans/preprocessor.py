"""The preprocessor that reads devices into the stream ``baseline`` as a run begins and as it ends."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from typing import Any

from bluesky.plan_stubs import declare_stream, trigger_and_read
from bluesky.preprocessors import set_run_key_wrapper
from bluesky.utils import Msg, ensure_generator

NAME = "baseline"


def with_baseline(plan: Iterable[Msg], devices: Collection[Any]) -> Generator[Msg, Any, Any]:
    """Read devices after each ``open_run`` and before each ``close_run`` of a plan.

    The documents are those of `bluesky.preprocessors.baseline_wrapper`, which keeps every message of a plan until its
    end, and with it the frame of every point: 0.5 MB each.

    Parameters
    ----------
    plan : iterable of Msg
    devices : collection
        What is read.

    Returns
    -------
    object
        What the plan returns.
    """
    steps = ensure_generator(plan)
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            message = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value
        answer, error = None, None
        try:
            if message.command == "close_run":
                yield from _in_run(message, trigger_and_read(devices, name=NAME))
            answer = yield message
            if message.command == "open_run":
                yield from _in_run(message, declare_stream(*devices, name=NAME))
                yield from _in_run(message, trigger_and_read(devices, name=NAME))
        except GeneratorExit:
            steps.close()
            raise
        except Exception as thrown:  # noqa: BLE001 - by the RunEngine, or by a reading: the plan's to answer
            error = thrown
        del message  # not kept while the plan makes the next


def _in_run(message: Msg, readings: Iterable[Msg]) -> Iterable[Msg]:
    return readings if message.run is None else set_run_key_wrapper(readings, message.run)
