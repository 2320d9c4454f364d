"""``microarpes retain``: which frames a policy lets go, and their removal, which loses nothing that was measured.

Journals and fits always stay. Frames go only where all is certain: the run is closed, whole and old enough, and its
folder lies once more elsewhere with the same checksums. Any doubt keeps them.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from microarpes.beamline.config_sections import RetentionSection
from microarpes.beamline.doctor import examine
from microarpes.beamline.journal import FRAME_FILE, RAW_JOURNAL, JournalError, read_documents, start_of
from microarpes.beamline.journal_lock import lock_for_writing
from microarpes.beamline.removed_frames import RECORD, RemovedFrames, read_removed, sync_folder, write_removed
from microarpes.beamline.stored_run import NoSuchRun
from microarpes.beamline.verified_copy import Doubt, Print, compare_content, compare_sizes, look

DAY = 86400.0


@dataclass(frozen=True)
class Considered:
    """A run whose frames were thought of.

    Attributes
    ----------
    folder : Path
    began : float
        s since 1970; 0 where it is not known.
    bytes : int
        Of its frames.
    kept : str
        Why the policy keeps them.
    doubt : str
        Why they are kept though the policy lets them go.
    removed : RemovedFrames or None
        They went before.
    """

    folder: Path
    began: float
    bytes: int = 0
    kept: str = ""
    doubt: str = ""
    removed: RemovedFrames | None = None

    @property
    def may_go(self) -> bool:
        """Whether nothing keeps the frames."""
        return not (self.kept or self.doubt or self.removed)


def consider(directory: Path, policy: RetentionSection, copies: Path | None, now: float) -> list[Considered]:
    """Look at all runs of a directory without reading frames or changing anything; the oldest first.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    policy : RetentionSection
    copies : Path, optional
        The folder that holds copies of the folders of runs.
    now : float
        s since 1970.

    Raises
    ------
    NoSuchRun
        The directory holds no runs.
    """
    folders = [path.parent for path in Path(directory).glob(f"*/{RAW_JOURNAL}")]
    if not folders:
        raise NoSuchRun(f"{directory} holds no runs; name their folder with --directory")
    begun = sorted((_began(folder), folder) for folder in folders)
    # A run of which nobody knows when it began may be the newest: it takes the place of none.
    known = [folder for began, folder in begun if began > 0.0]
    newest = set(known[max(0, len(known) - policy.keep_runs) :])
    return [_considered(folder, began, policy, copies, now, last=folder in newest) for began, folder in begun]


def _began(folder: Path) -> float:
    with contextlib.suppress(JournalError, OSError, TypeError, ValueError):
        return float(start_of(folder / RAW_JOURNAL).get("time", 0.0))
    return 0.0


def _considered(
    folder: Path, began: float, policy: RetentionSection, copies: Path | None, now: float, *, last: bool
) -> Considered:
    frames = folder / FRAME_FILE
    if not os.path.lexists(frames):
        gone = read_removed(folder)
        return Considered(folder, began, removed=gone, kept="" if gone else "it has no frames")
    size = frames.lstat().st_size
    if policy.keep_days is None:
        return Considered(folder, began, size, kept="no policy lets them go")
    if last:
        return Considered(folder, began, size, kept=f"one of the last {policy.keep_runs} runs")
    try:
        age = (now - _ended(folder)) / DAY
        if not age > policy.keep_days:
            return Considered(folder, began, size, kept=f"{age:.1f} days old, {policy.keep_days:g} are kept")
        _look_through(folder)
        if copies is None:
            raise Doubt("no copy is named; give --copied-to FOLDER")
        for ours, copy in _pairs(folder, copies):
            compare_sizes(ours, copy)
    except Doubt as error:
        return Considered(folder, began, size, doubt=str(error))
    return Considered(folder, began, size)


def _ended(folder: Path) -> float:
    """Return when a run ended, s since 1970.

    Raises
    ------
    Doubt
        It is not closed, or its journal cannot be read.
    """
    last: tuple[str, dict[str, Any]] = ("", {})
    try:
        for last in read_documents(folder / RAW_JOURNAL):  # noqa: B007 - the last is what is looked for
            pass
    except (JournalError, OSError) as error:
        raise Doubt(f"its journal cannot be read: {error}") from None
    name, doc = last
    ended = float(doc.get("time", math.nan)) if name == "stop" else math.nan
    if name != "stop" or not ended > 0.0:
        raise Doubt("it is not closed: its journal does not end in a stop document")
    return ended


def _look_through(folder: Path) -> None:
    """Raise `Doubt` unless a run is whole and its files are its own."""
    if folder.is_symlink():
        raise Doubt("its folder is a link")
    for path in (folder / FRAME_FILE, *_journals(folder)):
        look(path)
    if (named := start_of(folder / RAW_JOURNAL).get("frame_file")) != FRAME_FILE:
        raise Doubt(f"its start document names {named!r} as frame file, not {FRAME_FILE}")
    examined = examine(folder)
    if examined.findings:
        raise Doubt(f"microarpes doctor finds: {examined.findings[0].what}")
    if not examined.agrees:
        raise Doubt(f"microarpes doctor says: {examined.summary}")


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


def _pairs(folder: Path, copies: Path) -> list[tuple[Path, Path]]:
    """Return the files of a run that must lie once more elsewhere, each with the place it has there.

    Raises
    ------
    Doubt
        The copy is not apart from the runs.
    """
    there = copies.resolve() / folder.name
    if there.is_symlink():
        raise Doubt(f"{there} is a link")
    if there.resolve().is_relative_to(folder.resolve().parent):
        raise Doubt(f"{there} lies among the runs themselves")
    return [(path, there / path.name) for path in (folder / FRAME_FILE, *_journals(folder))]


def remove_frames(folder: Path, policy: RetentionSection, copies: Path, now: float) -> RemovedFrames:
    """Remove the frames of a run once every byte of it was found again in its copy; return what is written of it.

    Nobody writes the run meanwhile. What is written stands in the folder before the frames go.

    Raises
    ------
    Doubt
        The copy is not equal, or something changed; nothing was removed.
    """
    if policy.keep_days is None:
        raise Doubt("no policy lets them go")
    with _nobody_writes(folder):
        pairs = _pairs(folder, copies)
        prints: dict[str, Print] = {}
        digests: dict[str, str] = {}
        for ours, copy in pairs:
            prints[ours.name], digests[ours.name] = compare_content(ours, copy)
        removed = RemovedFrames(
            file=FRAME_FILE,
            bytes=prints[FRAME_FILE].size,
            sha256=digests.pop(FRAME_FILE),
            copied_to=str(pairs[0][1]),
            time=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
            policy={"keep_days": policy.keep_days, "keep_runs": policy.keep_runs},
            journals=digests,
        )
        if [ours for ours, _ in _pairs(folder, copies)] != [ours for ours, _ in pairs]:
            raise Doubt("it got another journal meanwhile")
        write_removed(folder, removed)
        try:
            for ours, _ in pairs:
                if look(ours) != prints[ours.name]:
                    raise Doubt(f"{ours} changed after it was compared")
            (folder / FRAME_FILE).unlink()
        except (Doubt, OSError):
            (folder / RECORD).unlink()
            raise
        sync_folder(folder)
    return removed


@contextlib.contextmanager
def _nobody_writes(folder: Path) -> Iterator[None]:
    """Hold the lock of every journal of a run."""
    with contextlib.ExitStack() as held:
        for journal in _journals(folder):
            look(journal)
            if not lock_for_writing(held.enter_context(open(journal, "r+b"))):
                raise Doubt(f"{journal.name} is being written")
        yield


def retain(directory: Path, policy: RetentionSection, copies: Path | None, *, remove: bool) -> tuple[str, int]:
    """List whose frames a policy lets go, remove them where that is asked; return the text and the number in doubt.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    policy : RetentionSection
    copies : Path, optional
        The folder that holds copies of the folders of runs.
    remove : bool
        Remove frames; else nothing is changed.

    Raises
    ------
    NoSuchRun
        The directory holds no runs.
    """
    now = time.time()
    runs = consider(directory, policy, copies, now)
    lines, freed, gone, doubts = [], 0, 0, sum(bool(run.doubt) for run in runs)
    for run in runs:
        told = _told(run)
        if run.may_go and remove and copies is not None:
            try:
                told = f"removed; a copy is {remove_frames(run.folder, policy, copies, now).copied_to}"
            except (Doubt, OSError) as error:
                told, doubts = f"stay: {error}", doubts + 1
            else:
                freed, gone = freed + run.bytes, gone + 1
        lines.append(f"{run.folder.name[:8]}  {_day(run.began)}  {_size(run.bytes)}  {told}")
    lines.append(_summary(runs, policy, freed, gone, remove=remove))
    return "\n".join(lines) + "\n", doubts


def _told(run: Considered) -> str:
    if run.removed is not None:
        return str(run.removed)
    return f"stay: {run.kept or run.doubt}" if run.kept or run.doubt else "could go: the copy has the same sizes"


def _summary(runs: Sequence[Considered], policy: RetentionSection, freed: int, gone: int, *, remove: bool) -> str:
    if policy.keep_days is None:
        return "nothing is ever removed: the configuration has no keep_days under [retention]"
    if remove:
        return f"{_size(freed)} of frames of {gone} runs removed; journals and fits are where they were"
    going = [run for run in runs if run.may_go]
    told = f"{_size(sum(run.bytes for run in going))} of frames of {len(going)} of {len(runs)} runs could go"
    return told + ("; --yes compares every byte with the copy, and removes them" if going else "")


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment)) if moment > 0.0 else "    ?     "


def _size(count: int) -> str:
    return f"{count / 1e9:8.3f} GB"
