"""The calibration record of a run, read and checked (layout: docs/explanation/run-documents.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.settings import check_number

__all__ = ["Calibration"]


@dataclass(frozen=True)
class Calibration:
    """Energy calibration and instrument figures that hold from `time` on.

    Attributes
    ----------
    time : float, s
        Unix time the record was made.
    ef, ef_error : tuple of float, eV kinetic
        Fermi edge of each window and its error (one standard deviation).
    resolution, resolution_error : float, eV
        FWHM of the total energy resolution and its error.
    temperature, temperature_error : float, K
        Sample temperature and its error.
    gain : float
        Detector units per photoelectron.
    flux_shift, flux_shift_error : float, eV
        By how much the flux of the beam moves a Fermi edge, and its error: in `ef_error` already, and the same in all
        records of a run, while the rest of it is of counting and each record's own.
    flat_field : tuple of tuple of float, or None
        Factor of each energy channel of each window; see `microarpes.analysis.flat_field`.
    """

    time: float
    ef: tuple[float, ...]
    ef_error: tuple[float, ...]
    resolution: float
    resolution_error: float
    temperature: float
    temperature_error: float
    gain: float
    flux_shift: float = 0.0
    flux_shift_error: float = 0.0
    flat_field: tuple[tuple[float, ...], ...] | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any], n_window: int) -> Calibration:
        """Read a record.

        Parameters
        ----------
        record : mapping
            ``calibration`` of a start document, or the data of an event of stream ``calibration``. ``row_shift`` is
            the business of the detector and is not read.
        n_window : int
            Number of windows of the run.

        Raises
        ------
        ValueError
            When an entry is missing or is not what it must be.
        """
        missing = [key for key in ("time", "ef", "resolution", "temperature") if key not in record]
        if missing:
            raise ValueError(f"the calibration record lacks {', '.join(missing)}; found {sorted(record)}")
        return cls(
            time=check_number("time", record["time"], "s", 0.0, 1e12),
            ef=_per_window("ef", record["ef"], n_window, 1e5),
            ef_error=_per_window("ef_error", record.get("ef_error", [0.0] * n_window), n_window, 10.0),
            resolution=check_number("resolution", record["resolution"], "eV", 0.0005, 0.2),
            resolution_error=check_number("resolution_error", record.get("resolution_error", 0.0), "eV", 0.0, 0.2),
            temperature=check_number("temperature", record["temperature"], "K", 0.5, 1000.0),
            temperature_error=check_number("temperature_error", record.get("temperature_error", 0.0), "K", 0.0, 1000.0),
            gain=check_number("gain", record.get("gain", 1.0), "detector units", 0.0, 1e9, open_low=True),
            flux_shift=check_number("flux_shift", record.get("flux_shift", 0.0), "eV", -10.0, 10.0),
            flux_shift_error=check_number("flux_shift_error", record.get("flux_shift_error", 0.0), "eV", 0.0, 10.0),
            flat_field=_flat_field(record.get("flat_field"), n_window),
        )

    def through(self, factors: ArrayLike | None) -> Calibration:
        """Return the record with another flat field, shape (n_window, n_energy); itself without one."""
        if factors is None:
            return self
        return replace(self, flat_field=tuple(map(tuple, np.asarray(factors, dtype=np.float64).tolist())))

    @property
    def common_error(self) -> float:
        """The part of `ef_error` that all records of a run have in common, eV."""
        return math.hypot(self.flux_shift, self.flux_shift_error)

    @property
    def counted_error(self) -> tuple[float, ...]:
        """The part of `ef_error` that is each record's own, eV, one a window."""
        common = self.common_error
        if common == 0.0:
            return self.ef_error
        return tuple(math.sqrt(max(error * error - common * common, 0.0)) for error in self.ef_error)


def _per_window(name: str, values: Any, n_window: int, limit: float) -> tuple[float, ...]:
    """One checked number per window."""
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if array.shape != (n_window,):
        raise ValueError(f"{name} has shape {array.shape}; the run has {n_window} windows and needs one value each, eV")
    return tuple(check_number(f"{name}[{i}]", value, "eV", 0.0, limit) for i, value in enumerate(array))


def _flat_field(values: Any, n_window: int) -> tuple[tuple[float, ...], ...] | None:
    """One row of factors per window; a fitter checks them against its axis."""
    if values is None:
        return None
    factors = np.asarray(values, dtype=np.float64)
    if factors.ndim != 2 or len(factors) != n_window:
        raise ValueError(
            f"flat_field has shape {factors.shape}; the run has {n_window} windows and needs a row for each"
        )
    return tuple(tuple(row) for row in factors.tolist())
