"""The figures of a run: one pure function from arrays to numbers, the JSON of ``--summary`` and the text of the demo.

Definitions
-----------
acquired
    A pixel with a verdict, whatever it is.
scored
    A pixel with at least 90 % of the beam's photoemission on live flake: a set fixed by the truth, not by the fit.
    Errors, pulls and correlation are taken over the scored pixels with status ``ok``.
pull
    (delta - truth) / delta_stderr; its standard deviation is 1 where the error bars mean what they say.
dead time
    Wall time of a point less its exposure and the kinematic minimum of its move. Its parts: what moving and exposing
    took beyond these, reading, gate, writing the frame, and the rest (journal, RunEngine).
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Share of the beam on live flake from which a pixel is scored, and below which it is off the flake.
SCORED = 0.90
OFF_FLAKE = 0.05
_NO_TIMES = np.empty(0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GapFigures:
    """Fitted gaps of a run and, where it is known, the truth; every array is ``[n_points]``.

    Attributes
    ----------
    status : ndarray of str
        Verdict of the fit; the empty string where nothing was acquired.
    delta, delta_stderr : ndarray
        Gap and its statistical error (one sigma), meV.
    truth : ndarray or None
        Gap that the simulation put there, meV; None for a real sample.
    live_fraction : ndarray or None
        Share of the beam's photoemission that comes from live flake.
    """

    status: NDArray[np.str_]
    delta: Floats
    delta_stderr: Floats
    truth: Floats | None = None
    live_fraction: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("delta", "delta_stderr", "truth", "live_fraction"):
            value = getattr(self, name)
            if value is not None and value.shape != self.status.shape:
                raise ValueError(f"{name} has shape {value.shape}; status has {self.status.shape}")
        if (self.truth is None) != (self.live_fraction is None):
            raise ValueError("truth and live_fraction are known together or not at all; give both or neither")


@dataclass(frozen=True)
class RunTimes:
    """Clock of a run; arrays are ``[n_acquired]``, s.

    Attributes
    ----------
    elapsed : float
        From the first move to the stop document.
    point : ndarray
        Wall time of each point.
    exposure : ndarray
        ``acquire_time`` times iterations of each point.
    kinematic : ndarray
        Least time the move of each point can take (distance, VELO, ACCL, settle).
    fit_latency : ndarray
        From the event of a pixel to its fit; may be of another length.
    ledger : mapping of str to ndarray
        What each point says of itself: ``move``, ``expose``, ``read``, ``gate``, ``write``, and, below 0, ``overlap``:
        for how long its move was under way while the point before was stored.
    """

    elapsed: float
    point: Floats = field(default_factory=_NO_TIMES.copy)
    exposure: Floats = field(default_factory=_NO_TIMES.copy)
    kinematic: Floats = field(default_factory=_NO_TIMES.copy)
    fit_latency: Floats = field(default_factory=_NO_TIMES.copy)
    ledger: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def dead(self) -> Floats:
        """Dead time of each point, s."""
        return np.asarray(self.point - self.exposure - self.kinematic, dtype=np.float64)

    @property
    def dead_parts(self) -> dict[str, Floats]:
        """What the dead time of each point is made of, s; empty where no ledger is known."""
        if not self.ledger:
            return {}
        beyond = {"move": self.kinematic, "expose": self.exposure}
        parts = {name: np.asarray(took - beyond.get(name, 0.0)) for name, took in self.ledger.items()}
        return {**parts, "rest": np.asarray(self.dead - sum(parts.values()))}


def summarise(
    gaps: GapFigures,
    times: RunTimes,
    *,
    run_uid: str,
    seed: int | None = None,
    files: Mapping[str, str] | None = None,
    stopped: str | None = None,
    interruptions: tuple[int, float] | None = None,
) -> dict[str, Any]:
    """Return the content of ``--summary``: energies in meV, times in s, None where there is nothing to tell.

    Parameters
    ----------
    gaps : GapFigures
        Fits and truth.
    times : RunTimes
        Clock.
    run_uid : str
        Raw run.
    seed : int, optional
        Of the simulation.
    files : mapping, optional
        Name of what was written to its path.
    stopped : str, optional
        After which row the operator had the run end.
    interruptions : tuple, optional
        How often the run was held up, and for how long in all, s.

    Returns
    -------
    dict
        ``delta_mean``, ``delta_std`` and ``delta_stderr_median`` are over the same pixels as the errors where the
        truth is known, and over all pixels with status ``ok`` where it is not.
    """
    status = np.asarray(gaps.status, dtype=str)
    acquired = int(np.count_nonzero(status != ""))
    summary = {
        "run_uid": run_uid,
        "seed": seed,
        "n_points": status.size,
        "n_acquired": acquired,
        "n_ok": int(np.count_nonzero(status == "ok")),
        "status_counts": dict(sorted(Counter(str(verdict) for verdict in status if verdict).items())),
        **_gap_statistics(gaps, status),
        "elapsed_s": times.elapsed,
        "dead_time_per_point_s": _percentile(times.dead, 50),
        "dead_time_p99_s": _percentile(times.dead, 99),
        "dead_time_parts_s": {
            name: {"median": _percentile(part, 50), "p99": _percentile(part, 99)}
            for name, part in times.dead_parts.items()
        },
        "points_per_s": acquired / times.elapsed if times.elapsed > 0 else None,
        "fit_latency_p95_s": _percentile(times.fit_latency, 95),
        "files": dict(files or {}),
        "stopped": stopped,
        "interruptions": interruptions and {"number": interruptions[0], "seconds": interruptions[1]},
    }
    return {name: _plain(value) for name, value in summary.items()}


def _gap_statistics(gaps: GapFigures, status: NDArray[np.str_]) -> dict[str, Any]:
    good = (status == "ok") & np.isfinite(gaps.delta) & np.isfinite(gaps.delta_stderr)
    if gaps.truth is None or gaps.live_fraction is None:
        nothing = dict.fromkeys(
            ("n_scored", "n_scored_ok", "delta_rms_error", "delta_stderr_rms", "delta_bias", "truth_correlation",
             "pull_mean", "pull_std", "off_flake_ok_fraction")
        )  # fmt: skip
        return {**_spread(gaps, good), **nothing}
    scored = gaps.live_fraction >= SCORED
    used = good & scored & np.isfinite(gaps.truth)
    error = gaps.delta[used] - gaps.truth[used]
    pull = error / gaps.delta_stderr[used]
    off = (gaps.live_fraction < OFF_FLAKE) & (status != "")
    return {
        **_spread(gaps, used),
        "n_scored": int(np.count_nonzero(scored)),
        "n_scored_ok": int(np.count_nonzero(scored & (status == "ok"))),
        "delta_rms_error": _root_mean_square(error),
        "delta_stderr_rms": _root_mean_square(gaps.delta_stderr[used]),
        "delta_bias": float(error.mean()) if error.size else None,
        "truth_correlation": _correlation(gaps.delta[used], gaps.truth[used]),
        "pull_mean": float(pull.mean()) if pull.size else None,
        "pull_std": float(pull.std()) if pull.size > 1 else None,
        "off_flake_ok_fraction": float(np.mean(np.isin(status[off], ("ok", "no-gap")))) if off.any() else None,
    }


def _spread(gaps: GapFigures, where: NDArray[np.bool_]) -> dict[str, float | None]:
    if not where.any():
        return dict.fromkeys(("delta_mean", "delta_std", "delta_stderr_median"))
    return {
        "delta_mean": float(gaps.delta[where].mean()),
        "delta_std": float(gaps.delta[where].std()),
        "delta_stderr_median": float(np.median(gaps.delta_stderr[where])),
    }


def _root_mean_square(values: Floats) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if values.size else None


def _correlation(one: Floats, other: Floats) -> float | None:
    if one.size < 3 or one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _percentile(values: Floats, percent: float) -> float | None:
    good = values[np.isfinite(values)]
    return float(np.percentile(good, percent)) if good.size else None


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write a summary as JSON; the file appears only when it is whole.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path = Path(path)
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    os.replace(fresh, path)


def summary_text(summary: Mapping[str, Any]) -> str:
    """Return the lines the demo prints: the gap statistics and, where there is one, how they compare with the truth."""
    verdicts = ", ".join(f"{count} {status}" for status, count in summary["status_counts"].items()) or "none"
    lines = [f"pixels      {summary['n_acquired']} of {summary['n_points']} acquired: {verdicts}"]
    if summary["delta_mean"] is None:
        lines.append("gap         no pixel with a gap")
    else:
        lines.append(
            f"gap         {_figure(summary['delta_mean'])} ± {_figure(summary['delta_std'])} meV (mean and spread over "
            f"the sample), error of a pixel {_figure(summary['delta_stderr_median'])} meV (median)"
        )
    if summary["n_scored"] is not None:
        lines += [
            f"truth       {summary['n_scored_ok']} of {summary['n_scored']} scored pixels ok; rms error "
            f"{_figure(summary['delta_rms_error'])} meV where {_figure(summary['delta_stderr_rms'])} was claimed, "
            f"bias {_figure(summary['delta_bias'], sign=True)} meV",
            f"            correlation with the truth {_figure(summary['truth_correlation'], 3)}, pull width "
            f"{_figure(summary['pull_std'])} (1 = honest error bars), off the flake "
            f"{_percent(summary['off_flake_ok_fraction'])} with a verdict of a gap",
        ]
    dead, worst = _milliseconds(summary["dead_time_per_point_s"]), _milliseconds(summary["dead_time_p99_s"])
    lines.append(
        f"time        {_figure(summary['elapsed_s'], 1)} s, {_figure(summary['points_per_s'])} points/s; dead time "
        f"{dead} a point (median), {worst} (p99); fit {_milliseconds(summary['fit_latency_p95_s'])} behind (p95)"
    )
    if parts := summary["dead_time_parts_s"]:
        told = ", ".join(f"{name} {_milliseconds(part['median'])}" for name, part in parts.items())
        lines.append(f"            of which (medians) {told}")
    if (held := summary["interruptions"]) and held["number"]:
        lines.append(f"held up     {held['number']} times, {_figure(held['seconds'], 1)} s in all")
    return "\n".join(lines)


def _figure(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''}.{digits}f}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{1000 * value:.1f} ms"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
