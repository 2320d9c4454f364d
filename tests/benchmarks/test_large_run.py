"""Memory of scan, fit follower, refit and exports of runs of 1 000 and 10 000 points, and how fast a pixel opens.

Opt-in, for its minutes and its 10 GB of disk: ``MICROARPES_LARGE_RUN=1 pytest tests/benchmarks/test_large_run.py``
writes docs/measured/large-run.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from microarpes.beamline.stored_run import read_run

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "large-run.json"
SMALL, LARGE = "33x31", "100x101"
#: Pixels opened, of the large run.
OPENED = 200
#: What a large run may need more than a small one, and how long a pixel may take to open, ms.
FLAT, AT_MOST = 1.25, 50.0


def peak_mb(*command, cwd):
    """Run a process; return the most memory that it or one of its children had in use, MB."""
    process = subprocess.Popen([sys.executable, "-m", *map(str, command)], cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return round(usage.ru_maxrss / 1024)


def measured(folder, points):
    """Take a run; return its folder and the memory of each program that goes through all its points."""
    folder.mkdir()
    cli = "microarpes.beamline.cli"
    summary = folder / "summary.json"
    scan = peak_mb(cli, "demo", "--no-page", "--points", points, "--step", "2", "--exposure", "0.01",
                   "--directory", "runs", "--summary", summary, cwd=folder)  # fmt: skip
    uid = json.loads(summary.read_text())["run_uid"]
    (folder / "again" / uid).mkdir(parents=True)
    shutil.copy(folder / "runs" / uid / "raw.journal", folder / "again" / uid)
    found = {
        "scan": scan,
        "fit follower": peak_mb("microarpes.beamline.follow_fit", "--directory", "again", "--run", uid, cwd=folder),
        "refit": peak_mb(cli, "refit", uid, "--processes", "1", "--directory", "runs", cwd=folder),
        "refit from the frames": peak_mb(
            cli, "refit", uid, "--processes", "1", "--directory", "runs", "--window", "-k_F,-1.84,-1.54", cwd=folder
        ),
    }
    for kind, *more in (("nexus",), ("nexus", "--copy-frames"), ("netcdf",), ("csv",)):
        exported = folder / f"exported.{kind}"
        found[" ".join(("export", kind, *more))] = peak_mb(
            cli, "export", uid, "--format", kind, *more, "--directory", "runs", "--output", exported, cwd=folder
        )
        exported.unlink()
    return folder / "runs" / uid, found


def opening_ms(folder):
    """Return the ms that each of some pixels took to open, EDC and frame, as the lines copied from the page do it."""
    run = read_run(folder)
    pixels = np.random.default_rng(5).choice(sorted(run.events), OPENED, replace=False)
    took = []
    for pixel in pixels:
        began = time.perf_counter()
        event = run.events[int(pixel)]
        with h5py.File(run.folder / run.start["frame_file"], "r", swmr=True) as file:
            image = file["/entry/data/data"][event["seq_num"] - 1]
        took.append(1e3 * (time.perf_counter() - began))
        assert image.sum() == event["data"]["total_counts"]
    return np.array(took)


@pytest.mark.skipif("MICROARPES_LARGE_RUN" not in os.environ, reason="set MICROARPES_LARGE_RUN=1 to measure")
@pytest.mark.timeout(3600)
def test_memory_does_not_grow_with_the_points_and_a_pixel_opens_at_once(tmp_path):
    _, small = measured(tmp_path / "small", SMALL)
    folder, large = measured(tmp_path / "large", LARGE)
    took = opening_ms(folder)
    report = {
        "what": "most memory of a process, MB, by points of the run; ms to open EDC and frame of a pixel of the large "
        "run once it is read",
        "command": "MICROARPES_LARGE_RUN=1 pytest tests/benchmarks/test_large_run.py",
        "memory_mb": {name: {SMALL: small[name], LARGE: large[name]} for name in small},
        "opening_ms": {"median": round(float(np.median(took)), 1), "longest": round(float(took.max()), 1)},
    }
    MEASURED.write_text(json.dumps(report, indent=1) + "\n")
    assert {name: large[name] / small[name] for name in small if large[name] > FLAT * small[name]} == {}
    assert np.median(took) < AT_MOST
