"""Stopping a device that may be away."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)


def try_to_stop(device: Any, *, success: bool = False) -> None:
    """Stop a device; one that is away keeps neither the others from being stopped nor an attempt from ending."""
    try:
        device.stop(success=success)
    except Exception as error:  # noqa: BLE001 - it is away, or slow: the next attempt finds out
        logger.error("%s could not be stopped: %s", device.name, error)
