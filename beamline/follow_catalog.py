"""The catalog follower: tails the journals of one run and writes the raw and the derived run into the catalog.

``python -m microarpes.beamline.follow_catalog --directory DIR --run UID`` is a process of its own, at lower priority;
the scan does not know of it. Killed at any instant and started again it catches up by itself: a run the catalog holds
to its stop document is left alone, any other is removed from the catalog and written again from its journal.

Exit status: 0 when both runs are in the catalog with their stop documents; 3 when the writer of a journal ended
without a stop document (or the follower was told to end): the catalog then holds all events, and the run stays open;
1 on an error, which is one line on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from microarpes.beamline.catalog import CatalogError, open_catalog
from microarpes.beamline.catalog_documents import CatalogDocuments, latest_only
from microarpes.beamline.catalog_turn import turn_to_write
from microarpes.beamline.followers import is_alive
from microarpes.beamline.journal import JournalError, follow, read_documents

logger = logging.getLogger(__name__)

RAW = "raw.journal"
DERIVED = "gap.journal"
#: Events, and frames, per write: a write takes tenths of a second whatever it holds; live readers have the journal.
BATCH = 100
UNFINISHED = 3
#: How often a run is written from the beginning before its follower gives up.
ATTEMPTS = 3

Document = dict[str, Any]


class RunWriter:
    """Writes the documents of one run into the catalog, once each, whatever happened before.

    Parameters
    ----------
    client : CatalogOfBlueskyRuns
        Catalog to write to.
    folder : Path
        The run's folder ``DIR/<uid>``; frame files outside it are refused.
    batch : int
        Events, and frames, per write.
    """

    def __init__(self, client: Any, folder: Path, batch: int = BATCH) -> None:
        if batch < 25:
            raise ValueError(
                f"batch is {batch} events, the limit is 25: below it the catalog cannot keep up with a scan"
            )
        self._client = client
        self._folder = folder
        self._open_writer(batch)

    def _open_writer(self, batch: int) -> None:
        from bluesky_tiled_plugins import TiledWriter

        self._batch = batch
        self._documents = CatalogDocuments(self._folder)
        self._write = TiledWriter(self._client, batch_size=batch, max_array_size=0, patches=self._documents.patches)
        self._skip = False
        self._streams: dict[str, str] = {}
        self._seen: set[tuple[str, int]] = set()
        self._superseded = False

    def __call__(self, name: str, doc: Document) -> None:
        """Write one document; those of a run that is complete in the catalog are passed over."""
        with turn_to_write(self._folder.parent):
            self._take(name, doc)

    def _take(self, name: str, doc: Document) -> None:
        if name == "start":
            self._skip = _is_complete(self._client, doc["uid"])
            if not self._skip:
                _remove(self._client, doc["uid"])
        if name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
        if name == "event":
            key = (self._streams[doc["descriptor"]], doc["seq_num"])
            self._superseded = self._superseded or key in self._seen
            self._seen.add(key)
        if not self._skip:
            self._write(name, doc)

    def write_again(self, journal: Path) -> None:
        """Write the run anew from its finished journal if an event in it replaced an earlier one (the later wins)."""
        if self._superseded and not self._skip:
            self._rewrite(journal, self._batch)

    def write_unfinished(self, journal: Path) -> None:
        """Write what there is of a run that was left without a stop document; it stays open in the catalog."""
        events = len({number for stream, number in self._seen if stream == "primary"})
        if events and not self._skip:
            # A batch is written when it is full: one that holds all events is full at the last of them.
            self._rewrite(journal, events)

    def _rewrite(self, journal: Path, batch: int) -> None:
        uid = next(doc["uid"] for name, doc in read_documents(journal) if name == "start")
        with turn_to_write(self._folder.parent):
            _remove(self._client, uid)
            self._open_writer(batch)
            for name, doc in latest_only(lambda: read_documents(journal)):
                self._write(name, doc)


def _is_complete(client: Any, uid: str) -> bool:
    return uid in client.keys() and bool(client[uid].metadata.get("stop"))


def _remove(client: Any, uid: str) -> None:
    if uid in client.keys():
        # Files that Tiled did not write itself, such as the frames, are left where they are.
        client.delete_contents(uid, recursive=True, external_only=False)


def follow_run(
    client: Any,
    folder: Path,
    *,
    raw_only: bool = False,
    batch: int = BATCH,
    ended: Callable[[str], bool] = lambda journal: False,
) -> bool:
    """Write the raw run and, unless `raw_only`, the derived run of `folder` into the catalog, as they grow.

    Parameters
    ----------
    client : CatalogOfBlueskyRuns
        Catalog to write to.
    folder : Path
        The run's folder, ``DIR/<uid>``; the journals in it need not exist yet.
    raw_only : bool
        Do not wait for a derived run.
    batch : int
        Events per write, 25 or more.
    ended : callable
        Asked with the name of a journal when there is nothing new in it; True means that nothing more will come.

    Returns
    -------
    bool
        True if every run came to its stop document.

    Raises
    ------
    JournalError
        A journal is not one.
    CatalogError
        A document cannot be stored; the message names it.
    """
    journals = [folder / RAW] + ([] if raw_only else [folder / DERIVED])
    writers = {journal: RunWriter(client, folder, batch) for journal in journals}
    stopped: set[Path] = set()
    for journal, name, doc in _merged(journals, ended):
        writers[journal](name, doc)
        if name == "stop":
            writers[journal].write_again(journal)
            stopped.add(journal)
    for journal in set(journals) - stopped:
        writers[journal].write_unfinished(journal)
    return len(stopped) == len(journals)


def _merged(journals: list[Path], ended: Callable[[str], bool]) -> Iterator[tuple[Path, str, Document]]:
    """Yield the documents of several growing journals as they come; one thread each reads, the caller writes."""
    arrived: queue.Queue[tuple[Path, str, Document] | BaseException | None] = queue.Queue(maxsize=400)
    abandoned = threading.Event()

    def read(journal: Path) -> None:
        try:
            for name, doc in follow(journal, stopped=lambda: abandoned.is_set() or ended(journal.name), poll=0.1):
                _offer(arrived, (journal, name, doc), abandoned)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader of the queue
            _offer(arrived, error, abandoned)
        else:
            _offer(arrived, None, abandoned)

    for journal in journals:
        threading.Thread(target=read, args=(journal,), name=f"read {journal.name}", daemon=True).start()
    try:
        open_journals = len(journals)
        while open_journals:
            item = arrived.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                open_journals -= 1
            else:
                yield item
    finally:
        abandoned.set()


def _offer(arrived: queue.Queue[Any], item: object, abandoned: threading.Event) -> None:
    while not abandoned.is_set():
        with contextlib.suppress(queue.Full):
            arrived.put(item, timeout=0.2)
            return


@contextlib.contextmanager
def _only_follower(folder: Path, wait: bool) -> Iterator[None]:
    """Hold the run's folder, so that two followers do not write the same run."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError:
        raise CatalogError(f"another process is already writing {folder} into the catalog; let it end") from None
    finally:
        os.close(descriptor)


