"""PVs of the simulated IOC: caproto channels that tell a client's put from the IOC's own posting."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from caproto import (
    AccessRights,
    ChannelChar,
    ChannelDouble,
    ChannelEnum,
    ChannelInteger,
    ChannelString,
    SkipWrite,
    TimeStamp,
)
from caproto._data import CannotExceedLimits
from numpy.typing import NDArray

#: What a put of a client calls: it returns the value to store, or raises `SkipWrite` to leave the value as it is.
OnPut = Callable[[Any], Awaitable[Any]]


class Posted:
    """Mixed into a channel: `on_put` sees what clients write, `post` is the IOC's own write."""

    on_put: OnPut | None = None
    writable: bool = True

    def check_access(self, hostname: str, username: str) -> Any:
        return AccessRights.READ | AccessRights.WRITE if self.writable else AccessRights.READ

    async def verify_value(self, value: Any) -> Any:
        try:
            value = await super().verify_value(value)  # type: ignore[misc]
        except CannotExceedLimits:
            # Who has an `on_put` says why and keeps the value; an error would leave some clients waiting.
            if self.on_put is None:
                raise
        refuse_unstorable(self, value)
        return value if self.on_put is None else await self.on_put(value)

    async def post(self, value: Any, *, timestamp: float | None = None) -> None:
        stamp = {} if timestamp is None else {"timestamp": timestamp}
        await self.write(value, verify_value=False, update_fields=False, **stamp)  # type: ignore[attr-defined]


def drop_monitor(channel: Any, value: Any) -> None:
    """Change a value, time stamp and all, without telling who monitors it: explicit gets see it, monitors do not."""
    channel._data |= {"value": value, "timestamp": TimeStamp.from_flexible_value(time.time())}  # noqa: SLF001
    channel._content.clear()  # noqa: SLF001


def refuse_unstorable(channel: Any, value: Any) -> None:
    """Raise `SkipWrite` for what no record stores: a number that is not finite, a string the enum does not have.

    The put then completes and the value stays, as with any refused setting; an error would leave some clients waiting.
    """
    strings = getattr(channel, "enum_strings", None)
    if strings is not None:
        if value not in strings:
            raise SkipWrite
    elif isinstance(value, float | np.floating) and not math.isfinite(value):
        raise SkipWrite


class Double(Posted, ChannelDouble):
    """A float64 scalar or array."""


class Integer(Posted, ChannelInteger):
    """An int32 scalar or array."""


class Enum(Posted, ChannelEnum):
    """An enum, stored as its string."""


class String(Posted, ChannelString):
    """A string of up to 39 characters."""


class Text(Posted, ChannelChar):
    """A long string as areaDetector serves it: an array of char."""


Signal = Double | Integer | Enum | String | Text
Signals = dict[str, Any]
S = TypeVar("S", bound=Signal)


def number(
    value: float,
    units: str = "",
    *,
    limits: tuple[float, float] = (0.0, 0.0),
    writable: bool = False,
    on_put: OnPut | None = None,
) -> Double:
    """Make a float64 scalar with a unit and control limits; two equal ones are none."""
    low, high = limits
    signal = Double(value=float(value), units=units, precision=4, lower_ctrl_limit=low, upper_ctrl_limit=high)
    return _configured(signal, writable, on_put)


def count(
    value: int, *, limits: tuple[int, int] = (0, 0), writable: bool = False, on_put: OnPut | None = None
) -> Integer:
    """Make an int32 scalar with control limits; two equal ones are none."""
    low, high = limits
    return _configured(Integer(value=int(value), lower_ctrl_limit=low, upper_ctrl_limit=high), writable, on_put)


def choice(strings: Sequence[str], value: str, *, writable: bool = False, on_put: OnPut | None = None) -> Enum:
    """Make an enum."""
    return _configured(Enum(value=value, enum_strings=tuple(strings)), writable, on_put)


def text(value: str, *, writable: bool = False, long: bool = True, on_put: OnPut | None = None) -> Text | String:
    """Make a string; `long` ones are arrays of 256 characters."""
    signal = Text(value=value, max_length=256) if long else String(value=value)
    return _configured(signal, writable, on_put)


def doubles(values: NDArray[Any], units: str = "", *, room: int) -> Double:
    """Make a float64 array with room for `room` elements."""
    return _configured(Double(value=np.asarray(values, dtype=np.float64), max_length=room, units=units), False, None)


def integers(values: NDArray[Any], *, room: int) -> Integer:
    """Make an int32 array with room for `room` elements."""
    return _configured(Integer(value=np.asarray(values, dtype=np.int32), max_length=room), False, None)


def _configured(signal: S, writable: bool, on_put: OnPut | None) -> S:
    signal.writable = writable or on_put is not None
    signal.on_put = on_put
    return signal


__all__ = [
    "Double",
    "Enum",
    "Integer",
    "OnPut",
    "Signal",
    "Signals",
    "SkipWrite",
    "String",
    "Text",
    "choice",
    "count",
    "doubles",
    "drop_monitor",
    "integers",
    "number",
    "refuse_unstorable",
    "text",
]
