"""Where the event of each pixel is in the journals of a map: byte ranges, so that no run is ever held in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.journal import RAW_JOURNAL, read_records
from microarpes.beamline.journal_chunks import Span
from microarpes.beamline.run_chain import read_start
from microarpes.beamline.stored_run import NoSuchRun

Document = dict[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EventPlace:
    """Where the event of a pixel is.

    Attributes
    ----------
    journal : int
        Place of the journal in the chain of the map.
    spans : tuple of (int, int)
        Byte ranges: of what says where its frame is, where that is told, and of the event.
    """

    journal: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class IndexedMap:
    """A run, with those it resumes, by where the events of its pixels are.

    Attributes
    ----------
    folders : tuple of Path
        The oldest first.
    start : dict
        Start document of the newest.
    stop : dict or None
        Its stop document; None for a run that was cut off.
    preambles : tuple of tuple of (int, int)
        Of each journal the byte ranges of start document, descriptors and calibration records.
    places : dict of int to EventPlace
        By pixel; of each the event that counts.
    records : list of dict
        All calibration records.
    intensity, intensity_error : ndarray, shape (ny, nx)
        Counts over beam with the error of counting; NaN where nothing was measured or the beam is not known.
    """

    folders: tuple[Path, ...]
    start: Document
    stop: Document | None
    preambles: tuple[tuple[Span, ...], ...]
    places: dict[int, EventPlace]
    records: list[Document]
    intensity: Floats
    intensity_error: Floats

    @property
    def uid(self) -> str:
        """Of the newest run."""
        return str(self.start["uid"])

    @property
    def lines(self) -> tuple[Floats, Floats]:
        """Nominal x of the columns and y of the rows, um."""
        grid = self.start["grid"]
        x, y = (np.linspace(*(grid[axis][part] for part in ("start", "stop", "num"))) for axis in ("x", "y"))
        return x, y


@dataclass
class _Journal:
    """What one journal says, as it is read."""

    number: int
    preamble: list[Span] = field(default_factory=list)
    streams: dict[str, str] = field(default_factory=dict)
    frames: dict[int, Span] = field(default_factory=dict)
    events: dict[int, tuple[int, Span, float, float]] = field(default_factory=dict)
    records: list[Document] = field(default_factory=list)
    stop: Document | None = None

    def take(self, span: Span, name: str, doc: Document) -> None:
        stream = self.streams.get(doc.get("descriptor", ""))
        if name == "start":
            self.preamble.append(span)
            self.records += [doc["calibration"]] if isinstance(doc.get("calibration"), Mapping) else []
        elif name == "descriptor":
            self.preamble.append(span)
            self.streams[doc["uid"]] = doc.get("name", "primary")
        elif name == "event" and stream == "calibration":
            self.preamble.append(span)
            self.records.append(doc["data"])
        elif name == "stream_datum" and stream == "primary":
            numbers = doc["seq_nums"]
            self.frames |= dict.fromkeys(range(int(numbers["start"]), int(numbers["stop"])), span)
        elif name == "event" and stream == "primary":
            data = doc["data"]
            counts = _number(data.get("total_counts"))
            self.events[int(doc["seq_num"])] = int(data["pixel"]), span, counts, _beam(data)
        elif name == "stop":
            self.stop = doc


def index_map(folders: Sequence[Path]) -> IndexedMap:
    """Read the journals of a map once.

    Parameters
    ----------
    folders : sequence of Path
        See `microarpes.beamline.run_chain.chain_folders`.

    Raises
    ------
    NoSuchRun
        The newest run has no map.
    """
    start = read_start(folders[-1])
    if missing := [key for key in ("shape", "grid", "windows", "energy_axis") if key not in start]:
        raise NoSuchRun(
            f"run {start['uid']} is of plan {start.get('plan_name')!r} and has no map: its start document lacks "
            f"{', '.join(missing)}; name a raster"
        )
    ny, nx = (int(number) for number in start["shape"])
    intensity, error = np.full(ny * nx, np.nan), np.full(ny * nx, np.nan)
    places: dict[int, EventPlace] = {}
    journals = []
    for number, folder in enumerate(folders):
        journal = _Journal(number)
        for begin, end, name, doc in read_records(folder / RAW_JOURNAL):
            journal.take((begin, end), name, doc)
        journals.append(journal)
        for seq_num, (pixel, span, counts, beam) in sorted(journal.events.items()):
            if 0 <= pixel < ny * nx:
                frame = journal.frames.get(seq_num)
                places[pixel] = EventPlace(number, (span,) if frame is None else (frame, span))
                intensity[pixel], error[pixel] = counts / beam, math.sqrt(max(counts, 1.0)) / beam
    return IndexedMap(
        folders=tuple(folders),
        start=start,
        stop=journals[-1].stop,
        preambles=tuple(tuple(journal.preamble) for journal in journals),
        places=places,
        records=[record for journal in journals for record in journal.records],
        intensity=intensity.reshape(ny, nx),
        intensity_error=error.reshape(ny, nx),
    )


def _beam(data: Mapping[str, Any]) -> float:
    """Return how much beam an exposure had: I0, nA s; without a gated I0 ring current times live time; else NaN."""
    beam = _number(data.get("i0"))
    if math.isnan(beam):
        beam = _number(data.get("ring_current")) * _number(data.get("live_time"))
    return beam if beam > 0.0 else math.nan


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
