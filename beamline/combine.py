"""``microarpes combine RUN RUN...``: repeat maps of one place fitted together, pixel by pixel, as a derived run."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.units import mev_from_ev
from microarpes.beamline.chunk_fit import RefitJob
from microarpes.beamline.combined_alignment import Alignment, align
from microarpes.beamline.combined_chunks import CombineJob, PixelChunks, fit_pixels
from microarpes.beamline.combined_run import CombinedRun, CombineRefused
from microarpes.beamline.combined_settings import differences, record_differences
from microarpes.beamline.fit_policy import checked_policy
from microarpes.beamline.journal import RAW_JOURNAL
from microarpes.beamline.journal_chunks import CHUNK_EVENTS
from microarpes.beamline.pixel_index import IndexedMap, index_map
from microarpes.beamline.refit import RefitOutcome, derived_metadata, finish, fit_run, say, workers_of
from microarpes.beamline.refit_calibration import INTERPOLATED, LIVE, track_of_run
from microarpes.beamline.run_chain import chain_folders, read_start
from microarpes.beamline.run_names import run_folder

Document = dict[str, Any]

#: Of a calibration record, what the derived run repeats.
_TOLD = ("time", "ef", "ef_error", "resolution", "resolution_error", "temperature", "temperature_error", "gain",
         "flux_shift", "flux_shift_error")  # fmt: skip


def combine_runs(
    directory: Path,
    names: Sequence[str],
    *,
    model: str = "norman",
    gamma0: str = "prior",
    calibration: str = LIVE,
    fit_depth: float | None = None,
    force: bool = False,
    processes: int | None = None,
    scheduler: str | None = None,
    summary: Path | None = None,
    stream: TextIO = sys.stdout,
    chunk_events: int = CHUNK_EVENTS,
) -> RefitOutcome:
    """Fit repeat maps of one place together; store the derived run beside the first of them and in the catalog.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    names : sequence of str
        Two runs or more, as `run_folder` takes them, each with those it resumes; the pixels of the first are the map's.
    model, gamma0, calibration, fit_depth, processes, scheduler, summary, stream, chunk_events
        As of `microarpes.beamline.refit.refit_run`.
    force : bool
        Combine also runs whose gaps differ, or whose counts show another place; the derived run says so.

    Raises
    ------
    CombineRefused
        The runs are not repeats of one another; nothing was written.
    microarpes.beamline.combined_alignment.NotAligned
        They have no place in common; nothing was written.
    microarpes.beamline.refit_calibration.RefitRefused, microarpes.beamline.stored_run.NoSuchRun
        What is asked for cannot be done; nothing was written.
    microarpes.beamline.refit.RefitFailed
        Something is missing; all that was fitted is stored and told.
    """
    policy = checked_policy(model, gamma0, calibration, fit_depth)
    runs = [index_map(folders) for folders in _chains(directory, names)]
    check_settings(runs)
    aligned = [align(runs[0], other) for other in runs[1:]]
    forced = [each.problem for each in aligned if each.problem]
    if forced and not force:
        raise CombineRefused(
            f"the maps do not lie on one another: {'; '.join(forced)}. Combined by their nominal places with --force, "
            "which the derived run says"
        )
    chunks = PixelChunks(runs, [each.pixel for each in aligned], chunk_events)
    job = _job(runs, model, policy, calibration, None if fit_depth is None else 1e-3 * fit_depth)
    metadata = derived_metadata(job.first, runs[0].start) | _told(runs, aligned, chunks, calibration, forced)
    make = functools.partial(CombinedRun, shift_errors=[_shift_error(run) for run in runs], force=force)
    with workers_of(processes, scheduler, job.first.journal) as workers:
        say(stream, f"{len(runs)} runs: {model}, gamma0 {policy}, on {workers.description}")
        outcome = fit_run(runs[0].folders[-1], job, chunks, metadata, workers, stream, make, fit_pixels)
    finish(runs[0].folders[-1], chunks, outcome, summary, stream)
    return outcome


def _chains(directory: Path, names: Sequence[str]) -> list[list[Path]]:
    """Return the folders of each run and of those it resumes."""
    if len(names) < 2:
        raise CombineRefused(f"{len(names)} run was named; give two repeat maps of one place, or more")
    chains = [chain_folders(run_folder(directory, name)) for name in names]
    seen: set[Path] = set()
    for name, folders in zip(names, chains, strict=True):
        if twice := seen & set(folders):
            raise CombineRefused(
                f"run {name} is, or resumes, {min(twice).name}, which is named already: its counts would count twice"
            )
        seen |= set(folders)
    return chains


def check_settings(runs: Sequence[IndexedMap]) -> None:
    """Refuse runs that were not taken alike.

    Raises
    ------
    CombineRefused
        The message says in what they differ.
    """
    first, problems = runs[0], []
    for other in runs[1:]:
        starts = [read_start(folder) for folder in other.folders]
        found = [line for start in starts for line in differences(first.start, start)]
        found += record_differences(first.records, other.records)
        problems += [f"runs {first.uid[:8]} and {other.uid[:8]}: {line}" for line in dict.fromkeys(found)]
    if problems:
        raise CombineRefused(f"{'; '.join(problems)}. Only maps that were taken alike can be combined")


def _job(
    runs: Sequence[IndexedMap], model: str, gamma0: str | float, calibration: str, fit_depth: float | None
) -> CombineJob:
    def one(run: IndexedMap, folder: Path) -> RefitJob:
        journal, start = folder / RAW_JOURNAL, read_start(folder)
        track = track_of_run(journal, start) if calibration == INTERPOLATED else None
        follows = bool(run.start.get("follow_k_f"))
        return RefitJob(str(journal), model, gamma0, track=track, follow_k_f=follows, fit_depth=fit_depth)

    jobs = tuple(tuple(one(run, folder) for folder in run.folders) for run in runs)
    return CombineJob(jobs, tuple(run.preambles for run in runs))


def _told(
    runs: Sequence[IndexedMap], aligned: Sequence[Alignment], chunks: PixelChunks, calibration: str, forced: list[str]
) -> Document:
    """Return what the derived run says of its runs."""
    return {
        "original_run_uids": [run.uid for run in runs],
        "calibration": calibration,
        "calibration_records": [
            {"run": run.uid, **{key: np.asarray(record[key]).tolist() for key in _TOLD if key in record}}
            for run in runs
            for record in run.records
        ],
        "combined": {
            "pixels": len(chunks),
            "shared": chunks.shared,
            "alignment": [each.document() for each in aligned],
            "forced": forced,
        },
    }


def _shift_error(run: IndexedMap) -> float:
    """Return the error of a run's E_F that is its own and not that of all runs under one flux, meV."""
    n_window = len(run.start["windows"])
    errors = []
    for record in run.records:
        try:
            errors.append(max(Calibration.from_record(record, n_window).counted_error))
        except ValueError:
            continue
    return float(mev_from_ev(math.fsum(errors) / len(errors))) if errors else 0.0
