"""The landmark looked at between the rows: image it, find by how much the sample has moved, aim the pixels anew.

Between two looks the sample is believed to go on as it went: a line through the last looks. Whatever goes wrong leaves
that as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from numpy.typing import NDArray

from microarpes.devices.evidence import Evidence
from microarpes.devices.soft_record import SoftRecord
from microarpes.plans.grid import RasterPoint
from microarpes.plans.landmark import Landmark
from microarpes.plans.refusals import pause_with_reason
from microarpes.plans.take_point import NO_PIXEL, MsgGenerator, PointTaker, take_exposures
from microarpes.plans.targets import Target

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

#: Looks through which the line is laid.
LOOKS = 4
UNITS = {"time": "s", "shift_x": "um", "shift_y": "um", "shift_x_error": "um", "shift_y_error": "um", "step": "um",
         "image": "counts/(nA s)", "image_error": "counts/(nA s)"}  # fmt: skip


@dataclass(frozen=True)
class Shift:
    """By how much an image has moved; `problem` says why that is not known and is empty when it is."""

    x: float
    y: float
    x_error: float
    y_error: float
    problem: str = ""


@dataclass(frozen=True)
class LookBefore:
    """The first image that an earlier run took, with its errors, and the shift it ended with, um along x and y."""

    image: Array
    image_error: Array
    shift: tuple[float, float]


#: ``(image, its errors, later image, its errors, step um) -> Shift``; images are ``[n, n]``, y along the first axis.
FindShift = Callable[[Array, Array, Array, Array, float], Shift]


class LandmarkImaging:
    """Looks at a `Landmark` between the rows of a raster and emits where the sample went in stream ``drift``.

    Parameters
    ----------
    landmark : Landmark
    still : callable
        Target of a place on a sample that stays where it is.
    find : callable
        See `FindShift`.
    before : LookBefore, optional
        What an earlier run of the same raster has seen: later looks are compared with its first.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        landmark: Landmark,
        still: Target,
        find: FindShift,
        before: LookBefore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.landmark, self._still, self._find, self._clock = landmark, still, find, clock
        self._before = before
        self._first: tuple[Array, Array] | None = None
        #: Time, shift along x and y and their errors, of the looks that found it.
        self._looks: list[tuple[float, float, float, float, float]] = []
        self._row, self._asked = 0, 0
        side = (landmark.points, landmark.points)
        empty = np.zeros(side)
        self._device = SoftRecord("landmark", self._values(empty, empty, Shift(0.0, 0.0, 0.0, 0.0), 0.0), UNITS)

    def prepare(self, taker: PointTaker) -> MsgGenerator:
        """Declare stream ``drift``."""
        self._first, self._looks, self._row = None, [], 0
        if self._before is not None:
            self._first = self._before.image, self._before.image_error
        yield from bps.declare_stream(self._device, name="drift")

    def shift(self) -> tuple[float, float]:
        """Return by how much the sample is believed to have moved by now along x and y, um."""
        now = self._clock()
        return self._at(now, 1), self._at(now, 2)

    def _at(self, now: float, axis: int) -> float:
        looks = self._looks[-LOOKS:]
        if not looks:
            return 0.0 if self._before is None else self._before.shift[axis - 1]
        if len(looks) < 2:
            return looks[-1][axis]
        times = np.array([look[0] for look in looks])
        shifts, errors = (np.array([look[column] for look in looks]) for column in (axis, axis + 2))
        slope, last = np.polyfit(times - times[-1], shifts, 1, w=1.0 / np.maximum(errors, 1e-3))
        ahead = float(np.clip(slope * (now - times[-1]), -self.landmark.max_shift, self.landmark.max_shift))
        return float(last) + ahead

    def due(self, row: int, rows: int) -> bool:
        """Return whether to look before a row; never after the last."""
        self._asked = row
        if row == 0 or row == rows:
            return row == 0
        wanted = self.landmark
        if len(self._looks) == 1 and row > self._row:
            # One look tells no velocity: until the next the pixels stay behind.
            return True
        by_rows = wanted.every_rows is not None and row - self._row >= wanted.every_rows
        waited = self._clock() - self._looks[-1][0] if self._looks else 0.0
        return by_rows or (wanted.every_minutes is not None and waited >= 60.0 * wanted.every_minutes)

    def measure(self, taker: PointTaker) -> MsgGenerator:
        """Look until the landmark is found, or an operator, or the configuration, lets the raster go on without."""
        self._row = self._asked
        while problem := (yield from self._look(taker)):
            told = f"landmark {self.landmark.name} is not found: {problem}"
            logger.warning(told)
            if self.landmark.on_failure == "continue":
                taker.announce(f"{told}; going on where the sample was believed to be")
                return
            yield from pause_with_reason(taker, f"{told}; resume to look again")

    def _look(self, taker: PointTaker) -> Generator[Msg, Any, str]:
        yield Msg("checkpoint")
        yield Msg("rewindable", None, False)
        aimed, began = self.shift(), self._clock()
        image, errors = yield from self._image(taker, aimed)
        found = self._compare(image, errors)
        now = (began + self._clock()) / 2
        if not found.problem:
            self._first = self._first or (image, errors)
            self._looks.append((now, aimed[0] + found.x, aimed[1] + found.y, found.x_error, found.y_error))
        total = Shift(aimed[0] + found.x, aimed[1] + found.y, found.x_error, found.y_error, found.problem)
        yield Msg("set", self._device, self._values(image, errors, total, time.time()), group="landmark")
        yield Msg("wait", None, group="landmark")
        yield Msg("create", None, name="drift")
        yield Msg("read", self._device)
        yield Msg("save")
        yield Msg("rewindable", None, True)
        return found.problem

    def _image(self, taker: PointTaker, aimed: tuple[float, float]) -> Generator[Msg, Any, tuple[Array, Array]]:
        """Take the image, every other row backwards; counts over I0, with their errors."""
        side = self.landmark.points
        image, errors = np.zeros((side, side)), np.zeros((side, side))
        for row, places in enumerate(self.landmark.places(aimed)):
            columns = range(side) if row % 2 == 0 else range(side - 1, -1, -1)
            for column in columns:
                x, y = places[column]
                evidence, _ = yield from take_exposures(taker, NO_PIXEL, self._still(RasterPoint(NO_PIXEL, x, y)))
                image[row, column], errors[row, column] = brightness(evidence)
        return image, errors

    def _compare(self, image: Array, errors: Array) -> Shift:
        if self._first is None:
            # With itself: an image in which nothing tells where it is will not tell where it went.
            itself = self._find(image, errors, image, errors, self.landmark.step)
            return Shift(0.0, 0.0, itself.x_error, itself.y_error, itself.problem)
        found = self._find(*self._first, image, errors, self.landmark.step)
        if found.problem:
            return found
        if not max(found.x_error, found.y_error) <= self.landmark.max_error:
            problem = (
                f"its shift is known to {max(found.x_error, found.y_error):.2g} um, at most "
                f"{self.landmark.max_error:g} um is believed"
            )
            return Shift(found.x, found.y, found.x_error, found.y_error, problem)
        if not np.hypot(found.x, found.y) <= self.landmark.max_shift:
            problem = (
                f"it is {np.hypot(found.x, found.y):.1f} um from where the sample was believed to be, at most "
                f"{self.landmark.max_shift:g} um is believed"
            )
            return Shift(found.x, found.y, found.x_error, found.y_error, problem)
        return found

    def _values(self, image: Array, errors: Array, shift: Shift, now: float) -> dict[str, Any]:
        return {
            "time": now,
            "shift_x": shift.x,
            "shift_y": shift.y,
            "shift_x_error": shift.x_error,
            "shift_y_error": shift.y_error,
            "image": image,
            "image_error": errors,
            "step": self.landmark.step,
            "landmark": self.landmark.name,
            "status": shift.problem or "ok",
        }


def brightness(evidence: Evidence) -> tuple[float, float]:
    """Return counts of a frame over I0, or over ring current and time where it is not gated, with their error."""
    counts = float(np.asarray(evidence.frame).sum(dtype=np.float64))
    if "i0_integral" in evidence.readings:
        beam = evidence.value("i0_integral")
    else:
        beam = evidence.value("ring_current") * evidence.acquire_time
    return counts / beam, float(np.sqrt(max(counts, 1.0))) / beam
