r"""The calibration records of a run as functions of time: between two of them every pixel has its own E_F.

Between references E_F is taken to drift evenly. What is interpolated linearly at a share :math:`w` of the way has the
variance :math:`(1-w)^2 \sigma_0^2 + w^2 \sigma_1^2`, for the errors of two references are independent. What the flux of
the beam may do to E_F is not: it is as wrong at one time as at the other, and stays as it is.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.units import mev_from_ev

__all__ = ["CalibrationTrack", "Drift", "RunCalibrations", "middle_of_exposure"]

HOUR = 3600.0


@dataclass(frozen=True)
class Drift:
    """Straight line through the Fermi energies of a run.

    Attributes
    ----------
    rate, error : float, meV/h
        Slope and its statistical error; NaN with fewer than two records.
    chi2, dof : float
        Of the line: much more than one each says that the drift is not even.
    """

    rate: float
    error: float
    chi2: float
    dof: int


@dataclass(frozen=True)
class CalibrationTrack:
    """Calibration records in the order of their times.

    Attributes
    ----------
    records : tuple of Calibration
        At least one; no two of the same time.
    """

    records: tuple[Calibration, ...]

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]], n_window: int) -> CalibrationTrack:
        """Read the records of stream ``calibration``, in whatever order.

        Parameters
        ----------
        records : iterable of mapping
            Data of the events; see `Calibration.from_record`.
        n_window : int

        Raises
        ------
        ValueError
            There is none, or one cannot be read.
        """
        read = sorted((Calibration.from_record(record, n_window) for record in records), key=_order)
        if not read:
            raise ValueError("there is no calibration record to interpolate")
        return cls(tuple({record.time: record for record in read}.values()))

    def at(self, time: float) -> Calibration:
        """Return the calibration at a time, s.

        Beyond the first and the last record it is theirs, with the drift from or to the next one, over the time that
        passed, in the error of E_F: nobody saw what it did there.
        """
        records = self.records
        after = bisect.bisect_right([record.time for record in records], time)
        if 0 < after < len(records):
            return _between(records[after - 1], records[after], time)
        nearest = records[min(after, len(records) - 1)] if after == 0 else records[-1]
        if len(records) == 1:
            return replace(nearest, time=time)
        pair = records[:2] if after == 0 else records[-2:]
        passed = (time - nearest.time) / (pair[1].time - pair[0].time)
        drifted = [abs(b - a) * abs(passed) for a, b in zip(pair[0].ef, pair[1].ef, strict=True)]
        errors = tuple(math.hypot(*both) for both in zip(nearest.ef_error, drifted, strict=True))
        return replace(nearest, time=time, ef_error=errors)

    def drift(self) -> Drift:
        """Return how fast E_F drifted: a line through the mean of the windows, weighted by the errors."""
        nan = float("nan")
        if len(self.records) < 2:
            return Drift(nan, nan, nan, 0)
        time = np.array([record.time for record in self.records])
        hours = (time - time.mean()) / HOUR
        ef = mev_from_ev(np.array([np.mean(record.ef) for record in self.records]))
        own = [np.hypot.reduce(record.counted_error) / len(record.ef) for record in self.records]
        error = mev_from_ev(np.array(own))
        weight = np.where(error > 0.0, error, 1.0) ** -2.0
        away = hours - np.average(hours, weights=weight)
        scale = float((weight * away**2).sum())
        rate = float((weight * away * ef).sum()) / scale
        rest = ef - np.average(ef, weights=weight) - rate * away
        known = bool((error > 0.0).all())
        chi2 = float((weight * rest**2).sum()) if known else nan
        return Drift(rate, scale**-0.5 if known else nan, chi2, len(ef) - 2)


class RunCalibrations:
    """What each event of a run is fitted with: the last record before it, or what lies between all of them.

    Parameters
    ----------
    n_window : int
    begun_with : mapping or None
        The record of the start document.
    track : CalibrationTrack, optional
        All records of the run, to interpolate between.

    Attributes
    ----------
    problem : str
        Why a record cannot be used, or empty. One that cannot makes the events after it bad-input rather than wrong.
    """

    def __init__(self, n_window: int, begun_with: Any, track: CalibrationTrack | None = None) -> None:
        self._n_window, self._track = n_window, track
        self._records: list[tuple[float, Calibration | None]] = []
        self.problem = ""
        self.add(-math.inf, begun_with)

    @property
    def begun_with(self) -> Calibration | None:
        """The record the run began with; None where it cannot be used."""
        return self._records[0][1]

    def add(self, since: float, record: Any) -> None:
        """Keep a record that holds from a time, s, on."""
        calibration: Calibration | None = None
        try:
            if isinstance(record, Mapping):
                calibration = Calibration.from_record(record, self._n_window)
        except (KeyError, TypeError, ValueError) as error:
            self.problem = f"a calibration record cannot be used: {error}"
        self._records.append((since, calibration))
        self._records.sort(key=lambda entry: entry[0])

    def of(self, event: Mapping[str, Any]) -> Calibration | None:
        """Return what an event of the primary stream is fitted with."""
        begun_with = self.begun_with
        if self._track is None or begun_with is None:
            before = [calibration for since, calibration in self._records if since <= float(event["time"])]
            return before[-1] if before else None
        # The flat field is the detector's: it stays as the run began.
        return replace(self._track.at(middle_of_exposure(event)), flat_field=begun_with.flat_field)


def middle_of_exposure(event: Mapping[str, Any]) -> float:
    """Return when the counts of an event were counted, s: the middle of its exposure, or its own time if unknown."""
    try:
        end = float(event["timestamps"]["edc"])
        middle = end - 0.5 * float(event["data"]["acquire_time"])
    except (KeyError, TypeError, ValueError):
        return float(event["time"])
    return middle if end > 0.0 and math.isfinite(middle) else float(event["time"])


def _between(first: Calibration, second: Calibration, time: float) -> Calibration:
    share = (time - first.time) / (second.time - first.time)

    def value(a: float, b: float) -> float:
        return (1.0 - share) * a + share * b

    def error(a: float, b: float) -> float:
        return math.hypot((1.0 - share) * a, share * b)

    common = value(first.common_error, second.common_error)
    own = [error(*pair) for pair in zip(first.counted_error, second.counted_error, strict=True)]
    return replace(
        first,
        time=time,
        ef=tuple(value(*pair) for pair in zip(first.ef, second.ef, strict=True)),
        ef_error=tuple(math.hypot(each, common) for each in own),
        flux_shift=value(first.flux_shift, second.flux_shift),
        flux_shift_error=value(first.flux_shift_error, second.flux_shift_error),
        resolution=value(first.resolution, second.resolution),
        # Sensor and slits are as wrong at one time as at the other, and the resolution with them; counting adds little.
        resolution_error=value(first.resolution_error, second.resolution_error),
        temperature=value(first.temperature, second.temperature),
        temperature_error=value(first.temperature_error, second.temperature_error),
    )


def _order(record: Calibration) -> tuple[Any, ...]:
    """Order records so that of two of the same time the same one is taken, in whatever order they came."""
    return astuple(replace(record, flat_field=None))[:-1]
