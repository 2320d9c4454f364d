"""The journal: one append-only file of documents per run, and the stream that all followers read.

Use `JournalWriter` as the first, critical subscriber of a RunEngine; `read_documents` for what is
there now; `follow` for a run that is still being written. The layout is described in
docs/explanation/run-documents.md.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from microarpes.beamline.journal_lock import lock_for_writing
from microarpes.beamline.journal_record import HEADER, MAGIC, Document, encode_record, is_length, unpacked

#: Files in the folder of a run: its documents, those of its live fit, its frames.
RAW_JOURNAL = "raw.journal"
GAP_JOURNAL = "gap.journal"
FRAME_FILE = "frames.h5"


class JournalError(Exception):
    """A journal could not be written or is not a journal; the message says which and what to do."""


class JournalWriter:
    """Append documents to a journal and sync them at the events, so that an emitted event is on disk.

    It never raises into the RunEngine that emits: what the disk refuses is kept in order and tried again with the
    next document and by `retry`, and the plan asks `error` before it exposes again.

    Parameters
    ----------
    path : Path
        File to create, or to continue: a torn tail left by a crash is cut off first.

    Notes
    -----
    Descriptors, stream resources and stream data are written at once but synced together with the event they
    belong to: one ``fdatasync`` a point. A point is acknowledged when its event has been synced and `error` is None.
    """

    _SYNCED = frozenset({"start", "event", "event_page", "stop"})

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = open(self.path, "ab", buffering=0)
        if not lock_for_writing(self._file):
            self._file.close()
            raise JournalError(f"{self.path} is being written by another process; end that one first")
        keep = end_of_records(self.path) if self._file.tell() else 0
        if self._file.tell() > keep:
            self._file.truncate(keep)
        if keep == 0:
            self._file.write(MAGIC)
            _sync_folder(self.path.parent)
        self._end = self._file.seek(0, os.SEEK_END)
        self._pending: deque[bytes] = deque()
        self._sync_owed = False
        self.error: OSError | None = None

    def __call__(self, name: str, doc: Document) -> None:
        """Append one document; on return from an event it is on disk, or `error` says why not."""
        self._pending.append(encode_record(str(name), doc))
        self._sync_owed = self._sync_owed or str(name) in self._SYNCED
        self.retry()

    def append(self, records: bytes) -> None:
        """Append whole records as they are in another journal, and sync them, as a call does with an event."""
        self._pending.append(records)
        self._sync_owed = True
        self.retry()

    @property
    def end(self) -> int:
        """Bytes that are written: where the next record begins."""
        return self._end

    def retry(self) -> OSError | None:
        """Write what is pending and sync; return the error that is left, or None."""
        try:
            while self._pending:
                _write_all(self._file.fileno(), self._pending[0])
                self._end += len(self._pending.popleft())
            if self._sync_owed:
                os.fdatasync(self._file.fileno())
                self._sync_owed = False
            self.error = None
        except OSError as error:
            # A record written in part would hide all that follow it.
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            self.error = error
        return self.error

    def close(self) -> None:
        """Write what is left and close.

        Raises
        ------
        JournalError
            The disk still refuses documents; the message says how many.
        """
        error = self.retry()
        self._file.close()
        if error is not None:
            raise JournalError(f"{len(self._pending)} documents could not be written to {self.path}: {error}")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Records:
    """Whole records of an open journal, from an offset; remembers where the last whole one ended."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)
        magic = self._file.read(len(MAGIC))
        if magic != MAGIC[: len(magic)]:
            self._file.close()
            raise JournalError(
                f"{path} is not a journal: it starts with {magic!r}, not {MAGIC!r}; name a run's journal"
            )
        self.offset = len(MAGIC)

    def read(self) -> Iterator[tuple[str, Document]]:
        """Yield the whole records that are there now; may be called again when the file has grown."""
        while True:
            self._file.seek(self.offset)
            head = self._file.read(HEADER.size)
            if len(head) < HEADER.size:
                return
            length, checksum = HEADER.unpack(head)
            if not is_length(length):
                return
            payload = self._file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            self.offset += HEADER.size + length
            name, doc = unpacked(payload)
            yield name, doc

    def close(self) -> None:
        self._file.close()


class JournalReader:
    """What is new in a journal since the last look; the file may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._records: _Records | None = None

    def new_documents(self) -> Iterator[tuple[str, Document]]:
        """Yield the whole records that were appended since the last call."""
        if self._records is None:
            if not self.path.exists() or self.path.stat().st_size < len(MAGIC):
                return
            self._records = _Records(self.path)
        yield from self._records.read()

    def close(self) -> None:
        """Close the file."""
        if self._records is not None:
            self._records.close()


def read_documents(path: Path) -> Generator[tuple[str, Document]]:
    """Yield ``(name, document)`` of every whole record; a torn tail ends the iteration.

    Raises
    ------
    JournalError
        The file is not a journal.
    """
    records = _Records(Path(path))
    try:
        yield from records.read()
    finally:
        records.close()


def start_of(path: Path) -> Document:
    """Return the start document of a journal; empty where it holds none."""
    name, doc = next(read_documents(path), ("", {}))
    return doc if name == "start" else {}


def read_records(
    path: Path, begin: int = len(MAGIC), end: int | None = None
) -> Iterator[tuple[int, int, str, Document]]:
    """Yield ``(begin, end, name, document)`` of the whole records in a stretch of a journal, with their byte offsets.

    Parameters
    ----------
    path : Path
        The journal.
    begin, end : int
        Bytes. `begin` is where a record begins: an offset that this function gave before; a record that begins at or
        after `end` is not read.

    Raises
    ------
    JournalError
        The file is not a journal.
    """
    records = _Records(Path(path))
    records.offset = begin
    try:
        while end is None or begin < end:
            record = next(records.read(), None)
            if record is None:
                return
            yield begin, records.offset, *record
            begin = records.offset
    finally:
        records.close()


def follow(
    path: Path, *, stopped: Callable[[], bool] = lambda: False, poll: float = 0.02
) -> Iterator[tuple[str, Document]]:
    """Yield documents as they are written, until the stop document or until `stopped` says so.

    Parameters
    ----------
    path : Path
        The journal; it may not exist yet.
    stopped : callable
        Asked when there is nothing new; True ends the iteration.
    poll : float
        Seconds between two looks at the end of the file.
    """
    reader = JournalReader(path)
    try:
        while True:
            for name, doc in reader.new_documents():
                yield name, doc
                if name == "stop":
                    return
            if stopped():
                return
            time.sleep(poll)
    finally:
        reader.close()


def stream_events(path: Path, stream: str) -> Iterator[Document]:
    """Yield the events of one stream of a run."""
    descriptors: set[str] = set()
    for name, doc in read_documents(path):
        if name == "descriptor" and doc["name"] == stream:
            descriptors.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in descriptors:
            yield doc


def end_of_records(path: Path) -> int:
    """Return the offset, in bytes, just after the last whole record."""
    if Path(path).stat().st_size < len(MAGIC):
        return 0
    records = _Records(Path(path))
    try:
        for _ in records.read():
            pass
        return records.offset
    finally:
        records.close()
