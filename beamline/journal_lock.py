"""Who writes a journal: one process at a time, and the lock goes with it, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import time
from pathlib import Path
from typing import IO, Any

#: Seconds in which a lock that was only looked at is free again.
PATIENCE = 0.5


def lock_for_writing(file: IO[Any]) -> bool:
    """Take the lock of an open journal until it is closed; return False where another process has it."""
    # Who asks `is_being_written` has it for an instant: that must not keep a run from beginning.
    deadline = time.monotonic() + PATIENCE
    while not _take(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_being_written(path: Path) -> bool:
    """Tell whether a living process has a journal open for writing."""
    with open(path, "rb") as file:
        return not _take(file, fcntl.LOCK_SH)


def wait_for_writer(path: Path) -> None:
    """Return when no living process has a journal open for writing; at once where there is no journal."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def _take(file: IO[Any], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: journals have names of their own, and nothing but a resume opens one again.
        return True
    return True
