"""Faults over Channel Access: what a client finds when one has struck, and that it can be told afterwards."""

from contextlib import contextmanager

import numpy as np
import pytest

CAM, IMAGE = "ARPES:cam1:", "ARPES:image1:"


@pytest.fixture(scope="module")
def client(start_beamline):
    with start_beamline("F:", ["--rate", "2e6"]) as found:
        found.put("SHUTTER:Cmd:Opn-Cmd", 1)
        found.put(CAM + "SLICES", 30)
        found.put(CAM + "AcquireTime", 0.02)
        found.put(CAM + "Acquire", 1)
        yield found


@pytest.fixture(autouse=True)
def _at_zero(client):
    client.put("SHUTTER:Cmd:Opn-Cmd", 1)
    client.put("MANIP:X", 0.0)
    assert client.get("MANIP:X") == 0.0


@contextmanager
def fault(client, name, amount=None):
    """One kind, certain to strike, for the time of the context."""
    if amount is not None:
        client.put(f"FAULT:{name}:AMOUNT", amount)
    client.put(f"FAULT:{name}:ENABLE", 1)
    try:
        yield lambda: client.get(f"FAULT:{name}:COUNT")
    finally:
        client.put(f"FAULT:{name}:ENABLE", 0)


def ids(client):
    return client.get(CAM + "ArrayCounter_RBV"), client.get(IMAGE + "UniqueId_RBV")


def frame(client):
    return np.array(client.get(IMAGE + "ArrayData"))


def expose(client):
    client.put(CAM + "Acquire", 1)
    return client.label(CAM + "DetectorState_RBV")


def test_a_stale_frame_is_the_previous_one_under_its_old_id(client):
    before, was = ids(client), frame(client)
    with fault(client, "STALE_FRAME") as count:
        assert expose(client) == "Idle"
        assert count() == 1
    assert ids(client) == before
    assert np.array_equal(frame(client), was)
    assert client.text("FAULT:LAST").split()[::2][:1] == ["STALE_FRAME"]
    expose(client)
    assert ids(client) == (before[0] + 1, before[1] + 1)
    assert not np.array_equal(frame(client), was)


def test_a_duplicated_frame_has_a_new_id_and_the_old_content(client):
    before, was = ids(client), frame(client)
    with fault(client, "DUPLICATED_FRAME"):
        expose(client)
    assert ids(client) == (before[0] + 1, before[1] + 1)
    assert np.array_equal(frame(client), was)


def test_a_dropped_frame_leaves_a_hole_in_the_ids(client):
    before = ids(client)
    with fault(client, "DROPPED_FRAME"):
        expose(client)
    assert ids(client) == (before[0] + 2, before[1] + 2)


def test_a_late_frame_comes_after_the_put_has_completed(client):
    before = ids(client)
    with client.monitor(IMAGE + "UniqueId_RBV") as events, fault(client, "LATE_FRAME", 0.3):
        expose(client)
        assert ids(client) == before
        events.until(IMAGE + "UniqueId_RBV", before[1] + 1)


def test_a_frame_of_another_shape_says_so_in_its_sizes(client):
    with fault(client, "WRONG_SHAPE", 2.0):
        expose(client)
    assert client.get(IMAGE + "ArraySize1_RBV") == 28
    assert frame(client).size == 28 * 400
    expose(client)
    assert client.get(IMAGE + "ArraySize1_RBV") == 30


def test_what_is_not_a_number_is_int_min_in_an_integer_array(client):
    with fault(client, "NAN_FRAME", 0.01):
        expose(client)
    assert client.label(IMAGE + "DataType_RBV") == "Float64"
    assert (frame(client) == np.iinfo(np.int32).min).sum() == 120
    assert np.isnan(client.get(CAM + "INT_SPECTRUM")).any()
    expose(client)
    assert client.label(IMAGE + "DataType_RBV") == "Int32"


def test_a_saturated_frame_is_at_full_scale(client):
    with fault(client, "SATURATED_FRAME", 65535.0):
        expose(client)
    assert np.all(frame(client) == 65535)


def test_too_many_counts_show_in_the_count_rate(client):
    client.put(CAM + "AcquireTime", 0.3)
    expose(client)
    usual = client.get(CAM + "COUNT_RATE_RBV")
    with fault(client, "OVER_COUNT", 20.0), client.monitor(CAM + "COUNT_RATE_RBV", CAM + "AcquireBusy") as events:
        expose(client)
        seen = events.until(CAM + "AcquireBusy", 0)
    client.put(CAM + "AcquireTime", 0.02)
    rates = [value for name, value in seen if name == CAM + "COUNT_RATE_RBV"]
    # 2e6 counts/s x 0.3 s: counting noise is far below a percent.
    assert rates[-1] == pytest.approx(20 * usual, rel=0.05)


def test_a_time_out_ends_in_error_with_no_frame(client):
    before = ids(client)
    with fault(client, "ACQUIRE_TIMEOUT"):
        assert expose(client) == "Error"
    assert ids(client) == before
    assert client.label(CAM + "Acquire") == "Done"
    assert "timed out" in client.text(CAM + "StatusMessage_RBV")
    assert expose(client) == "Idle"


