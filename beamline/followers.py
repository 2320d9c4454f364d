"""Processes that tail the journals of a run: the fit and the catalog, none able to slow or hurt the scan."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microarpes.beamline.catalog_server import CatalogServer
from microarpes.beamline.journal import RAW_JOURNAL

logger = logging.getLogger(__name__)

#: How far each follower stands back behind the scan.
NICENESS = {"fit": 5, "catalog": 15, "server": 15, "reconciler": 15}
MODULES = {
    "fit": "follow_fit", "catalog": "follow_catalog", "server": "follow_catalog", "reconciler": "reconcile_catalog"
}  # fmt: skip
#: Seconds more that what nobody has to wait for is given after a run; the next start takes up what is left of it.
PATIENCE = 15.0


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass
class Followers:
    """Start the followers at a run's start document; a watcher of the RunEngine.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    fit_arguments : tuple of str
        Passed on to the fit follower.
    server : CatalogServer, optional
        A Tiled server that gets every run too.

    Attributes
    ----------
    remarks : list of str
        What the last `wait` found left to be done at the next start.
    """

    directory: Path
    fit_arguments: tuple[str, ...] = ()
    server: CatalogServer | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    _unhurried: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _reconciled: bool = False
    _running: str = ""
    _behind: list[str] = field(default_factory=list)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Start the catalog for the run that begins, and the fit if it is of a map."""
        if name == "event" and "pixel" in doc["data"]:
            self._start_behind()
            self.reconcile()
        if name != "start":
            return
        self._running = doc["uid"]
        writer = ("--raw-writer", str(os.getpid()))
        if "grid" not in doc:
            self._start_catalog(doc["uid"], *writer, "--raw-only")
            return
        fit = self._start("fit", doc["uid"], *writer, *self.fit_arguments)
        self._start_catalog(doc["uid"], *writer, "--derived-writer", str(fit.pid))

    def catch_up(self, uid: str) -> None:
        """Start fit and catalog for a run that has its stop document by now, as one that was cut off gets it.

        The followers it had may still be at work on it; then these wait for their end. They begin when the run that is
        taken now has its first pixel, or is over: they are not to hold it up.
        """
        self._behind.append(uid)

    def _start_behind(self) -> None:
        while self._behind:
            uid = self._behind.pop()
            self._start("fit", uid, "--wait", *self.fit_arguments)
            self._start_catalog(uid, "--wait")

    def reconcile(self) -> None:
        """Have what earlier runs left undone in the catalogs done: once, and only where there are any.

        In a run it is begun at the first pixel, not to hold the run up.
        """
        if self._reconciled:
            return
        self._reconciled = True
        if any(journal.parent.name != self._running for journal in self.directory.glob(f"*/{RAW_JOURNAL}")):
            server = self.server.arguments() if self.server is not None else ()
            self._start("reconciler", "", "--but", self._running, *server)

    def _start_catalog(self, uid: str, *arguments: str) -> None:
        self._start("catalog", uid, *arguments)
        if self.server is not None:
            self._start("server", uid, *arguments, *self.server.arguments())

    def _start(self, what: str, uid: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"microarpes.beamline.{MODULES[what]}"]
        command += ["--directory", str(self.directory), *(("--run", uid) if uid else ()), *arguments]
        log = self.directory / uid / f"{what}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
            )
        # At once: a follower takes seconds of a core before it is up. Not in a session of its own: Linux schedules
        # sessions as equals (autogroup), whatever the niceness of what runs in them.
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS[what])
        kept = self._unhurried if what in ("server", "reconciler") else self.processes
        kept[f"{what} of run {uid[:8]}" if uid else what] = process
        return process

    def wait(self, timeout: float = 120.0) -> list[str]:
        """Wait until the followers have caught up; return what went wrong, an empty list when nothing did.

        Parameters
        ----------
        timeout : float
            Seconds for all of them together; one that needs more is ended and reported.
        """
        self._start_behind()
        deadline = time.monotonic() + timeout
        problems = []
        for what, process in self.processes.items():
            try:
                status = process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                problems.append(f"the {what} did not catch up within {timeout:g} s; see its log in the run")
                continue
            if status != 0:
                problems.append(f"the {what} ended with status {status}; see its log in its folder")
        self.processes.clear()
        self._wait_for_unhurried()
        return problems

    def _wait_for_unhurried(self) -> None:
        self.remarks.clear()
        deadline = time.monotonic() + PATIENCE
        for what, process in self._unhurried.items():
            try:
                status = process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                _end(process)
                self.remarks.append(f"the {what} has not caught up; the next start, or `microarpes reconcile`, does it")
                continue
            if status != 0:
                self.remarks.append(f"the {what} ended with status {status}; see its log in its folder")
        self._unhurried.clear()

    def end(self) -> None:
        """End followers that still run, as when the program is interrupted."""
        for processes in (self.processes, self._unhurried):
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                _end(process)
            processes.clear()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
