"""What a guard watches and when it trips, as a value of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from microarpes.devices.region import Finite

#: A process variable: what EPICS allows, so no blank, newline or shell character.
PVName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-+:\[\]<>;.{}]*$", max_length=60)]


class GuardLimits(BaseModel):
    """A guard: what it watches, when it trips, when it lets the run go on.

    Parameters
    ----------
    pv : str
        Process variable; a guard with the name of something the configuration knows needs none.
    low, high : float, optional
        It trips below or above, in the unit of what it watches; also on what is no number.
    resume_low, resume_high : float, optional
        Hysteresis: once tripped it is over only at or above, at or below these; by default `low` and `high`.
    value : str, optional
        It trips where the process variable shows another text.
    delay : float
        s for which all must be well again before the run goes on: settling time.
    max_age : float, optional
        s without an update after which what is watched is dead, and trips. None, for what is updated only when it
        changes: its answer is proof of life.
    while_exposing : bool
        Judged only during exposures, by what came after their start: a count rate means nothing between them. Tripped,
        it is over after `delay`, for only an exposure can tell; too often in a row and the run pauses.
    close_shutter : bool
        The beam shutter is closed while this guard is tripped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pv: PVName = ""
    low: Finite | None = None
    high: Finite | None = None
    resume_low: Finite | None = None
    resume_high: Finite | None = None
    value: str | None = None
    delay: Annotated[Finite, Field(ge=0)] = 0.0
    max_age: Annotated[Finite, Field(gt=0)] | None = None
    while_exposing: bool = False
    close_shutter: bool = False

    @model_validator(mode="after")
    def _something_to_trip_at(self) -> GuardLimits:
        if (self.low is None and self.high is None) == (self.value is None):
            raise ValueError("give low, high or both, or else value, the text that must be shown")
        for edge, resume in (("low", self.resume_low), ("high", self.resume_high)):
            if resume is not None and getattr(self, edge) is None:
                raise ValueError(f"resume_{edge} = {resume:g} needs {edge}")
        floor, ceiling = self.range(tripped=True)
        if not self.range(tripped=False)[0] <= floor < ceiling <= self.range(tripped=False)[1]:
            raise ValueError(
                f"resume range [{floor:g}, {ceiling:g}] is not within [{self.low}, {self.high}]; a guard that tripped "
                "would never be over, or sooner than it trips"
            )
        return self

    def range(self, *, tripped: bool) -> tuple[float, float]:
        """Return lowest and highest value that is well, for a guard that is tripped or not."""
        low = self.resume_low if tripped and self.resume_low is not None else self.low
        high = self.resume_high if tripped and self.resume_high is not None else self.high
        return (float("-inf") if low is None else low), (float("inf") if high is None else high)

    def refusal(self, value: Any, *, tripped: bool) -> str:
        """Return what is wrong with a value, for a guard that is tripped or not; empty if it is well."""
        if self.value is not None:
            return "" if str(value) == self.value else f"is {str(value)!r}, not {self.value!r}"
        low, high = self.range(tripped=tripped)
        try:
            number = float(value)
        except (TypeError, ValueError):
            return f"is {value!r}, not a number"
        # Written so that a NaN refuses.
        if not low <= number:
            return f"is {number:g}, at least {low:g} is asked for"
        return "" if number <= high else f"is {number:g}, at most {high:g} is allowed"


#: What `GuardLimits.refusal` says, after the name of the guard.
_REFUSAL = re.compile(r" is (?:(?P<number>\S+), at (?:least|most) |(?P<text>'.*'|\".*\"), not )")


def refused_value(reason: str) -> float | str | None:
    """Return the value at which a guard tripped, from its reason; None where it tripped at none, as a dead signal.

    Examples
    --------
    >>> refused_value("ring_current is 0, at least 200 is asked for")
    0.0
    >>> refused_value("shutter is 'Not Open', not 'Open'")
    'Not Open'
    >>> refused_value("vacuum is INVALID")
    """
    found = _REFUSAL.search(reason)
    if found is None:
        return None
    return float(found["number"]) if found["number"] is not None else found["text"][1:-1]
