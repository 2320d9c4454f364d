"""Statuses made of others, which always succeed: what failed is told by those they are made of."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from microarpes.devices.outcome import Outcome

logger = logging.getLogger(__name__)


def all_done(statuses: Sequence[Outcome], finished: Callable[[], None]) -> Outcome:
    """Return a status that succeeds once all of `statuses` ended, one way or the other, after calling `finished`."""
    together = Outcome()
    lock = threading.Lock()
    waiting = len(statuses)

    def one_done(_: Outcome | None = None) -> None:
        nonlocal waiting
        with lock:
            waiting -= 1
            last = waiting <= 0
        if last:
            finished()
            together.set_finished()

    for status in statuses:
        status.add_callback(one_done)
    if not statuses:
        one_done()
    return together


def followed_by(status: Outcome, action: Callable[[], object]) -> Outcome:
    """Return a status that succeeds once `status` ended and `action`, run in a thread of its own, returned or raised.

    Both need deadlines of their own.
    """
    after = Outcome()

    def act() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the gate judges what was found without it
            logger.warning("%s: %s", getattr(action, "__name__", "after a status"), error)
        finally:
            after.set_finished()

    status.add_callback(lambda _: threading.Thread(target=act, daemon=True).start())
    return after
