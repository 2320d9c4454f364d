"""A map that was taken in several runs: one that was cut off, and those that took it up again.

The start document of a run that resumes another names it under ``resumes``; what it measures are the pixels that were
missing. Read together they are one map.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from microarpes.analysis import GapMap
from microarpes.beamline.journal import RAW_JOURNAL, read_documents
from microarpes.beamline.stored_run import NoSuchRun, StoredRun, live_fits, read_run

Document = dict[str, Any]

#: More links than any night holds; ends a chain that bites its tail.
MAX_LINKS = 10_000


def read_start(folder: Path) -> Document:
    """Read the start document of a run and nothing else of it.

    Raises
    ------
    NoSuchRun
        There is no journal in the folder, or no start document in it.
    """
    raw = Path(folder) / RAW_JOURNAL
    if not raw.exists():
        raise NoSuchRun(f"{folder} holds no {RAW_JOURNAL}; name the folder of a run")
    name, doc = next(read_documents(raw), ("", {}))
    if name != "start":
        raise NoSuchRun(f"{raw} holds no start document: nothing was measured")
    return doc


def chain_folders(folder: Path) -> list[Path]:
    """Return the folders of a run and of those it resumes, which lie beside it; the oldest first.

    Raises
    ------
    NoSuchRun
        One of them is not there; the message says which.
    """
    folders, start = [Path(folder)], read_start(folder)
    while before := start.get("resumes"):
        beside = Path(folder).resolve().parent / str(before)
        if len(folders) >= MAX_LINKS or any(each.name == beside.name for each in folders):
            raise NoSuchRun(f"run {start['uid']} resumes {before}, which resumes it: their journals are damaged")
        try:
            earlier = read_start(beside)
        except NoSuchRun as error:
            raise NoSuchRun(f"run {start['uid']} resumes {before}, which cannot be read: {error}") from None
        folders.append(beside)
        start = earlier
    return folders[::-1]


def read_chain(folder: Path, *, lean: bool = False) -> list[StoredRun]:
    """Read a run and those it resumes, the oldest first; raises as `chain_folders` does."""
    return [read_run(each, lean=lean) for each in chain_folders(folder)]


def read_map(folder: Path) -> StoredRun:
    """Read a run together with those it resumes, as one map; see `joined`."""
    return joined(read_chain(folder))


def joined(chain: Sequence[StoredRun]) -> StoredRun:
    """Return the runs of a chain as one map.

    Returns
    -------
    StoredRun
        Folder, start and stop document of the run itself; of each pixel the event, and the fit, of the run that took it
        last.
    """
    newest = chain[-1]
    if len(chain) == 1:
        return newest
    events = {pixel: event for run in chain for pixel, event in run.events.items()}
    fits = live_fits(run.folder for run in chain)
    documents = itertools.chain.from_iterable(map(read_documents, fits))
    gap_map = GapMap.from_documents(documents) if fits else None
    return replace(newest, events=events, gap_map=gap_map)
