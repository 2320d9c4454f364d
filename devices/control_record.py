"""The soft device that carries a look at a control pixel into its event: one read, no I/O in a bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from microarpes.devices.accepted_point import FRAME_KEY, WRITE_TIME_KEY, in_event
from microarpes.devices.outcome import Outcome
from microarpes.devices.soft_record import SoftRecord

ADDED = {"dose": 0.0, "look": 0, "k_f_centre": 0.0, "k_f_centre_error": 0.0}


@dataclass(frozen=True, eq=False, repr=False)
class ControlLook:
    """What was found; one object, because bluesky makes a list of every array in the arguments of a message.

    Parameters
    ----------
    values : mapping
        Data key to value, for exactly the data keys of the `ControlRecord`.
    timestamps : mapping
        Data key to IOC time, s, where there is one.
    """

    values: Mapping[str, Any]
    timestamps: Mapping[str, float]


class ControlRecord(SoftRecord):
    """Carries looks into events that have what those of the pixels have, but for the frame, which is not kept.

    Parameters
    ----------
    name : str
    data_keys : mapping
        Of a pixel's event; `ADDED` to them are ``dose``, the seconds of beam on the spot before the look, ``look``, the
        number of its round from 1, and ``k_f_centre`` with its error, deg, NaN where it is not known.
    """

    def __init__(self, name: str, data_keys: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(name, ADDED, {"dose": "s", "k_f_centre": "deg", "k_f_centre_error": "deg"})
        kept = {key: dict(told) for key, told in data_keys.items() if key not in (FRAME_KEY, WRITE_TIME_KEY)}
        self._keys = {**kept, **self._keys}

    def set(self, look: ControlLook) -> Outcome:  # type: ignore[override]
        """Keep a look for `read`.

        Raises
        ------
        KeyError
            The values are not exactly the data keys; the message names the difference.
        """
        self.check(look.values)
        now = time.time()
        self._readings = {
            key: {"value": in_event(value), "timestamp": look.timestamps.get(key, now)}
            for key, value in look.values.items()
        }
        return Outcome.reached()
