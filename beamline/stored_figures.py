"""What a stored run is drawn and counted from; a run of before, or one that was cut off, lacks some of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.journal import GAP_JOURNAL, stream_events
from microarpes.beamline.pixel_classes import OUTSIDE
from microarpes.beamline.planned import planned_mask
from microarpes.beamline.report import MapPicture
from microarpes.beamline.stored_run import StoredRun, simulated_undulation
from microarpes.beamline.summary import GapFigures, RunTimes

Floats = NDArray[np.float64]

#: Verdict of a pixel that was measured and whose fit is not there.
NOT_FITTED = "not-fitted"
#: What a point says of its own time; runs of before have no ``overlap``.
_LEDGER = ("move", "expose", "read", "gate", "write")


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


def plane(run: StoredRun, key: str) -> Floats:
    """Return one scalar of the events as a map, NaN where nothing was measured or the event does not say it.

    Returns
    -------
    ndarray, shape (ny, nx)
    """
    values = np.full(run.shape, np.nan)
    for pixel, event in run.events.items():
        values.flat[pixel] = _number(event["data"].get(key))
    return values


def fitted(run: StoredRun, name: str) -> Floats:
    """Return a quantity of the derived run, shape (ny, nx); NaN where there is no derived run."""
    if run.gap_map is None:
        return np.full(run.shape, np.nan)
    values: Floats = getattr(run.gap_map, name)
    return values


def truth_of_run(run: StoredRun, seed: int | None) -> tuple[Floats | None, Floats | None]:
    """Return the gap (meV) and the live share the simulation put into each pixel, (ny, nx); None without a seed."""
    if seed is None:
        return None, None
    from microarpes.sim.sample import Sample

    # Where on the sample: a target that followed it stands elsewhere on the manipulator.
    x, y = (plane(run, f"manipulator_{axis}") - np.nan_to_num(plane(run, f"shift_{axis}")) for axis in ("x", "y"))
    windows = [(window["angle_low"], window["angle_high"]) for window in run.start["windows"]]
    # Windows that followed k_F have the truth of where they lay.
    shift = np.nan_to_num(fitted(run, "window_shift")).ravel()
    sample = Sample(seed, undulation=simulated_undulation(run.start))
    truth = sample.truth(x, y, windows=windows, window_shift=shift)
    return truth.gap.reshape(run.shape), truth.live_fraction.reshape(run.shape)


def gap_figures(run: StoredRun, truth: Floats | None, live: Floats | None) -> GapFigures:
    """Return fits and truth of the planned pixels as `summarise` takes them."""
    planned = planned_mask(run.start)
    return GapFigures(
        status=verdicts(run)[planned],
        delta=fitted(run, "joint_delta")[planned],
        delta_stderr=fitted(run, "joint_delta_stderr")[planned],
        truth=None if truth is None else truth[planned],
        live_fraction=None if live is None else live[planned],
    )


def map_picture(run: StoredRun, truth: Floats | None = None) -> MapPicture:
    """Return what the still picture of a run is drawn from."""
    grid = run.start["grid"]
    x, y = (np.linspace(grid[axis]["start"], grid[axis]["stop"], grid[axis]["num"]) for axis in ("x", "y"))
    return MapPicture(
        x=x,
        y=y,
        delta=fitted(run, "joint_delta"),
        delta_stderr=fitted(run, "joint_delta_stderr"),
        gamma1=fitted(run, "joint_gamma1"),
        intensity=plane(run, "total_counts"),
        status=np.where(planned_mask(run.start), verdicts(run), OUTSIDE),
        truth=truth,
    )


def sample_id(start: dict[str, Any]) -> str:
    """Return what the sample is called, or an empty string."""
    sample = start.get("sample")
    return str(sample.get("id") or "") if isinstance(sample, dict) else ""


def title(run: StoredRun) -> str:
    """Return sample, temperature, start and run in a line."""
    temperature = plane(run, "sample_temperature")
    known = np.isfinite(temperature)
    parts = [sample_id(run.start), f"{temperature[known].mean():.1f} K" if known.any() else ""]
    parts += [time.strftime("%Y-%m-%d %H:%M", time.localtime(run.start["time"])), f"run {str(run.start['uid'])[:8]}"]
    parts.append(stopped_by_operator(run) or "")
    return ", ".join(part for part in parts if part)


def stopped_by_operator(run: StoredRun) -> str | None:
    """Return after which row the operator had a run end; None for one that was complete, failed, or lost an event."""
    stop = run.stop or {}
    missing = len(run.events) < int(planned_mask(run.start).sum())
    whole = stop.get("num_events", {}).get("primary", 0) == len(run.events)
    asked = missing and whole and stop.get("exit_status") == "success" and stop.get("reason")
    return str(stop["reason"]) if asked else None


def run_times(run: StoredRun, elapsed: float) -> RunTimes:
    """Return the clock of a run that took `elapsed` seconds."""
    ordered = sorted(run.events.values(), key=lambda event: float(event["time"]))[1:]
    data = [event["data"] for event in ordered]

    def column(name: str, missing: float = np.nan) -> Floats:
        return np.array([_number(point.get(name, missing)) for point in data], dtype=np.float64)

    ledger = {}
    if all(f"time_{part}" in point for point in data for part in _LEDGER):
        ledger = {part: column(f"time_{part}") for part in _LEDGER} | {"overlap": -column("time_overlap", 0.0)}
    return RunTimes(
        elapsed=elapsed,
        point=run.intervals(),
        exposure=column("acquire_time"),
        kinematic=column("time_kinematic"),
        fit_latency=_fit_latency(run),
        ledger=ledger,
    )


def documented_time(run: StoredRun) -> float:
    """Return the time from the start document to the stop document, or to the last event of a run without one, s."""
    last = [float(run.stop["time"])] if run.stop is not None else [float(doc["time"]) for doc in run.events.values()]
    return max(last, default=float("nan")) - float(run.start["time"])


def _fit_latency(run: StoredRun) -> Floats:
    journal: Path = run.folder / GAP_JOURNAL
    if not journal.exists():
        return np.empty(0)
    measured = {event["seq_num"]: event["time"] for event in run.events.values()}
    latencies = [
        doc["time"] - measured[doc["data"]["raw_seq_num"]]
        for doc in stream_events(journal, "primary")
        if doc["data"]["raw_seq_num"] in measured
    ]
    return np.asarray(latencies, dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
