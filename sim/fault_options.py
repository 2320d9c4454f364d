"""``--fault NAME=VALUE``: a fault enabled from the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from microarpes.sim.fault_kinds import BY_NAME

#: Shown by ``--help``.
FORM = "NAME=PROBABILITY[@START[+DURATION]][:AMOUNT]"

_VALUE = re.compile(r"(?P<probability>[^@:+]+)(@(?P<start>[^@:]+?)(\+(?P<duration>[^@:+]+))?)?(:(?P<amount>[^@:]+))?")


@dataclass(frozen=True)
class FaultRequest:
    """A fault to be enabled at boot.

    Parameters
    ----------
    name : str
        Of a kind.
    probability : float
        At each occasion, 0 to 1.
    start, duration : float, s
        After boot; a duration of 0 is for ever.
    amount : float, optional
        In the unit of the kind; its default where left out.
    """

    name: str
    probability: float
    start: float = 0.0
    duration: float = 0.0
    amount: float | None = None


def parse_fault(option: str) -> FaultRequest:
    """Read the value of ``--fault``.

    Raises
    ------
    ValueError
        Names what was asked, and what can be.
    """
    name, separator, value = option.partition("=")
    name = name.strip().upper()
    if name not in BY_NAME:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(BY_NAME)}")
    found = _VALUE.fullmatch(value.strip())
    if not separator or found is None:
        raise ValueError(f"{option!r} is not {FORM}, for example {name}=0.1@5+60")
    numbers = {key: _number(option, key, text) for key, text in found.groupdict().items() if text is not None}
    kind = BY_NAME[name]
    limits = {
        "probability": (0.0, 1.0),
        "start": (0.0, 1e9),
        "duration": (0.0, 1e9),
        "amount": (-kind.highest if kind.signed else 0.0, kind.highest),
    }
    for key, number in numbers.items():
        low, high = limits[key]
        if not low <= number <= high:
            raise ValueError(f"{key} of {name} is {number:g}; it can be from {low:g} to {high:g} {kind.units}".rstrip())
    return FaultRequest(name, **numbers)


def _number(option: str, key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the {key} in {option!r}, {text!r}, is not a number; write {FORM}")
    return number
