"""``microarpes session``: what the banner offers works, line by line."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from microarpes.beamline.catalog import open_catalog
from microarpes.beamline.config import simulated_text
from microarpes.beamline.stored_run import read_run

LINES = """
RE(flux_check())
print("flux shift of now:", config.calibration.flux_shift, "of", config.calibration.flux_shift_error)
uids = RE(raster(2, 2, step=10.0, comment="from the session"))
RE(raster(LineScan(start=(0, 0), stop=(10, 5), num=2)))
RE(focus(FocusLines(x=75, y=0, points=6, focus=(-9, -3, 3, 9))))
RE(align(save="aligned"))
RE(fs_map(8.0, 10.0, 3))
RE(mv(sample, {"u": 0.0, "v": 0.0, "polar": 9.425}))
RE(mv(station.manipulator.x, 50.0))
print("x =", round(station.manipulator.x.position))
RE(mv(sample, {"u": 10.0, "v": 5.0}))
RE(mv(sample.polar, 12.0))
print("u, v =", round(sample.u.position), round(sample.v.position))
RE(mv(sample, {"u": 0.0, "v": 0.0, "polar": 9.425}))
RE(go(3, run=uids[0]))
print("back at", where(uids[0]))
RE(dose_test(4))
ageing()
RE(long_spectrum((1, 1), time=0.12, run=uids[0][:8]))
exit()
"""
#: On the holder; never due in a raster, and two exposures are enough to say what E_F is to some meV.
REFERENCE = """
[reference]
x = 150.0
y = 0.0
z = 0.0
at_start = false
at_end = false
every_rows = 1000
max_exposures = 2
"""


def started(run):
    return run.start["time"]


def test_the_lines_of_the_banner_work_and_the_run_is_stored(ioc, tmp_path):
    (tmp_path / "beamline.toml").write_text(simulated_text() + REFERENCE)
    done = subprocess.run(
        [sys.executable, "-m", "microarpes.beamline.cli", "session", "--config", "beamline.toml"],
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
        input=LINES,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "x = 50" in done.stdout
    assert "u, v = 10 5" in done.stdout
    # The beam of this beamline moves nothing: what is found is none, within its errors, and rasters use it from now on.
    shift, error = map(float, re.search(r"flux shift of now: (\S+) of (\S+)", done.stdout).groups())
    assert abs(shift) < 5 * error
    assert 0.0 < error < 0.005
    assert f"flux_shift = {shift:.7f}" in done.stdout
    journals = (tmp_path / "microarpes-data").glob("*/raw.journal")
    runs = sorted((read_run(journal.parent) for journal in journals), key=started)
    assert [one.start["plan_name"] for one in runs[3:-1]] == ["focus_scan", "align_antinode", "fs_map", "dose_test"]
    # How many of the four looks are fitted by then is a matter of luck.
    assert re.search("Time and dose are not told apart|No control pixel was seen twice", done.stdout)
    assert (tmp_path / "microarpes-data" / "windows-aligned.toml").exists()
    with open_catalog(tmp_path / "microarpes-data") as catalog:
        assert {one.start["uid"] for one in runs} <= set(catalog.keys())
    (check, run, line), spectrum = runs[:3], runs[-1]
    assert check.start["plan_name"] == "flux_check"
    assert line.start["raster_shape"]["kind"] == "line"
    assert len(line.events) == 2
    assert run.start["comment"] == "from the session"
    assert sorted(run.events) == [0, 1, 2, 3]
    assert run.gap_map is not None
    # the encoders are read within 0.05 um
    assert re.search(
        rf"back at .* pixel 3 of run {run.start['uid'][:8]}: x [+-]0.[0-2], y [+-]0.[0-2] um off", done.stdout
    )
    assert run.start["calibration"]["flux_shift_error"] == error
    assert (spectrum.start["of_run"], spectrum.start["of_pixel"]) == (run.start["uid"], 3)
    (event,) = spectrum.events.values()
    # exposures of 50 ms until 120 ms are reached
    assert event["data"]["acquire_time"] == pytest.approx(0.15)
    # 10 um at 45 deg to the lens, on a face turned by 9.425 deg away from it: 10 um / cos(54.425 deg)
    assert run.start["beam"]["footprint"] == pytest.approx([17.189, 12.0], abs=0.01)


def test_a_session_without_its_beamline_ends_with_one_line(tmp_path):
    (tmp_path / "beamline.toml").write_text(simulated_text().replace("SIM:", "NOBODY:"))
    done = subprocess.run(
        [sys.executable, "-m", "microarpes.beamline.cli", "session", "--config", "beamline.toml"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert "did not connect" in done.stderr
    assert "Traceback" not in done.stderr
