"""What held a run up, as a replay can do it again; what it cannot is told."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from microarpes.beamline.read_run import open_recorded_run
from microarpes.beamline.recorded_interruptions import SHORTEST, Held, repetition
from microarpes.beamline.recording_format import write_recording
from microarpes.beamline.recordings import open_recording
from microarpes.plans.guard_limits import GuardLimits, refused_value

#: mA: between injections a ring has 297 to 300; the guard lets the run go on at 250.
RING = {"pv": "SR:I", "low": 200.0, "resume_low": 250.0, "delay": 30.0, "close_shutter": True, "max_age": 2.0}
POINTS = {"x": np.arange(9.0), "ring_current": np.full(9, 298.0), "temperature": np.full(9, 10.0)}


def dump(after=4, began=100.0, duration=61.0, **other):
    told = {"guard": "ring_current", "reason": "ring_current is 0, at least 200 is asked for"} | other
    return Held(after=after, began=began, duration=duration, **told)


def test_a_dump_is_shown_for_as_long_as_the_beam_was_away_and_the_guard_settles_as_it_did():
    # 61 s held up, 30 s of them settling: the beam was away for 31 s; all of it ten times as fast.
    again = repetition([dump()], {"ring_current": RING}, POINTS, 10.0)
    (change,) = again.changes
    assert (change.signal, change.after, change.begin, change.value) == ("ring_current", 4, 0.0, 0.0)
    assert change.seconds == pytest.approx(3.1)
    guard = GuardLimits.model_validate(again.guards["ring_current"])
    assert (guard.low, guard.resume_low, guard.delay, guard.close_shutter, guard.pv) == (200.0, 250.0, 3.0, True, "")
    assert again.left_out == []


def test_however_fast_a_guard_has_time_to_look():
    (change,) = repetition([dump()], {"ring_current": RING}, POINTS, 1e4).changes
    assert change.seconds == SHORTEST


def test_a_guard_that_tripped_twice_at_one_place_is_well_in_between():
    again = repetition([dump(), dump(began=161.5)], {"ring_current": RING}, POINTS, 100.0)
    first, second = again.changes
    assert second.begin > first.begin + first.seconds + again.guards["ring_current"]["delay"]


def test_two_guards_trip_in_the_order_they_did():
    # The dump closes the front end: the shutter was seen closed 0.5 s after the current.
    shut = dump(began=100.5, guard="shutter", reason="shutter is 'Closed', not 'Opened'")
    limits = {"ring_current": RING, "shutter": {"pv": "FE:S", "value": "Opened"}}
    again = repetition([shut, dump()], limits, POINTS, 1.0)
    assert [(change.signal, change.begin, change.value) for change in again.changes] == [
        ("ring_current", 0.0, 0.0),
        ("shutter", 0.5, 0.0),
    ]
    # The simulated shutter has its own words.
    assert again.guards["shutter"]["value"] == "Open"


def test_a_value_that_the_reason_rounded_into_the_limits_still_trips_the_guard():
    shown = "ring_current is 200, at least 200 is asked for"  # it was 199.9999
    (change,) = repetition([dump(reason=shown)], {"ring_current": RING}, POINTS, 1.0).changes
    assert change.value < 200.0
    assert change.value == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (dump(guard="operator", reason="a cup of tea"), "an operator"),
        (dump(guard="operator hold", reason="a look at the sample"), "an operator"),
        (dump(guard="plan", reason="pixel 4 failed 5 times"), "the plan"),
        (dump(guard="disk", reason="disk is 0.1, at least 1 is asked for"), "guards that trip again are ring_current"),
        (dump(after=9), "after the last pixel"),
        (dump(reason="ring_current was not updated for 3.0 s, at most 2 s is accepted"), "not a value"),
        (dump(reason="ring_current cannot be read: TimeoutError"), "not a value"),
        (dump(guard="vacuum", reason="vacuum is 1e-07, at most 1e-09 is allowed"), "did not record its pressure"),
        (dump(guard="temperature", reason="temperature is 30, at most 9 is allowed"), "would not let the guard go"),
    ],
)
def test_what_no_process_variable_can_do_again_is_left_out_and_told(held, why):
    limits = {"ring_current": RING, "vacuum": {"high": 1e-9}, "temperature": {"high": 9.0}, "disk": {"low": 1.0}}
    again = repetition([held], limits, POINTS, 10.0)
    assert again.changes == ()
    assert again.guards == {}
    (left,) = again.left_out
    assert (left["guard"], left["reason"], left["began"], left["duration"]) == (held.guard, held.reason, 100.0, 61.0)
    assert why in left["why"]
    assert re.search(f"not held up again .*{held.guard} for 61.0 s", "\n".join(again.told()))


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-12, 199.5, math.nan, math.inf])
def test_what_a_guard_saw_is_read_from_the_reason_it_gave(value):
    limits = GuardLimits(low=200.0, high=400.0)
    seen = refused_value("ring_current " + limits.refusal(value, tripped=False))
    assert seen == value or (math.isnan(seen) and math.isnan(value))
    assert refused_value("door " + GuardLimits(value="shut").refusal("it's ajar", tripped=False)) == "it's ajar"


def test_an_interruption_stands_between_the_points_it_came_between_and_goes_into_the_recording(own_raster, tmp_path):
    data = {"reason": "ring_current is 0, at least 200 is asked for", "guard": "ring_current", "began": 1.8e9 + 4.1,
            "duration": 0.7}  # fmt: skip

    def documents():
        for name, doc in own_raster.documents():
            if name == "start":
                region = {"pass_energy": 10.0, "lens_mode": "A14", "acquire_time": 0.1, "iterations": 1}
                doc = doc | {"region": region, "source": {"photon_energy": 100.0}}
            elif name == "event" and "pixel" in doc["data"]:
                doc = doc | {"data": doc["data"] | {"live_time": 0.1, "manipulator_x_setpoint": 0.0}}
            if name == "event" and doc["data"].get("pixel") == 5:
                yield "descriptor", {"uid": "interruptions-uid", "run_start": own_raster.uid, "name": "interruptions",
                                     "data_keys": {key: {} for key in data}}  # fmt: skip
                yield "event", own_raster.event("interruptions", 1, 1.8e9 + 4.8, data)
            yield name, doc

    own_raster.write(documents())
    with open_recorded_run(own_raster.folder) as recorded:
        assert recorded.held == [Held(after=5, **data)]
        again = repetition(recorded.held, {"ring_current": {"low": 200.0}}, recorded.recording.points, 1.0)
        write_recording(tmp_path / "r.h5", replace(recorded.recording, changes=again.changes), recorded.frames)
    with open_recording(tmp_path / "r.h5") as (recording, _):
        assert recording.changes == again.changes
        assert recording.changes[0].after == 5
