"""One spot looked at again and again: how fast the beam itself changes the sample.

The run is that of a raster of one pixel, which is measured once; the looks are those at a control pixel, events of
stream ``control``. Between them lies nothing but what the configuration measures there, so that the dose on the spot
grows as fast as it can while hardly any time passes: what a map cannot tell apart, this does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from bluesky.utils import Msg

from microarpes.plans.control_pixels import ControlPixels
from microarpes.plans.grid import RasterPoint
from microarpes.plans.rows import Interleaved, measure_due
from microarpes.plans.take_point import PointTaker, take_point
from microarpes.plans.targets import Target

#: The one pixel of the raster, before each of what stands for its rows.
EVERY_TIME = ControlPixels(pixels=(0,), every_rows=1, at_end=False)
#: Fewer tell no slope and its scatter.
FEWEST = 4


class DoseSeries:
    """Looks so many times at the one pixel of a raster; what `gap_raster` takes instead of its rows.

    `EVERY_TIME` has to be among what is measured between the rows; each look counts as a row for the rest of it.

    Parameters
    ----------
    looks : int

    Raises
    ------
    ValueError
        That are too few to tell anything.
    """

    def __init__(self, looks: int) -> None:
        if isinstance(looks, bool) or not isinstance(looks, int) or looks < FEWEST:
            raise ValueError(f"looks = {looks!r} must be a whole number, at least {FEWEST}")
        self.looks = looks

    def __call__(
        self,
        taker: PointTaker,
        rows: Sequence[Sequence[RasterPoint]],
        row_stop: Callable[[], bool],
        interleaved: Sequence[Interleaved],
        target: Target,
    ) -> Generator[Msg, Any, str | None]:
        """Take the looks; return why they ended early, or None."""
        for measurement in interleaved:
            yield from measurement.prepare(taker)
        ended = None
        for look in range(self.looks):
            yield from measure_due(taker, interleaved, look, self.looks)
            if look == 0:
                ((point,),) = rows
                yield from take_point(taker, point.pixel, target(point))
            if row_stop() and look + 1 < self.looks:
                ended = f"stopped after look {look + 1} of {self.looks} by the operator"
                break
        yield from measure_due(taker, interleaved, self.looks, self.looks)
        return ended
