"""Faults on demand: their decisions, their command line, what they do to a frame."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from microarpes.sim.exposure import spoiled
from microarpes.sim.fault_kinds import EXPOSURE, KINDS
from microarpes.sim.fault_options import FaultRequest, parse_fault
from microarpes.sim.faults import Faults, Strike
from microarpes.sim.mechanics import DAMPING, Mechanics
from microarpes.sim.motion import Move
from microarpes.sim.sample_source import shifted


def put(faults, name, value):
    asyncio.run(faults.signals[f"P:FAULT:{name}"].write(value))


def decisions(faults, name, subject, n):
    async def run():
        return [(await faults.strike(name, subject)) is not None for _ in range(n)]

    return asyncio.run(run())


def test_nothing_strikes_that_is_not_enabled():
    faults = Faults("P:", 1)
    for kind in KINDS:
        assert decisions(faults, kind.name, "X", 5) == [False] * 5


def test_decisions_follow_probability_and_are_the_same_again():
    found = []
    for _ in range(2):
        faults = Faults("P:", 1)
        faults.request(FaultRequest("MOTOR_STALL", 0.3))
        found.append([decisions(faults, "MOTOR_STALL", axis, 2000) for axis in "XY"])
    assert found[0] == found[1]
    x, y = found[0]
    assert x != y
    # 600 +- 20 (sigma) of 2000 each.
    assert sum(x) == pytest.approx(600, abs=100)
    assert faults.signals["P:FAULT:MOTOR_STALL:COUNT"].value == sum(x) + sum(y)


def test_another_axis_moving_in_between_changes_no_decision():
    faults = Faults("P:", 1)
    faults.request(FaultRequest("MOTOR_STALL", 0.3))
    alone = decisions(faults, "MOTOR_STALL", "X", 50)
    again = Faults("P:", 1)
    again.request(FaultRequest("MOTOR_STALL", 0.3))
    mixed = []
    for _ in range(50):
        decisions(again, "MOTOR_STALL", "Y", 3)
        mixed += decisions(again, "MOTOR_STALL", "X", 1)
    assert mixed == alone


def test_enabling_begins_the_sequence_and_the_count_anew():
    faults = Faults("P:", 1)
    put(faults, "STALE_FRAME:PROBABILITY", 0.5)
    found = []
    for _ in range(2):
        put(faults, "STALE_FRAME:ENABLE", "Enable")
        found.append(decisions(faults, "STALE_FRAME", "frame 1", 40))
        assert faults.signals["P:FAULT:STALE_FRAME:COUNT"].value == sum(found[-1])
        put(faults, "STALE_FRAME:ENABLE", "Disable")
        assert decisions(faults, "STALE_FRAME", "frame 1", 10) == [False] * 10
    assert found[0] == found[1]


def test_a_fault_whose_time_has_not_come_or_is_over_does_not_strike():
    faults = Faults("P:", 1)
    faults.request(FaultRequest("BEAM_DUMP", 1.0, start=1000.0))
    faults.request(FaultRequest("BUSY_LIES", 1.0, start=0.0, duration=1e-9))
    assert decisions(faults, "BEAM_DUMP", "frame 1", 3) == [False] * 3
    assert decisions(faults, "BUSY_LIES", "frame 1", 3) == [False] * 3


def test_the_last_strike_is_named_with_its_subject():
    faults = Faults("P:", 1)
    faults.request(FaultRequest("NAN_FRAME", 1.0, amount=0.5))
    struck = asyncio.run(faults.strikes(EXPOSURE, "frame 17"))
    assert list(struck) == ["NAN_FRAME"]
    assert struck["NAN_FRAME"].amount == 0.5
    assert 0.0 <= struck["NAN_FRAME"].phase < 1.0
    name, stamp, *subject = faults.signals["P:FAULT:LAST"].value.split()
    assert (name, subject) == ("NAN_FRAME", ["frame", "17"])
    assert float(stamp) > 1.6e9


def test_settings_out_of_range_are_refused():
    faults = Faults("P:", 1)
    for name, bad in (
        ("PROBABILITY", 1.5),
        ("PROBABILITY", float("nan")),
        ("START", -1.0),
        ("AMOUNT", 1e9),
        ("SEED", -1),
    ):
        before = faults.signals[f"P:FAULT:LATE_FRAME:{name}"].value
        put(faults, f"LATE_FRAME:{name}", bad)
        assert faults.signals[f"P:FAULT:LATE_FRAME:{name}"].value == before


def test_a_reboot_goes_on_in_the_same_sequence():
    whole = Faults("P:", 3)
    whole.request(FaultRequest("BEAM_DUMP", 0.4))
    expected = decisions(whole, "BEAM_DUMP", "frame 1", 60)
    first = Faults("P:", 3)
    first.request(FaultRequest("BEAM_DUMP", 0.4))
    found = decisions(first, "BEAM_DUMP", "frame 1", 25)
    second = Faults("P:", 3)
    second.restore(first.state())
    found += decisions(second, "BEAM_DUMP", "frame 1", 35)
    assert found == expected
    assert second.signals["P:FAULT:BEAM_DUMP:COUNT"].value == sum(expected)


@pytest.mark.parametrize(
    ("option", "request_"),
    [
        ("STALE_FRAME=0.1", FaultRequest("STALE_FRAME", 0.1)),
        ("beam_dump=1@5", FaultRequest("BEAM_DUMP", 1.0, 5.0)),
        ("BEAM_DUMP=0.5@5+60:1.5", FaultRequest("BEAM_DUMP", 0.5, 5.0, 60.0, 1.5)),
        ("WRONG_READBACK=1:-3", FaultRequest("WRONG_READBACK", 1.0, amount=-3.0)),
    ],
)
def test_the_command_line_names_probability_start_duration_amount(option, request_):
    assert parse_fault(option) == request_


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("GREMLIN=1", "there is no fault 'GREMLIN'"),
        ("STALE_FRAME", "is not NAME=PROBABILITY"),
        ("STALE_FRAME=", "is not NAME=PROBABILITY"),
        ("STALE_FRAME=often", "'often', is not a number"),
        ("STALE_FRAME=nan", "'nan', is not a number"),
        ("STALE_FRAME=2", "probability of STALE_FRAME is 2; it can be from 0 to 1"),
        ("STALE_FRAME=1:3", "amount of STALE_FRAME is 3; it can be from 0 to 0"),
        ("BEAM_DUMP=1@-5", "start of BEAM_DUMP is -5"),
    ],
)
def test_a_fault_that_cannot_be_says_what_can(option, message):
    with pytest.raises(ValueError, match=r".*") as caught:
        parse_fault(option)
    assert message in str(caught.value)


def test_what_each_fault_does_to_a_frame():
    good = np.arange(12, dtype=np.int32).reshape(4, 3)
    previous = -good

    def after(name, amount=0.0):
        return spoiled(good, {name: Strike(amount, 0.5)}, previous)

    assert np.array_equal(spoiled(good, {}, previous), good)
    assert np.array_equal(after("DUPLICATED_FRAME"), previous)
    assert after("WRONG_SHAPE", 1.0).shape == (3, 3)
    assert np.all(after("SATURATED_FRAME", 65535.0) == 65535)
    assert np.all(after("SATURATED_FRAME", 4e9) == 2**31 - 1)
    holed = after("NAN_FRAME", 0.25)
    assert np.isnan(holed).sum() == 3
    assert np.array_equal(holed[~np.isnan(holed)], good[~np.isnan(holed)])


def test_a_drift_of_e_f_moves_the_spectrum_up():
    energy = np.arange(400.0)
    image = np.exp(-0.5 * ((energy - 200.0) / 5.0) ** 2)[None, :]
    for shift in (2.0, -3.0, 0.4, 1.7, -0.25):
        found = shifted(image, shift)[0]
        # Cubic interpolation of a Gaussian of 5 channels (sigma) moves its centroid exactly and keeps its sum.
        assert (found * energy).sum() / found.sum() == pytest.approx(200.0 + shift, abs=1e-6)
        assert found.sum() == pytest.approx(image.sum(), rel=1e-6)


def test_play_between_motor_and_stage_is_taken_up_in_the_direction_of_travel():
    stage = Mechanics("P:X", "um", 0.0, [1])
    asyncio.run(stage.lost_motion.write(2.0))
    positions = []
    for end in (10.0, 20.0, 10.0, 10.5, 20.0):
        stage.follow(Move(stage.motor(), end, 1e9, 0.0))
        stage.land()
        positions.append(stage.stage())
    # 1 um behind after going up; 1 um ahead after coming down; half taken up by 0.5 um; then behind again.
    assert positions == pytest.approx([9.0, 19.0, 11.0, 11.0, 19.0])


def test_the_stage_rings_after_it_has_landed_and_then_is_still():
    stage = Mechanics("P:X", "um", 0.0, [1])
    asyncio.run(stage.vibration.write(1.0))
    stage.follow(Move(0.0, 10.0, 1e9, 0.0))
    stage.land()
    found = [stage.stage() - 10.0 for _ in range(2000)]
    assert max(map(abs, found)) <= 1.0
    assert max(map(abs, found)) > 0.0
    stage._landed -= 11.0 * DAMPING
    assert stage.stage() == 10.0


def test_the_documentation_lists_every_fault_with_its_amount():
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "faults.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `") and line.count("|") == 5]
    listed = {cells[1].strip(" `"): cells[3].split()[:1] for cells in rows}
    assert listed == {kind.name: [f"{kind.amount:.10g}"] if kind.highest else [] for kind in KINDS}
