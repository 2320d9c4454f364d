"""What a worker of a refit does: read one chunk of a run by itself, fit its events, return plain numbers.

A worker may be a process of this machine or one of a Dask cluster. It gets paths and byte ranges, never data, and
returns dicts of numbers and strings; nothing of what it finds in a file is executed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from event_model import unpack_event_page

from microarpes.analysis import CalibrationTrack, LiveGapMap
from microarpes.analysis.gap_documents import CONTROL
from microarpes.beamline.followed_windows import FollowedWindows
from microarpes.beamline.journal import read_records
from microarpes.beamline.journal_chunks import Chunk
from microarpes.beamline.moved_windows import MovedWindows, frame_path
from microarpes.devices.region import AngleWindow

Document = dict[str, Any]


class ChunkError(Exception):
    """A chunk was not fitted; the message says where and why."""


@dataclass(frozen=True)
class RefitJob:
    """What is done to every chunk of a run.

    Attributes
    ----------
    journal : str
        Absolute path of the raw journal, as the workers see it.
    model : str
        Line shape.
    gamma0 : str or float
        Policy for gamma0, or its value, meV.
    windows : tuple of (str, float, float)
        Name and edges, deg, of the windows that replace the run's; empty to fit the EDCs of the events.
    track : CalibrationTrack or None
        Calibration to interpolate, of the windows of the job; None for the last record before each event.
    follow_k_f : bool
        Windows follow the mirror centre of each frame.
    fit_depth : float or None, eV
        How far below the gap the fits look; None for as in the run.
    """

    journal: str
    model: str = "norman"
    gamma0: str | float = "prior"
    windows: tuple[tuple[str, float, float], ...] = ()
    track: CalibrationTrack | None = None
    follow_k_f: bool = False
    fit_depth: float | None = None

    @property
    def angle_windows(self) -> tuple[AngleWindow, ...]:
        """The windows as the devices know them."""
        return tuple(AngleWindow(name=name, angle_low=low, angle_high=high) for name, low, high in self.windows)

    def asked(self, start: Document) -> Document:
        """Return a start document that says what the job says: whether windows follow k_F, and how deep fits look."""
        asked: Document = {} if self.fit_depth is None else {"fit_depth": self.fit_depth}
        if bool(start.get("follow_k_f")) != self.follow_k_f:
            asked["follow_k_f"] = self.follow_k_f
        return start | asked if asked else start


@dataclass(frozen=True)
class FittedChunk:
    """What comes back.

    Attributes
    ----------
    records : list of dict
        Data of the derived events, in the order of the journal.
    times : list of float
        Time of the raw event of each, s.
    without_frame : int
        Events whose frame was asked for and is not there.
    code : str
        `code_of` the worker: what made the numbers.
    looks : list of (dict, float)
        Data and time, s, of the fitted looks at control pixels.
    """

    records: list[Document]
    times: list[float]
    without_frame: int
    code: str
    looks: list[tuple[Document, float]] = field(default_factory=list)


def code_of(start: Document) -> str:
    """Return what must be the same everywhere for the same numbers: this version and the engine of a derived run."""
    return f"microarpes {code_version()} with engine {start['engine']}"


def code_version() -> str:
    """Return the version of microarpes."""
    try:
        return version("microarpes")
    except PackageNotFoundError:
        return "unknown"


def worker_report(path: str) -> tuple[str, bool]:
    """Return `code_version` where this runs, and whether the file can be read from there."""
    return code_version(), Path(path).is_file()


class _Fitting(threading.local):
    """The fitters of the job in hand: they take longer to make than to use, and a Dask worker may run many threads."""

    def __init__(self) -> None:
        self.key: tuple[str, str | float] | None = None
        self.router: LiveGapMap | None = None
        self.emitted: list[tuple[str, Document]] = []

    def prepare(self, job: RefitJob) -> LiveGapMap:
        """Return a router of the job's model; what it emits goes to `emitted`, empty now."""
        key = (job.model, job.gamma0)
        self.emitted.clear()
        if self.router is None or self.key != key:
            self.router = LiveGapMap(self._keep, model=job.model, gamma0=job.gamma0)
            self.key = key
        self.router.track = job.track
        return self.router

    def _keep(self, name: str, doc: Document) -> None:
        self.emitted.append((name, doc))


_fitting = _Fitting()


def derived_start(job: RefitJob, start: Document) -> Document:
    """Return the start document the live fit would give its derived run, with the windows of the job.

    Raises
    ------
    ChunkError
        The run cannot be fitted: it is no raster.
    """
    router = _fitting.prepare(job)
    with documents_of(job, start) as moved:
        router("start", moved("start", job.asked(start)))
    if not _fitting.emitted:
        raise ChunkError(router.problem or f"run {start.get('uid')} is not a raster and cannot be fitted")
    return _fitting.emitted[0][1]


def fit_chunk(job: RefitJob, chunk: Chunk) -> FittedChunk:
    """Fit the events of a chunk exactly as they are fitted live.

    Raises
    ------
    ChunkError
        The journal does not hold what the chunk says.
    microarpes.beamline.moved_windows.WindowError
        The frames are asked for and cannot be read.
    """
    router = _fitting.prepare(job)
    start = next(_chunk_documents(job, chunk))[1]
    with documents_of(job, start) as moved:
        for name, doc in _chunk_documents(job, chunk):
            router(name, moved(name, job.asked(doc) if name == "start" else doc))
        without_frame = moved.without_frame
    others = {doc["uid"] for name, doc in _fitting.emitted if name == "descriptor" and doc["name"] == CONTROL}
    fitted = [doc for name, doc in _fitting.emitted if name == "event"]
    events = [doc for doc in fitted if doc["descriptor"] not in others]
    if len(events) != chunk.events:
        raise ChunkError(
            f"{job.journal} gave {len(events)} fits where {chunk.events} events were expected; has it changed?"
        )
    return FittedChunk(
        records=[dict(doc["data"]) for doc in events],
        times=[_raw_time(doc) for doc in events],
        without_frame=without_frame,
        code=code_of(_fitting.emitted[0][1]),
        looks=[(dict(doc["data"]), _raw_time(doc)) for doc in fitted if doc["descriptor"] in others],
    )


def _raw_time(event: Document) -> float:
    return float(event["timestamps"]["raw_seq_num"])


def _chunk_documents(job: RefitJob, chunk: Chunk) -> Iterator[tuple[str, Document]]:
    for begin, end in (*chunk.preamble, chunk.span):
        for _, _, name, doc in read_records(Path(job.journal), begin, end):
            if name == "event_page":
                yield from (("event", event) for event in unpack_event_page(doc))
            else:
                yield name, doc


class _AsStored:
    """Documents as they are in the journal."""

    without_frame = 0

    def __call__(self, name: str, doc: Document) -> Document:
        return doc


@contextlib.contextmanager
def documents_of(job: RefitJob, start: Document) -> Iterator[_AsStored | MovedWindows]:
    """Give what turns the documents of a run into those the job asks for: as stored, or with windows placed anew.

    Raises
    ------
    microarpes.beamline.moved_windows.WindowError
        The frames are asked for and cannot be read.
    """
    folder = Path(job.journal).parent
    if not (job.windows or job.follow_k_f):
        yield _AsStored()
        return
    followed = FollowedWindows(folder, job.angle_windows) if job.follow_k_f else None
    with contextlib.closing(followed or MovedWindows(job.angle_windows, frame_path(folder, start))) as windows:
        yield windows
