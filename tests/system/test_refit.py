"""``microarpes refit`` as users run it, on a copy of the demo's run."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from microarpes.analysis import GapMap
from microarpes.beamline.journal import encode_record, read_documents


@pytest.fixture(scope="module")
def copied(demo_run, tmp_path_factory):
    """The demo's directory, catalog and all, for tests that add to it."""
    directory, summary, _ = demo_run
    copy = tmp_path_factory.mktemp("refit") / "runs"
    shutil.copytree(directory, copy)
    return copy, copy / summary["run_uid"]


@pytest.fixture(scope="module")
def refitted(copied, command_line):
    directory, _ = copied
    done = command_line(directory.parent)("refit", "-1", "--directory", "runs", "--summary", "refit.json")
    assert done.returncode == 0, done.stdout + done.stderr
    return done, json.loads((directory.parent / "refit.json").read_text())


def fits(journal):
    return [encode_record("event", doc["data"]) for name, doc in read_documents(journal) if name == "event"]


def test_the_results_are_the_live_ones_bit_for_bit(copied, refitted):
    _, folder = copied
    _, summary = refitted
    live = fits(folder / "gap.journal")
    assert len(live) == 144
    assert fits(summary["files"]["gap_journal"]) == live


def test_the_figures_are_those_of_the_demo(demo_run, refitted):
    _, demo, _ = demo_run
    done, summary = refitted
    assert set(demo) <= set(summary)
    for key in ("run_uid", "seed", "n_ok", "status_counts", "n_scored", "delta_mean", "pull_std", "truth_correlation"):
        assert summary[key] == demo[key], key
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert summary["derived_run_uid"] in done.stdout
    page = Path(summary["files"]["report"]).read_text()
    assert f"{summary['delta_mean']:.2f} meV" in page
    assert summary["derived_run_uid"] in page
    assert "could not be made" not in page


def test_runs_and_show_tell_of_the_derived_run(copied, refitted, microarpes):
    directory, folder = copied
    _, summary = refitted
    listed = microarpes("runs", "--directory", directory)
    assert summary["derived_run_uid"][:8] in listed.stdout
    shown = microarpes("show", summary["derived_run_uid"][:8], "--directory", directory)
    assert shown.returncode == 0
    assert f"derived from {folder.name}" in shown.stdout
    newest = microarpes("show", "-1", "--directory", directory)
    assert newest.stdout.startswith(f"run {folder.name}")


def test_wider_windows_summed_from_the_frames_hold_more_electrons_and_smaller_errors(copied, microarpes):
    # Twice the width about the same k_F holds about twice the electrons; 1/sqrt(2) of the error, 0.6 to 0.9 with the
    # loss of a band that is no longer flat over the window.
    _, folder = copied
    arguments = ["--window", "-k_F,-1.89,-1.49", "--window", "+k_F,1.49,1.89", "--summary", "wide.json"]
    done = microarpes("refit", folder, *arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads((microarpes.folder / "wide.json").read_text())
    assert summary["edc_source"] == "frames"
    wide = GapMap.from_documents(read_documents(summary["files"]["gap_journal"]))
    live = GapMap.from_documents(read_documents(folder / "gap.journal"))
    assert (wide.joint_status[live.joint_status == "off-sample"] == "off-sample").all()
    assert 0.6 < np.nanmedian(wide.joint_delta_stderr / live.joint_delta_stderr) < 0.9


def test_ctrl_c_ends_it_cleanly(copied, microarpes):
    directory, folder = copied
    before = sorted(folder.iterdir())
    process = microarpes.start("refit", folder.name[:8], "--directory", directory, "--processes", "1")
    deadline = time.monotonic() + 120
    while not list(folder.glob("*.part")):
        assert time.monotonic() < deadline, "the refit never began"
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert output.splitlines()[-1] == "microarpes: interrupted"
    assert "Traceback" not in output
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["run"]),
        (["-1", "--model", "gaussian"], ["gaussian", "norman"]),
        (["nobody"], ["nobody"]),
        (["-7"], ["-7", "-1 is the newest"]),
        (["-1", "--scheduler", "nonsense"], ["nonsense", "tcp://HOST:PORT"]),
        (["-1", "--window", "a,1"], ["'a,1'", "NAME,LOW,HIGH"]),
        (["-1", "--processes", "none"], ["--processes"]),
        (["-1", "--modle", "norman"], ["--modle"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_done_is_refused_in_one_line(copied, microarpes, arguments, words):
    directory, _ = copied
    done = microarpes("refit", *arguments, "--directory", directory)
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("microarpes: ")
    for word in words:
        assert word in line
