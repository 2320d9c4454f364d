"""The gate: each reason to refuse a point, one at a time, and a good point passes."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.devices.evidence import Evidence
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


def test_two_dark_frames_are_alike_and_no_duplicates():
    gate = make_gate()
    dark = good_evidence()
    dark.frame = np.zeros(SHAPE, dtype=np.int32)
    assert gate.judge(dark) == gate.judge(dark) == []


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("photon_energy", 100.005, False),
        ("photon_energy", 100.02, True),
        ("photon_energy", float("nan"), True),
        ("polarisation", "LV", True),
        ("exit_slit", 30.0, True),
    ],
)
def test_a_source_that_changed_since_the_start_refuses_the_point(name, value, refused):
    source = {"photon_energy": 100.0, "polarisation": "LH", "entrance_slit": 20.0, "exit_slit": 20.0}
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


def test_the_driver_s_own_words_are_passed_on():
    evidence = good_evidence()
    evidence.readings["detector_state"]["value"] = 6
    evidence.message = "HV tripped"
    assert "Error, not Idle (HV tripped)" in make_gate().judge(evidence)[0]
