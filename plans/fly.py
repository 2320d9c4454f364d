"""What is asked of a raster that is taken in flight: a value."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from microarpes.devices.region import Finite

Positive = Annotated[Finite, Field(gt=0)]


class Fly(BaseModel):
    """Take the frames of a row while the axis moves over it.

    Parameters
    ----------
    overhead : float, s
        From the end of an exposure to the beginning of the next, in the first row; afterwards it is what was measured.
        The 99th percentile of docs/measured/dead-time.json.
    lead : float, s
        Of constant velocity before the first exposure of a row and after the last. The readback has to be updated twice
        in it: 0.15 s do for 20 Hz.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    overhead: Positive = 0.02
    lead: Positive = 0.15
