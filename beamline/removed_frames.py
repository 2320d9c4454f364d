"""Frames that retention removed: what the folder of their run says of them, and where their copy is."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

#: File in the folder of a run whose frames were removed.
RECORD = "frames-removed.json"


class RemovedFrames(BaseModel):
    """What was removed.

    Attributes
    ----------
    file : str
        Name of the frame file.
    bytes : int
    sha256 : str
        Of the frame file, and of its copy.
    copied_to : str
        Where the copy was found equal.
    time : str
        When, ISO 8601, UTC.
    policy : dict
        ``keep_days`` and ``keep_runs`` then.
    journals : dict
        SHA-256 of each journal of the run, equal in the copy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    bytes: int
    sha256: str
    copied_to: str
    time: str
    policy: dict[str, float]
    journals: dict[str, str]

    def __str__(self) -> str:
        return (
            f"{self.file} was removed on {self.time[:10]}, a copy is {self.copied_to} (SHA-256 {self.sha256[:12]}...)"
        )


def read_removed(folder: Path) -> RemovedFrames | None:
    """Return what the folder of a run says of frames that were removed; None where it says nothing that can be read."""
    try:
        return RemovedFrames.model_validate_json((Path(folder) / RECORD).read_bytes())
    except (OSError, ValueError):
        return None


def write_removed(folder: Path, removed: RemovedFrames) -> None:
    """Write it to disk, whole or not at all; before the frames go, so that they are never missed without a word."""
    fresh = Path(folder) / (RECORD + ".part")
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(removed.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, Path(folder) / RECORD)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Write to disk which files a folder holds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
