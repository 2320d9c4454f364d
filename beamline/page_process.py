"""The page's server as a process of its own: the scan does not wait for it and does not hear of its end."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

logger = logging.getLogger(__name__)

#: Stands back behind the scan and its followers.
NICENESS = 10
LOG = "page.log"


class PageProcess:
    """A running page.

    Parameters
    ----------
    directory : Path
        Whose runs are shown: the newest, as soon as it begins.
    control : bool
        Make an operator's token, with which the run is controlled from the page.
    """

    def __init__(self, directory: Path, *, control: bool = False) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="microarpes-page-")
        self._told = Path(self._folder.name) / "address"
        command = [sys.executable, "-m", "microarpes.beamline.page_server", "--directory", str(self.directory)]
        command += ["--address-file", str(self._told), "--parent", str(os.getpid())]
        self.operator_token = secrets.token_urlsafe(12) if control else ""
        if control:
            file = Path(self._folder.name) / "operator-token"
            file.write_text(self.operator_token)  # in a folder that is only this user's
            command += ["--operator-token", str(file)]
        with (self.directory / LOG).open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        os.setpriority(os.PRIO_PROCESS, self.process.pid, NICENESS)

    def address(self, timeout: float = 30.0) -> str:
        """Return where the page is, once it is up; empty, with a line in the log, where it does not come up.

        Parameters
        ----------
        timeout : float, s
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._told.exists():
                return self._told.read_text()
            time.sleep(0.05)
        logger.warning("the page did not come up; the scan does not need it; see %s", self.directory / LOG)
        return ""

    def end(self) -> None:
        """End the server."""
        self.process.terminate()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()


@contextlib.contextmanager
def shown_page(directory: Path, wanted: bool, *, control: bool = False, stream: TextIO | None = None) -> Iterator[None]:
    """Serve the page of a directory while the block runs, and say where it is.

    Parameters
    ----------
    directory : Path
    wanted : bool
        Nothing is served without.
    control : bool
        Let who has the operator's token, which is told with the address, control the run from the page.
    stream : file
        Told where the page is; stdout if left out.
    """
    if not wanted:
        yield
        return
    page = PageProcess(directory, control=control)
    try:
        if address := page.address():
            stream = stream or sys.stdout
            token = f"  operator's token: {page.operator_token}" if control else ""
            stream.write(f"the page: {address}{token}\n")
            stream.flush()
        yield
    finally:
        page.end()
