"""The simulated beamline fails; nothing bad is kept as good and no point is lost."""

from __future__ import annotations

import json

import pytest

#: One of each way to strike: frames, the detector, the beam, the environment's signals, motion.
KINDS = (
    "STALE_FRAME DUPLICATED_FRAME DROPPED_FRAME LATE_FRAME WRONG_SHAPE NAN_FRAME SATURATED_FRAME OVER_COUNT "
    "ACQUIRE_TIMEOUT BUSY_LIES BEAM_DUMP TOPUP_GLITCH SHUTTER_DROP BEAM_INVALID MOTOR_STOP WRONG_READBACK"
).split()


@pytest.fixture(scope="module")
def tallies(tmp_path_factory, command_line):
    folder = tmp_path_factory.mktemp("chaos")
    arguments = [argument for kind in KINDS for argument in ("--kind", kind)]
    done = command_line(folder)("chaos", *arguments, "--injections", "8", "--summary", "chaos.json", timeout=290)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return {tally["kind"]: tally for tally in json.loads((folder / "chaos.json").read_text())["kinds"]}


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
