"""Long exposures over Channel Access, in a ring that injects and fails: the sum is of the accepted sub-frames."""

from __future__ import annotations

import itertools
import time

import h5py
import numpy as np
import pytest

#: A raster of 2 x 2 pixels of 3 sub-frames of 0.1 s.
GRID, SUB_FRAMES, SUB_FRAME = (2, 2, 5.0), 3, 0.1
#: Seconds between injections of the fast ring, and how long each disturbs: three more of these and a sub-frame fit in.
PERIOD, INJECTION = 1.2, 0.25


@pytest.fixture(scope="module")
def put(ioc):
    import ophyd  # noqa: F401 - before epics: it chooses the libca
    from epics import PV

    pvs = {}

    def put(name, value):
        pv = pvs.setdefault(name, PV(ioc.prefix + name))
        assert pv.wait_for_connection(10.0), name
        pv.put(value, wait=True, timeout=60.0)

    yield put
    for pv in pvs.values():
        pv.disconnect()


@pytest.fixture
def ring(put):
    """Set the period of the top-up and the time an injection takes; put it right afterwards."""

    def set_ring(period, injection):
        put("RING:TOPUP_PERIOD", period)
        put("RING:INJECTION_TIME", injection)

    yield set_ring
    put("RING:INJECTION_TIME", 0.0)
    put("RING:TOPUP_PERIOD", 60.0)


@pytest.fixture
def failing(put):
    """Have faults strike a part of the exposures, each at a random phase."""
    enabled = []

    def fail(kind, amount, probability=0.25):
        put(f"FAULT:{kind}:AMOUNT", amount)
        put(f"FAULT:{kind}:PROBABILITY", probability)
        put(f"FAULT:{kind}:ENABLE", "Enable")
        enabled.append(kind)

    yield fail
    for kind in enabled:
        put(f"FAULT:{kind}:ENABLE", "Disable")


class Taken:
    """A run, and every exposure that was read while it went on."""

    def __init__(self, run, evidences):
        self.run = run
        self.events = [run.events[pixel]["data"] for pixel in sorted(run.events)]
        self.read = {int(evidence.value("frame_id")): evidence for evidence in evidences}
        with h5py.File(run.folder / "frames.h5") as file:
            self.ids = file["entry/data/frame_id"][:].tolist()
            self.frames = dict(zip(self.ids, file["entry/data/data"][:], strict=True))
            self.rejected = file["entry/rejected/frame_id"][:].tolist()
            self.reasons = [reason.decode() for reason in file["entry/rejected/reason"][:]]


@pytest.fixture
def take(ioc, config, tmp_path):
    """Take the raster with some gate settings; return what was stored and what was read."""
    from microarpes.beamline.demo import confined
    from microarpes.beamline.engine import make_engine
    from microarpes.beamline.instrument import connect_end_station, disconnect_end_station
    from microarpes.beamline.raster_run import configured_raster, drive
    from microarpes.beamline.stored_run import read_run
    from microarpes.plans.grid import RasterGrid

    stations, folders = [], itertools.count()

    def take(exposure=SUB_FRAMES * SUB_FRAME, **gate):
        chosen = confined(config.changed(region={"acquire_time": exposure}, gate=gate), ioc)
        station = connect_end_station(chosen, timeout=20.0)
        stations.append(station)
        evidences, read = [], station.read

        def remember():
            reading = read()
            evidences.append(reading["evidence"]["value"])
            return reading

        station.read = remember
        engine, journals = make_engine(tmp_path / str(next(folders)))
        plan = configured_raster(chosen, station, RasterGrid.centred(*GRID), journals)
        assert drive(engine, plan, lambda: "resume") == "success"
        return Taken(read_run(journals.directory / journals.run_uid), evidences)

    yield take
    for station in stations:
        disconnect_end_station(station)


def assert_sums_of_accepted_sub_frames(taken):
    assert len(taken.events) == GRID[0] * GRID[1]
    accepted = [number for event in taken.events for number in event["sub_frame_ids"]]
    # what was accepted and what was rejected is all that was read, and nothing was both
    assert sorted([*accepted, *taken.rejected]) == sorted(taken.read)
    for event in taken.events:
        parts = [taken.read[number] for number in event["sub_frame_ids"]]
        assert len(parts) == SUB_FRAMES
        assert np.array_equal(taken.frames[event["frame_id"]], sum(part.frame for part in parts))
        assert event["frame_id"] == event["sub_frame_ids"][-1]
        assert event["total_counts"] == sum(part.frame.sum() for part in parts)
        assert event["i0"] == pytest.approx(sum(part.value("i0_integral") for part in parts), rel=1e-12)
        lit = sum(part.acquire_time * part.value("open_fraction") for part in parts)
        assert event["live_time"] == pytest.approx(lit, rel=1e-12)
        assert event["acquire_time"] == pytest.approx(SUB_FRAMES * SUB_FRAME)
    assert sorted(taken.ids) == sorted(event["frame_id"] for event in taken.events)


