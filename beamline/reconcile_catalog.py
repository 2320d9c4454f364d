"""Bring a catalog up to the journals: runs it lacks, and runs that were cut off, closed as interrupted.

``python -m microarpes.beamline.reconcile_catalog --directory DIR [--server URI]`` is a process of its own, at lower
priority, started with a map, a session or the page; the scan does not know of it. A run that is being taken, or that a
follower is writing, is left alone, and no journal is ever changed: a run closed here can be resumed as before.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from microarpes.beamline.catalog import open_catalog
from microarpes.beamline.catalog_compare import COMPARED
from microarpes.beamline.catalog_folder import CatalogError
from microarpes.beamline.catalog_listing import list_entries
from microarpes.beamline.catalog_server import CatalogServer, add_options, does_not_answer, server_of
from microarpes.beamline.catalog_turn import only_follower
from microarpes.beamline.catalog_writer import RunWriter
from microarpes.beamline.journal import RAW_JOURNAL, JournalError, start_of
from microarpes.beamline.journal_lock import is_being_written
from microarpes.beamline.orphans import CLOSED_FROM

logger = logging.getLogger(__name__)

#: Seconds after which a server that did not answer is tried again.
PAUSE = 5.0
#: What is asked of each run of a catalog.
STATE = f"{{uid: start.uid, stop: stop.{{uid: uid, {CLOSED_FROM}: {CLOSED_FROM}}}, {COMPARED}: {COMPARED}}}"


def reconcile(client: Any, directory: Path, *, on_server: bool = False, but: str = "") -> list[str]:
    """Write what a catalog lacks of the runs of a directory, and close there what was cut off.

    Parameters
    ----------
    client : CatalogOfBlueskyRuns
    directory : Path
        Where runs are kept.
    on_server : bool
        It is not the embedded catalog of the directory.
    but : str
        Uid of a run to leave alone, as one that is about to be taken.

    Returns
    -------
    list of str
        Uids of the runs that were written.
    """
    known = {state["uid"]: state for state in list_entries(client, STATE)}
    turn = contextlib.nullcontext if on_server else None
    written = []
    for folder, journal, uid in _left_journals(Path(directory), but):
        if _is_as_it_should_be(known.get(uid), journal, on_server):
            continue
        try:
            with only_follower(folder, on_server=on_server):
                if any(is_being_written(one) for one in folder.glob("*.journal")):
                    continue
                RunWriter(client, folder, turn=turn, compared=on_server).write_anew(journal)
        except (CatalogError, JournalError) as error:
            logger.warning("%s is left as it is: %s", journal, error)
            continue
        written.append(uid)
    return written


def _left_journals(directory: Path, but: str) -> Iterator[tuple[Path, Path, str]]:
    """Yield folder, journal and uid of every run that nobody is taking, those of its fits after the raw one."""
    for raw in sorted(directory.glob(f"*/{RAW_JOURNAL}")):
        folder = raw.parent
        others = sorted(path for path in folder.glob("*.journal") if path != raw)
        if folder.name == but or any(is_being_written(path) for path in (raw, *others)):
            continue
        for journal in (raw, *others):
            try:
                start = start_of(journal)
            except JournalError as error:
                logger.warning("%s", error)
                continue
            if start:
                yield folder, journal, str(start["uid"])


def _is_as_it_should_be(state: Mapping[str, Any] | None, journal: Path, on_server: bool) -> bool:
    if state is None or not state["stop"]:
        return False
    if on_server and not state[COMPARED]:
        return False
    closed_from = state["stop"].get(CLOSED_FROM)
    # What was closed here is written again when its journal has grown: it was resumed, and has a stop document now.
    return closed_from is None or closed_from == journal.stat().st_size


def _reconcile_server(server: CatalogServer, directory: Path, but: str, told_to_end: threading.Event) -> None:
    while True:
        try:
            with server.opened() as client:
                reconcile(client, directory, on_server=True, but=but)
            return
        except Exception as error:
            if not does_not_answer(error):
                raise
            logger.warning("the server does not answer (%s: %s)", type(error).__name__, error)
            if told_to_end.wait(PAUSE):
                return


def reconcile_catalogs(directory: Path, config: Path | None) -> str:
    """Reconcile the embedded catalog and, where a configuration names one, the server; return a line for each.

    Raises
    ------
    CatalogError, microarpes.beamline.config.ConfigError
        A catalog cannot be opened, or the server does not answer.
    """
    server = None
    if config is not None:
        from microarpes.beamline.config import load_config

        server = load_config(config).catalog.server()
    with open_catalog(directory, create=Path(directory).is_dir()) as client:
        told = _told(str(directory), reconcile(client, directory))
    if server is not None:
        try:
            with server.opened() as client:
                told += _told(server.uri, reconcile(client, directory, on_server=True))
        except Exception as error:
            if does_not_answer(error):
                raise CatalogError(f"{server.uri} does not answer: {error}; try again when it does") from None
            raise
    return told


def _told(catalog: str, written: list[str]) -> str:
    runs = " ".join(uid[:8] for uid in written)
    return f"{catalog}: " + (f"{len(written)} runs written: {runs}\n" if written else "as the journals are\n")


def main(argv: list[str] | None = None) -> int:
    """Run it; return the exit status: 0, or 1 after an error, which is one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m microarpes.beamline.reconcile_catalog", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--but", default="", metavar="UID", help="leave this run alone")
    add_options(parser)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told_to_end = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    try:
        with open_catalog(options.directory, create=True) as client:
            reconcile(client, options.directory, but=options.but)
        server = server_of(options)
        if server is not None and not told_to_end.is_set():
            _reconcile_server(server, options.directory, options.but, told_to_end)
    except (CatalogError, OSError) as error:
        sys.stderr.write(f"reconciling the catalog of {options.directory}: {error}\n")
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
