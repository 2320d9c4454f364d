"""What a point costs beyond exposing and moving, late in a long run and early in one that follows it at once.

Opt-in, for its ten minutes: ``MICROARPES_OVERHEAD=1 pytest tests/benchmarks/test_overhead.py`` writes
docs/measured/overhead.json. The clock of a machine may change within minutes of load: the last points of the long run
are compared with the first of the next one, not with its own first ones, which are written down beside them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from microarpes.beamline.stored_figures import run_times
from microarpes.beamline.stored_run import read_run

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "overhead.json"
LONG, SHORT = (100, 101), (20, 10)
#: Points from which a median is taken, about points 100 and 10 000.
EARLY, LATE = slice(50, 150), slice(9950, 10050)
#: Medians of 100 points with a spread of a third of themselves are known to 4 %; 1.15 is beyond chance.
AT_MOST = 1.15


@pytest.mark.skipif("MICROARPES_OVERHEAD" not in os.environ, reason="set MICROARPES_OVERHEAD=1 to measure")
@pytest.mark.timeout(2400)
def test_a_point_costs_the_same_at_point_100_and_at_point_10_000(tmp_path):
    late = dead_times(tmp_path, LONG)
    early = dead_times(tmp_path, SHORT)
    ratio = float(np.median(late[LATE]) / np.median(early[EARLY]))
    report = {
        "what": "median dead time, ms, of 100 points of microarpes demo --exposure 0.01, all followers running",
        "point_10000_of_a_run": milliseconds(late[LATE]),
        "point_100_of_the_run_after_it": milliseconds(early[EARLY]),
        "point_100_of_the_long_run": milliseconds(late[EARLY]),
        "ratio": round(ratio, 3),
        "load_average": os.getloadavg(),
    }
    MEASURED.write_text(json.dumps(report, indent=1) + "\n")
    assert ratio < AT_MOST


def milliseconds(dead):
    return round(1e3 * float(np.median(dead)), 2)


def dead_times(folder, points):
    """Run the demo; return the dead time of each point, s, in the order in which they were taken."""
    directory, summary = folder / f"{points[0]}x{points[1]}", folder / "summary.json"
    program = Path(sys.executable).with_name("microarpes")
    subprocess.run(
        [program, "demo", "--no-page", "--points", f"{points[0]}x{points[1]}", "--step", "2", "--exposure", "0.01",
         "--directory", directory, "--summary", summary],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    run = read_run(directory / json.loads(summary.read_text())["run_uid"], lean=True)
    return run_times(run, 0.0).dead
