"""A run that the operator had end after a row is neither complete nor a failure, wherever it is told of."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from microarpes.beamline.browse import _status
from microarpes.beamline.catalog import RunSummary
from microarpes.beamline.finish import _raise_if_failed
from microarpes.beamline.map import RunFailed
from microarpes.beamline.progress import Progress
from microarpes.beamline.raster_run import RasterOutcome
from microarpes.beamline.stored_figures import stopped_by_operator
from microarpes.beamline.stored_run import StoredRun

REASON = "stopped after row 1 of 2 by the operator"


def run_of(pixels, stop, told=None):
    """A raster of 2 x 2; `told` is how many events the stop document counts."""
    if stop is not None:
        stop = {"reason": "", "num_events": {"primary": len(pixels) if told is None else told, "baseline": 2}} | stop
    start = {"uid": "u", "shape": [2, 2], "num_points": 4}
    return StoredRun(Path("runs/u"), start, {pixel: {} for pixel in pixels}, stop, None)


def judged(run, status="success"):
    numbers = {"n_points": math.prod(run.shape), "status_counts": {}, "stopped": stopped_by_operator(run)}
    _raise_if_failed(RasterOutcome("u", status, 1.0), run, numbers)


def test_a_success_with_a_reason_and_whole_rows_was_stopped_and_did_not_fail():
    run = run_of([0, 1], {"exit_status": "success", "reason": REASON})
    assert stopped_by_operator(run) == REASON
    judged(run)


def test_a_stopped_run_of_which_an_event_was_lost_is_a_failure():
    run = run_of([0], {"exit_status": "success", "reason": REASON}, told=2)
    assert stopped_by_operator(run) is None
    with pytest.raises(RunFailed, match="1 of 4 pixels were measured"):
        judged(run)


@pytest.mark.parametrize(
    ("pixels", "stop"),
    [
        ([0, 1, 2, 3], {"exit_status": "success"}),
        # asked for too late to leave anything out
        ([0, 1, 2, 3], {"exit_status": "success", "reason": REASON}),
        ([0, 1], {"exit_status": "abort", "reason": "aborted by the operator"}),
        ([0, 1], {"exit_status": "fail", "reason": "a motor burnt"}),
        # RE.stop() at a prompt: nobody said after which row
        ([0, 1], {"exit_status": "success"}),
        ([0, 1], None),
    ],
)
def test_nothing_else_counts_as_stopped(pixels, stop):
    assert stopped_by_operator(run_of(pixels, stop)) is None


def summary_of(exit_status, reason):
    return RunSummary("u", 0.0, "gap_raster", "", 4, 2, exit_status, reason)


def test_the_list_of_runs_tells_a_stopped_run_from_a_whole_one():
    assert _status(summary_of("success", REASON)) == "stopped"
    assert _status(summary_of("success", "")) == "success"
    assert _status(summary_of("abort", "aborted by the operator")) == "abort"


def test_the_progress_of_a_stopped_run_ends_with_the_reason_instead_of_an_arrival():
    progress = Progress()
    progress.raw("start", {"num_points": 4})
    for pixel in range(2):
        progress.raw("event", {"time": float(pixel), "data": {"pixel": pixel, "attempt": 1}})
    assert progress.line() == "2/4 pixels  50.0 %  1.0 px/s  ETA 00:00:02"
    progress.raw("stop", {"exit_status": "success", "reason": REASON})
    assert progress.line() == f"2/4 pixels  50.0 %  1.0 px/s  {REASON}"
