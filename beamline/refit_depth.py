"""What looking less deep makes of the gaps of a run: its refit against its live fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microarpes.analysis.depth_shift import DepthShift, depth_shift
from microarpes.beamline.journal import GAP_JOURNAL, start_of
from microarpes.beamline.refit_outcome import refitted_map

Document = dict[str, Any]

#: In what a refit must agree with the live fit for a difference of the gaps to be one of the depth.
_ALIKE = ("model", "gamma0", "windows", "follow_k_f", "original_run_uids")


def shift_of_depth(folder: Path, derived: Document, journal: Path) -> dict[str, Any] | None:
    """Return by how much the joint gaps of a refit moved against those of the live fit, as `DepthShift` has it.

    Parameters
    ----------
    folder : Path
        Of the run.
    derived : dict
        Start document of the refit.
    journal : Path
        Its journal.

    Returns
    -------
    dict or None
        None where it is no refit of another depth and else alike, or where there is no live fit.
    """
    live = folder / GAP_JOURNAL
    if not live.exists():
        return None
    start = start_of(live)
    alike = all(start.get(key) == derived.get(key) for key in _ALIKE)
    if not alike or start.get("fit_depth") == derived.get("fit_depth") or derived["calibration"] != "live":
        return None
    shift = depth_shift(refitted_map(live).joint_delta, refitted_map(journal).joint_delta)
    told = {key: None if value != value else value for key, value in shift._asdict().items()}
    return {**told, "model_is_wrong": shift.model_is_wrong}


def depth_lines(told: dict[str, Any] | None) -> list[str]:
    """Say what `shift_of_depth` found; nothing where there is nothing to say."""
    if told is None or told["mean"] is None:
        return []
    shift = DepthShift(told["mean"], told["error"], told["pixels"])
    verdict = "the model does not describe the spectra" if shift.model_is_wrong else "no more than a right model's may"
    return [
        f"depth       gaps moved by {shift.mean:+.2f} ± {shift.error:.2f} meV on the mean of {shift.pixels} pixels "
        f"against the live fit: {verdict}"
    ]
