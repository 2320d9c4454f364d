"""The RunEngine of a beamline: the journal first, progress second, nothing else in this process."""

from __future__ import annotations

import functools
import gc
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky import RunEngine
from bluesky.utils import DefaultDuringTask

from microarpes.beamline.journal import RAW_JOURNAL, JournalError, JournalWriter
from microarpes.beamline.journal_lock import is_being_written
from microarpes.plans.preprocessor import with_baseline

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation

logger = logging.getLogger(__name__)

ENGINE_LOG = "engine.log"


class RunJournals:
    """The first subscriber: opens a journal at each start document and closes it at the stop document.

    Parameters
    ----------
    directory : Path
        Gets one folder a run, named by its uid.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self._writer: JournalWriter | None = None
        #: uid of the run that was begun last, "" before the first.
        self.run_uid = ""

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Append a document to the journal of its run."""
        if name == "start":
            self.run_uid = doc["uid"]
            folder = self.directory / doc["uid"]
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = JournalWriter(folder / RAW_JOURNAL)
        if self._writer is None:
            raise JournalError(f"a {name} document came before any start document")
        self._writer(name, doc)
        if name == "stop":
            writer, self._writer = self._writer, None
            writer.close()

    def refuse_second(self) -> None:
        """Raise ValueError while another process measures a run of this directory: both would move the same axes."""
        for journal in self.directory.glob(f"*/{RAW_JOURNAL}"):
            if journal.parent.name != self.run_uid and is_being_written(journal):
                raise ValueError(
                    f"run {journal.parent.name[:8]} in {self.directory} is being measured by another process; wait for "
                    "its end, or stop it; nothing was moved"
                )

    def error(self) -> Exception | None:
        """Try to write what the disk refused; return the error that is left, or None."""
        return self._writer.retry() if self._writer is not None else None


def spare_garbage_collector(name: str, doc: dict[str, Any]) -> None:
    """Keep what is there as a run begins out of the rounds of Python's garbage collector until the run ends.

    A full round goes through all objects of the process, devices and libraries included, and holds up the point under
    way by 0.15 s; what a run makes by itself it goes through in a few milliseconds.
    """
    if name == "start":
        gc.freeze()
    elif name == "stop":
        gc.unfreeze()


class Watcher:
    """A subscriber that may look on but never harm: it has a thread of its own and the RunEngine never waits for it.

    Whatever it raises is logged once and it is dropped, and so is one that falls `BACKLOG` documents behind: a callback
    that blocks in the RunEngine's thread would keep a run from being paused and aborted.
    """

    #: Documents that may wait.
    BACKLOG = 2000

    def __init__(self, callback: Callable[[str, dict[str, Any]], None]) -> None:
        self._callback: Callable[[str, dict[str, Any]], None] | None = callback
        self._waiting: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue(self.BACKLOG)
        self._thread: threading.Thread | None = None

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Pass a document on."""
        if self._callback is None:
            return
        try:
            self._waiting.put_nowait((name, doc))
        except queue.Full:
            logger.error("a watcher of the run is %d documents behind and was dropped", self.BACKLOG)
            self._callback = None
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while True:
            name, doc = self._waiting.get()
            callback = self._callback
            try:
                if callback is not None:
                    callback(name, doc)
            except BaseException:
                # SystemExit too: the scan goes on without this watcher.
                logger.exception("a watcher of the run failed and was dropped")
                self._callback = None
            finally:
                self._waiting.task_done()

    def settle(self, timeout: float) -> bool:
        """Wait until it has seen all that was passed on; False if it did not within `timeout` s."""
        deadline = time.monotonic() + timeout
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks:
                if (left := deadline - time.monotonic()) <= 0.0:
                    return False
                self._waiting.all_tasks_done.wait(left)
        return True


class DuringTask(DefaultDuringTask):
    """Keep the windows of the main thread alive while it waits for a plan; another thread only waits."""

    def block(self, blocking_event: threading.Event) -> None:
        """Wait for the plan."""
        if threading.current_thread() is threading.main_thread():
            super().block(blocking_event)
        else:
            blocking_event.wait()


def make_engine(directory: Path, station: EndStation | None = None) -> tuple[RunEngine, RunJournals]:
    """Return a RunEngine whose first subscriber is the journal.

    Parameters
    ----------
    directory : Path
        Where runs are kept; made if missing.
    station : EndStation, optional
        Read into the ``baseline`` stream at the start and the end of each run.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    log_to_file(directory)
    # The control channel may abort a paused run of a session from a thread of its own. Signals are answered by
    # microarpes.beamline.stop_signals, also while no plan runs: a paused run is to be ended by them too.
    engine = RunEngine({"versions": versions()}, context_managers=[], during_task=DuringTask())
    journals = RunJournals(directory)
    engine.subscribe(journals)
    engine.subscribe(spare_garbage_collector)
    if station is not None:
        baseline = [station.manipulator, station.beam, station.cryostat, station.gauge, station.source]
        engine.preprocessors.append(functools.partial(with_baseline, devices=baseline))
    return engine, journals


def log_to_file(directory: Path) -> None:
    """Send what bluesky and ophyd log, tracebacks included, to ``engine.log`` instead of the terminal."""
    handler = logging.FileHandler(Path(directory) / ENGINE_LOG, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logs = [logging.getLogger(name) for name in ("bluesky", "ophyd")]
    # One engine after another in one process: the file of the one before would be left open.
    for before in {old for log in logs for old in log.handlers if isinstance(old, logging.FileHandler)}:
        before.close()
    for log in logs:
        log.handlers, log.propagate = [handler], False


def versions() -> dict[str, str]:
    """Return the versions a run was taken with."""
    found = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in ("microarpes", "bluesky", "ophyd", "numpy", "scipy", "h5py"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
