"""``microarpes doctor``: do journals, frames, fits and catalog of a run agree, and what of it can be mended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from microarpes.beamline.catalog import open_catalog
from microarpes.beamline.catalog_compare import difference
from microarpes.beamline.catalog_folder import CONFIG, FOLDER
from microarpes.beamline.catalog_turn import only_follower
from microarpes.beamline.catalog_writer import RunWriter
from microarpes.beamline.examined_journal import CountedFrame, ExaminedJournal, examined_journal
from microarpes.beamline.journal import GAP_JOURNAL, RAW_JOURNAL, JournalError
from microarpes.beamline.journal_lock import is_being_written
from microarpes.beamline.map_frames import frame_row
from microarpes.beamline.moved_windows import DATASET, FRAME_ID, WindowError, frame_path, open_frames
from microarpes.beamline.removed_frames import RECORD, read_removed
from microarpes.beamline.run_chain import read_start
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_run import NoSuchRun

#: Pixels that are named one by one.
_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes
    ----------
    what : str
        With file, number found and number expected, and what to do.
    mend : callable, optional
        Does what can be done without losing anything measured.
    """

    what: str
    mend: Callable[[], None] | None = None


@dataclass(frozen=True)
class Examined:
    """A run that was looked at.

    Attributes
    ----------
    folder : Path
    summary : str
        What it holds.
    findings : tuple of Finding
        Empty where all agrees.
    agrees : str
        What agrees where nothing was found.
    """

    folder: Path
    summary: str
    findings: tuple[Finding, ...]
    agrees: str = ""


class _Catalog:
    """The catalog of a directory, compared with one journal after the other."""

    def __init__(self, directory: Path, client: Any) -> None:
        self.directory, self._client = directory, client
        self._findings: list[Finding] = []
        self._compared = 0

    def compare(self, journal: ExaminedJournal) -> None:
        """Compare it with a journal, unless that is not whole yet or was never begun."""
        if journal.written or not journal.start or journal.content is None:
            return
        self._compared += 1
        if found := difference(self._client, journal.content):
            path = journal.path
            told = f"{found}; {path.parent.name[:8]}/{path.name} holds it"
            self._findings.append(Finding(told, partial(_write_anew, path)))

    def examined(self) -> Examined:
        """Return what all comparisons found."""
        agrees = f": holds what {self._compared} journals hold"
        return Examined(self.directory / FOLDER, f"of {self.directory}", tuple(self._findings), agrees)


def examine(folder: Path, *, frames: bool = False, catalog: _Catalog | None = None) -> Examined:
    """Look at a run without changing anything; each of its journals is read once.

    Parameters
    ----------
    folder : Path
        Of the run.
    frames : bool
        Read every frame too and compare its sum with the counts of its event.
    catalog : optional
        Compares itself with the journals of the run.
    """
    folder = Path(folder)
    if is_being_written(folder / RAW_JOURNAL):
        return Examined(folder, "is being taken; look again when it has ended", ())
    try:
        journals = {path.name: examined_journal(path, content=catalog is not None) for path in _journals(folder)}
        start = journals[RAW_JOURNAL].start or read_start(folder)  # which says why there is none
    except (NoSuchRun, JournalError, OSError) as error:
        return Examined(folder, "cannot be read", (Finding(str(error)),))
    for journal in journals.values():
        if catalog is not None:
            catalog.compare(journal)
    findings = [*_torn(journals.values()), *_left_over(folder)]
    if "windows" not in start:
        return Examined(folder, f"{start.get('plan_name')}, no map", tuple(findings))
    events = journals[RAW_JOURNAL].frames
    findings += _frames(folder, start, events, sums=frames)
    findings += _fit(folder, journals.get(GAP_JOURNAL), len(events))
    agrees = ": journals, frames and fit agree" + (", and every frame has its counts" if frames else "")
    if (removed := read_removed(folder)) is not None:
        agrees = f": journals and fit agree; {removed}"
    return Examined(folder, f"{len(events)} of {start.get('num_points', '?')} pixels", tuple(findings), agrees)


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


def _torn(journals: Iterable[ExaminedJournal]) -> Iterator[Finding]:
    """Find journals that end in the middle of a record: what a death or a full disk left."""
    for journal in journals:
        if journal.torn:
            yield Finding(
                f"{journal.path.name} ends in {journal.torn} bytes that are no whole record: it was cut off while it "
                "was written, and all before them is whole",
                partial(os.truncate, journal.path, journal.whole),
            )


