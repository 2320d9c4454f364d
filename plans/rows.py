"""Row by row through a raster, with what is measured between the rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

from bluesky.utils import Msg

from microarpes.plans.fly_row import Flyer, fly_row
from microarpes.plans.grid import RasterPoint
from microarpes.plans.take_point import MsgGenerator, PointTaker, come_to_rest, take_point
from microarpes.plans.targets import Target, planned_position


class Interleaved(Protocol):
    """Something measured between the rows of a raster: a reference, a landmark, control pixels."""

    def prepare(self, taker: PointTaker) -> MsgGenerator:
        """Declare what streams it needs: the run is open and nothing was measured yet."""

    def due(self, row: int, rows: int) -> bool:
        """Return whether to measure before row `row` (from 0) of `rows`; ``row == rows`` is after the last."""

    def measure(self, taker: PointTaker) -> MsgGenerator:
        """Measure. No axis is on its way, and where it leaves the axes does not matter."""


#: ``(taker, rows, row_stop, interleaved, target) -> messages``, which return why they ended early, or None.
TakeRows = Callable[
    [PointTaker, Sequence[Sequence[RasterPoint]], Callable[[], bool], Sequence[Interleaved], Target],
    Generator[Msg, Any, str | None],
]


def take_rows(
    taker: PointTaker,
    rows: Sequence[Sequence[RasterPoint]],
    row_stop: Callable[[], bool] = lambda: False,
    interleaved: Sequence[Interleaved] = (),
    target: Target = planned_position,
    flyer: Flyer | None = None,
) -> Generator[Msg, Any, str | None]:
    """Take every pixel, row by row, until `row_stop` says to end after a row; return after which, None after the last.

    No axis is on its way when it returns early: where the wish came before the last pixel of the row, none sets out for
    the next row; where it came later, those that had set out have arrived, or failed, and are at rest.

    Parameters
    ----------
    taker : PointTaker
    rows : sequence of sequence of RasterPoint
        In the order of the visit.
    row_stop : callable
        Asked after each row but the last whether to end there; what is due at the end is still measured.
    interleaved : sequence of Interleaved
        Asked before each row, and after the last, whether they are due. No axis sets out for a row before which one is.
    target : callable
        Returns where the axes have to be for a pixel, axis to um and deg; by default its planned position.
    flyer : Flyer, optional
        Flies over the rows; without one every pixel is taken at rest.
    """
    for measurement in interleaved:
        yield from measurement.prepare(taker)
    there: Mapping[str, float] | None = None
    for number, (row, next_row) in enumerate(zip(rows, [*rows[1:], []], strict=True)):
        if (yield from measure_due(taker, interleaved, number, len(rows))):
            there = None
        if flyer is not None:
            yield from fly_row(taker, flyer, row, target)
            next_row = row = []
        for point, after in itertools.zip_longest(row, [*row[1:], *next_row[:1]]):
            # Asked with the last pixel of the row only: a wish may be taken back, a schedule may be of time.
            stays = after is None or (
                point is row[-1] and (row_stop() or any(each.due(number + 1, len(rows)) for each in interleaved))
            )
            # Once a pixel: that of an axis that has set out must be the one it is asked for.
            here, there = there or target(point), None if stays else target(after)
            yield from take_point(taker, point.pixel, here, there)
        if number + 1 < len(rows) and row_stop():
            yield from come_to_rest(taker)
            yield from measure_due(taker, interleaved, len(rows), len(rows))
            return f"stopped after row {number + 1} of {len(rows)} by the operator"
    yield from measure_due(taker, interleaved, len(rows), len(rows))
    return None


def measure_due(
    taker: PointTaker, interleaved: Sequence[Interleaved], row: int, rows: int
) -> Generator[Msg, Any, bool]:
    """Measure what is due before a row; return whether anything was."""
    due = [each for each in interleaved if each.due(row, rows)]
    if due:
        # What became due after the axes had set out for the next row.
        yield from come_to_rest(taker)
    for each in due:
        yield from each.measure(taker)
    return bool(due)
