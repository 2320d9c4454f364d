"""Whether what lies in another folder is a copy of a run's files: others than they, the same to the last byte."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from microarpes.beamline.removed_frames import sync_folder


class Doubt(Exception):
    """Something is not for certain as it has to be; the message says what."""


@dataclass(frozen=True)
class Print:
    """What tells a file from all others, and from itself once it was changed."""

    device: int
    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Print:
        """Return that of a file's status."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def same_file(self, other: Print) -> bool:
        """Tell whether two names are of one file."""
        return (self.device, self.inode) == (other.device, other.inode)


def look(path: Path) -> Print:
    """Return the print of a regular file that is not reached through a link.

    Raises
    ------
    Doubt
        It is no such file.
    """
    try:
        status = os.lstat(path)
    except OSError as error:
        raise Doubt(f"{path} cannot be looked at: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Doubt(f"{path} is a link or no regular file")
    return Print.of(status)


def compare_sizes(ours: Path, copy: Path) -> Print:
    """Look whether a file may be a copy of another without reading them; return the print of ours.

    Raises
    ------
    Doubt
        It is not for certain a file of its own with the same size.
    """
    here, there = look(ours), look(copy)
    if here.same_file(there):
        raise Doubt(f"{copy} is the file itself under another name, no copy")
    if here.size != there.size:
        raise Doubt(f"{copy} has {there.size} bytes, the run's has {here.size}")
    return here


def compare_content(ours: Path, copy: Path) -> tuple[Print, str]:
    """Read a file and its copy, from the disk where the system lets us; return print and SHA-256 of ours.

    Raises
    ------
    Doubt
        They differ, cannot be read, or change meanwhile.
    """
    before = compare_sizes(ours, copy)
    here, there = _digest(ours), _digest(copy)
    if here != there:
        raise Doubt(f"{copy} differs from the run's {ours.name}: SHA-256 {there[:12]}... and {here[:12]}...")
    if compare_sizes(ours, copy) != before:
        raise Doubt(f"{ours} changed while it was read")
    sync_folder(copy.parent)
    return before, here


def _digest(path: Path) -> str:
    try:
        with _opened(path) as file:
            # What waits in memory to be written is on no disk yet, and what is read from memory says nothing of one.
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Doubt(f"{path} cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        yield file
