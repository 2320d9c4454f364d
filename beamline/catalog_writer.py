"""Writes the documents of one run into a catalog, once each, whatever happened before."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from microarpes.beamline.catalog_compare import difference, journal_content, mark_compared, was_compared
from microarpes.beamline.catalog_documents import CatalogDocuments, latest_only
from microarpes.beamline.catalog_folder import ARRAYS, FOLDER, CatalogError
from microarpes.beamline.catalog_turn import turn_to_write
from microarpes.beamline.journal import read_documents, start_of
from microarpes.beamline.orphans import CLOSED_FROM, interrupted_stop

logger = logging.getLogger(__name__)

#: Events, and frames, per write: a write takes tenths of a second whatever it holds; live readers have the journal.
BATCH = 100
#: How often a run is written anew because the catalog holds something else than its journal.
REWRITES = 3

Document = dict[str, Any]
Turn = Callable[[], AbstractContextManager[object]]


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
    turn : callable, optional
        Returns a context in which it may write; by default a turn among those that write into the embedded catalog.
    compared : bool
        Compare what is stored with the journal before the run counts as complete. A server that dies between a write
        and its answer may be sent the same rows again.
    """

    def __init__(
        self, client: Any, folder: Path, batch: int = BATCH, *, turn: Turn | None = None, compared: bool = False
    ) -> None:
        if batch < 25:
            raise ValueError(
                f"batch is {batch} events, the limit is 25: below it the catalog cannot keep up with a scan"
            )
        self._client = client
        self._folder = folder
        self._turn = turn or functools.partial(turn_to_write, folder.parent)
        self._compared = compared
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
        with self._turn():
            self._take(name, doc)

    def _take(self, name: str, doc: Document) -> None:
        if name == "start":
            self._skip = self.is_complete(doc["uid"])
            if not self._skip:
                self._clear(doc)
        if name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
        if name == "event":
            key = (self._streams[doc["descriptor"]], doc["seq_num"])
            self._superseded = self._superseded or key in self._seen
            self._seen.add(key)
        if not self._skip:
            self._write(name, doc)

    def is_complete(self, uid: str) -> bool:
        """Tell whether the catalog holds a run to the stop document of its journal, compared with it if need be."""
        if uid not in self._client.keys():
            return False
        metadata = self._client[uid].metadata
        return is_whole(metadata.get("stop")) and (not self._compared or was_compared(metadata))

    def finish(self, journal: Path) -> None:
        """See to it that the catalog holds what the finished journal holds, where an event replaced an earlier one too.

        Raises
        ------
        CatalogError
            It holds something else, however often it is written.
        """
        if self._skip:
            return
        if self._superseded:
            self._rewrite(journal, self._batch)
        if self._compared:
            self._compare(journal, self._batch)

    def write_unfinished(self, journal: Path) -> None:
        """Write what there is of a run that was left without a stop document; it stays open in the catalog."""
        events = len({number for stream, number in self._seen if stream == "primary"})
        if events and not self._skip:
            # A batch is written when it is full: one that holds all events is full at the last of them.
            self._rewrite(journal, events)

    def write_anew(self, journal: Path) -> None:
        """Write a run that nobody takes any more, all of it; without a stop document it is closed as interrupted.

        The journal is left as it is, for a run that resumes it may close it yet.

        Raises
        ------
        CatalogError
            The catalog holds something else, however often it is written.
        """
        stop = interrupted_stop(journal)
        if stop is not None:
            stop[CLOSED_FROM] = journal.stat().st_size
        self._rewrite(journal, self._batch, stop)
        if self._compared:
            self._compare(journal, self._batch, stop)

    def _compare(self, journal: Path, batch: int, stop: Document | None = None) -> None:
        content = journal_content(journal)
        for _ in range(REWRITES):
            found = difference(self._client, content)
            if not found:
                mark_compared(self._client, content.uid)
                return
            logger.warning("%s; it is written anew", found)
            self._rewrite(journal, batch, stop)
        raise CatalogError(f"the catalog does not hold what {journal} holds: {found}")

    def _rewrite(self, journal: Path, batch: int, stop: Document | None = None) -> None:
        with self._turn():
            self._open_writer(batch)
            for name, doc in latest_only(lambda: read_documents(journal)):
                if name == "start":
                    self._clear(doc)
                self._write(name, doc)
            if stop is not None:
                self._write("stop", stop)

    def _clear(self, start: Document) -> None:
        """Remove what the catalog has of a run, and of an earlier live fit whose journal was begun anew."""
        self._remove(start["uid"])
        original = start.get("original_run_uid")
        if original is None:
            return
        from tiled.queries import Key

        kept = {doc["uid"] for path in self._folder.glob("*.journal") if (doc := start_of(path))}
        for uid, run in list(self._client.search(Key("start.original_run_uid") == original).items()):
            if uid not in kept and not is_whole(run.metadata.get("stop")):
                self._remove(uid)

    def _remove(self, uid: str) -> None:
        if uid in self._client.keys():
            # Files that Tiled did not write itself, such as the frames, are left where they are.
            self._client.delete_contents(uid, recursive=True, external_only=False)
        if not self._compared:  # the catalog of the folder, not a server's
            # An array whose writer died before the catalog heard of it would be in the way of the next.
            shutil.rmtree(self._folder.parent / FOLDER / ARRAYS / uid, ignore_errors=True)


def is_whole(stop: Any) -> bool:
    """Tell whether the stop document in a catalog is the journal's, and none that the catalog made for an orphan."""
    return bool(stop) and CLOSED_FROM not in stop
