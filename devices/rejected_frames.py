"""The soft device that keeps what the gate refused, apart from the accepted frames, with pixel and reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from microarpes.devices.frame_file import FrameFile
from microarpes.devices.outcome import Outcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rejection:
    """One refused attempt."""

    pixel: int
    frame_id: int
    frame: NDArray[Any] | None
    reason: str


class RejectedFrames:
    """Write refused frames into the run's file; counts them."""

    parent = None

    def __init__(self, name: str, frames: FrameFile) -> None:
        self.name = name
        self.frames = frames
        self.count = 0

    def set(self, rejection: Rejection) -> Outcome:
        """Keep one refused attempt; the status never fails, a full disk must not turn a retake into an abort."""
        self.count += 1
        try:
            self.frames.reject(rejection.frame, rejection.frame_id, rejection.pixel, rejection.reason)
        except OSError as error:
            logger.error("the rejected frame of pixel %d could not be kept: %s", rejection.pixel, error)
        return Outcome.reached()

    def read(self) -> dict[str, Any]:
        """Return the number of refused attempts."""
        return {self.name: {"value": self.count, "timestamp": 0.0}}

    def describe(self) -> dict[str, Any]:
        """Return the data key of `read`."""
        return {self.name: {"source": str(self.frames.path), "dtype": "integer", "shape": []}}
