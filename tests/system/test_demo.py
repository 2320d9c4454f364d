"""The main job, end to end: what the demo promises, and what it leaves behind."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest

from microarpes.analysis import GapMap, LiveGapMap
from microarpes.beamline.journal import read_documents
from microarpes.beamline.stored_run import read_run

CONTRACT = (
    "run_uid seed n_points n_acquired n_ok status_counts n_scored delta_mean delta_std delta_stderr_median "
    "delta_rms_error truth_correlation pull_std elapsed_s dead_time_per_point_s dead_time_p99_s points_per_s "
    "fit_latency_p95_s files"
).split()


@pytest.fixture(scope="module")
def folder(demo_run):
    directory, summary, _ = demo_run
    return directory / summary["run_uid"]


@pytest.fixture(scope="module")
def run(folder):
    return read_run(folder)


def test_the_demo_says_nothing_on_stderr_and_no_escape_codes_when_piped(demo_run, folder):
    _, _, done = demo_run
    with h5py.File(folder / "frames.h5") as file:
        rejected = len(file["entry/rejected/reason"])
    # One line for each attempt the gate refused, where the machine stood still for so long that it had to: none else.
    assert done.stderr.count("not accepted") == len(done.stderr.splitlines()) == rejected
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert "times as fast as a real beamline" in done.stdout


def test_the_summary_holds_the_contract_and_is_plain_json(demo_run):
    _, summary, _ = demo_run
    assert set(CONTRACT) <= set(summary)
    json.dumps(summary, allow_nan=False)


def test_every_pixel_is_acquired_and_has_a_verdict(demo_run):
    _, summary, _ = demo_run
    assert summary["n_acquired"] == summary["n_points"] == 144
    assert sum(summary["status_counts"].values()) == 144


def test_the_map_agrees_with_the_truth_within_honest_errors(demo_run):
    # 0.03 s at 3e6 counts/s give some 1500 electrons in the EDC pair: sigma = 33 meV / sqrt(N), about 0.8 meV.
    # Over ~110 scored pixels a pull width of one scatters by 1/sqrt(220) = 7 %; three of those are allowed.
    _, summary, _ = demo_run
    assert summary["n_scored"] > 90
    assert summary["n_scored_ok"] >= 0.97 * summary["n_scored"]
    assert summary["delta_stderr_median"] < 1.0
    assert 0.79 < summary["pull_std"] < 1.21
    assert summary["truth_correlation"] > 0.85


def test_metal_and_dead_patch_are_never_a_gap(demo_run):
    _, summary, _ = demo_run
    assert summary["status_counts"].get("off-sample", 0) > 0
    assert summary["off_flake_ok_fraction"] == 0.0


def test_the_picture_is_there(demo_run):
    _, summary, _ = demo_run
    assert Path(summary["files"]["gap_map"]).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


class Page(HTMLParser):
    """Elements with their attributes, and the text outside the style sheet."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self._within = [], "", ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._within = tag
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self._within != "style":
            self.text += " " + " ".join(data.split())


def test_the_report_tells_the_figures_of_the_summary_and_needs_no_network(demo_run, folder, run):
    _, summary, _ = demo_run
    assert summary["files"]["report"] == str(folder.resolve() / "report.html")
    page = Page((folder / "report.html").read_text())
    for key, unit in (("delta_mean", "meV"), ("delta_std", "meV"), ("delta_stderr_median", "meV")):
        assert f"{summary[key]:.2f} {unit}" in page.text
    assert f"{summary['elapsed_s']:.1f}" in page.text
    assert f"{1000 * summary['dead_time_per_point_s']:.1f}" in page.text
    for told in ("144 of 144 measured", "antinode", "photon energy  100 eV", "ring current", run.start["uid"]):
        assert " ".join(told.split()) in " ".join(page.text.split())
    assert "could not be made" not in page.text
    sources = [attributes[key] for _, attributes in page.elements for key in ("src", "href") if key in attributes]
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    assert "script" not in {tag for tag, _ in page.elements}


def test_the_report_is_written_again_from_what_is_stored(demo_run, folder, microarpes):
    directory, summary, _ = demo_run
    done = microarpes("report", summary["run_uid"][:8], "--directory", directory, "--output", "again.html")
    assert (done.returncode, done.stderr) == (0, "")
    again = Page((microarpes.folder / "again.html").read_text())
    assert f"{summary['delta_mean']:.2f} meV" in again.text
    assert f"{summary['pull_std']:.2f} (1 for honest error bars)" in again.text


def test_a_snapshot_is_drawn_of_a_run_that_is_cut_off_in_the_middle_of_a_record(folder, microarpes):
    cut = microarpes.folder / "runs" / "cut"
    cut.mkdir(parents=True)
    for name in ("raw.journal", "gap.journal"):
        content = (folder / name).read_bytes()
        (cut / name).write_bytes(content[: len(content) // 2])
    done = microarpes("live", "--snapshot", "now.png", "--directory", "runs")
    assert (done.returncode, done.stderr) == (0, "")
    assert (microarpes.folder / "now.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert microarpes("report", "-1", "--directory", "runs").returncode == 0
    assert "no stop document" in (cut / "report.html").read_text()


def test_frame_ids_in_file_and_events_are_the_same_and_each_edc_is_its_frame_summed(folder, run):
    events = sorted(run.events.values(), key=lambda event: event["seq_num"])
    angle = np.array(run.start["angle_axis"])
    windows = [(angle >= w["angle_low"]) & (angle < w["angle_high"]) for w in run.start["windows"]]
    with h5py.File(folder / "frames.h5") as file:
        ids = file["entry/data/frame_id"][:]
        frames = file["entry/data/data"]
        assert ids.tolist() == [event["data"]["frame_id"] for event in events]
        for row, event in enumerate(events):
            frame = frames[row]
            assert frame.sum() == event["data"]["total_counts"]
            for window, edc in zip(windows, event["data"]["edc"], strict=True):
                assert np.array_equal(frame[window].sum(axis=0), edc)


def test_streamed_and_replayed_fits_are_the_same_bits(folder, run):
    replayed = LiveGapMap()
    for name, doc in read_documents(folder / "raw.journal"):
        replayed(name, doc)
    live = GapMap.from_documents(read_documents(folder / "gap.journal"))
    for name in ("joint_delta", "joint_delta_stderr", "joint_gamma1", "delta", "gamma0", "deviance", "upper_limit"):
        assert getattr(live, name).tobytes() == getattr(replayed.gap_map, name).tobytes(), name
    assert (live.joint_status == replayed.gap_map.joint_status).all()


def test_the_start_document_holds_what_replay_and_publication_need(run):
    for key in (
        "grid region windows calibration source sample energy_axis angle_axis versions frame_file shape extents gate"
    ).split():
        assert run.start[key], key
    assert run.start["source"]["photon_energy"] == 100.0
    assert run.start["region"]["low_energy"] < run.start["calibration"]["ef"][0] < run.start["region"]["high_energy"]


def test_runs_and_show_tell_of_the_run(demo_run, microarpes):
    directory, summary, _ = demo_run
    listed = microarpes("runs", "--directory", directory)
    assert listed.returncode == 0
    assert summary["run_uid"][:8] in listed.stdout
    assert "144/144" in listed.stdout
    shown = microarpes("show", summary["run_uid"][:8], "--directory", directory)
    assert shown.returncode == 0
    assert "analyser_frame" in shown.stdout
    assert "derived run" in shown.stdout
