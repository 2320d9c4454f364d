"""The simulated beamline fails; nothing bad is kept as good and no point is lost."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import threading
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
#: A kind is struck on so many beamlines, each with a seed of its own; so many run at a time: most of it is waiting.
PARTS, SOAK_WORKERS = 4, int(os.environ.get("MICROARPES_SOAK_WORKERS", "8"))


class SoakReport:
    """What has been found so far; written after each part, so that a soak that is cut off loses none of it."""

    def __init__(self, injections):
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=REPORT.parent, capture_output=True, text=True, check=False
        )
        self.commit, self.injections = commit.stdout.strip(), injections
        self.kinds, self.lock = {}, threading.Lock()
        if REPORT.exists() and (before := json.loads(REPORT.read_text())).get("injections_a_kind") == injections:
            # A soak that was cut off goes on where it ended: parts that are there are not struck again.
            self.kinds = {tally["kind"]: tally for tally in before["kinds"]}

    def missing(self, kinds):
        """Yield kind and seed of the parts that are not there."""
        for part in range(PARTS):
            for kind in kinds:
                known = self.kinds.get(kind, {"injected": 0, "seeds": []})
                if known["injected"] < self.injections and 7 + part not in known["seeds"]:
                    yield kind, 7 + part

    def add(self, kind, seed, tally):
        with self.lock:
            so_far = self.kinds.setdefault(kind, {"kind": kind, "seeds": [], "commits": [], "findings": []})
            for name in SUMMED:
                so_far[name] = so_far.get(name, 0) + tally[name]
            so_far["seeds"].append(seed)
            so_far["commits"] = sorted({*so_far["commits"], self.commit})
            so_far["findings"] += tally["findings"]
            if seconds := sorted(tally["detection_s"]):
                known = so_far.setdefault("detection_s", {"median of each seed": [], "max": 0.0})
                known["median of each seed"].append(seconds[len(seconds) // 2])
                known["max"] = max(known["max"], seconds[-1])
            self.write()

    def write(self):
        kinds = [self.kinds[kind] for kind in sorted(self.kinds)]
        record = {
            "what": "faults injected while the simulated beamline is rastered, 25 points a raster, 20 ms exposures",
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {SOAK_WORKERS} beamlines side by side",
            "load": os.getloadavg(), "injections_a_kind": self.injections,
            **{key: sum(tally[key] for tally in kinds) for key in SUMMED}, "kinds": kinds,
        }  # fmt: skip
        part = REPORT.with_suffix(".part")
        part.write_text(json.dumps(record, indent=1) + "\n")
        part.replace(REPORT)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
@pytest.mark.skipif(not os.environ.get("MICROARPES_SOAK"), reason="MICROARPES_SOAK is not set; `make soak` sets it")
def test_ten_thousand_faults_over_all_kinds(tmp_path, command_line):
    from microarpes.beamline.chaos import SPOILING

    injections = int(os.environ.get("MICROARPES_SOAK_FAULTS", "10000")) // len(SPOILING) + 1
    report = SoakReport(injections)

    def run(job):
        kind, seed = job
        summary = tmp_path / f"{kind}-{seed}.json"
        arguments = ["--kind", kind, "--injections", -(-injections // PARTS), "--seed", seed, "--summary", summary]
        done = command_line(tmp_path)("chaos", *arguments, timeout=3 * 3600)
        if not summary.exists():
            return f"{kind}, seed {seed}: {done.stdout[-500:]}{done.stderr[-1500:]}"
        (tally,) = json.loads(summary.read_text())["kinds"]
        report.add(kind, seed, tally)
        return ""

    with ThreadPoolExecutor(SOAK_WORKERS) as pool:
        failures = [failure for failure in pool.map(run, list(report.missing(SPOILING))) if failure]
    assert failures == []
    assert sorted(report.kinds) == sorted(SPOILING)
    for tally in report.kinds.values():
        assert tally["injected"] >= injections, tally["kind"]
        assert (tally["bad_as_good"], tally["points_lost"]) == (0, 0), tally["findings"]
