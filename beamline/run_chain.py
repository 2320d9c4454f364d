"""A map that was taken in several runs: one that was cut off, and those that took it up again.

The start document of a run that resumes another names it under ``resumes``; what it measures are the pixels that were
missing. Read together they are one map.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from microarpes.analysis import GapMap
from microarpes.beamline.engine import GAP_JOURNAL
from microarpes.beamline.journal import read_documents
from microarpes.beamline.stored_run import NoSuchRun, StoredRun, read_run

#: More links than any night holds; ends a chain that bites its tail.
MAX_LINKS = 10_000


def read_chain(folder: Path, *, lean: bool = False) -> list[StoredRun]:
    """Read a run and those it resumes, which lie beside it; the oldest first.

    Raises
    ------
    NoSuchRun
        One of them is not there; the message says which.
    """
    runs = [read_run(folder, lean=lean)]
    while before := runs[-1].start.get("resumes"):
        beside = Path(folder).resolve().parent / str(before)
        if len(runs) >= MAX_LINKS or any(run.folder.name == beside.name for run in runs):
            raise NoSuchRun(
                f"run {runs[-1].start['uid']} resumes {before}, which resumes it: their journals are damaged"
            )
        try:
            runs.append(read_run(beside, lean=lean))
        except NoSuchRun as error:
            raise NoSuchRun(f"run {runs[-1].start['uid']} resumes {before}, which cannot be read: {error}") from None
    return runs[::-1]


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
    journals = [path for run in chain if (path := run.folder / GAP_JOURNAL).exists()]
    documents = itertools.chain.from_iterable(map(read_documents, journals))
    gap_map = GapMap.from_documents(documents) if journals else None
    return replace(newest, events=events, gap_map=gap_map)
