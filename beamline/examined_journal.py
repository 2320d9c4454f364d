"""All that ``microarpes doctor`` asks of a journal, from one reading of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from microarpes.beamline.catalog_compare import JournalContent
from microarpes.beamline.journal import read_records
from microarpes.beamline.journal_lock import is_being_written
from microarpes.beamline.journal_record import MAGIC


@dataclass(frozen=True)
class CountedFrame:
    """What an event says of the frame of its pixel.

    Attributes
    ----------
    pixel : int
    frame_row : int
        In the run's frame file, as the stream says; -1 where it does not.
    frame_id : int
    counts : float
        Of the whole frame.
    """

    pixel: int
    frame_row: int
    frame_id: int
    counts: float


@dataclass
class ExaminedJournal:
    """What a journal held when it was read.

    Attributes
    ----------
    path : Path
    size, whole : int
        Bytes of the file, and of the whole records that it begins with.
    written : bool
        A living process had it open for writing.
    start : dict
        The start document; empty where there is none.
    pixels : set of int
        Those that its events name, of whatever stream.
    content : JournalContent or None
        For the comparison with a catalog, where that was asked for.
    """

    path: Path
    size: int
    whole: int
    written: bool
    start: dict[str, Any] = field(default_factory=dict)
    pixels: set[int] = field(default_factory=set)
    content: JournalContent | None = None
    _by_number: dict[int, tuple[int, int, float]] = field(default_factory=dict, repr=False)
    _rows: dict[int, int] = field(default_factory=dict, repr=False)

    @property
    def frames(self) -> list[CountedFrame]:
        """Those of the events that count, in the order of the measurement; see `pixel_events`."""
        by_pixel: dict[int, CountedFrame] = {}
        for number, (pixel, frame_id, counts) in sorted(self._by_number.items()):
            by_pixel[pixel] = CountedFrame(pixel, self._rows.get(number, -1), frame_id, counts)
        return list(by_pixel.values())

    @property
    def torn(self) -> int:
        """How many bytes at its end are no whole record; none of a journal that is being written."""
        return 0 if self.written else self.size - self.whole

    def add(self, streams: dict[str, str], name: str, doc: dict[str, Any]) -> None:
        """Take the next document; `streams` is what `descriptor` documents have told so far."""
        if self.content is not None:
            self.content.add(name, doc)
        if name == "start":
            self.start = doc
        elif name == "descriptor":
            streams[doc["uid"]] = doc.get("name", "primary")
        elif name == "event" and (pixel := doc["data"].get("pixel")) is not None:
            self.pixels.add(pixel)
            if streams.get(doc["descriptor"]) == "primary":
                data = doc["data"]
                told = int(pixel), int(data.get("frame_id", -1)), float(data.get("total_counts", np.nan))
                self._by_number[int(doc["seq_num"])] = told
        elif name == "stream_datum" and streams.get(doc["descriptor"]) == "primary":
            numbers, indices = (range(doc[key]["start"], doc[key]["stop"]) for key in ("seq_nums", "indices"))
            self._rows |= zip(numbers, indices, strict=False)


def examined_journal(path: Path, *, content: bool) -> ExaminedJournal:
    """Read a journal once, from end to end.

    Parameters
    ----------
    path : Path
    content : bool
        Keep what a catalog is compared with.

    Raises
    ------
    microarpes.beamline.journal.JournalError
        The file is not a journal.
    OSError
        It cannot be read.
    """
    written, size = is_being_written(path), path.stat().st_size
    found = ExaminedJournal(path, size, min(size, len(MAGIC)), written, content=JournalContent() if content else None)
    streams: dict[str, str] = {}
    for _, found.whole, name, doc in read_records(path):
        found.add(streams, name, doc)
    return found
