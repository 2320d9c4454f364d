r"""One pixel of several runs, fitted together: one gap and one pair of rates, each run with an E_F of its own.

The EDCs of N runs and M windows are N M windows of one joint fit. Each keeps its counts, its energy axis about the E_F
of its own run, its flat field, amplitude and background; nothing is summed, moved or interpolated, so what was Poisson
stays it. Resolution and temperature are the means of the runs, with half of what they differ by in their errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.gap_map import K_F_CENTRE, POSITIONS
from microarpes.analysis.results import Status

__all__ = ["CombinedFitter", "PixelOfRun", "joined_calibration"]

#: Verdicts of what has no counts to add.
_NOTHING = (Status.BAD_INPUT.label, Status.SATURATED.label)


@dataclass(frozen=True)
class PixelOfRun:
    """What one run has of a pixel.

    Attributes
    ----------
    layout : RunLayout
        Of the run; those of one pixel have windows, energy axis and depth in common.
    calibration : Calibration or None
        What held then.
    data : mapping
        Of the event.
    """

    layout: RunLayout
    calibration: Calibration | None
    data: Mapping[str, Any]


class CombinedFitter:
    """Fits pixels of several runs together.

    Parameters
    ----------
    model : str
    gamma0 : str or float
        See `GapFitter`. A prior is used once, not once a run.
    """

    def __init__(self, model: str, gamma0: str | float) -> None:
        self._fitter = EventFitter(model, gamma0)

    def fit(self, pixel: int, parts: Sequence[PixelOfRun]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Fit one pixel.

        Parameters
        ----------
        pixel : int
            Its number on the map.
        parts : sequence of PixelOfRun
            At least one.

        Returns
        -------
        record : dict
            As `GapMap.update` takes it, with ``runs_combined``: how many runs had counts to add.
        alone : list of dict
            The record of each run by itself.
        """
        alone = [self._fitter.fit(part.layout, part.calibration, {**part.data, "pixel": pixel}) for part in parts]
        counted = [i for i, record in enumerate(alone) if record["joint_status"] not in _NOTHING]
        if len(counted) < 2:
            record = dict(alone[counted[0] if counted else 0])
        else:
            record = self._joined(pixel, [parts[i] for i in counted], [alone[i] for i in counted])
        return {**record, "runs_combined": len(counted)}, alone

    def _joined(self, pixel: int, parts: Sequence[PixelOfRun], alone: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        layout = replace(parts[0].layout, repeats=len(parts), linear_range=None)
        calibration = joined_calibration([part.calibration for part in parts if part.calibration is not None])
        record = self._fitter.fit(layout, calibration, _joined_data(pixel, parts, alone))
        if layout.follow_k_f:
            # No more than in the run that knows its k_F centre least: the errors of the centres are independent.
            for name in ("delta_systematic", "joint_delta_systematic"):
                worst = np.fmax.reduce([np.asarray(each[name], dtype=np.float64) for each in alone])
                record[name] = np.fmax(np.where(np.isnan(record[name]), np.nan, worst), record[name]).tolist()
        return record


def joined_calibration(calibrations: Sequence[Calibration]) -> Calibration:
    """Return one record for the EDCs of several runs, one after the other.

    Each window of each run keeps its E_F with its error. The fit takes the largest of these for all of them: right
    where the errors are the same error, and too large where each run measured its own.
    """
    first = calibrations[0]
    resolution, resolution_error = _mean(
        [each.resolution for each in calibrations], [each.resolution_error for each in calibrations]
    )
    temperature, temperature_error = _mean(
        [each.temperature for each in calibrations], [each.temperature_error for each in calibrations]
    )
    flat = [each.flat_field for each in calibrations]
    return replace(
        first,
        ef=tuple(ef for each in calibrations for ef in each.ef),
        ef_error=tuple(error for each in calibrations for error in each.ef_error),
        resolution=resolution,
        resolution_error=resolution_error,
        temperature=temperature,
        temperature_error=temperature_error,
        flat_field=None if first.flat_field is None else tuple(row for each in flat for row in each or ()),
    )


def _mean(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    return math.fsum(values) / len(values), math.hypot(max(errors), (max(values) - min(values)) / 2)


def _joined_data(pixel: int, parts: Sequence[PixelOfRun], alone: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the data of all parts as those of one event."""
    counts = np.maximum(np.nan_to_num([float(each["total_counts"]) for each in alone]), 0.0)
    share = counts / counts.sum() if counts.sum() > 0 else np.full(len(alone), 1.0 / len(alone))
    data: dict[str, Any] = {
        name: float(share @ np.array([each[name] for each in alone])) for name in POSITIONS if name in alone[0]
    }
    data |= {"pixel": pixel, "total_counts": float(counts.sum())}
    data["edc"] = np.concatenate([np.asarray(part.data["edc"], dtype=np.float64) for part in parts])
    if parts[0].layout.follow_k_f:
        # Of the run that knows it best.
        errors = [float(each["k_f_centre_error"]) for each in alone]
        best = alone[int(np.nanargmin(errors))] if not np.isnan(errors).all() else alone[0]
        data |= {name: best[name] for name in (*K_F_CENTRE, "k_f_status")}
    return data
