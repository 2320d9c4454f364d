"""A reference measured between the rows: to the metal, expose until E_F is known, one calibration record, and back.

Whatever goes wrong gives no record, so that the one before goes on to hold: no pixel is ever without one. Every
exposure goes through the gate of the pixels, which refuses other photon energy, polarisation, slits and region than the
run's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from numpy.typing import NDArray

from microarpes.devices.calibration_record import CalibrationRecord, MeasuredReference
from microarpes.devices.region import AngleWindow
from microarpes.devices.spectra import sum_windows
from microarpes.plans.reference import Reference
from microarpes.plans.reference_edge import EdgeFit, FitEdges, edge_problem, edge_values, is_precise, measure_edge
from microarpes.plans.reference_sum import ReferenceSum
from microarpes.plans.refusals import pause_with_reason
from microarpes.plans.start_document import ef_error
from microarpes.plans.surface_temperature import TellSurface, surface_alarm, surface_values
from microarpes.plans.take_point import MsgGenerator, PointTaker, come_to_rest
from microarpes.plans.targets import Target

logger = logging.getLogger(__name__)

OK, IMPRECISE = "ok", "imprecise"


class ReferenceMeasurement:
    """Measures a `Reference` between the rows of a raster and emits its record in stream ``calibration``.

    The raster has to take its pixels where `returning` says, or it would stay in the focus of the metal.

    Parameters
    ----------
    reference : Reference
    windows : sequence of AngleWindow
        Those of the run.
    fit : callable
        See `FitEdges`.
    clock : callable
        Seconds, for the schedule.
    tell_surface : callable, optional
        See `TellSurface`; needed where the reference declares its resolution.
    """

    def __init__(
        self,
        reference: Reference,
        windows: Sequence[AngleWindow],
        fit: FitEdges,
        clock: Callable[[], float] = time.monotonic,
        tell_surface: TellSurface | None = None,
    ) -> None:
        if reference.resolution is not None and tell_surface is None:
            raise ValueError(
                f"reference {reference.name} declares its resolution; give tell_surface, which fits its temperature"
            )
        self._tell_surface = tell_surface
        self.reference, self.windows, self._fit, self._clock = reference, tuple(windows), fit, clock
        self._row, self._asked, self._rows, self._time = 0, 0, 0, clock()
        self._home: dict[str, float] = {}
        self._record: dict[str, Any] = {}
        self._channels: list[NDArray[np.intp]] = []
        self._energy: NDArray[np.float64] = np.empty(0)
        self._last_ef: NDArray[np.float64] = np.empty(0)
        #: The newest record; empty before the run has begun.
        self.record: dict[str, Any] = {}
        self._jumped_to: NDArray[np.float64] | None = None
        self._device: CalibrationRecord | None = None

    def prepare(self, taker: PointTaker) -> MsgGenerator:
        """Declare stream ``calibration``; remember where the axes are that only the reference moves."""
        self._energy, angle = taker.station.analyser.axes
        self._channels = [window.channels(angle) for window in self.windows]
        self.record = self._record = dict(taker.calibration)
        self._last_ef = np.asarray(self._record["ef"], dtype=np.float64)
        self._home = resting_place(taker, [name for name in self.reference.position if name not in ("x", "y")])
        self._row, self._time = 0, self._clock()
        empty = ReferenceSum()
        fit = EdgeFit(self._record["ef"], self._record["ef_error"], 0.0, 0.0, 0.0, 0.0)
        self._device = CalibrationRecord("calibration_record", self._values(empty, fit, OK), taker.accepted.frames)
        yield from bps.declare_stream(self._device, name="calibration")

    def returning(self, target: Target) -> Target:
        """Return a target that brings back the axes that only the reference moves; the gate then judges that."""
        return lambda point: {**self._home, **target(point)}

    def due(self, row: int, rows: int) -> bool:
        """Return whether to measure before a row, or after the last."""
        self._asked, self._rows = row, rows
        wanted = self.reference
        if row == 0 or row == rows:
            return wanted.at_start if row == 0 else wanted.at_end
        waited = self._clock() - self._time
        by_rows = wanted.every_rows is not None and row - self._row >= wanted.every_rows
        return by_rows or (wanted.every_minutes is not None and waited >= 60.0 * wanted.every_minutes)

    def measure(self, taker: PointTaker) -> MsgGenerator:
        """Measure until there is a record, or the failures are too many."""
        self._row = self._asked
        try:
            yield from self._until_recorded(taker)
        except BaseException:
            if self._home:
                logger.warning("%s may be left where reference %s is", ", ".join(self._home), self.reference.name)
            raise
        self._time = self._clock()
        if self._row == self._rows:
            yield from self._go_home(taker)

    def _until_recorded(self, taker: PointTaker) -> MsgGenerator:
        failures = 0
        while problem := (yield from self._try_once(taker)):
            failures += 1
            logger.warning("reference %s gives no calibration record: %s", self.reference.name, problem)
            if failures < self.reference.attempts:
                continue
            told = f"reference {self.reference.name} failed {failures} times, last: {problem}"
            if self.reference.on_failure == "continue":
                taker.announce(f"{told}; going on with the record before")
                break
            believe = "" if self._jumped_to is None else "; resume to measure it again and take it as real"
            yield from pause_with_reason(taker, told + believe)
            failures = 0
            if self._jumped_to is not None:
                self._last_ef = self._jumped_to

    def _try_once(self, taker: PointTaker) -> Generator[Msg, Any, str]:
        """Measure once; return why there is no record, or an empty string."""
        yield Msg("checkpoint")
        yield Msg("rewindable", None, False)
        summed, fit = yield from measure_edge(taker, self.reference, self._channels, self._record, self._fit)
        problem = self._refusal(taker, summed, fit)
        status = problem or (OK if is_precise(fit, self.reference) else IMPRECISE)
        values = None if problem else self._values(summed, fit, status)
        if values is not None and (alarm := surface_alarm(values)):
            taker.announce(f"reference {self.reference.name}: {alarm}")
        if status == IMPRECISE:
            logger.warning(
                "reference %s: E_F is known to %.2g meV after %d exposures, %.2g meV was asked for",
                *(self.reference.name, 1e3 * max(fit.ef_error), summed.exposures, 1e3 * self.reference.target_error),
            )
        measured = MeasuredReference(summed.frame, summed.time, summed.exposures, self.reference.name, status, values)
        yield Msg("set", self._device, measured, group="calibration")
        yield Msg("wait", None, group="calibration")
        if values is not None:
            yield Msg("create", None, name="calibration")
            yield Msg("read", self._device)
            yield Msg("save")
            self._last_ef = np.asarray(fit.ef, dtype=np.float64)
            self.record = values
        yield Msg("rewindable", None, True)
        return problem

    def _refusal(self, taker: PointTaker, summed: ReferenceSum, fit: EdgeFit) -> str:
        """Return why an edge is not believed, or an empty string."""
        wanted, energy, self._jumped_to = self.reference, taker.station.analyser.axes[0], None
        if problem := edge_problem(wanted, energy, summed, fit, self._last_ef):
            return problem
        found = np.asarray(fit.ef, dtype=np.float64)
        jump = float(np.max(np.abs(found - self._last_ef)))
        if not jump <= wanted.max_jump:
            self._jumped_to = found
            return (
                f"E_F went from {self._last_ef.mean():.4f} to {found.mean():.4f} eV, by {1e3 * jump:.1f} meV in a "
                f"window, at most {1e3 * wanted.max_jump:g} meV is believed"
            )
        return ""

    def _values(self, summed: ReferenceSum, fit: EdgeFit, status: str) -> dict[str, Any]:
        """Return the record: that of the start, with what was measured now."""
        return {
            **self._record,
            **edge_values(summed, fit, status),
            **self._surface_values(summed),
            "ef_error": [ef_error(float(value), self._record) for value in fit.ef_error],
            "gain": float(self._record.get("gain", 1.0)),
            "reference": self.reference.name,
        }

    def _surface_values(self, summed: ReferenceSum) -> dict[str, Any]:
        """Return temperatures, which of temperature and resolution was assumed, and what was declared."""
        error = float(self._record.get("temperature_error", 0.0))
        declared, found = self.reference, None
        if self._tell_surface is not None and declared.resolution is not None and summed.exposures:
            edcs = sum_windows(summed.frame, self._channels, np.asarray(self._record["row_shift"], dtype=np.intp))
            found = self._tell_surface(self._energy, edcs, declared.resolution, declared.resolution_error, self._record)
        return surface_values(declared, summed.temperature, error, found)

    def _go_home(self, taker: PointTaker) -> MsgGenerator:
        """Leave the axes that only the reference moves as the next raster expects them."""
        while self._home:
            before = taker.accepted.interruptions
            yield Msg("set", taker.station, dict(self._home), group="move")
            yield Msg("wait", None, group="move")
            if taker.accepted.interruptions == before:
                break
            yield from come_to_rest(taker)
        for name, position in resting_place(taker, list(self._home)).items():
            if abs(position - self._home[name]) > taker.station.manipulator.axes[name].tolerance:
                logger.error("%s stayed at %g after the reference, the map was at %g", name, position, self._home[name])


def resting_place(taker: PointTaker, names: Sequence[str]) -> dict[str, float]:
    """Return where axes are: what was asked for where they are within tolerance of it, else the readback."""
    if not names:
        return {}
    found, place = taker.station.manipulator.positions(), {}
    for name in names:
        axis, readback = taker.station.manipulator.axes[name], float(found[name]["readback"]["value"])
        near = axis.requested is not None and abs(readback - axis.requested) <= axis.tolerance
        place[name] = float(axis.requested) if near and axis.requested is not None else readback
    return place
