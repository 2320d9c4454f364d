"""Processes that write into one embedded catalog take turns."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from microarpes.beamline.catalog import FOLDER


@contextlib.contextmanager
def turn_to_write(directory: Path) -> Iterator[None]:
    """Wait until no other process writes into the embedded catalog of `directory`, and keep them waiting.

    SQLite gives up on a database that others write after seconds, however many there are; a lock of the system, which
    ends with its process, lets each have its turn. Where there is no embedded catalog nobody is waited for.
    """
    folder = Path(directory) / FOLDER
    if not folder.is_dir():
        yield
        return
    with open(folder / "writing", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