def test_a_lying_busy_is_done_while_the_exposure_goes_on(client):
    before = ids(client)
    client.put(CAM + "AcquireTime", 0.4)
    with client.monitor(CAM + "Acquire_RBV") as events, fault(client, "BUSY_LIES"):
        assert expose(client) == "Acquire"
        assert client.label(CAM + "AcquireBusy") == "Done"
        assert ids(client) == before
        events.until(CAM + "Acquire_RBV", 0)
    client.put(CAM + "AcquireTime", 0.02)
    assert ids(client)[0] == before[0] + 1


def test_a_lost_detector_refuses_to_acquire_until_it_is_found(client):
    before = ids(client)
    with fault(client, "DETECTOR_DISCONNECTED", 0.5), client.monitor(CAM + "DetectorState_RBV") as events:
        assert expose(client) == "Disconnected"
        client.put(CAM + "Acquire", 1)
        assert client.label(CAM + "DetectorState_RBV") == "Disconnected"
        assert "disconnected" in client.text(CAM + "StatusMessage_RBV")
        events.until(CAM + "DetectorState_RBV", 0)
    assert ids(client) == before
    assert expose(client) == "Idle"


@pytest.mark.parametrize("kind", ["BEAM_DUMP", "TOPUP_GLITCH", "SHUTTER_DROP"])
def test_a_lost_beam_costs_counts_and_i0_alike(client, kind):
    client.put(CAM + "AcquireTime", 0.3)
    expose(client)
    full, usual = frame(client).sum(), client.get("I0:INTEGRAL")
    with fault(client, kind, None if kind == "SHUTTER_DROP" else 0.4):
        expose(client)
    lit = client.get("I0:OPEN_FRACTION")
    assert lit < 1.0
    assert client.get("I0:INTEGRAL") == pytest.approx(lit * usual, abs=0.03 * usual)
    assert frame(client).sum() == pytest.approx(lit * full, abs=0.03 * full)
    assert client.label("SHUTTER:Pos-Sts") == ("Not Open" if kind == "SHUTTER_DROP" else "Open")
    client.put(CAM + "AcquireTime", 0.02)
    # Until the beam is back for certain.
    with client.monitor("HEARTBEAT") as events:
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 3)


def test_a_dead_beam_pv_keeps_its_old_time(client):
    def stamp():
        return client.pv("RING:CURRENT").read(data_type="time").metadata.timestamp

    with client.monitor("HEARTBEAT") as events:
        with fault(client, "DEAD_BEAM_PV", 2.0):
            expose(client)
        before = stamp()
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 3)
        assert stamp() == before
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 10)
        assert stamp() > before + 1.0


def test_an_invalid_beam_pv_says_so(client):
    def severity():
        return client.pv("RING:CURRENT").read(data_type="time").metadata.severity

    with fault(client, "BEAM_INVALID", 0.5):
        expose(client)
    assert severity() == 3
    with client.monitor("HEARTBEAT") as events:
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 5)
    assert severity() == 0


def test_a_frozen_ioc_answers_late_and_is_the_same_afterwards(client):
    before = ids(client)
    with fault(client, "FROZEN_IOC", 1.0) as count:
        assert expose(client) == "Idle"
        assert count() == 1
    assert ids(client)[0] == before[0] + 1


def test_a_dropped_monitor_is_dropped_for_monitors_only(client):
    with fault(client, "DROPPED_MONITOR") as count, client.monitor("MANIP:X.DMOV", "HEARTBEAT") as events:
        client.put("MANIP:X", 20.0)
        assert client.get("MANIP:X.DMOV") == 1
        seen = events.until("HEARTBEAT", client.get("HEARTBEAT") + 2)
        assert count() == 1
    assert ("MANIP:X.DMOV", 0) in seen
    assert ("MANIP:X.DMOV", 1) not in seen


def test_what_lasts_grows_with_time_and_ends_with_the_fault(client):
    assert client.get("LS336:IN1") == pytest.approx(10.0, abs=0.01)
    with fault(client, "CRYOSTAT_RAMP", 600.0) as count, client.monitor("HEARTBEAT") as events:
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 5)
        # 10 K/s for about a second.
        assert 12.0 < client.get("LS336:IN1") < 60.0
        assert count() == 1
    with client.monitor("HEARTBEAT") as events:
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 2)
    assert client.get("LS336:IN1") == pytest.approx(10.0, abs=0.01)


def test_a_drift_of_e_f_is_in_the_frame_and_nowhere_else(client):
    client.put("MANIP:X", 250.0)
    client.put(CAM + "AcquireTime", 0.1)
    expose(client)

    def centroid():
        spectrum = np.asarray(client.get(CAM + "INT_SPECTRUM_LAST"))[250:390]
        return (spectrum * np.arange(250, 390)).sum() / spectrum.sum()

    before, hv = centroid(), client.get("MONO:ENERGY_RBV")
    with fault(client, "EF_DRIFT", 72000.0), client.monitor("HEARTBEAT") as events:
        # 20 meV/s.
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 5)
        expose(client)
        assert centroid() > before + 4.0
    assert client.get("MONO:ENERGY_RBV") == hv
    client.put(CAM + "AcquireTime", 0.02)


def test_every_fault_has_its_pvs_and_is_off_at_first(client):
    from microarpes.sim.fault_kinds import KINDS

    for kind in KINDS:
        p = f"FAULT:{kind.name}:"
        assert client.label(p + "ENABLE") == "Disable"
        assert [client.get(p + n) for n in ("START", "DURATION", "PROBABILITY")] == [0.0, 0.0, 1.0]
        assert client.get(p + "COUNT") >= 0
