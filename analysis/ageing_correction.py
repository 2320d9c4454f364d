r"""The gaps of a map as they would have been at one time, by the slope that its control pixels have shown.

A gap that was measured at t and changes by :math:`s` an hour was :math:`\Delta - s (t - t_0)` at :math:`t_0`. The error
of the slope is one and the same for all pixels, so it goes into their systematic errors: :math:`\sigma_s |t - t_0|`.

What the beam does to its spot is not taken out. Each pixel of a map is measured on a spot that has had no beam, so that
an ageing with dose makes all of them alike smaller and paints nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.ageing import ALARM, HOUR, Ageing, AgeingTrend, Slope
from microarpes.analysis.line_shape import Array

__all__ = ["AgeingCorrection", "NothingToCorrectError", "ageing_correction", "error_in_common"]


class NothingToCorrectError(ValueError):
    """The looks show no ageing with time that could be taken out of a map; the message says what they show."""


@dataclass(frozen=True)
class AgeingCorrection:
    """How the gap of the control pixels changes with time.

    Attributes
    ----------
    slope, error : float, meV/h
    beside_dose : bool
        The slope is that beside an ageing with dose, which the looks show too.
    told_apart : bool
        Whether the looks tell time from dose. Where they do not, the slope is that of the time only if it is known from
        elsewhere that the sample ages with time and not with the beam.
    looks, places : int
        What it is from.
    reference_time : float, s
        To which gaps are brought.
    """

    slope: float
    error: float
    beside_dose: bool
    told_apart: bool
    looks: int
    places: int
    reference_time: float

    def shift(self, time: float) -> tuple[float, float]:
        """Return what a gap measured at a time, s, is less by than at the reference time, and its error; meV."""
        hours = (time - self.reference_time) / HOUR
        return -self.slope * hours, self.error * abs(hours)

    def corrected(self, record: Mapping[str, Any], time: float) -> dict[str, Any]:
        """Return a fitted event with its gaps brought to the reference time.

        Parameters
        ----------
        record : mapping
            As of `EventFitter.fit`: gaps and their systematic errors, of each window and of the joint fit, meV. Where
            there is no gap there is nothing to correct; upper limits stay as they were measured.
        time : float, s
            Of the event.

        Returns
        -------
        dict
            With ``ageing_shift``, meV, beside all else: what was added to the gaps.
        """
        added, error = self.shift(time)
        return {
            **record,
            "delta": [gap + added for gap in record["delta"]],
            "delta_systematic": [math.hypot(each, error) for each in record["delta_systematic"]],
            "joint_delta": record["joint_delta"] + added,
            "joint_delta_systematic": math.hypot(record["joint_delta_systematic"], error),
            "ageing_shift": added,
        }


def ageing_correction(ageing: Ageing, reference_time: float) -> AgeingCorrection:
    """Return how the gap is to be corrected for its ageing with time.

    The slope is that against time alone; beside that against dose where both are in the data and told apart, and the
    gap does change with dose.

    Parameters
    ----------
    ageing : Ageing
        Of the looks at the control pixels.
    reference_time : float, s
        To which the gaps are to be brought.

    Raises
    ------
    NothingToCorrectError
        The slope is not known, or not more than `ALARM` sigma: a correction would be noise.
    """
    if (trend := _trend_of_gap(ageing)) is None:
        raise NothingToCorrectError(
            "no control pixel has a gap in two looks at different times: its slope is not known"
        )
    beside = trend.told_apart and trend.dose_with_time.alarm
    slope: Slope = trend.time_with_dose if beside else trend.time
    if not slope.alarm:
        raise NothingToCorrectError(
            f"the gap of the control pixels changes by {slope.value:.2f} +- {slope.error:.2f} meV/h"
            f"{' beside its change with dose' if beside else ''}, {slope.sigmas:.1f} sigma from none; it is corrected "
            f"for more than {ALARM:g}"
        )
    return AgeingCorrection(
        slope.value, slope.error, beside, trend.told_apart, trend.n, trend.places, float(reference_time)
    )


def error_in_common(
    ageing: Ageing, correction: AgeingCorrection | None, times: ArrayLike, reference_time: float
) -> Array:
    """Return what the gaps of a map err by together where the ageing is one standard deviation off what is known of it.

    It is no error of a single pixel: it makes a gradient in time, which is no spread of the sample. Statistics of a map
    take it as `common`.

    Parameters
    ----------
    ageing : Ageing
        Of the looks at the control pixels.
    correction : AgeingCorrection or None
        By which the gaps were corrected. None: a slope that was too small for it may be there all the same.
    times : array_like, s
        Of the pixels.
    reference_time : float, s
        To which the gaps are brought, or when the map began.

    Returns
    -------
    ndarray, shape of `times`, meV
        Zero where no slope is known from any look.
    """
    hours = (np.asarray(times, dtype=np.float64) - reference_time) / HOUR
    if correction is not None:
        return np.asarray(correction.error * hours)
    if (trend := _trend_of_gap(ageing)) is None:
        return np.zeros_like(hours)
    return np.asarray(math.hypot(trend.time.value, trend.time.error) * hours)


def _trend_of_gap(ageing: Ageing) -> AgeingTrend | None:
    """Return how the gap of the control pixels changes; None where no slope against time is known."""
    known = (each for each in ageing.trends if each.quantity == "gap" and each.time.error >= 0)
    return next(known, None)
