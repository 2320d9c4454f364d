"""What a report is made from, read once, and the plain pieces it is made of: sections, sentences, tables."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from microarpes.analysis.calibration import Calibration
from microarpes.beamline.control_fits import looks_of_map
from microarpes.beamline.journal import GAP_JOURNAL, RAW_JOURNAL, read_documents, start_of
from microarpes.beamline.stored_run import StoredRun

Document = dict[str, Any]

#: What stands for a number that is not there.
NOTHING = "–"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Table:
    """Rows of text under a heading each; the first cell of a row names it."""

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Figure:
    """An image as a ``data:`` URI, what it shows in words, and its caption."""

    uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; `code` is shown as it is typed."""

    title: str
    sentences: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    code: str = ""


@dataclass(frozen=True)
class Material:
    """A run, its figures and what else its journals say.

    Attributes
    ----------
    run : StoredRun
    numbers : mapping
        What `summarise` returns.
    derived : dict
        Start document of the fit; empty where there is none.
    calibrations : list of (float, dict)
        Records, each with the time (s) from which it holds; the first from the start on.
    interruptions : list of dict
        Events of the stream of that name.
    looks : list of dict
        Fitted looks at control pixels, also of the runs that this one resumes.
    """

    run: StoredRun
    numbers: Mapping[str, Any]
    derived: Document
    calibrations: list[tuple[float, Document]]
    interruptions: list[Document]
    looks: list[Document] = field(default_factory=list)

    @property
    def start(self) -> Document:
        """Start document of the run."""
        return self.run.start

    def calibration_at(self, moment: float) -> Calibration:
        """Return the calibration that holds at a time, s; ValueError where the record is none."""
        before = [record for since, record in self.calibrations if since <= moment]
        return Calibration.from_record(before[-1], len(self.start["windows"]))


def gather(
    run: StoredRun, numbers: Mapping[str, Any], derived: Document | None = None, journal: Path | None = None
) -> Material:
    """Read beside a run what its report needs.

    Parameters
    ----------
    run : StoredRun
    numbers : mapping
        What `summarise` says of it.
    derived : dict, optional
        Start document of the fit `run.gap_map` comes from; by default that of the live fit.
    journal : Path, optional
        Of that fit.
    """
    calibrations: list[tuple[float, Document]] = []
    if isinstance(run.start.get("calibration"), dict):
        calibrations.append((-math.inf, run.start["calibration"]))
    interruptions: list[Document] = []
    streams: dict[str, str] = {}
    for name, doc in read_documents(run.folder / RAW_JOURNAL):
        if name == "descriptor":
            streams[doc["uid"]] = doc.get("name", "primary")
        elif name == "event" and streams.get(doc["descriptor"]) == "calibration":
            calibrations.append((float(doc["time"]), doc["data"]))
        elif name == "event" and streams.get(doc["descriptor"]) == "interruptions":
            interruptions.append(doc)
    if derived is None:
        journal = run.folder / GAP_JOURNAL
        derived = start_of(journal) if journal.exists() else {}
    looks = looks_of_map(run.folder, journal) if "control_pixels" in run.start else []
    return Material(run, numbers, derived, calibrations, interruptions, looks)


def number(value: Any, digits: int = 2) -> str:
    """Write a number; a dash where there is none.

    Examples
    --------
    >>> number(35.126), number(None)
    ('35.13', '–')
    """
    found = as_float(value)
    return NOTHING if not math.isfinite(found) else f"{found:.{digits}f}".replace("-", MINUS)


def significant(value: Any, digits: int = 4) -> str:
    """Write a number of any size with so many digits that count; a dash where there is none."""
    found = as_float(value)
    return NOTHING if not math.isfinite(found) else f"{found:.{digits}g}".replace("-", MINUS)


def milliseconds(value: Any) -> str:
    """Write a time in s as ms."""
    return number(1000.0 * as_float(value), 1)


def as_float(value: Any) -> float:
    """Return a float, NaN for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def mean_and_range(values: Iterable[Any], digits: int = 4) -> tuple[str, str, str]:
    """Return mean, least and greatest of the values that are numbers."""
    found = np.array([as_float(value) for value in values])
    found = found[np.isfinite(found)]
    if not found.size:
        return NOTHING, NOTHING, NOTHING
    return (
        significant(found.mean(), digits),
        significant(found.min(), digits),
        significant(found.max(), digits),
    )


def clock(moment: Any) -> str:
    """Write a time, s since the epoch, as date and time of this place with its offset from UTC."""
    found = as_float(moment)
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(found)) if math.isfinite(found) else NOTHING


def part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a mapping within a document; an empty one where there is none."""
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def told(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, ...]]:
    """Return the rows whose value says something."""
    return [(name, str(value)) for name, value in pairs if value not in (None, "", NOTHING)]


def count(n: int, one: str, many: str = "") -> str:
    """Write how many there are.

    Examples
    --------
    >>> count(1, "pixel"), count(3, "pixel")
    ('1 pixel', '3 pixels')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"
