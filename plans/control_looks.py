"""Control pixels looked at between the rows: the same place, the same exposure, the same gate, again and again.

Each look is an event of stream ``control``, never one of ``primary``: it has the data keys of a pixel but for the
frame, and says how many seconds of beam the spot has had before it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from microarpes.devices.control_record import ControlLook, ControlRecord
from microarpes.devices.evidence import Evidence
from microarpes.plans.antinode import FindMirror, Mirror
from microarpes.plans.control_pixels import ControlPixels
from microarpes.plans.grid import RasterPoint
from microarpes.plans.take_point import NO_PIXEL, MsgGenerator, PointTaker, take_exposures
from microarpes.plans.targets import Target, planned_position

STREAM = "control"
Shift = Callable[[], tuple[float, float]]


@dataclass(frozen=True)
class LooksBefore:
    """What earlier runs of the same raster did to the sample.

    Parameters
    ----------
    exposures : sequence of (float, float, float)
        Where on the sample, um along x and y, and how long, s.
    rounds : int
        How often the control pixels were looked at.
    """

    exposures: Sequence[tuple[float, float, float]]
    rounds: int = 0


class SpotDoses:
    """Seconds of beam on some places of a sample, from exposures anywhere on it.

    An exposure beside a place counts by how much the two spots overlap: 1 on it, 1/4 at a distance of one FWHM.

    Parameters
    ----------
    places : sequence of RasterPoint
        um.
    spot : tuple of float, um
        FWHM of the beam along x and y, a Gaussian.
    """

    def __init__(self, places: Iterable[RasterPoint], spot: tuple[float, float]) -> None:
        self._places, self._spot = list(places), spot
        self.seconds = {place.pixel: 0.0 for place in self._places}

    def add(self, x: float, y: float, seconds: float, where: Target = planned_position) -> None:
        """Count an exposure at (x, y), um; `where` says where the places are."""
        for place in self._places:
            there = where(place)
            distance = ((there["x"] - x) / self._spot[0]) ** 2 + ((there["y"] - y) / self._spot[1]) ** 2
            self.seconds[place.pixel] += seconds * math.exp(-2.0 * math.log(2.0) * distance)


class ControlLooks:
    """Looks at the `ControlPixels` of a raster between its rows.

    Parameters
    ----------
    control : ControlPixels
        When.
    points : sequence of RasterPoint
        Where, on the sample as the raster began.
    target : callable
        Target of a pixel; the raster's.
    spot : tuple of float, um
        FWHM of the beam along x and y.
    shift : callable
        Returns by how much the sample is believed to have moved by now along x and y, um.
    before : LooksBefore, optional
        Of the runs that this one resumes.
    find_mirror : callable, optional
        Finds the middle between +k_F and -k_F of the antinodal cut in a frame.
    still : callable
        Target of a place on a sample that stays where it is.
    clock : callable
        Seconds, for the schedule.
    """

    def __init__(
        self,
        control: ControlPixels,
        points: Sequence[RasterPoint],
        target: Target,
        spot: tuple[float, float],
        shift: Shift = lambda: (0.0, 0.0),
        before: LooksBefore | None = None,
        find_mirror: FindMirror | None = None,
        still: Target = planned_position,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.control, self.points, self._target, self._shift, self._clock = control, tuple(points), target, shift, clock
        self._row, self._asked, self._time = 0, 0, clock()
        self._device: ControlRecord | None = None
        self._still = still
        self._before, self._find_mirror = before or LooksBefore(()), find_mirror
        self._spot = spot
        self._begin()

    def _begin(self) -> None:
        self.doses, self._round = SpotDoses(self.points, self._spot), self._before.rounds
        for exposure in self._before.exposures:
            self.doses.add(*exposure)

    def prepare(self, taker: PointTaker) -> MsgGenerator:
        """Declare stream ``control``; from now on every exposure is counted."""
        self._row, self._time = 0, self._clock()
        self._begin()
        self._device = ControlRecord("control_look", taker.accepted.describe())
        taker.exposed.append(self._count)
        yield from bps.declare_stream(self._device, name=STREAM)

    def _count(self, evidence: Evidence) -> None:
        """Count an exposure, good or refused; of one that was interrupted nobody knows how long it was."""
        asked, (dx, dy) = evidence.request, self._shift()

        def now(place: RasterPoint) -> Mapping[str, float]:
            return self._still(place._replace(x=place.x + dx, y=place.y + dy))

        if "x" in asked and "y" in asked:
            self.doses.add(asked["x"], asked["y"], seconds_of_beam(evidence), now)

    def due(self, row: int, rows: int) -> bool:
        """Return whether to look before a row, or after the last."""
        self._asked = row
        wanted = self.control
        if row == 0 or row == rows:
            return wanted.at_start if row == 0 else wanted.at_end
        by_rows = wanted.every_rows is not None and row - self._row >= wanted.every_rows
        waited = self._clock() - self._time
        return by_rows or (wanted.every_minutes is not None and waited >= 60.0 * wanted.every_minutes)

    def measure(self, taker: PointTaker) -> MsgGenerator:
        """Look at every control pixel once."""
        self._row, self._time = self._asked, self._clock()
        self._round += 1
        for point in self.points:
            yield from self._look(taker, point)

    def _look(self, taker: PointTaker, point: RasterPoint) -> MsgGenerator:
        yield Msg("checkpoint")
        yield Msg("rewindable", None, False)
        dose = self.doses.seconds[point.pixel]
        evidence, attempt = yield from take_exposures(taker, NO_PIXEL, self._target(point))
        found, timestamps = taker.compose(evidence, point.pixel, attempt)
        centre = self._centre(taker, evidence)
        added = {"dose": dose, "look": self._round, "k_f_centre": centre.centre, "k_f_centre_error": centre.error}
        look = ControlLook({**found, **added}, timestamps)
        yield Msg("set", self._device, look, group=STREAM)
        yield Msg("wait", None, group=STREAM)
        yield Msg("create", None, name=STREAM)
        yield Msg("read", self._device)
        yield Msg("save")
        yield Msg("rewindable", None, True)

    def _centre(self, taker: PointTaker, evidence: Evidence) -> Mirror:
        if self._find_mirror is None:
            return Mirror(math.nan, math.nan, "not looked for")
        energy, angle = taker.station.analyser.axes
        record = taker.calibration
        shift = np.asarray(record["row_shift"], dtype=np.intp)
        return self._find_mirror(np.asarray(evidence.frame), energy, angle, float(np.mean(record["ef"])), shift)


def seconds_of_beam(evidence: Evidence) -> float:
    """Return how long the beam was on the sample during an exposure, s; where I0 is not gated all the time."""
    lit = evidence.readings.get("open_fraction")
    return evidence.acquire_time * (1.0 if lit is None else float(lit["value"]))