def _again_if_it_fails(attempt: Callable[[], bool]) -> bool:
    """Follow a run; when the catalog fails, whatever its libraries raise then, from the beginning again."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except (CatalogError, JournalError, ValueError):
            raise
        except Exception:
            logger.exception("the catalog failed; the run is written again from its journal")
    return attempt()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m microarpes.beamline.follow_catalog", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--run", required=True, help="uid of the raw run")
    parser.add_argument("--raw-only", action="store_true", help="there is no fit: do not wait for the derived run")
    parser.add_argument("--batch", type=int, default=BATCH, help="events per write, 25 or more (default %(default)s)")
    parser.add_argument("--raw-writer", type=int, metavar="PID", help="end, once all is read, when it is gone")
    parser.add_argument("--derived-writer", type=int, metavar="PID", help="the same for the derived run")
    parser.add_argument("--wait", action="store_true", help="let another follower of the run come to its end first")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the follower; return its exit status."""
    arguments = _arguments(argv)
    folder = arguments.directory.resolve() / arguments.run
    writers = {RAW: arguments.raw_writer, DERIVED: arguments.derived_writer or arguments.raw_writer}
    told_to_end = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())

    @functools.cache
    def raw_stopped() -> bool:  # asked when its writer is gone: the answer does not change any more
        return any(name == "stop" for name, _ in read_documents(folder / RAW))

    def ended(journal: str) -> bool:
        if told_to_end.is_set():
            return True
        writer = writers[journal]
        if writer is None or is_alive(writer):
            return False
        # The fit outlives a scan that came to its end: without a process id of its own it is waited for.
        return journal == RAW or arguments.derived_writer is not None or not raw_stopped()

    def attempt() -> bool:
        with open_catalog(arguments.directory, create=True) as client:
            return follow_run(client, folder, raw_only=arguments.raw_only, batch=arguments.batch, ended=ended)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_follower(folder, arguments.wait):
            complete = _again_if_it_fails(attempt)
    except (CatalogError, JournalError, OSError, ValueError) as error:
        sys.stderr.write(f"catalog follower of run {arguments.run}: {error}\n")
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0 if complete else UNFINISHED


if __name__ == "__main__":
    sys.exit(main())
