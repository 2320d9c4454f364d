"""The simulated beamline fails; nothing bad is kept as good and no point is lost."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

#: One of each way to strike: frames, the detector, the beam, the environment's signals, motion.
KINDS = (
    "STALE_FRAME DUPLICATED_FRAME DROPPED_FRAME LATE_FRAME WRONG_SHAPE NAN_FRAME SATURATED_FRAME OVER_COUNT "
    "ACQUIRE_TIMEOUT BUSY_LIES BEAM_DUMP TOPUP_GLITCH SHUTTER_DROP BEAM_INVALID MOTOR_STOP WRONG_READBACK"
).split()


#: Beamlines that fail side by side: most of a fault's time is waiting.
WORKERS = 4


@pytest.fixture(scope="module")
def tallies(tmp_path_factory, command_line):
    folder = tmp_path_factory.mktemp("chaos")

    def run(number):
        arguments = [argument for kind in KINDS[number::WORKERS] for argument in ("--kind", kind)]
        summary = folder / f"{number}.json"
        done = command_line(folder)("chaos", *arguments, "--injections", "8", "--summary", summary, timeout=290)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return json.loads(summary.read_text())["kinds"]

    with ThreadPoolExecutor(WORKERS) as pool:
        return {tally["kind"]: tally for kinds in pool.map(run, range(WORKERS)) for tally in kinds}


@pytest.mark.parametrize("kind", KINDS)
def test_no_bad_point_is_kept_as_good_and_none_is_lost(tallies, kind):
    tally = tallies[kind]
    assert tally["injected"] >= 8
    assert (tally["bad_as_good"], tally["points_lost"]) == (0, 0), tally["findings"]


@pytest.mark.parametrize("kind", ["STALE_FRAME", "NAN_FRAME", "BEAM_DUMP", "MOTOR_STOP", "OVER_COUNT"])
def test_what_struck_was_noticed_and_the_point_taken_again(tallies, kind):
    # Each of these spoils the very point it strikes, so at least as many attempts are refused as there were strikes
    # that fell on one (a motor only moves on some).
    assert tallies[kind]["retaken"] > 0


def test_an_over_count_always_calls_the_operator(tallies):
    assert tallies["OVER_COUNT"]["operator_needed"] >= 8


def test_an_unknown_kind_is_refused(microarpes):
    done = microarpes("chaos", "--kind", "GREMLIN")
    assert done.returncode != 0
    assert "GREMLIN" in done.stderr
    assert len(done.stderr.splitlines()) == 1


REPORT = Path(__file__).parents[2] / "docs" / "measured" / "chaos.json"
SUMMED = ("injected", "retaken", "operator_needed", "points", "bad_as_good", "points_lost")


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
@pytest.mark.skipif(not os.environ.get("MICROARPES_SOAK"), reason="MICROARPES_SOAK is not set; `make soak` sets it")
def test_ten_thousand_faults_over_all_kinds(tmp_path, command_line):
    from microarpes.beamline.chaos import SPOILING

    injections = int(os.environ.get("MICROARPES_SOAK_FAULTS", "10000")) // len(SPOILING) + 1

    def run(kind):
        arguments = ["--kind", kind, "--injections", injections, "--summary", f"{kind}.json"]
        done = command_line(tmp_path)("chaos", *arguments, timeout=5 * 3600)
        assert (tmp_path / f"{kind}.json").exists(), done.stdout[-2000:] + done.stderr[-2000:]
        (tally,) = json.loads((tmp_path / f"{kind}.json").read_text())["kinds"]
        return tally

    with ThreadPoolExecutor(WORKERS) as pool:
        tallies = list(pool.map(run, SPOILING))
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPORT.parent, capture_output=True, text=True, check=False
    )
    for tally in tallies:
        seconds = sorted(tally.pop("detection_s"))
        tally["detection_s"] = {"median": seconds[len(seconds) // 2], "max": seconds[-1]} if seconds else None
    record = {
        "what": "faults injected into the simulated beamline while it is rastered, 25 points a raster, 20 ms exposures",
        "commit": commit.stdout.strip(), "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {WORKERS} beamlines side by side",
        "load": os.getloadavg(), "kinds": tallies,
        **{key: sum(tally[key] for tally in tallies) for key in SUMMED},
    }  # fmt: skip
    REPORT.write_text(json.dumps(record, indent=1) + "\n")
    assert all(tally["injected"] >= injections for tally in tallies)
    assert (record["bad_as_good"], record["points_lost"]) == (0, 0)
