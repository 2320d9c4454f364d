"""A spectrum counted at one place until it is good enough: what is told of a pixel that a map made interesting.

The run is that of a raster of one pixel. Its events are growing sums: each holds all that was counted so far, in its
EDCs, its frame, its I0 and its times, and takes the place of the one before, as a retaken pixel does. So whatever reads
rasters reads it, a live fit shows the error shrink, and a run that is cut off has lost what was counted since its last
event, at most. What was counted between two events is the difference of their frames.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from bluesky.utils import Msg

from microarpes.devices.evidence import Evidence
from microarpes.devices.region import is_number
from microarpes.plans.grid import RasterPoint
from microarpes.plans.rows import Interleaved, measure_due
from microarpes.plans.sub_frames import overflow, total
from microarpes.plans.take_point import PointTaker, emit_point, take_exposures
from microarpes.plans.targets import Target

logger = logging.getLogger(__name__)

#: s of exposure after which what was counted is an event: what a cut costs, against a frame on the disk.
EMIT_EVERY = 10.0
#: s of exposure after which a spectrum ends that has not come to its goal.
LONGEST = 3600.0

#: ``values of an event -> (error of the gap in meV, status of the fit)``; the error is NaN where there is no gap.
GapError = Callable[[Mapping[str, Any]], tuple[float, str]]


@dataclass(frozen=True)
class SpectrumGoal:
    """When a spectrum is good enough.

    Parameters
    ----------
    kind : {"target_sigma", "counts", "time"}
    value : float
        Error of the gap, meV; counts of the whole frame, detector units; or exposure, s.
    longest : float, s
        Exposure with which it ends though it is not good enough; not looked at where the goal is a time.

    Raises
    ------
    ValueError
        A value is no number above 0.
    """

    kind: Literal["target_sigma", "counts", "time"]
    value: float
    longest: float = LONGEST

    def __post_init__(self) -> None:
        for name, value in ((self.kind, self.value), ("longest", self.longest)):
            if not (is_number(value) and value > 0):
                raise ValueError(f"{name} = {value!r} must be a finite number above 0")

    @classmethod
    def of(cls, *, longest: float = LONGEST, **asked: float | None) -> SpectrumGoal:
        """Return the one goal that is given of ``target_sigma``, ``counts`` and ``time``.

        Examples
        --------
        >>> SpectrumGoal.of(target_sigma=0.5, counts=None, time=None)
        SpectrumGoal(kind='target_sigma', value=0.5, longest=3600.0)
        """
        given = {name: value for name, value in asked.items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'no goal'} given; give one of target_sigma (meV), counts and time (s)"
            )
        ((kind, value),) = given.items()
        return cls(kind, value, longest)  # type: ignore[arg-type]

    def document(self) -> dict[str, Any]:
        """Return the ``goal`` entry of the start document."""
        return {"kind": self.kind, "value": float(self.value), "longest": float(self.longest)}


class Summation:
    """Sums exposures at the one pixel of a raster; what `gap_raster` takes instead of its rows.

    Parameters
    ----------
    goal : SpectrumGoal
    gap_error : callable, optional
        See `GapError`; needed for the goal ``target_sigma``.
    row_length : int
        Exposures that count as a row for what is measured between the rows.
    emit_every : float, s
        Exposure from one event to the next.
    """

    def __init__(
        self,
        goal: SpectrumGoal,
        gap_error: GapError | None = None,
        *,
        row_length: int = 1,
        emit_every: float = EMIT_EVERY,
    ) -> None:
        if goal.kind == "target_sigma" and gap_error is None:
            raise ValueError("target_sigma needs a fit that tells the error of the gap; give gap_error, counts or time")
        if not row_length >= 1:
            raise ValueError(f"row_length = {row_length!r} must be 1 or more exposures")
        self.goal, self._gap_error = goal, gap_error
        self._row_length, self._emit_every = row_length, emit_every
        self._begin()

    def _begin(self) -> None:
        self._sum: Evidence | None = None
        self._exposures, self._attempts, self._wanted = 0, 0, 1
        self._found = ""

    def __call__(
        self,
        taker: PointTaker,
        rows: Sequence[Sequence[RasterPoint]],
        row_stop: Callable[[], bool],
        interleaved: Sequence[Interleaved],
        target: Target,
    ) -> Generator[Msg, Any, str | None]:
        """Count until the goal is reached, an operator says that it is enough, or it cannot be; return why it is not.

        See `microarpes.plans.rows.TakeRows`.
        """
        ((point,),) = rows
        self._begin()
        for measurement in interleaved:
            yield from measurement.prepare(taker)
        row, ended, reached = -1, "", False
        while not (reached or ended):
            if self._exposures // self._row_length > row:
                row = self._exposures // self._row_length
                # There is always another row to come: how many is not known before the last.
                yield from measure_due(taker, interleaved, row, row + 1)
            yield Msg("checkpoint")
            yield Msg("rewindable", None, False)
            reached, ended = yield from self._count(taker, point, target)
            if self._sum is not None:
                yield from emit_point(taker, self._sum, point.pixel, self._attempts)
            yield Msg("rewindable", None, True)
            if row_stop() and not reached:
                ended = ended or "stopped by the operator"
        yield from measure_due(taker, interleaved, row + 1, row + 1)
        if reached:
            return None
        told = f"{ended} after {self._exposure:g} s{self._found}; {self.goal.kind} = {self.goal.value:g} was asked for"
        logger.warning(told)
        return told

    @property
    def _exposure(self) -> float:
        return 0.0 if self._sum is None else self._sum.acquire_time

    def _count(self, taker: PointTaker, point: RasterPoint, target: Target) -> Generator[Msg, Any, tuple[bool, str]]:
        """Count for one event; return whether that is enough, and else why no more can be, if it cannot."""
        # Once an event: an axis that follows the sample by a hair before every exposure costs more than it gains.
        before, here = self._exposure, target(point)
        while True:
            latest, attempts = yield from take_exposures(taker, point.pixel, here)
            self._attempts += attempts if self._sum is None else attempts - 1
            if self._sum is not None and (reasons := overflow([self._sum], latest)):
                return False, "; ".join(reasons)
            self._add(latest)
            if self._reached(taker, point):
                return True, ""
            if self.goal.kind != "time" and self._exposure >= self.goal.longest:
                return False, "ended"
            if self._exposure - before >= self._emit_every:
                return False, ""

    def _add(self, latest: Evidence) -> None:
        self._exposures += 1
        summed = latest if self._sum is None else total([self._sum, latest])
        # Those of the newest exposure: the ones before are in the events before.
        self._sum = replace(summed, sub_frame_ids=latest.sub_frame_ids)

    def _reached(self, taker: PointTaker, point: RasterPoint) -> bool:
        summed = self._sum
        if summed is None:
            return False
        if self.goal.kind == "time":
            # A sum of decimal fractions must not cost another exposure for its last bit.
            return summed.acquire_time >= self.goal.value * (1.0 - 1e-9)
        if self.goal.kind == "counts":
            counts = float(np.asarray(summed.frame).sum(dtype=np.float64))
            self._found = f" with {counts:.3g} counts"
            return counts >= self.goal.value
        return self._error_reached(taker, summed, point)

    def _error_reached(self, taker: PointTaker, summed: Evidence, point: RasterPoint) -> bool:
        """Fit when counting statistics say that it may be enough, at the latest when twice as much is counted."""
        last = summed.acquire_time >= self.goal.longest
        if self._gap_error is None or (self._exposures < self._wanted and not last):
            return False
        values, _ = taker.compose(summed, point.pixel, self._attempts)
        error, status = self._gap_error(values)
        self._found = f" with an error of {error:.2g} meV" if math.isfinite(error) else f" without a gap ({status})"
        missing = (error / self.goal.value) ** 2 if math.isfinite(error) else 2.0
        self._wanted = min(max(self._exposures + 1, math.ceil(self._exposures * missing)), 2 * self._exposures)
        return error <= self.goal.value
