"""After a run: the picture, the figures, the summary; and whether the work is really done."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.engine import FRAME_FILE, GAP_JOURNAL, RAW_JOURNAL
from microarpes.beamline.journal import read_documents
from microarpes.beamline.map import RunFailed, RunStopped
from microarpes.beamline.raster_run import RasterOutcome
from microarpes.beamline.report import MapPicture, write_gap_map
from microarpes.beamline.stored_run import StoredRun, read_run
from microarpes.beamline.summary import GapFigures, RunTimes, summarise, summary_text, write_summary

GAP_PICTURE = "gap_map.png"
#: Verdict of a pixel that was measured and whose fit is not there.
NOT_FITTED = "not-fitted"


def finish_run(directory: Path, outcome: RasterOutcome, *, summary: Path | None, seed: int | None = None) -> None:
    """Draw, count and tell; the demo's seed brings in the truth.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    outcome : RasterOutcome
    summary : Path, optional
        JSON file to write.
    seed : int, optional
        Of the simulated sample the run was taken from.

    Raises
    ------
    RunFailed
        The run ended early, a pixel is missing, or a follower did not finish. All that was measured is stored.
    RunStopped
        The operator had the run end after a row, and nothing is missing up to there.
    """
    folder = (Path(directory) / outcome.uid).resolve()
    run = read_run(folder)
    status = verdicts(run)
    truth, live = _truth(run, seed)
    figures = GapFigures(
        status=status.ravel(),
        delta=_fitted(run, "joint_delta").ravel(),
        delta_stderr=_fitted(run, "joint_delta_stderr").ravel(),
        truth=None if truth is None else truth.ravel(),
        live_fraction=None if live is None else live.ravel(),
    )
    picture = folder / GAP_PICTURE
    write_gap_map(picture, _picture(run, status, truth), title=_title(run))
    files = {"folder": str(folder), "gap_map": str(picture), "frames": str(folder / FRAME_FILE)}
    files |= {"journal": str(folder / RAW_JOURNAL), "gap_journal": str(folder / GAP_JOURNAL)}
    numbers = summarise(figures, _times(run, outcome), run_uid=outcome.uid, seed=seed, files=files)
    numbers["stopped"] = stopped = stopped_by_operator(run)
    if summary is not None:
        write_summary(summary, numbers)
    sys.stdout.write(summary_text(numbers) + f"\nstored in   {folder}\n")
    sys.stdout.flush()
    _raise_if_failed(outcome, run, numbers)
    if stopped is not None:
        raise RunStopped(
            f"the run was {stopped}; {len(run.events)} of {numbers['n_points']} pixels are measured and stored"
        )


def _raise_if_failed(outcome: RasterOutcome, run: StoredRun, numbers: dict[str, Any]) -> None:
    problems = list(outcome.problems)
    if outcome.exit_status != "success":
        reason = (run.stop or {}).get("reason", "")
        problems.insert(0, f"the run ended as {outcome.exit_status!r}" + (f": {reason}" if reason else ""))
    if len(run.events) != numbers["n_points"] and numbers["stopped"] is None:
        problems.append(f"{len(run.events)} of {numbers['n_points']} pixels were measured; they are all stored")
    if numbers["status_counts"].get(NOT_FITTED):
        problems.append(f"{numbers['status_counts'][NOT_FITTED]} measured pixels were not fitted")
    if problems:
        raise RunFailed("; ".join(problems))


def stopped_by_operator(run: StoredRun) -> str | None:
    """Return after which row the operator had a run end; None for one that was complete, failed, or lost an event."""
    stop = run.stop or {}
    missing = len(run.events) < math.prod(run.shape)
    whole = stop.get("num_events", {}).get("primary", 0) == len(run.events)
    return (
        str(stop["reason"])
        if missing and whole and stop.get("exit_status") == "success" and stop.get("reason")
        else None
    )


def verdicts(run: StoredRun) -> NDArray[np.str_]:
    """Return the verdict of each pixel, empty where nothing was measured.

    Returns
    -------
    ndarray of str, shape (ny, nx)
    """
    measured = np.zeros(run.shape, dtype=bool)
    measured.flat[list(run.events)] = True
    fitted = run.gap_map.joint_status if run.gap_map is not None else np.full(run.shape, "")
    return np.where(measured, np.where(fitted == "", NOT_FITTED, fitted), "")


def _fitted(run: StoredRun, name: str) -> NDArray[np.float64]:
    if run.gap_map is None:
        return np.full(run.shape, np.nan)
    plane: NDArray[np.float64] = getattr(run.gap_map, name)
    return plane


def _truth(run: StoredRun, seed: int | None) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    if seed is None:
        return None, None
    from microarpes.sim.sample import Sample

    x, y = run.plane("manipulator_x"), run.plane("manipulator_y")
    windows = [(window["angle_low"], window["angle_high"]) for window in run.start["windows"]]
    truth = Sample(seed).truth(x, y, windows=windows)
    return truth.gap.reshape(run.shape), truth.live_fraction.reshape(run.shape)


def _picture(run: StoredRun, status: NDArray[np.str_], truth: NDArray[np.float64] | None) -> MapPicture:
    grid = run.start["grid"]
    x, y = (np.linspace(grid[axis]["start"], grid[axis]["stop"], grid[axis]["num"]) for axis in ("x", "y"))
    return MapPicture(
        x=x,
        y=y,
        delta=_fitted(run, "joint_delta"),
        delta_stderr=_fitted(run, "joint_delta_stderr"),
        gamma1=_fitted(run, "joint_gamma1"),
        intensity=run.plane("total_counts"),
        status=status,
        truth=truth,
    )


def _title(run: StoredRun) -> str:
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.start["time"]))
    temperature = np.nanmean(run.plane("sample_temperature")) if run.events else math.nan
    stopped = stopped_by_operator(run)
    title = f"{run.start['sample']['id']}, {temperature:.1f} K, {started}, run {run.start['uid'][:8]}"
    return title if stopped is None else f"{title}, {stopped}"


def _times(run: StoredRun, outcome: RasterOutcome) -> RunTimes:
    ordered = sorted(run.events.values(), key=lambda event: float(event["time"]))[1:]
    ledger = {
        part: np.array([event["data"][f"time_{part}"] for event in ordered])
        for part in ("move", "expose", "read", "gate", "write")
    }
    # In runs of before there was none.
    ledger["overlap"] = -np.array([event["data"].get("time_overlap", 0.0) for event in ordered])
    return RunTimes(
        elapsed=outcome.elapsed,
        point=run.intervals(),
        exposure=np.array([event["data"]["acquire_time"] for event in ordered]),
        kinematic=np.array([event["data"]["time_kinematic"] for event in ordered]),
        fit_latency=_fit_latency(run),
        ledger=ledger,
    )


def _fit_latency(run: StoredRun) -> NDArray[np.float64]:
    journal = run.folder / GAP_JOURNAL
    if not journal.exists():
        return np.empty(0)
    measured = {event["seq_num"]: event["time"] for event in run.events.values()}
    latencies = [
        doc["time"] - measured[doc["data"]["raw_seq_num"]]
        for name, doc in read_documents(journal)
        if name == "event" and doc["data"]["raw_seq_num"] in measured
    ]
    return np.asarray(latencies, dtype=np.float64)