def _left_over(folder: Path) -> Iterator[Finding]:
    for part in sorted(folder.glob("*.part")):
        yield Finding(f"{part.name} was left by a process that did not end", part.unlink)


def _frames(folder: Path, start: dict[str, Any], events: list[CountedFrame], *, sums: bool) -> Iterator[Finding]:
    """Compare the frame file with the events; one that retention removed is missed by nobody."""
    if (removed := read_removed(folder)) is not None:
        if not (folder / removed.file).exists():
            return
        yield Finding(f"{removed.file} is there again; {RECORD} says it is not", (folder / RECORD).unlink)
    try:
        with open_frames(frame_path(folder, start)) as file:
            ids, stored = file[FRAME_ID][:], file[DATASET]
            rows = {event.pixel: frame_row(ids, event.frame_row, event.frame_id) for event in events}
            missing = [pixel for pixel, row in rows.items() if row is None or row >= len(stored)]
            if missing:
                yield Finding(f"the frame file has no frame of {_named(missing)}; their EDCs are in the journal")
            wrong = [event.pixel for event in events if sums and not _as_counted(stored, rows[event.pixel], event)]
            if wrong:
                yield Finding(f"the frame has not the counts of its event at {_named(wrong)}: the file was changed")
    except (WindowError, OSError) as error:
        yield Finding(f"{error}; EDCs and fits are in the journals all the same")


def _as_counted(stored: Any, row: int | None, event: CountedFrame) -> bool:
    return row is None or bool(np.isclose(float(np.sum(stored[row], dtype=np.float64)), event.counts, rtol=1e-12))


def _named(pixels: list[int]) -> str:
    told = ", ".join(str(pixel) for pixel in pixels[:_NAMED])
    more = f" and {len(pixels) - _NAMED} more" if len(pixels) > _NAMED else ""
    return f"pixel{'s' if len(pixels) > 1 else ''} {told}{more}"


def _fit(folder: Path, journal: ExaminedJournal | None, events: int) -> Iterator[Finding]:
    """Compare the live fit with the events; what it lacks a refit has."""
    if journal is None:
        yield Finding(f"{GAP_JOURNAL} is not there: nothing was fitted live; microarpes refit {folder.name[:8]}")
    elif len(journal.pixels) < events:
        yield Finding(
            f"{GAP_JOURNAL} holds fits of {len(journal.pixels)} pixels, {events} were measured; "
            f"microarpes refit {folder.name[:8]}"
        )


def _write_anew(journal: Path) -> None:
    """Put what a journal holds into the catalog beside its run, in place of what is there."""
    folder = journal.parent
    with open_catalog(folder.parent) as client, only_follower(folder):
        RunWriter(client, folder).write_anew(journal)


def _looked_at(folders: Sequence[Path], *, frames: bool) -> list[Examined]:
    """Look at runs and, while their journals are read, at the catalogs beside them."""
    catalogs: dict[Path, _Catalog] = {}
    with ExitStack() as opened:
        for directory in sorted({folder.parent for folder in folders}):
            if (directory / FOLDER / CONFIG).exists():
                catalogs[directory] = _Catalog(directory, opened.enter_context(open_catalog(directory)))
        runs = [examine(folder, frames=frames, catalog=catalogs.get(folder.parent)) for folder in folders]
        return [*runs, *(catalog.examined() for catalog in catalogs.values())]


def doctor_of(directory: Path, names: Sequence[str], *, frames: bool, repair: bool) -> tuple[str, int]:
    """Look at runs, mend what can be, and return what is to be told with the number of findings that are left.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    names : sequence of str
        uid, the beginning of one, ``-1`` for the newest, or a folder; all runs where there is none.
    frames : bool
        Read every frame too.
    repair : bool
        Mend what can be mended.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no run of that name.
    """
    folders = [run_folder(directory, name) for name in names]
    folders = folders or sorted(path.parent for path in Path(directory).glob(f"*/{RAW_JOURNAL}"))
    if not folders:
        raise NoSuchRun(f"{directory} holds no runs; name their folder with --directory")
    lines, left, mendable = [], 0, 0
    for found in _looked_at(folders, frames=frames):
        lines.append(f"{found.folder.name[:8]}  {found.summary}{'' if found.findings else found.agrees}")
        for finding in found.findings:
            mends = finding.mend is not None
            if repair and finding.mend is not None:
                finding.mend()
            else:
                left, mendable = left + 1, mendable + mends
            lines.append(f"          {'mended: ' if repair and mends else ''}{finding.what}")
    if mendable:
        lines.append(f"{mendable} of these can be mended: microarpes doctor --repair")
    return "\n".join(lines) + "\n", left
