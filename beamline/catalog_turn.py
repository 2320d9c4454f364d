"""Processes that write into one embedded catalog take turns, and one at a time writes a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from microarpes.beamline.catalog_folder import FOLDER, CatalogError


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


@contextlib.contextmanager
def only_follower(folder: Path, wait: bool = False, *, on_server: bool = False) -> Iterator[None]:
    """Hold a run's folder, so that two processes do not write the same run into the same catalog.

    Parameters
    ----------
    folder : Path
        The run's folder.
    wait : bool
        Wait until the other one has ended.
    on_server : bool
        Of those that write it to a server; the embedded catalog has its own.

    Raises
    ------
    CatalogError
        Another process is at it.
    """
    if on_server:
        descriptor = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o644)
    else:
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        raise CatalogError(f"another process is already writing {folder} into the catalog; let it end") from None
    try:
        yield
    finally:
        os.close(descriptor)
