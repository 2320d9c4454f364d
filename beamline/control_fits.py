"""The fits of looks at control pixels, as derived runs hold them, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from microarpes.analysis.ageing import ALARM, Ageing, AgeingTrend, Slope, ageing_of
from microarpes.analysis.gap_documents import CONTROL
from microarpes.beamline.journal import GAP_JOURNAL, stream_events
from microarpes.beamline.run_chain import read_chain

#: Chance of the strongest of all slopes above which it is not believed: 2 sigma, once for all of them.
BY_CHANCE = 0.0455
#: What a slope is called, and of what it is.
AGAINST = {"time": "h", "dose": "min of beam"}


def look_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a derived event with the time (s) of the raw one beside them."""
    return {**event["data"], "time": float(event["timestamps"]["raw_seq_num"])}


def read_looks(journal: Path) -> list[dict[str, Any]]:
    """Return the looks of a derived run; of two with the same number the later counts."""
    if not journal.exists():
        return []
    found = {int(event["data"]["raw_seq_num"]): look_of(event) for event in stream_events(journal, CONTROL)}
    return [found[number] for number in sorted(found)]


def looks_of_map(folder: Path, journal: Path | None = None) -> list[dict[str, Any]]:
    """Return the looks of a run and of those it resumes, the oldest first.

    Parameters
    ----------
    folder : Path
        Of the raw run.
    journal : Path, optional
        Of the derived run of this run; by default that of the live fit.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        A run that it resumes is not there.
    """
    newest = read_looks(journal or folder / GAP_JOURNAL)
    if not newest:
        return []
    before = [run.folder for run in read_chain(folder, lean=True)[:-1]]
    return [look for each in before for look in read_looks(each / GAP_JOURNAL)] + newest


def ageing_of_map(folder: Path) -> Ageing:
    """Return what the control pixels of a run, and of those it resumes, say."""
    return ageing_of(looks_of_map(folder))


def slope_text(slope: Slope, unit: str, against: str) -> str:
    """Return a slope with its error and what it is of.

    Examples
    --------
    >>> slope_text(Slope(-1.53, 0.31, 1e-6), "meV", "h")
    '−1.53 ± 0.31 meV/h'
    """
    digits = 2 if slope.error < 9.95 else 0
    value = f"{slope.value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return f"{value} \N{PLUS-MINUS SIGN} {slope.error:.{digits}f} {unit}/{against}"


def alarm_lines(ageing: Ageing) -> list[str]:
    """Return an alarm for each quantity that changes; nothing where none does.

    One that so many slopes would show by chance says no more than that the sample may age.
    """
    sure = "ages" if ageing.p_any < BY_CHANCE else f"may age (by chance as much: p = {ageing.p_any:.2g})"
    return [f"the sample {sure}: {_told(trend)}" for trend in ageing.alarms]


def _told(trend: AgeingTrend) -> str:
    parts = []
    for name, against in AGAINST.items():
        slope: Slope = getattr(trend, name)
        if slope.alarm:
            parts.append(f"{slope_text(slope, trend.unit, against)} ({slope.sigmas:.1f} sigma)")
    apart = "" if len(parts) < 2 or trend.told_apart else "; time and dose are not told apart"
    return f"{trend.quantity} {' or '.join(parts)}{apart}"


def ageing_sentences(ageing: Ageing) -> list[str]:
    """Return what the control pixels say, in words: alarms first."""
    known = [trend for trend in ageing.trends if trend.n]
    if not known:
        return ["No control pixel was seen twice with a sample in the beam."]
    said = [f"ALARM: {line}." for line in alarm_lines(ageing)]
    if not said:
        said.append(f"No quantity changes by more than {ALARM:g} sigma with time or with dose.")
    else:
        said.append(
            f"Each alarm is of {ALARM:g} sigma, one slope at a time. That the strongest of all slopes looked at comes "
            f"by chance from a sample that does not change has p = {ageing.p_any:.2g}."
        )
    if not any(trend.told_apart for trend in known):
        said.append("Time and dose are not told apart: all spots had beam at the same pace. See dose_test().")
    return said


def trend_rows(trends: Iterable[AgeingTrend]) -> list[tuple[str, ...]]:
    """Return a row of text for each slope: quantity, against what, alone, sigma, p, beside the other, correlation."""
    rows: list[tuple[str, ...]] = []
    for trend in trends:
        both = {"time": trend.time_with_dose, "dose": trend.dose_with_time}
        for name, against in AGAINST.items():
            alone: Slope = getattr(trend, name)
            if not alone.error >= 0:
                continue
            beside = slope_text(both[name], trend.unit, against) if both[name].error >= 0 else "not told apart"
            rows.append(
                (
                    trend.quantity,
                    name,
                    slope_text(alone, trend.unit, against),
                    f"{alone.sigmas:.1f}",
                    f"{alone.p_value:.2g}",
                    beside,
                    "" if np.isnan(trend.correlation) else f"{trend.correlation:.2f}".replace("-", "\N{MINUS SIGN}"),
                    f"{trend.n}, of {trend.places}",
                )
            )
    return rows
