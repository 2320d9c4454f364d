"""The beam shutter as a hold-up of a run uses it: closed, opened again before the next exposure, never a failure."""

from __future__ import annotations

import logging

from ophyd.status import Status

from microarpes.devices.channel_access import finish
from microarpes.devices.environment import Shutter
from microarpes.devices.outcome import Outcome

logger = logging.getLogger(__name__)


class KeptShutter:
    """A shutter that remembers whether it was closed for a hold-up; its statuses never fail.

    Parameters
    ----------
    shutter : Shutter
    """

    name = "kept_shutter"
    parent = None

    def __init__(self, shutter: Shutter) -> None:
        self.shutter = shutter
        #: True from being told to close until it has been found open.
        self.closed = False
        #: Why it could not be moved the last time; None if it could.
        self.error: Exception | None = None

    def set(self, value: str) -> Outcome:
        """Open or close (``"open"``, ``"close"``)."""
        if value == "close":
            self.closed = True
        ended = Outcome()
        try:
            moved = self.shutter.set(value)
        except Exception as error:  # noqa: BLE001 - kept for whoever waits
            self.error = error
            finish(ended)
            return ended
        moved.add_callback(lambda status: self._moved(status, value, ended))
        return ended

    def _moved(self, status: Status, value: str, ended: Outcome) -> None:
        self.error = status.exception()
        if self.error is not None:
            logger.error("the shutter did not %s: %s", value, self.error)
        elif value == "open":
            self.closed = False
        finish(ended)

    def close_now(self) -> None:
        """Have it closed without waiting for it."""
        self.closed = True
        try:
            self.shutter.close_command.put(1, wait=False)
        except Exception as error:  # noqa: BLE001 - it is away: nothing more can be done from here
            logger.error("the shutter could not be told to close: %s", error)
