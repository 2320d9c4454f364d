"""From what a user calls a run to its folder: uid, beginning of one, ``-1`` for the newest, or the folder itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from microarpes.beamline.journal import RAW_JOURNAL, start_of
from microarpes.beamline.stored_run import NoSuchRun


def run_folder(directory: Path, name: str, plan_name: str | None = None) -> Path:
    """Return the folder of a raw run.

    Parameters
    ----------
    directory : Path
        Where runs are kept; not used when `name` is itself the folder of a run.
    name : str
        uid, the beginning of one, ``-1`` for the newest, ``-2`` for the one before, or a folder.
    plan_name : str, optional
        Count by age the runs of this plan only.

    Raises
    ------
    NoSuchRun
        No run, or more than one, has that name; the message says what there is.
    """
    if name and (Path(name) / RAW_JOURNAL).is_file():
        return Path(name).resolve()
    directory = Path(directory)
    folders = [path.parent for path in sorted(directory.glob(f"*/{RAW_JOURNAL}"))]
    if not folders:
        raise NoSuchRun(f"no run {name!r}: {directory} holds no runs; name their folder with --directory")
    if re.fullmatch(r"-[0-9]{1,9}", name):
        return _by_age(folders, int(name), directory, plan_name)
    found = [folder for folder in folders if name and folder.name.startswith(name)]
    if len(found) == 1:
        return found[0].resolve()
    if found:
        uids = ", ".join(folder.name[:8] for folder in found[:5])
        raise NoSuchRun(f"{len(found)} runs in {directory} have a uid that starts with {name!r}: {uids}; write more")
    raise NoSuchRun(
        _derived_from(folders, name) or f"none of the {len(folders)} runs in {directory} is called {name!r}"
    )


def _by_age(folders: list[Path], place: int, directory: Path, plan_name: str | None) -> Path:
    starts = [(start_of(folder / RAW_JOURNAL), folder) for folder in folders]
    if plan_name is not None:
        starts = [(start, folder) for start, folder in starts if start.get("plan_name") == plan_name]
    if not 1 <= -place <= len(starts):
        of_plan = "" if plan_name is None else f" of plan {plan_name}"
        raise NoSuchRun(f"run {place}{of_plan} was asked for, {directory} holds {len(starts)}; -1 is the newest")
    return sorted(starts, key=lambda entry: float(entry[0].get("time", 0.0)))[place][1].resolve()


def _derived_from(folders: list[Path], name: str) -> str:
    for journal in _derived_journals(folders):
        start = start_of(journal)
        if name and str(start.get("uid", "")).startswith(name):
            return f"run {name!r} is a fit of run {journal.parent.name}; name that one to fit it again"
    return ""


def _derived_journals(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob("*gap.journal"))
