"""The status of what every point does: moves, an exposure, a frame that is written.

ophyd's status traces itself and looks into the signature of each callback, about 0.1 ms each time; a point has ten of
them, all on its critical path. This one is bluesky's Status protocol and no more. What is done once a run keeps
ophyd's; both fail with the exception they were given.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ophyd.utils.errors import InvalidState, WaitTimeoutError

logger = logging.getLogger(__name__)


class Outcome:
    """Ends once, well or with an error, and tells so in the thread that ends it; may be used from any thread."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._callbacks: list[Callable[[Outcome], object]] = []

    @classmethod
    def reached(cls) -> Outcome:
        """Return that of what is done already."""
        outcome = cls()
        outcome.set_finished()
        return outcome

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended.is_set()

    @property
    def success(self) -> bool:
        """Whether it has ended well."""
        return self.done and self._error is None

    def set_finished(self) -> None:
        """End well; raises InvalidState where it has ended already."""
        self._end(None)

    def set_exception(self, error: Exception) -> None:
        """End with an error; raises InvalidState where it has ended already."""
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self.done:
                raise InvalidState(f"{self} has ended already")
            self._error = error
            self._ended.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._tell(callback)

    def add_callback(self, callback: Callable[[Outcome], object]) -> None:
        """Have `callback` called with this outcome when it has ended; at once if it has."""
        with self._lock:
            if not self.done:
                self._callbacks.append(callback)
                return
        self._tell(callback)

    def _tell(self, callback: Callable[[Outcome], object]) -> None:
        try:
            callback(self)
        except Exception:  # others are still to be told
            logger.exception("a callback of an outcome failed")

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Return the error it ended with, None if it ended well; waits up to `timeout` s for its end.

        Raises
        ------
        WaitTimeoutError
            It has not ended by then.
        """
        if not self._ended.wait(timeout):
            raise WaitTimeoutError(f"{self} has not ended within {timeout} s")
        return self._error

    def wait(self, timeout: float | None = None) -> None:
        """Wait for its end, up to `timeout` s, and raise the error it ended with, or WaitTimeoutError."""
        if (error := self.exception(timeout)) is not None:
            raise error
