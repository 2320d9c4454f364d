"""What a good point must satisfy, as a value of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from microarpes.devices.region import Finite

Positive = Annotated[Finite, Field(gt=0)]


class GateLimits(BaseModel):
    """What a good point must satisfy.

    Parameters
    ----------
    min_open_fraction : float
        Share of the exposure with the shutter open and beam present.
    i0_low, i0_high : float
        Accepted range of the gated I0 per second, relative to the median of the last accepted points.
    max_age : mapping of str to float
        Slow signal to the largest accepted age on the IOC's clock, s.
    saturation : float, optional
        Counts of one channel at which the detector no longer counts; None when it always does.
    max_attempts : int
        Attempts before the plan pauses for an operator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_open_fraction: Annotated[Finite, Field(gt=0, le=1)] = 0.99
    i0_low: Annotated[Finite, Field(ge=0, lt=1)] = 0.5
    i0_high: Annotated[Finite, Field(gt=1)] = 1.5
    max_age: dict[str, Positive] = Field(
        default_factory=lambda: {
            "ring_current": 3.0,
            "sample_temperature": 5.0,
            "pressure": 10.0,
            "heartbeat": 2.0,
        }
    )
    saturation: Positive | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100, strict=True)] = 5
