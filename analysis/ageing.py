"""Whether a sample ages: looks at the same places, again and again, against time and against the beam they have had.

Each place has a level of its own and all share the slope: value = level[place] + slope * t, a weighted straight line.
Time and dose are tried one at a time and together; where every place has had beam at the same pace they are one and the
same to the data, and the correlation of the two slopes says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from microarpes.analysis.line_shape import Array

__all__ = ["ALARM", "APART", "QUANTITIES", "Ageing", "AgeingTrend", "Slope", "ageing_of", "ageing_trend"]

#: A slope of so many sigma is an alarm.
ALARM = 2.0
#: Slopes whose errors are correlated more strongly than this are not told apart.
APART = 0.9
#: What is followed, and its unit. The intensity is in per cent of each place's own mean.
QUANTITIES = {"gap": "meV", "rate": "meV", "intensity": "%", "k_F centre": "mdeg"}
#: Those whose errors are told by their scatter alone.
SCATTERING = ("intensity", "k_F centre")
#: Verdicts of looks whose intensity is that of the sample.
ON_FLAKE = ("ok", "no-gap", "bad-fit")
HOUR, MINUTE = 3600.0, 60.0


@dataclass(frozen=True)
class Slope:
    """A slope, its error and how far it is from none.

    Attributes
    ----------
    value, error : float
        Unit of the quantity per hour, or per minute of beam on the spot; NaN where it cannot be known.
    p_value : float
        Chance that a sample that does not change shows as much.
    """

    value: float
    error: float
    p_value: float

    @property
    def sigmas(self) -> float:
        """Distance from none, in standard deviations of a normal distribution with the same `p_value`."""
        # Beyond 38 the chance is too small for a number.
        return float(norm.isf(self.p_value / 2.0)) if self.p_value != 0.0 else abs(self.value) / self.error

    @property
    def alarm(self) -> bool:
        """Whether it is more than `ALARM` sigma."""
        return self.sigmas > ALARM


@dataclass(frozen=True)
class AgeingTrend:
    """One quantity against time and dose.

    Attributes
    ----------
    quantity, unit : str
    n, places : int
        Looks that count, and how many places they are of; a place that was seen once tells nothing.
    time, dose : Slope
        Each by itself: per hour, per minute of beam.
    time_with_dose, dose_with_time : Slope
        Both in one fit: what each does beside the other.
    correlation : float
        Of the errors of these two; NaN where the data do not hold them both.
    chi2 : float
    dof : int
        Of the straight line against time, with the errors of the looks.
    """

    quantity: str
    unit: str
    n: int
    places: int
    time: Slope
    dose: Slope
    time_with_dose: Slope
    dose_with_time: Slope
    correlation: float
    chi2: float
    dof: int

    @property
    def alarm(self) -> bool:
        """Whether it changes with time or with dose."""
        return self.time.alarm or self.dose.alarm

    @property
    def told_apart(self) -> bool:
        """Whether the data can tell time from dose."""
        return bool(abs(self.correlation) <= APART)

    @property
    def p_value(self) -> float:
        """Smaller of the two chances."""
        return float(np.fmin(self.time.p_value, self.dose.p_value))


@dataclass(frozen=True)
class Ageing:
    """All quantities of some looks.

    Attributes
    ----------
    trends : tuple of AgeingTrend
        In the order of `QUANTITIES`.
    """

    trends: tuple[AgeingTrend, ...]

    @property
    def alarms(self) -> tuple[AgeingTrend, ...]:
        """Those that change."""
        return tuple(trend for trend in self.trends if trend.alarm)

    @property
    def p_any(self) -> float:
        """Chance that the most striking of the slopes is as striking as it is though nothing changes.

        Every slope that was looked at is a trial, two of each quantity (Sidak). Time and dose go together, so that this
        is on the safe side.
        """
        found = np.array([[trend.time.p_value, trend.dose.p_value] for trend in self.trends])
        found = found[np.isfinite(found)]
        return 1.0 - (1.0 - float(found.min())) ** found.size if found.size else float("nan")


def ageing_trend(
    quantity: str,
    place: Sequence[int] | NDArray[Any],
    time: ArrayLike,
    dose: ArrayLike,
    value: ArrayLike,
    error: ArrayLike,
    *,
    unit: str = "",
    errors_known: bool = True,
) -> AgeingTrend:
    """Fit straight lines with one slope and a level for each place.

    Parameters
    ----------
    quantity : str
        Its name.
    place : sequence of int, shape (n,)
        Which place a look is of.
    time, dose : array_like, shape (n,), s
        When it was, and how much beam the spot had had.
    value, error : array_like, shape (n,)
        What was found, with its standard deviation; a look with either not finite, or an error that is none, is left
        out.
    unit : str
        Of value and error.
    errors_known : bool
        Whether a look scatters as its error says. Where looks scatter more than that the errors of the slopes are
        enlarged by as much; where that was to be expected (False) their scatter is all that is known of them, and
        chances are those of Student's distribution.

    Returns
    -------
    AgeingTrend
    """
    place = np.asarray(place)
    x = np.stack([np.asarray(time, dtype=np.float64) / HOUR, np.asarray(dose, dtype=np.float64) / MINUTE], axis=1)
    y, sigma = np.asarray(value, dtype=np.float64), np.asarray(error, dtype=np.float64)
    good = np.isfinite(y) & np.isfinite(x).all(axis=1) & np.isfinite(sigma) & (sigma > 0)
    _, number, seen = np.unique(place[good], return_inverse=True, return_counts=True)
    again = seen[number] > 1
    places = int((seen > 1).sum())
    kept = np.flatnonzero(good)[again]
    group = np.unique(number[again], return_inverse=True)[1]
    weight = sigma[kept] ** -2.0
    centred = _about_means(np.column_stack([x[kept], y[kept]]), weight, group, places)
    fits = [_fit(centred[:, used], centred[:, 2], weight, places, errors_known) for used in ([0], [1], [0, 1])]
    ((against_time,), _, chi2, dof), ((against_dose,), *_), ((time_too, dose_too), correlation, *_) = fits
    return AgeingTrend(
        quantity, unit, kept.size, places, against_time, against_dose, time_too, dose_too, correlation, chi2, dof
    )


def _about_means(columns: Array, weight: Array, group: NDArray[np.intp], n: int) -> Array:
    """Return columns, shape (n_look, n_column), about the weighted means of each group."""
    total = np.bincount(group, weight, n)
    means = np.stack([np.bincount(group, weight * column, n) for column in columns.T], axis=1) / total[:, None]
    return np.asarray(columns - means[group])


UNKNOWN = Slope(float("nan"), float("nan"), float("nan"))


def _fit(
    x: Array, y: Array, weight: Array, places: int, errors_known: bool
) -> tuple[tuple[Slope, ...], float, float, int]:
    """Return the slopes, the correlation of the last two, chi2 and degrees of freedom."""
    n_slope = x.shape[1]
    dof = len(y) - places - n_slope
    information = x.T @ (weight[:, None] * x)
    scale = np.sqrt(np.diag(information))
    if dof < (0 if errors_known else 1) or not (scale > 0).all():
        return (UNKNOWN,) * n_slope, float("nan"), float("nan"), max(dof, 0)
    correlations = information / np.outer(scale, scale)
    # Where two are one and the same neither has a slope of its own.
    if np.linalg.cond(correlations) > 1e8:
        return (UNKNOWN,) * n_slope, float("nan"), float("nan"), dof
    covariance = np.linalg.inv(correlations) / np.outer(scale, scale)
    slope = covariance @ (x.T @ (weight * y))
    chi2 = float(weight @ (y - x @ slope) ** 2)
    error = np.sqrt(np.diag(covariance) * max(1.0, chi2 / dof if dof else 1.0))
    ratio = np.abs(slope) / error
    p_values = 2.0 * (norm.sf(ratio) if errors_known else student.sf(ratio, dof))
    slopes = tuple(Slope(*map(float, each)) for each in zip(slope, error, p_values, strict=True))
    together = covariance[0, -1] / np.sqrt(covariance[0, 0] * covariance[-1, -1])
    return slopes, float(together), chi2, dof


def ageing_of(looks: Iterable[Mapping[str, Any]]) -> Ageing:
    """Return what looks at control pixels say.

    Parameters
    ----------
    looks : iterable of mapping
        Data of the events of stream ``control`` of a derived run, with ``time`` (s) beside them. Gap and rate count
        where the fit of all windows is ``ok``, with the errors of the fits, without the systematic ones: an E_F that
        drifts and is not followed looks like ageing. The intensity is that of the whole frame over what beam it had,
        ``beam`` in any unit, where the fit sees a sample; how well the beam is known nobody knows, so the scatter of
        the looks tells its errors. The k_F centre, the middle between +k_F and -k_F, has the error of its counts and
        may scatter more, as the face of the sample does.

    Returns
    -------
    Ageing
    """
    found = list(looks)

    def column(name: str) -> Array:
        return np.array([_number(look.get(name)) for look in found], dtype=np.float64)

    status = np.array([str(look.get("joint_status")) for look in found], dtype="<U16")
    ok, flake = status == "ok", np.isin(status, ON_FLAKE)
    place, time, dose = np.array([int(look["pixel"]) for look in found]), column("time"), column("dose")
    counts, beam = column("total_counts"), column("beam")
    lit = flake & (counts > 0) & (beam > 0)
    intensity, intensity_error = np.full((2, len(found)), np.nan)
    for p in np.unique(place[lit]):
        here = lit & (place == p)
        level = float(counts[here].sum() / beam[here].sum())
        intensity[here] = 100.0 * counts[here] / beam[here] / level
        intensity_error[here] = intensity[here] / np.sqrt(counts[here])
    values = {
        "gap": (np.where(ok, column("joint_delta"), np.nan), column("joint_delta_stderr")),
        "rate": (np.where(ok, column("joint_gamma1"), np.nan), column("joint_gamma1_stderr")),
        "intensity": (intensity, intensity_error),
        "k_F centre": tuple(np.where(flake, 1e3 * column(f"k_f_centre{end}"), np.nan) for end in ("", "_error")),
    }
    return Ageing(
        tuple(
            ageing_trend(name, place, time, dose, *values[name], unit=unit, errors_known=name not in SCATTERING)
            for name, unit in QUANTITIES.items()
        )
    )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
