"""``microarpes refit RUN``: fit every event of a stored run again, on all cores or on a Dask cluster, as a derived run.

A fit is a pure function of EDC, calibration record, model and engine. So the same model gives the bits of the live
fit, whoever fits and in whatever order, and another model gives another derived run beside it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from microarpes.analysis.gap_documents import DerivedRun
from microarpes.beamline.chunk_fit import (
    ChunkError,
    FittedChunk,
    RefitJob,
    code_of,
    code_version,
    derived_start,
    fit_chunk,
)
from microarpes.beamline.combined_chunks import CombineJob
from microarpes.beamline.combined_run import CombinedRun, combined_lines
from microarpes.beamline.fit_policy import checked_policy
from microarpes.beamline.journal import RAW_JOURNAL, read_documents
from microarpes.beamline.journal_chunks import CHUNK_EVENTS, JournalChunks, RunChunks
from microarpes.beamline.moved_windows import check_windows, fermi_edge_sources, frame_path, open_frames, parse_window
from microarpes.beamline.refit_ageing import AgedRun, aged_run, correction_lines
from microarpes.beamline.refit_calibration import INTERPOLATED, RefitRefused, told_of, track_of_run
from microarpes.beamline.refit_depth import depth_lines, shift_of_depth
from microarpes.beamline.refit_outcome import RefitJournal, describe, ending_of, problems_of, store_in_catalog
from microarpes.beamline.refit_progress import RefitDisplay
from microarpes.beamline.refit_workers import DaskWorkers, Fit, LocalWorkers, Workers, fit_in_order
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.summary import summary_text, write_summary

Document = dict[str, Any]


class RefitFailed(Exception):
    """The refit did not come to its end in all parts; the message names those that are missing."""


@dataclass
class RefitOutcome:
    """What became of a refit.

    Attributes
    ----------
    uid : str
        Of the derived run.
    journal : Path
    events : int
        Events fitted.
    elapsed : float
        s, of the fits alone.
    problems : list of str
    """

    uid: str
    journal: Path
    events: int
    elapsed: float
    problems: list[str] = field(default_factory=list)


def refit_run(
    directory: Path,
    run: str,
    *,
    model: str = "norman",
    gamma0: str = "prior",
    windows: Sequence[str] = (),
    calibration: str = "live",
    follow_k_f: bool | None = None,
    fit_depth: float | None = None,
    correct_ageing: bool = False,
    processes: int | None = None,
    scheduler: str | None = None,
    summary: Path | None = None,
    stream: TextIO = sys.stdout,
    chunk_events: int = CHUNK_EVENTS,
) -> RefitOutcome:
    """Fit a stored run again; store the derived run beside the raw one and in the catalog, draw and tell.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    run : str
        uid, the beginning of one, ``-1`` for the newest, or a folder; see `run_folder`.
    model : str
        Line shape.
    gamma0 : str
        ``prior``, ``zero`` or a value in meV.
    windows : sequence of str
        ``NAME,LOW,HIGH``, deg: replace the run's windows, the EDCs summed again from the frames by the workers.
    calibration : str
        ``live``: the last record before each event; ``interpolated``: between the records, in time.
    follow_k_f : bool, optional
        Windows follow the mirror centre of each frame; by default as in the run.
    fit_depth : float, meV, optional
        How far below the gap the fits look; by default as in the run.
    correct_ageing : bool
        Gaps are brought back to the start of the map by the slope of the control pixels; see `ageing_correction`.
    processes : int, optional
        All cores by default.
    scheduler : str, optional
        ``tcp://HOST:PORT`` of a Dask scheduler, whose workers fit instead of processes of this machine.
    summary : Path, optional
        JSON file to write.
    stream : file
        Progress and figures go here.
    chunk_events : int
        Events a worker takes at a time.

    Raises
    ------
    RefitRefused, microarpes.beamline.stored_run.NoSuchRun, microarpes.beamline.moved_windows.WindowError
        What is asked for cannot be done; nothing was written.
    microarpes.beamline.refit_workers.WorkersError
        There are no workers; nothing was written.
    RefitFailed
        Something is missing; all that was fitted is stored and told.
    """
    policy = checked_policy(model, gamma0, calibration, fit_depth)
    folder = run_folder(directory, run)
    places = tuple(parse_window(text) for text in windows)
    edges = tuple((window.name, window.angle_low, window.angle_high) for window in places)
    chunks = JournalChunks(folder / RAW_JOURNAL, chunk_events)
    track = track_of_run(folder / RAW_JOURNAL, chunks.start, places) if calibration == INTERPOLATED else None
    follows = bool(chunks.start.get("follow_k_f")) if follow_k_f is None else follow_k_f
    job = RefitJob(
        str(folder / RAW_JOURNAL), model, policy, edges, track, follows, None if fit_depth is None else 1e-3 * fit_depth
    )
    start = derived_metadata(job, chunks.start)
    make = aged_run(folder, chunks.start, other_windows=bool(places)) if correct_ageing else DerivedRun
    with workers_of(processes, scheduler, job.journal) as workers:
        say(stream, f"run {chunks.start['uid']}: {model}, gamma0 {policy}, on {workers.description}")
        outcome = fit_run(folder, job, chunks, start, workers, stream, make)
    finish(folder, chunks, outcome, summary, stream)
    return outcome


def derived_metadata(job: RefitJob, raw: Document) -> Document:
    """Return what the start document of the refit says besides uid and time.

    Raises
    ------
    RefitRefused
        The run is no raster.
    microarpes.beamline.moved_windows.WindowError
        The windows cannot be placed so on this run.
    """
    told: Document = {"edc_source": "events", "microarpes_version": code_version(), **told_of(job.track)}
    if job.windows or job.follow_k_f:
        folder = Path(job.journal).parent
        for key in ("angle_axis", "windows"):
            if key not in raw:
                raise RefitRefused(f"run {raw.get('uid')} has no {key} in its start document: it is not a raster")
        check_windows(raw, job.angle_windows)
        with open_frames(frame_path(folder, raw)):
            sources = fermi_edge_sources(raw, job.angle_windows)
        told["edc_source"] = "frames"
    if job.windows:
        told["fermi_edge_of"] = [str(raw["windows"][source]["name"]) for source in sources]
    try:
        start = derived_start(job, raw)
    except ChunkError as error:
        raise RefitRefused(str(error)) from None
    return {**{key: value for key, value in start.items() if key not in ("uid", "time")}, **told}


@contextlib.contextmanager
def workers_of(processes: int | None, scheduler: str | None, readable: str) -> Iterator[Workers]:
    """Give processes of this machine or the workers of a Dask scheduler, which have to be able to read a file.

    Raises
    ------
    RefitRefused
        Both are asked for.
    microarpes.beamline.refit_workers.WorkersError
        There are none.
    """
    if processes is not None and scheduler is not None:
        raise RefitRefused("--processes is about this machine and --scheduler about others; give one of them")
    workers: Workers = LocalWorkers(processes) if scheduler is None else DaskWorkers(scheduler, readable)
    try:
        yield workers
    finally:
        workers.close()


def fit_run(
    folder: Path,
    job: RefitJob | CombineJob,
    chunks: RunChunks,
    metadata: Document,
    workers: Workers,
    stream: TextIO,
    make: Callable[..., DerivedRun | AgedRun | CombinedRun] = DerivedRun,
    fit: Fit = fit_chunk,
) -> RefitOutcome:
    """Fit all chunks and write the derived run that `make` makes; it is there when this returns, not when this raises.

    Raises
    ------
    RefitFailed
        Nothing could be fitted.
    """
    began = time.monotonic()
    journal = RefitJournal(folder)
    code = code_of(metadata)
    failed: list[str] = []
    fitted = without_frame = 0
    try:
        derived = make(journal, metadata, len(metadata["windows"]), job.model)
        with RefitDisplay(stream, int(chunks.start.get("num_points") or 0)) as display:
            for chunk, result in fit_in_order(workers, fit, job, chunks):
                if isinstance(result, Exception) or result.code != code:
                    failed.append(f"{chunk.label}: {_reason(result, code)}")
                    continue
                for record, raw_time in zip(result.records, result.times, strict=True):
                    derived.event(record, raw_time)
                for look, raw_time in result.looks:
                    derived.look(look, raw_time)
                fitted += chunk.events
                without_frame += result.without_frame
                display.advance(chunk.events)
        if not fitted:
            raise RefitFailed(f"nothing was fitted: {failed[0] if failed else f'{chunks.path} holds no event'}")
        problems = problems_of(failed, without_frame)
        derived.stop(*ending_of(chunks, problems))
        journal.finish()
    except BaseException:  # Ctrl-C too: what is not whole must not stay
        journal.discard()
        raise
    return RefitOutcome(derived.uid, journal.path, fitted, time.monotonic() - began, problems)


def _reason(result: FittedChunk | Exception, code: str) -> str:
    if isinstance(result, FittedChunk):
        return f"its worker is {result.code}, this is {code}; install the same"
    return f"{type(result).__name__}: {result}"


def finish(folder: Path, chunks: RunChunks, outcome: RefitOutcome, summary: Path | None, stream: TextIO) -> None:
    """Put the derived run into the catalog, draw and tell; raise RefitFailed if anything is missing."""
    derived = next(doc for name, doc in read_documents(outcome.journal) if name == "start")
    numbers = describe(chunks.start, derived, outcome.journal, outcome.elapsed)
    numbers["depth_shift"] = shift_of_depth(folder, derived, outcome.journal)
    if problem := store_in_catalog(folder.parent, folder, outcome.journal):
        outcome.problems.append(problem)
    if summary is not None:
        write_summary(summary, numbers)
    # the clock of a raster says nothing of a refit
    lines = [line for line in summary_text(numbers).splitlines() if not line.startswith("time")]
    rate = outcome.events / outcome.elapsed if outcome.elapsed > 0 else float("nan")
    lines += correction_lines(derived) + combined_lines(derived)
    lines.append(f"time        {outcome.events} events in {outcome.elapsed:.1f} s, {rate:.0f} events/s")
    lines += depth_lines(numbers["depth_shift"])
    if chunks.stop is None:
        lines.append("the run has no stop document: it was cut off or is still being taken; what is there was fitted")
    lines.append(f"derived run {outcome.uid}\nstored in   {outcome.journal}")
    say(stream, *lines)
    if outcome.problems:
        raise RefitFailed("; ".join(outcome.problems))


def say(stream: TextIO, *lines: str) -> None:
    """Write lines and have them seen at once."""
    stream.write("\n".join(lines) + "\n")
    stream.flush()
