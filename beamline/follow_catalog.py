"""The catalog follower: tails the journals of one run and writes the raw and the derived run into the catalog.

``python -m microarpes.beamline.follow_catalog --directory DIR --run UID`` is a process of its own, at lower priority;
the scan does not know of it. Killed at any instant and started again it catches up by itself: a run the catalog holds
to its stop document is left alone, any other is removed from the catalog and written again from its journal. With
``--server`` it writes to a Tiled server instead, asks one that is down or frozen until it answers, and compares what it
holds in the end with the journal.

Exit status: 0 when both runs are in the catalog with their stop documents; 3 when the writer of a journal ended
without a stop document (or the follower was told to end): the catalog then holds all events, and the run stays open;
1 on an error, which is one line on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from microarpes.beamline.catalog import open_catalog
from microarpes.beamline.catalog_folder import CatalogError
from microarpes.beamline.catalog_server import add_options, does_not_answer, server_of
from microarpes.beamline.catalog_turn import only_follower
from microarpes.beamline.catalog_writer import BATCH, RunWriter
from microarpes.beamline.followers import is_alive
from microarpes.beamline.journal import GAP_JOURNAL, RAW_JOURNAL, JournalError, follow, read_documents

logger = logging.getLogger(__name__)

UNFINISHED = 3
#: How often in a row a run is written from the beginning before its follower gives up.
ATTEMPTS = 3
#: Seconds after which a server that did not answer is tried again.
PAUSE = 2.0

Document = dict[str, Any]


def follow_run(
    client: Any,
    folder: Path,
    *,
    raw_only: bool = False,
    batch: int = BATCH,
    ended: Callable[[str], bool] = lambda journal: False,
    on_server: bool = False,
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
    on_server : bool
        The catalog is not the embedded one: nobody's turn is waited for, and what it holds is compared in the end.

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
    journals = [folder / RAW_JOURNAL] + ([] if raw_only else [folder / GAP_JOURNAL])
    turn = contextlib.nullcontext if on_server else None
    writers = {journal: RunWriter(client, folder, batch, turn=turn, compared=on_server) for journal in journals}
    stopped: set[Path] = set()
    for journal, name, doc in _merged(journals, ended):
        writers[journal](name, doc)
        if name == "stop":
            writers[journal].finish(journal)
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


def _again_if_it_fails(attempt: Callable[[], bool], told_to_end: threading.Event) -> bool:
    """Follow a run; when the catalog fails, whatever its libraries raise then, from the beginning again.

    A server that does not answer is asked until it does, or until the follower is told to end.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except (CatalogError, JournalError):
            raise
        except Exception as error:
            if does_not_answer(error):
                failures = 0
                logger.warning("the server does not answer (%s: %s)", type(error).__name__, error)
                if told_to_end.wait(PAUSE):
                    raise CatalogError("told to end while the server did not answer") from None
                continue
            failures += 1
            if failures >= ATTEMPTS:
                raise
            logger.exception("the catalog failed; the run is written again from its journal")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m microarpes.beamline.follow_catalog", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--run", required=True, help="uid of the raw run")
    parser.add_argument("--raw-only", action="store_true", help="there is no fit: do not wait for the derived run")
    parser.add_argument("--batch", type=int, default=BATCH, help="events per write, 25 or more (default %(default)s)")
    parser.add_argument("--raw-writer", type=int, metavar="PID", help="end, once all is read, when it is gone")
    parser.add_argument("--derived-writer", type=int, metavar="PID", help="the same for the derived run")
    add_options(parser)
    parser.add_argument("--wait", action="store_true", help="let another follower of the run come to its end first")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the follower; return its exit status."""
    arguments = _arguments(argv)
    folder = arguments.directory.resolve() / arguments.run
    writers = {RAW_JOURNAL: arguments.raw_writer, GAP_JOURNAL: arguments.derived_writer or arguments.raw_writer}
    told_to_end = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())

    @functools.cache
    def raw_stopped() -> bool:  # asked when its writer is gone: the answer does not change any more
        return any(name == "stop" for name, _ in read_documents(folder / RAW_JOURNAL))

    def ended(journal: str) -> bool:
        if told_to_end.is_set():
            return True
        writer = writers[journal]
        if writer is None or is_alive(writer):
            return False
        # The fit outlives a scan that came to its end: without a process id of its own it is waited for.
        return journal == RAW_JOURNAL or arguments.derived_writer is not None or not raw_stopped()

    server = server_of(arguments)

    def attempt() -> bool:
        with server.opened() if server else open_catalog(arguments.directory, create=True) as client:
            return follow_run(
                client, folder, raw_only=arguments.raw_only, batch=arguments.batch, ended=ended,
                on_server=server is not None,
            )  # fmt: skip

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with only_follower(folder, arguments.wait, on_server=server is not None):
            complete = _again_if_it_fails(attempt, told_to_end)
    except (CatalogError, JournalError, OSError, ValueError) as error:
        sys.stderr.write(f"catalog follower of run {arguments.run}: {error}\n")
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0 if complete else UNFINISHED


if __name__ == "__main__":
    sys.exit(main())
