"""The figures of a run mean what their names say, checked on maps whose answer is known in closed form."""

import json

import numpy as np
import pytest

from microarpes.beamline.summary import (
    GapFigures,
    RunTimes,
    summarise,
    summary_text,
    write_summary,
)

PROMISED = """run_uid seed n_points n_acquired n_ok status_counts n_scored delta_mean delta_std delta_stderr_median
delta_rms_error truth_correlation pull_std elapsed_s dead_time_per_point_s dead_time_p99_s points_per_s
fit_latency_p95_s files off_flake_ok_fraction""".split()


def figures(n=4000, error=0.7, claimed=0.7, seed=1):
    rng = np.random.default_rng(seed)
    truth = rng.normal(35.0, 2.0, n)
    return GapFigures(
        status=np.full(n, "ok", dtype="<U12"),
        delta=truth + error * rng.normal(size=n),
        delta_stderr=np.full(n, claimed),
        truth=truth,
        live_fraction=np.ones(n),
    )


def summary_of(gaps, times=None):
    return summarise(gaps, times or RunTimes(elapsed=100.0), run_uid="u", seed=7, files={"map": "gap_map.png"})


@pytest.mark.parametrize(("error", "claimed"), [(0.7, 0.7), (1.4, 0.7)])
def test_the_pull_width_is_error_over_claim(error, claimed):
    summary = summary_of(figures(error=error, claimed=claimed))
    # 4000 pixels: a width is known to 1/sqrt(2 n) = 1.1 %, four of those are allowed.
    assert summary["pull_std"] == pytest.approx(error / claimed, rel=0.045)
    assert summary["delta_rms_error"] == pytest.approx(error, rel=0.045)
    assert summary["delta_stderr_rms"] == pytest.approx(claimed)
    # r of truth and truth + noise is sigma / sqrt(sigma^2 + error^2).
    assert summary["truth_correlation"] == pytest.approx(2 / np.hypot(2, error), abs=0.01)
    assert abs(summary["delta_bias"]) < 4 * error / np.sqrt(4000)


def test_scored_pixels_are_fixed_by_the_truth_and_errors_are_over_those_that_are_ok():
    gaps = GapFigures(
        status=np.array(["ok", "ok", "bad-fit", "ok", "no-gap", "off-sample", ""]),
        delta=np.array([36.0, 34.0, np.nan, 90.0, np.nan, np.nan, np.nan]),
        delta_stderr=np.array([0.5, 1.0, np.nan, 0.1, np.nan, np.nan, np.nan]),
        truth=np.array([35.0, 35.0, 35.0, 35.0, np.nan, np.nan, 35.0]),
        live_fraction=np.array([1.0, 0.9, 0.95, 0.89, 0.04, 0.0, 0.0]),
    )
    summary = summary_of(gaps)
    # The fourth pixel has a wild gap but too little flake under the beam; the third is scored and not ok.
    assert (summary["n_scored"], summary["n_scored_ok"], summary["n_ok"]) == (3, 2, 3)
    assert summary["delta_rms_error"] == pytest.approx(1.0)
    assert summary["pull_std"] == pytest.approx(np.std([2.0, -1.0]))
    # Two acquired pixels lie off the flake, one of them claims to know something of a gap.
    assert summary["off_flake_ok_fraction"] == 0.5
    assert (summary["n_points"], summary["n_acquired"]) == (7, 6)
    assert summary["status_counts"] == {"bad-fit": 1, "no-gap": 1, "off-sample": 1, "ok": 3}


def test_without_a_truth_nothing_is_claimed_against_it():
    known = figures(n=50)
    summary = summary_of(GapFigures(known.status, known.delta, known.delta_stderr))
    assert summary["delta_mean"] == pytest.approx(known.delta.mean())
    for name in ("n_scored", "delta_rms_error", "truth_correlation", "pull_std", "off_flake_ok_fraction"):
        assert summary[name] is None
    assert "truth" not in summary_text(summary)


def test_a_run_without_a_gap_or_a_point_is_told_in_nulls_and_not_in_warnings(tmp_path):
    nothing = np.full(3, np.nan)
    gaps = GapFigures(np.array(["no-edge", "no-edge", ""]), nothing, nothing, nothing, np.zeros(3))
    summary = summary_of(gaps, RunTimes(elapsed=float("nan")))
    assert summary["delta_mean"] is None
    assert summary["elapsed_s"] is None
    write_summary(tmp_path / "s.json", summary)
    assert json.loads((tmp_path / "s.json").read_text()) == summary
    assert "2 of 3 acquired: 2 no-edge" in summary_text(summary)
    assert "no pixel with a gap" in summary_text(summary)
    empty = np.empty(0)
    assert summary_of(GapFigures(np.empty(0, dtype="<U12"), empty, empty))["n_points"] == 0


def test_every_promised_key_is_there_and_the_text_says_the_same():
    point = np.r_[np.full(98, 0.12), 0.30, 0.40]
    times = RunTimes(20.0, point, np.full(100, 0.05), np.full(100, 0.04), np.linspace(0, 1, 101))
    summary = summary_of(figures(n=100), times)
    assert set(PROMISED) <= set(summary)
    assert summary["points_per_s"] == 5.0
    assert summary["dead_time_per_point_s"] == pytest.approx(0.03)
    # The 99th percentile of 100 values lies 1 % of the way from the last but one, 0.30, to the last, 0.40.
    assert summary["dead_time_p99_s"] == pytest.approx(0.301 - 0.09)
    assert summary["fit_latency_p95_s"] == pytest.approx(0.95)
    text = summary_text(summary)
    assert "100 of 100 acquired: 100 ok" in text
    assert "30.0 ms a point (median)" in text
    assert max(len(line) for line in text.splitlines()) < 160


def test_arrays_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"delta has shape \(2,\); status has \(3,\)"):
        GapFigures(np.array(["ok"] * 3), np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="both or neither"):
        GapFigures(np.array(["ok"]), np.ones(1), np.ones(1), truth=np.ones(1))


def test_the_parts_of_the_dead_time_add_up_to_it():
    rng = np.random.default_rng(3)
    kinematic, exposure = rng.uniform(0.01, 0.02, 50), np.full(50, 0.05)
    ledger = {"move": kinematic + 0.004, "expose": exposure + 0.003, "read": np.full(50, 0.002)}
    ledger |= {"gate": np.full(50, 0.0005), "write": np.full(50, 0.0015)}
    times = RunTimes(
        elapsed=10.0, point=kinematic + exposure + 0.013, exposure=exposure, kinematic=kinematic, ledger=ledger
    )
    summary = summary_of(figures(n=50), times)
    medians = {name: part["median"] for name, part in summary["dead_time_parts_s"].items()}
    # 13 ms beyond the unavoidable, 11 of which the point itself accounts for.
    assert medians == pytest.approx(
        {"move": 0.004, "expose": 0.003, "read": 0.002, "gate": 0.0005, "write": 0.0015, "rest": 0.002}
    )
    assert sum(medians.values()) == pytest.approx(summary["dead_time_per_point_s"])
    assert "of which (medians) move 4.0 ms" in summary_text(summary)
