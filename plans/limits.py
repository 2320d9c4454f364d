"""What a good point must satisfy, as a value of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.region import Finite

Positive = Annotated[Finite, Field(gt=0)]

#: Slow signal to the period at which an IOC usually updates it, s.
UPDATE_PERIOD = {
    "ring_current": 1.0,
    "sample_temperature": 2.0,
    "pressure": 3.0,
    "heartbeat": 1.0,
    "countdown": 1.0,
}
#: A signal that missed this many updates is dead.
MISSED_UPDATES = 3.0


class GateLimits(BaseModel):
    """What a good point must satisfy.

    Parameters
    ----------
    beam_check : {"gated", "delayed"}
        gated: by I0 integrated over the exposure. delayed, where there is no gated I0: by ring current and shutter,
        read when the ring current is younger than the end of the exposure.
    min_open_fraction : float
        Share of a whole exposure with the shutter open and beam present.
    max_dose_loss : float
        With the shutter open, an exposure that lost less than this share of its beam, to a dump or an injection, is a
        partial exposure, recorded with its I0 and live time.
    i0_low, i0_high : float
        Accepted range of the gated I0 per second (delayed: of the ring current), relative to the median of the last
        accepted exposures.
    min_ring_current : float
        delayed: mA below which there is no beam.
    top_up : {"ignore", "gate", "discard"}
        Injections are part of the exposure; or no exposure begins that one would fall into; or such an exposure is
        refused and taken again. The last two need the ring's countdown.
    top_up_interval, injection_time : float
        s between injections; s an injection disturbs the beam, not below the update period of the countdown.
    sub_frame : float, optional
        Longest single exposure, s; a longer one is taken as a sum. By default what fits between two injections where
        `top_up_interval` is given, else without limit.
    update_period : mapping of str to float
        Slow signal to the period of its updates, s.
    max_age : mapping of str to float
        Slow signal to the largest accepted age on the IOC's clock, s; by default three times its update period.
    saturation : float, optional
        Counts of one channel at which the detector no longer counts; None when it always does.
    max_attempts : int
        Refused exposures of a point before the plan pauses for an operator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    beam_check: Literal["gated", "delayed"] = "gated"
    min_open_fraction: Annotated[Finite, Field(gt=0, le=1)] = 0.99
    max_dose_loss: Annotated[Finite, Field(ge=0, lt=1)] = 0.05
    i0_low: Annotated[Finite, Field(ge=0, lt=1)] = 0.5
    i0_high: Annotated[Finite, Field(gt=1)] = 1.5
    min_ring_current: Annotated[Finite, Field(ge=0)] = 1.0
    top_up: Literal["ignore", "gate", "discard"] = "ignore"
    top_up_interval: Positive | None = None
    injection_time: Positive = 0.5
    sub_frame: Positive | None = None
    update_period: dict[str, Positive] = Field(default_factory=dict)
    max_age: dict[str, Positive] = Field(default_factory=dict)
    saturation: Positive | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100, strict=True)] = 5

    @model_validator(mode="after")
    def _known_signals(self) -> GateLimits:
        for table in ("update_period", "max_age"):
            unknown = sorted(set(getattr(self, table)) - set(UPDATE_PERIOD))
            if unknown:
                raise ValueError(
                    f"{table}: unknown signal {', '.join(unknown)}; the signals are {', '.join(UPDATE_PERIOD)}"
                )
        return self

    @model_validator(mode="after")
    def _room_between_injections(self) -> GateLimits:
        if self.top_up == "ignore":
            return self
        if self.top_up_interval is None:
            raise ValueError(f"top_up = {self.top_up!r} needs top_up_interval, the s between two injections")
        if not self._clear_time > 0:
            raise ValueError(
                f"injection_time = {self.injection_time:g} s leaves no room in top_up_interval = "
                f"{self.top_up_interval:g} s; at most a third of it can be waited for"
            )
        if self.sub_frame is not None and self.sub_frame > self._clear_time:
            raise ValueError(
                f"sub_frame = {self.sub_frame:g} s does not fit between two injections; with top_up_interval = "
                f"{self.top_up_interval:g} s and injection_time = {self.injection_time:g} s at most "
                f"{self._clear_time:g} s do"
            )
        return self

    @property
    def _clear_time(self) -> float:
        # One injection_time for the injection, one for the age of the countdown, one to find the moment to begin.
        return (self.top_up_interval or 0.0) - 3.0 * self.injection_time

    @property
    def longest_exposure(self) -> float:
        """Longest single exposure, s; infinite where nothing limits it."""
        if self.sub_frame is not None:
            return self.sub_frame
        if self.top_up_interval is None:
            return float("inf")
        return self.top_up_interval if self.top_up == "ignore" else self._clear_time

    def age_limit(self, signal: str) -> float:
        """Return the largest accepted age of a slow signal, s."""
        period = self.update_period.get(signal, UPDATE_PERIOD[signal])
        return self.max_age.get(signal, MISSED_UPDATES * period)
