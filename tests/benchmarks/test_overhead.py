"""What a point costs beyond exposing and moving, late in a long run and early in one that follows it at once.

Opt-in, for its minutes: ``MICROARPES_OVERHEAD=1 pytest tests/benchmarks/test_overhead.py`` writes
docs/measured/overhead.json. The cache of the frame file is given back every second, as on a machine whose memory is
full, or after a night: else the run goes through memory that was never used, and on a virtual machine the host has to
find each such page, 1 ms a frame of 480 kB, for a plain ``write`` too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import timeit
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from microarpes.beamline.stored_figures import run_times
from microarpes.beamline.stored_run import read_run

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "overhead.json"
POINTS = "100x101"
#: Points from which a median is taken, about points 100 and 10 000.
EARLY, LATE = slice(20, 220), slice(9880, 10080)
#: Medians of 200 points with a spread of a third of themselves are known to 3 %, their quotient to 4.
AT_MOST = 1.15


def clock():
    """Return the ms of a piece of arithmetic, the least of some: a machine may slow down within minutes of load."""
    return 1e3 * min(timeit.repeat("for i in range(100_000): i * i", number=1, repeat=20))


def give_back_the_cache_of_frames(runs):
    for file in runs.glob("*/frames.h5"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


@pytest.mark.skipif("MICROARPES_OVERHEAD" not in os.environ, reason="set MICROARPES_OVERHEAD=1 to measure")
@pytest.mark.timeout(2400)
def test_a_point_costs_the_same_at_point_100_and_at_point_10_000(tmp_path):
    summary = tmp_path / "summary.json"
    clocks = [clock()]
    with subprocess.Popen(
        [Path(sys.executable).with_name("microarpes"), "demo", "--no-page", "--points", POINTS, "--step", "2",
         "--exposure", "0.01", "--directory", "runs", "--summary", summary],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    ) as demo:  # fmt: skip
        while demo.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                demo.wait(1.0)
            give_back_the_cache_of_frames(tmp_path / "runs")
    assert demo.returncode == 0
    clocks.append(clock())
    times = run_times(read_run(tmp_path / "runs" / json.loads(summary.read_text())["run_uid"], lean=True), 0.0)
    early, late = (
        {name: float(np.median(took[points])) for name, took in {"dead": times.dead, **times.dead_parts}.items()}
        for points in (EARLY, LATE)
    )
    ratio = late["dead"] / early["dead"]
    report = {
        "what": "medians of a point of microarpes demo --exposure 0.01, all followers running, ms; ratio of dead times",
        "point_100": {name: round(1e3 * took, 3) for name, took in early.items()},
        "point_10000": {name: round(1e3 * took, 3) for name, took in late.items()},
        "ratio": round(ratio, 3),
        "clock_ms_before_and_after": [round(took, 2) for took in clocks],
        "load_average": os.getloadavg(),
    }
    MEASURED.write_text(json.dumps(report, indent=1) + "\n")
    assert ratio < AT_MOST
