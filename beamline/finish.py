"""After a run: the picture, the figures, the report, the summary; and whether the work is really done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from microarpes.beamline.html_report import REPORT, try_report
from microarpes.beamline.journal import FRAME_FILE, GAP_JOURNAL, RAW_JOURNAL
from microarpes.beamline.map import RunFailed, RunStopped
from microarpes.beamline.raster_run import RasterOutcome
from microarpes.beamline.report import write_gap_map
from microarpes.beamline.report_material import gather
from microarpes.beamline.run_chain import joined, read_chain
from microarpes.beamline.stored_figures import (
    NOT_FITTED,
    gap_figures,
    map_picture,
    run_times,
    stopped_by_operator,
    title,
    truth_of_run,
)
from microarpes.beamline.stored_run import StoredRun
from microarpes.beamline.summary import summarise, summary_text, write_summary

GAP_PICTURE = "gap_map.png"


def finish_run(directory: Path, outcome: RasterOutcome, *, summary: Path | None, seed: int | None = None) -> None:
    """Draw, count, report and tell; the demo's seed brings in the truth.

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
    # A run that resumes others: the map is of all of them, the clock its own.
    chain = read_chain(folder)
    run, own = joined(chain), chain[-1]
    truth, live = truth_of_run(run, seed)
    picture = folder / GAP_PICTURE
    write_gap_map(picture, map_picture(run, truth), title=title(run))
    files = {"folder": str(folder), "gap_map": str(picture), "frames": str(folder / FRAME_FILE)}
    files |= {"journal": str(folder / RAW_JOURNAL), "gap_journal": str(folder / GAP_JOURNAL)}
    figures, times = gap_figures(run, truth, live), run_times(own, outcome.elapsed)
    stopped = stopped_by_operator(own)
    held = len(own.interruptions), own.held_up()
    numbers = summarise(
        figures, times, run_uid=outcome.uid, seed=seed, files=files, stopped=stopped, interruptions=held
    )
    if (report := try_report(folder / REPORT, lambda: gather(run, numbers), picture)) is not None:
        numbers["files"]["report"] = str(report)
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