def test_dumps_and_glitches_at_random_phases_spoil_no_sum(take, ring, failing):
    ring(PERIOD, 0.0)
    failing("BEAM_DUMP", 0.05)
    failing("TOPUP_GLITCH", 0.02)
    taken = take(sub_frame=SUB_FRAME, max_attempts=100)
    assert_sums_of_accepted_sub_frames(taken)
    # A dump of 0.05 s takes half of a sub-frame and a glitch of 0.02 s a fifth, unless they strike near its end: of the
    # 12 that are needed a quarter is struck by each, so that none refused has a chance of 0.56**12 = 1e-3 at most.
    assert taken.reasons
    assert all("beam on the sample for" in reason for reason in taken.reasons)
    # 5 % of the dose is the most that an accepted sub-frame may have lost; I0 is known to 0.2 %, the top-up is 1 %.
    doses = [event["i0"] for event in taken.events]
    assert min(doses) > 0.93 * max(doses)
    start = taken.run.start
    assert start["region"]["acquire_time"] == pytest.approx(SUB_FRAMES * SUB_FRAME)
    assert start["sub_frames"] == {"number": 3, "iterations": 1, "acquire_time": pytest.approx(SUB_FRAME)}


def test_ignored_injections_are_part_of_the_exposure_and_its_i0_tells(take, ring):
    # 3 ms of 0.1 s: a partial exposure, 3 % less. Every 0.15 s, so that most sub-frames see one.
    ring(0.15, 0.003)
    taken = take(sub_frame=SUB_FRAME, max_attempts=100)
    assert_sums_of_accepted_sub_frames(taken)
    parts = [taken.read[number] for event in taken.events for number in event["sub_frame_ids"]]
    lit = np.array([part.value("open_fraction") for part in parts])
    assert lit.min() == pytest.approx(0.97, abs=0.001)
    # the counts over I0 are the same with and without: counting noise of 3e5 counts is 0.2 %, I0's 0.2 %
    rates = np.array([part.frame.sum() / part.value("i0_integral") for part in parts])
    assert np.ptp(rates) < 0.03 * rates.mean()
    partial = [event["gate"] == "partial" for event in taken.events]
    assert partial == [event["live_time"] < 0.99 * event["acquire_time"] for event in taken.events]


@pytest.mark.parametrize("policy", ["gate", "discard"])
def test_where_injections_matter_none_falls_into_an_accepted_sub_frame(take, ring, policy):
    # The injections last 3 ms only: the gate would take each for a harmless partial exposure.
    ring(PERIOD, 0.003)
    taken = take(sub_frame=SUB_FRAME, top_up=policy, top_up_interval=PERIOD, injection_time=INJECTION, max_attempts=100)
    assert_sums_of_accepted_sub_frames(taken)
    assert all(event["live_time"] == pytest.approx(event["acquire_time"], rel=1e-9) for event in taken.events)
    assert all("injection" in reason for reason in taken.reasons)
    # 12 sub-frames of 0.1 s take longer than a period, so that one is met at least
    if policy == "discard":
        assert taken.reasons


def test_a_beamline_without_gated_i0_waits_for_news_of_its_ring(take, monkeypatch):
    from microarpes.devices.channel_access import connect

    asked = []
    monkeypatch.setattr(
        "microarpes.devices.channel_access.connect",
        lambda devices, timeout: (asked.extend(devices), connect(devices, timeout)),
    )
    taken = take(0.02, beam_check="delayed")
    assert [device.check for device in asked if device.name == "beam"] == ["delayed"]
    assert len(taken.events) == 4
    for event in taken.events:
        assert event["beam_check"] == "delayed"
        assert "i0" not in event
        evidence = taken.read[event["frame_id"]]
        assert evidence.readings["ring_current"]["timestamp"] > evidence.readings["frame_id"]["timestamp"]


def test_a_dump_without_gated_i0_is_seen_in_the_ring_current(take, failing):
    # 1 s without beam, from some phase of a 20 ms exposure on: the first update after it tells, usually 0.2 s later.
    failing("BEAM_DUMP", 1.0, probability=0.5)
    taken = take(0.02, beam_check="delayed", max_attempts=100)
    assert taken.reasons
    assert all("ring_current = 0" in reason for reason in taken.reasons)
    counts = [event["total_counts"] for event in taken.events]
    # 6e4 counts a frame: 0.4 % of noise, 1 % of top-up, and 5 um of even flake
    assert min(counts) > 0.9 * max(counts)


def test_a_shutter_that_was_closed_for_a_moment_is_remembered(station):
    # What tells a beamline without gated I0 that beam was missing, when the shutter is open again at the end.
    shutter = station.shutter
    shutter.set("open").wait(10.0)
    before = shutter.state.timestamp
    shutter.set("close").wait(10.0)
    shutter.set("open").wait(10.0)
    deadline = time.monotonic() + 60.0
    while not shutter.last_not_open >= before and time.monotonic() < deadline:
        time.sleep(0.01)
    shutter.state.get(use_monitor=False)
    assert before <= shutter.last_not_open <= shutter.state.timestamp
    shutter.set("close").wait(10.0)
