"""Pixels of several runs cut into chunks, and what a worker does to one: read each run's event, fit them together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microarpes.analysis.calibration_track import RunCalibrations
from microarpes.analysis.combined_fit import CombinedFitter, PixelOfRun
from microarpes.analysis.event_fit import RunLayout
from microarpes.beamline.chunk_fit import FittedChunk, RefitJob, code_of, derived_start, documents_of
from microarpes.beamline.journal import RAW_JOURNAL, read_records
from microarpes.beamline.journal_chunks import CHUNK_EVENTS, Span
from microarpes.beamline.moved_windows import MovedWindows
from microarpes.beamline.pixel_index import EventPlace, IndexedMap

Document = dict[str, Any]


@dataclass(frozen=True)
class CombineJob:
    """What is done to every chunk.

    Attributes
    ----------
    runs : tuple of tuple of RefitJob
        Of each run the job of each journal of its chain, the oldest first; the first run's pixels are the map's.
    preambles : tuple of tuple of tuple of (int, int)
        Of each journal where start document, descriptors and calibration records are.
    """

    runs: tuple[tuple[RefitJob, ...], ...]
    preambles: tuple[tuple[tuple[Span, ...], ...], ...]

    @property
    def first(self) -> RefitJob:
        """Of the newest journal of the first run."""
        return self.runs[0][-1]

    @property
    def model(self) -> str:
        """Line shape."""
        return self.first.model


@dataclass(frozen=True)
class PixelChunk:
    """Some pixels of the map.

    Attributes
    ----------
    number, first : int
        Of the chunk and of its first pixel among those that were measured, from 0.
    pixels : tuple of (int, tuple of (int, EventPlace))
        Each with the runs that measured it, by number, and where their events are.
    """

    number: int
    first: int
    pixels: tuple[tuple[int, tuple[tuple[int, EventPlace], ...]], ...]

    @property
    def events(self) -> int:
        """How many pixels it has."""
        return len(self.pixels)

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"chunk {self.number} (pixels {self.pixels[0][0]} to {self.pixels[-1][0]})"


class PixelChunks:
    """The pixels of a first run, each with its partners in the others, cut into chunks.

    Parameters
    ----------
    runs : sequence of IndexedMap
    partners : sequence of array of int
        Of each run but the first, see `Alignment.pixel`.
    size : int
        Pixels of a chunk.

    Attributes
    ----------
    start, stop, path
        Of the first run.
    """

    def __init__(self, runs: Sequence[IndexedMap], partners: Sequence[Any], size: int = CHUNK_EVENTS) -> None:
        self.start, self.stop = runs[0].start, runs[0].stop
        self.path = runs[0].folders[-1] / RAW_JOURNAL
        self._runs, self._size = runs, size
        ny, nx = (int(number) for number in runs[0].start["shape"])
        numbers = [range(ny * nx), *(partner.ravel().tolist() for partner in partners)]
        self._pixels = []
        for pixel, of_runs in enumerate(zip(*numbers, strict=True)):
            found = [run.places.get(number) for run, number in zip(runs, of_runs, strict=True)]
            if there := tuple((number, place) for number, place in enumerate(found) if place is not None):
                self._pixels.append((pixel, there))

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def shared(self) -> int:
        """Pixels that two runs or more have."""
        return sum(len(there) > 1 for _, there in self._pixels)

    def __iter__(self) -> Iterator[PixelChunk]:
        for number, first in enumerate(range(0, len(self._pixels), self._size)):
            yield PixelChunk(number, first, tuple(self._pixels[first : first + self._size]))


class _Reader:
    """Reads events of one journal, with what held for them."""

    def __init__(self, job: RefitJob, preamble: Sequence[Span], moved: Any) -> None:
        self._journal, self._moved = Path(job.journal), moved
        for name, doc in self._documents(preamble):
            read = moved(name, job.asked(doc) if name == "start" else doc)
            if name == "start":
                self.layout = RunLayout.from_start(read)
                self._records = RunCalibrations(len(self.layout.windows), read.get("calibration"), job.track)
            elif name == "event":
                self._records.add(float(read["time"]), read["data"])

    def read(self, spans: Sequence[Span]) -> tuple[PixelOfRun, float]:
        """Return what the journal has of a pixel, and when it was measured, s."""
        read: Mapping[str, Any] = {}
        for name, doc in self._documents(spans):
            read = self._moved(name, doc)
        return PixelOfRun(self.layout, self._records.of(read), read["data"]), float(read["time"])

    def _documents(self, spans: Sequence[Span]) -> Iterator[tuple[str, Document]]:
        for begin, end in spans:
            for _, _, name, doc in read_records(self._journal, begin, end):
                yield name, doc


class _Readers:
    """A reader of each journal that a chunk needs, made when it is first needed."""

    def __init__(self, job: CombineJob, opened: contextlib.ExitStack) -> None:
        self._job, self._opened = job, opened
        self._made: dict[tuple[int, int], tuple[_Reader, Any]] = {}

    def read(self, run: int, place: EventPlace) -> tuple[PixelOfRun, float]:
        """Return what a run has of a pixel, and when it was measured, s."""
        key = run, place.journal
        if key not in self._made:
            job, preamble = self._job.runs[run][place.journal], self._job.preambles[run][place.journal]
            moved = self._opened.enter_context(documents_of(job, start_document(job, preamble)))
            self._made[key] = _Reader(job, preamble, moved), moved
        return self._made[key][0].read(place.spans)

    @property
    def without_frame(self) -> int:
        """Events whose frame was asked for and is not there."""
        return sum(moved.without_frame for _, moved in self._made.values() if isinstance(moved, MovedWindows))


def start_document(job: RefitJob, preamble: Sequence[Span]) -> Document:
    """Return the start document of a journal."""
    return next(read_records(Path(job.journal), *preamble[0]))[3]


def fit_pixels(job: CombineJob, chunk: PixelChunk) -> FittedChunk:
    """Fit the pixels of a chunk, each with the counts of all runs that have it.

    Returns
    -------
    FittedChunk
        Its records have ``alone`` beside: ``(run, gap, error)`` in meV of each run by itself, with verdict ``ok``.
    """
    fitter = CombinedFitter(job.model, job.first.gamma0)
    records, times = [], []
    with contextlib.ExitStack() as opened:
        readers = _Readers(job, opened)
        for place, (pixel, there) in enumerate(chunk.pixels):
            read = [readers.read(run, event) for run, event in there]
            record, alone = fitter.fit(pixel, [part for part, _ in read])
            record["raw_seq_num"] = chunk.first + place + 1
            record["alone"] = [
                (run, float(each["joint_delta"]), float(each["joint_delta_stderr"]))
                for (run, _), each in zip(there, alone, strict=True)
                if each["joint_status"] == "ok"
            ]
            records.append(record)
            times.append(read[0][1])
        without_frame = readers.without_frame
    engine = derived_start(job.first, start_document(job.first, job.preambles[0][-1]))
    return FittedChunk(records, times, without_frame, code_of(engine))
