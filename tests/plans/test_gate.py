"""The gate: each reason to refuse a point, one at a time, and a good point passes."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.devices.evidence import Evidence, Flown
from microarpes.devices.manipulator import AXES
from microarpes.plans.gate import Gate
from microarpes.plans.limits import GateLimits

SHAPE = (3, 4)
TOLERANCES = {"x": 1.0, "y": 1.0, "z": 2.0, "polar": 0.02, "tilt": 0.02, "azimuth": 0.02}


def reading(value, timestamp=1000.06, alarm_severity=0):
    return {"value": value, "timestamp": timestamp, "alarm_severity": alarm_severity}


def good_evidence():
    readings = {"frame_id": reading(8), "array_counter": reading(8), "detector_state": reading(0)}
    readings |= {"i0_integral": reading(5.0), "i0_frame_id": reading(8), "open_fraction": reading(1.0)}
    readings |= {"ring_current": reading(299.0), "sample_temperature": reading(10.0), "pressure": reading(5e-11)}
    readings["heartbeat"] = reading(77)
    for name in AXES:
        readings[f"{name} readback"] = reading(100.2 if name == "x" else 0.0)
        readings[f"{name} done"] = reading(1)
    return Evidence(
        request={"x": 100.0, "y": 0.0},
        readings=readings,
        frame=np.ones(SHAPE, dtype=np.int32),
        frame_id_before=7,
        edge_time=1000.0,
        acquire_time=0.05,
    )


def make_gate(**limits):
    return Gate(GateLimits(**limits), TOLERANCES, SHAPE)


def test_a_good_point_passes():
    assert make_gate().judge(good_evidence()) == []


def test_a_tolerated_alarm_does_not_reject():
    # MINOR and MAJOR are common on a motor that moves; only INVALID means that the value means nothing.
    evidence = good_evidence()
    evidence.readings["x readback"]["alarm_severity"] = 2
    assert make_gate().judge(evidence) == []


def change(path, value):
    def apply(evidence):
        key, _, field = path.partition("/")
        if field:
            evidence.readings[key][field] = value
        else:
            setattr(evidence, key, value)

    return apply


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (change("frame_id/value", 7), "stale"),
        (change("frame_id/value", 9), "dropped"),
        # stamped before the exposure began: the frame of an earlier one
        (change("frame_id/timestamp", 999.99), "not later than the start"),
        # the edge was never seen
        (change("edge_time", float("nan")), "not later than the start"),
        (change("detector_state/value", 6), "Error"),
        (change("detector_state/value", 1), "Acquire"),
        (change("frame", None), "shape None"),
        (change("frame", np.ones((4, 3))), "shape"),
        (change("frame", np.full(SHAPE, np.nan)), "not finite"),
        (change("frame", np.full(SHAPE, np.inf)), "not finite"),
        (change("frame", np.full(SHAPE, 2**31 - 1, dtype=np.int32)), "saturation"),
        # what a NaN becomes in an integer frame, and what a counter becomes that wrapped
        (change("frame", np.full(SHAPE, -(2**31), dtype=np.int32)), "negative counts"),
        (change("x readback/value", 101.2), "x is at 101.2"),
        (change("x readback/value", float("nan")), "x is at nan"),
        (change("x readback/alarm_severity", 3), "x readback is INVALID"),
        (change("polar done/value", 0), "polar is moving"),
        (change("i0_frame_id/value", 7), "I0 belongs to frame 7"),
        (change("open_fraction/value", 0.9), "90.0%"),
        (change("open_fraction/value", float("nan")), "nan%"),
        (change("i0_integral/alarm_severity", 3), "i0_integral is INVALID"),
        (change("open_fraction/alarm_severity", 3), "open_fraction is INVALID"),
        (change("i0_integral/value", 0.0), "no beam"),
        (change("i0_integral/value", float("nan")), "no beam"),
        (change("ring_current/alarm_severity", 3), "ring_current is INVALID"),
        (change("ring_current/timestamp", 990.0), "ring_current is 10.1 s old"),
        (change("sample_temperature/value", float("nan")), "sample_temperature is INVALID"),
        (change("pressure/timestamp", 900.0), "pressure is 100.1 s old"),
        (change("heartbeat/timestamp", 990.0), "heartbeat is 10.1 s old"),
        (change("errors", ["move of x: stalled"]), "stalled"),
    ],
)
def test_a_spoiled_point_is_refused_with_the_reason(spoil, reason):
    evidence = good_evidence()
    spoil(evidence)
    reasons = make_gate().judge(evidence)
    assert reason in reasons[0]


def flown(**found):
    """A good exposure of an axis that flies by, not done and beyond its tolerance at rest."""
    evidence = good_evidence()
    evidence.readings["x readback"]["value"] = 104.0
    evidence.readings["x done"]["value"] = 0
    evidence.flown = Flown(**{"axis": "x", "tolerance": 5.0, "position": 101.5, "blur": 4.0} | found)
    return evidence


def test_an_axis_that_flies_is_judged_by_where_it_was_in_the_mean():
    assert make_gate().judge(flown()) == []
    (reason,) = make_gate().judge(flown(position=105.5))
    assert reason == "x was at 105.5 in the mean, asked for 100.0, tolerance 5"


def test_a_frame_in_flight_that_swept_over_more_than_its_pixel_is_refused():
    assert make_gate().judge(flown(blur=12.0)) == []
    (reason,) = make_gate().judge(flown(blur=12.5))
    assert reason == "x moved over 12.5 during the exposure, a pixel is 10 wide"


@pytest.mark.parametrize("unknown", ["position", "blur"])
def test_a_frame_in_flight_without_readbacks_about_it_is_refused(unknown):
    (reason,) = make_gate().judge(flown(**{unknown: float("nan")}))
    assert "where x was during the exposure is not known" in reason


def test_the_axes_that_do_not_fly_are_judged_as_at_rest():
    evidence = flown()
    evidence.readings["y readback"]["value"] = 1.2
    (reason,) = make_gate().judge(evidence)
    assert "y is at 1.2" in reason


def lost(share, shutter="Open", severity=0):
    """An exposure that lost a share of its beam, with what the shutter said afterwards."""
    evidence = good_evidence()
    evidence.readings["open_fraction"] = reading(1.0 - share)
    evidence.readings["i0_integral"] = reading(5.0 * (1.0 - share))
    evidence.readings["shutter"] = reading(shutter, alarm_severity=severity)
    return evidence


@pytest.mark.parametrize(
    ("share", "limit", "accepted"),
    [
        # a dump that takes less than 5 % of the dose leaves a partial exposure, recorded with its I0
        (0.0499, 0.05, True),
        (0.0501, 0.05, False),
        (0.05, 0.05, False),
        (0.19, 0.2, True),
        (0.21, 0.2, False),
        # no partial exposures at all: what 99 % of the beam asks for is what counts
        (0.0099, 0.0, True),
        (0.0101, 0.0, False),
    ],
)
def test_a_dump_that_takes_little_of_the_dose_leaves_a_partial_exposure(share, limit, accepted):
    reasons = make_gate(max_dose_loss=limit).judge(lost(share))
    assert (reasons == []) is accepted
    if not accepted:
        assert f"beam on the sample for {1 - share:.1%}" in reasons[0]
        assert f"at least {min(0.99, 1 - limit):.1%}" in reasons[0]


def test_only_a_loss_of_beam_makes_an_exposure_partial_not_a_shutter():
    # The shutter must be open for 99 % of every exposure: 98 % with beam pass only when the shutter was not the cause.
    assert make_gate().judge(lost(0.02)) == []
    assert "the shutter closed after 98.0%" in make_gate().judge(lost(0.02, "Not Open"))[0]
    assert "the shutter closed after 98.0%" in make_gate().judge(lost(0.02, severity=3))[0]
    unread = lost(0.02)
    del unread.readings["shutter"]
    assert make_gate().judge(unread) == ["'shutter' was not read"]


def test_a_signal_that_was_not_read_refuses_the_point():
    evidence = good_evidence()
    del evidence.readings["open_fraction"]
    assert "was not read" in make_gate().judge(evidence)[0]


def test_a_saturated_channel_is_refused_where_the_detector_has_a_limit():
    evidence = good_evidence()
    evidence.frame = np.full(SHAPE, 65535)
    assert make_gate().judge(evidence) == []
    assert "saturation" in make_gate(saturation=65535.0).judge(evidence)[0]


def test_i0_is_judged_against_the_median_of_what_was_accepted():
    gate = make_gate()
    dip = good_evidence()
    dip.readings["i0_integral"]["value"] = 5.0 * 0.4
    # The first points have nothing to be compared with.
    assert gate.judge(dip) == []
    for _ in range(Gate.WARM_UP):
        gate.accept(good_evidence())
    dip.frame = dip.frame + 1
    assert "0.40 of the median" in gate.judge(dip)[0]
    # a top-up saw-tooth of 1 % is no dip
    dip.readings["i0_integral"]["value"] = 5.0 * 0.99
    dip.frame = dip.frame + 1
    assert gate.judge(dip) == []


def test_a_frame_with_the_counts_of_the_one_before_is_refused_whatever_its_id():
    gate, second = make_gate(), good_evidence()
    assert gate.judge(good_evidence()) == []
    second.readings["frame_id"]["value"] = second.readings["i0_frame_id"]["value"] = 9
    second.frame_id_before = 8
    assert "duplicated" in gate.judge(second)[0]


def judge_frame(gate, counts):
    evidence = good_evidence()
    evidence.frame = np.full(SHAPE, counts, dtype=np.int32)
    return gate.judge(evidence)


def test_a_dark_frame_is_believed_when_its_retakes_are_dark_too():
    # The beam may look at a hole in the holder; there every frame is dark, and alike, and no duplicate.
    gate = make_gate()
    for dark in range(1, gate.DARK_IN_A_ROW):
        (reason,) = judge_frame(gate, 0)
        assert "no count" in reason
        assert reason.endswith(f"this is {dark}")
    assert judge_frame(gate, 0) == judge_frame(gate, 0) == []


def test_each_bright_frame_asks_the_next_dark_one_for_its_retakes_again():
    # A detector whose high voltage trips within a raster gives the zeros of a hole.
    gate = make_gate()
    while judge_frame(gate, 0):
        pass
    assert judge_frame(gate, 1) == []
    assert "this is 1" in judge_frame(gate, 0)[0]
    assert judge_frame(gate, 2) == []
    assert "this is 1" in judge_frame(gate, 0)[0]


def test_a_dark_point_is_believed_before_an_operator_is_called():
    assert Gate.DARK_IN_A_ROW <= GateLimits().max_attempts


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("photon_energy", 100.005, False),
        ("photon_energy", 100.02, True),
        ("photon_energy", float("nan"), True),
        ("polarisation", "LV", True),
        ("exit_slit", 30.0, True),
        # 2 % of it: beams are attenuated over decades
        ("transmission", 0.01015, False),
        ("transmission", 0.0105, True),
    ],
)
def test_a_source_that_changed_since_the_start_refuses_the_point(name, value, refused):
    source = {"photon_energy": 100.0, "polarisation": "LH", "entrance_slit": 20.0, "exit_slit": 20.0}
    source |= {"transmission": 0.01}
    gate = Gate(GateLimits(), TOLERANCES, SHAPE, source)
    evidence = good_evidence()
    evidence.readings |= {key: reading(found) for key, found in source.items()}
    assert gate.judge(evidence) == []
    evidence.frame = evidence.frame + 1
    evidence.readings[name]["value"] = value
    reasons = gate.judge(evidence)
    assert (len(reasons) == 1 and name in reasons[0]) if refused else reasons == []
    evidence.frame = evidence.frame + 1
    evidence.readings[name] |= {"value": source[name], "alarm_severity": 3}
    assert gate.judge(evidence) == [f"{name} is INVALID"]


def test_the_age_of_a_slow_signal_is_three_of_its_update_periods_unless_it_is_given():
    for limits, age, refused in (
        ({}, 2.9, False),
        ({}, 3.2, True),
        ({"update_period": {"ring_current": 0.2}}, 0.7, True),
        ({"update_period": {"ring_current": 0.2}, "max_age": {"ring_current": 5.0}}, 4.9, False),
    ):
        evidence = good_evidence()
        evidence.readings["ring_current"]["timestamp"] = 1000.06 - age
        assert bool(make_gate(**limits).judge(evidence)) is refused, (limits, age)


def delayed_evidence():
    """A beamline without gated I0; the ring current is from 0.1 s after the exposure."""
    evidence = good_evidence()
    for name in ("i0_integral", "i0_frame_id", "open_fraction"):
        del evidence.readings[name]
    evidence.readings["ring_current"] = reading(299.0, 1000.16)
    evidence.readings["shutter"] = reading("Open", 500.0)
    evidence.shutter_not_open = 499.0
    return evidence


def test_without_gated_i0_a_point_passes_by_ring_current_and_shutter():
    assert make_gate(beam_check="delayed").judge(delayed_evidence()) == []
    # it is never the silent fall-back of a beamline that has a gated I0
    assert "was not read" in make_gate().judge(delayed_evidence())[0]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        # as old as the end of the exposure: the beam may have gone meanwhile
        (change("ring_current/timestamp", 1000.06), "not updated after the exposure"),
        (change("ring_current/timestamp", float("nan")), "not updated after the exposure"),
        (change("ring_current/value", 0.9), "at least 1 mA"),
        (change("ring_current/value", float("nan")), "at least 1 mA"),
        (change("shutter/value", "Not Open"), "the shutter is Not Open"),
        (change("shutter/alarm_severity", 3), "the shutter is Open, not Open"),
        # open again at the end, but not all the time
        (change("shutter_not_open", 1000.01), "closed during the exposure"),
        (change("edge_time", float("nan")), "not later than the start"),
    ],
)
def test_without_gated_i0_a_beam_that_is_not_known_to_have_been_there_refuses_the_point(spoil, reason):
    evidence = delayed_evidence()
    spoil(evidence)
    assert reason in make_gate(beam_check="delayed").judge(evidence)[0]


def test_without_gated_i0_the_ring_current_is_judged_against_the_last_points():
    gate, weak = make_gate(beam_check="delayed"), delayed_evidence()
    for _ in range(Gate.WARM_UP):
        gate.accept(delayed_evidence())
    weak.readings["ring_current"]["value"] = 299.0 * 0.4
    assert "ring_current = 119.6 mA is 0.40 of the median" in gate.judge(weak)[0]


def between_injections(before=30.0, after=29.9):
    """An exposure from 1000.00 to 1000.06 s, with the countdown read 0.02 s before and 0.04 s after it."""
    evidence = good_evidence()
    evidence.countdown_before = reading(before, 999.98)
    evidence.readings["countdown"] = reading(after, 1000.10)
    return evidence


@pytest.mark.parametrize("policy", ["gate", "discard"])
def test_an_exposure_is_refused_when_an_injection_fell_into_it_unless_injections_are_ignored(policy):
    limits = {"top_up": policy, "top_up_interval": 60.0}
    hit = between_injections(0.05, 59.95)
    assert make_gate(**limits).judge(between_injections()) == []
    assert make_gate(**limits).judge(hit) == ["an injection fell into the exposure"]
    assert make_gate().judge(hit) == []


def test_an_unknown_countdown_refuses_the_point():
    gate = make_gate(top_up="gate", top_up_interval=60.0)
    invalid = between_injections()
    invalid.readings["countdown"]["alarm_severity"] = 3
    assert gate.judge(invalid) == ["countdown is INVALID"]
    old = between_injections()
    old.readings["countdown"] = reading(33.9, 996.1)
    old.frame = old.frame + 1
    assert gate.judge(old) == ["countdown is 4.0 s old, at most 3 s is accepted"]


def test_the_driver_s_own_words_are_passed_on():
    evidence = good_evidence()
    evidence.readings["detector_state"]["value"] = 6
    evidence.message = "HV tripped"
    assert "Error, not Idle (HV tripped)" in make_gate().judge(evidence)[0]
