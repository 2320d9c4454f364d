"""A run cut into chunks of events that can be fitted apart: byte ranges of its journal, not their content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from microarpes.beamline.journal import read_records
from microarpes.beamline.stored_run import NoSuchRun

#: Events of one chunk: half a second of fits for the slow engine, and little beside the memory of a worker.
CHUNK_EVENTS = 32

Document = dict[str, Any]
#: First byte and the byte after the last.
Span = tuple[int, int]


@dataclass(frozen=True)
class Chunk:
    """Some consecutive events of stream ``primary``, by where they are in the journal.

    Attributes
    ----------
    number : int
        From 0.
    preamble : tuple of (int, int)
        Byte ranges of the start document, the descriptors and the calibration records that come before.
    span : (int, int)
        Byte range of the chunk itself.
    events : int
        Events of stream ``primary`` in it; none where it holds the last looks at control pixels alone.
    first : int
        Place of the first of them in the run, from 0.
    """

    number: int
    preamble: tuple[Span, ...]
    span: Span
    events: int
    first: int

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"chunk {self.number} (events {self.first + 1} to {self.first + self.events})"


class RunChunks(Protocol):
    """A run cut into chunks that have ``label`` and ``events``: what a refit needs to know of it."""

    path: Path
    start: Document
    stop: Document | None

    def __iter__(self) -> Iterator[Any]:
        """Yield the chunks."""


class JournalChunks:
    """Read a journal once, from front to back, and cut it; documents are looked at and let go.

    Parameters
    ----------
    path : Path
        Journal of a raw run; it may still be growing: what is there when it is read counts.
    size : int
        Events of a chunk.

    Attributes
    ----------
    start : dict
        The start document.
    stop : dict or None
        The stop document, once all chunks have been taken.
    events : int
        Events cut so far.

    Raises
    ------
    NoSuchRun
        The journal holds no start document.
    """

    def __init__(self, path: Path, size: int = CHUNK_EVENTS) -> None:
        self.path = Path(path)
        self.size = size
        self.stop: Document | None = None
        self.events = 0
        begin, end, name, doc = next(read_records(self.path), (0, 0, "", {}))
        if name != "start":
            raise NoSuchRun(f"{self.path} begins with no start document: nothing was measured")
        self.start: Document = doc
        self._preamble: list[Span] = [(begin, end)]
        self._end = end

    def __iter__(self) -> Iterator[Chunk]:
        streams: dict[str, str] = {}
        before = tuple(self._preamble)
        first, number, since = self.events, 0, self._end
        looks = False  # at control pixels, since the last chunk
        for begin, end, name, doc in read_records(self.path, self._end):
            if name == "descriptor":
                streams[doc["uid"]] = doc.get("name", "primary")
            stream = streams.get(doc.get("descriptor", ""))
            if name == "descriptor" or (stream == "calibration" and name.startswith("event")):
                self._preamble.append((begin, end))
            if stream == "primary" and name.startswith("event"):
                self.events += 1 if name == "event" else len(doc["seq_num"])
            looks = looks or (stream == "control" and name.startswith("event"))
            if name == "stop":
                self.stop = doc
            if self.events - first >= self.size:
                yield Chunk(number, before, (since, end), self.events - first, first)
                before = tuple(self._preamble)
                first, number, since, looks = self.events, number + 1, end, False
        if self.events > first or looks:
            yield Chunk(number, before, (since, end), self.events - first, first)
