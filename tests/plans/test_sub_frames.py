"""A long exposure as sub-frames: split evenly, judged one by one, summed when all are good."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from microarpes.devices.evidence import Evidence
from microarpes.devices.region import Region
from microarpes.plans.sub_frames import FULL_SCALE, overflow, split, total


@pytest.mark.parametrize(
    ("iterations", "acquire_time", "longest", "expected"),
    [
        (1, 50.0, 60.0, (1, 1, 50.0)),
        (1, 60.0, 60.0, (1, 1, 60.0)),
        (1, 150.0, 60.0, (3, 1, 50.0)),
        # whole iterations stay together where they can be divided
        (6, 20.0, 60.0, (2, 3, 20.0)),
        # 140 s in 3: 7 iterations cannot be, so each gets shorter
        (7, 20.0, 60.0, (3, 7, 20.0 / 3)),
        # 3 x 0.1 is 0.30000000000000004: no reason for a fourth sub-frame
        (3, 0.1, 0.1, (3, 1, 0.1)),
        (1, 1e3, float("inf"), (1, 1, 1e3)),
    ],
)
def test_a_region_is_split_into_equal_parts_no_longer_than_allowed(iterations, acquire_time, longest, expected):
    region = Region(centre_energy=95.5, iterations=iterations, acquire_time=acquire_time)
    number, part = split(region, region.point_time, longest)
    assert (number, part.iterations, pytest.approx(part.acquire_time)) == expected
    assert number * part.point_time == pytest.approx(region.point_time)
    assert part.point_time <= longest * (1 + 1e-6)


def exposure(number, counts, *, lit=1.0, dtype=np.int32):
    readings = {
        "frame_id": {"value": number, "timestamp": 1000.0 + number},
        "i0_integral": {"value": 5.0 * lit, "timestamp": 1000.0 + number},
        "open_fraction": {"value": lit, "timestamp": 1000.0 + number},
    }
    frame = np.full((3, 4), counts, dtype=dtype)
    return Evidence(readings=readings, frame=frame, acquire_time=2.0, ledger={"time_read": 0.25})


def test_a_point_is_the_sum_of_its_sub_frames():
    point = total([exposure(4, 10), exposure(6, 20, lit=0.96), exposure(7, 30)])
    assert point.frame.dtype == np.int32
    assert (point.frame == 60).all()
    assert point.acquire_time == 6.0
    # 2 s of 3 exposures, one of which had beam for 96 %
    assert point.acquire_time * point.value("open_fraction") == pytest.approx(5.92)
    assert point.value("i0_integral") == pytest.approx(14.8)
    assert point.value("frame_id") == 7
    assert point.sub_frame_ids == (4, 6, 7)
    assert point.ledger == {"time_read": 0.75}


def test_one_exposure_is_its_own_sum():
    only = exposure(4, 10)
    assert total([only]) is only
    assert only.sub_frame_ids == ()


def test_frames_of_a_narrow_type_are_summed_without_wrapping():
    assert (total([exposure(1, 60000, dtype=np.uint16), exposure(2, 60000, dtype=np.uint16)]).frame == 120000).all()


def test_frames_that_are_no_counts_are_summed_as_they_are():
    point = total([exposure(1, 0.25, dtype=np.float64), exposure(2, 0.5, dtype=np.float64)])
    assert (point.frame == 0.75).all()
    assert overflow([exposure(1, 3e9, dtype=np.float64)], exposure(2, 3e9, dtype=np.float64)) == []


def test_a_sum_beyond_what_a_stored_frame_can_hold_is_refused_and_one_at_the_limit_is_not():
    half = FULL_SCALE // 2
    assert overflow([], exposure(1, FULL_SCALE)) == []
    assert overflow([exposure(1, half)], exposure(2, half + 1)) == []
    (reason,) = overflow([exposure(1, half)], exposure(2, half + 2))
    assert f"{FULL_SCALE + 1} counts" in reason
    # the brightest channels need not be the same
    apart = exposure(2, 0)
    apart.frame[0, 0] = FULL_SCALE
    bright = exposure(1, 0)
    bright.frame[1, 1] = FULL_SCALE
    assert overflow([bright], apart) == []


def test_a_point_of_three_sub_frames_is_one_event_and_one_row(bench, engine):
    b = bench(sub_frames=3)
    engine(b.plan(2))
    assert [(event["attempt"], event["frame_id"], event["sub_frame_ids"]) for event in b.events()] == [
        (1, 3, [1, 2, 3]),
        (1, 6, [4, 5, 6]),
    ]
    assert b.rows() == [(0, 1), (1, 2)]
    assert b.stored() == ([3, 6], [2 + 4 + 8, 16 + 32 + 64])


def test_a_refused_sub_frame_is_kept_apart_and_only_it_is_taken_again(bench, engine):
    b = bench(sub_frames=3, refuse={2})
    engine(b.plan(1))
    (event,) = b.events()
    assert (event["attempt"], event["frame_id"], event["sub_frame_ids"]) == (2, 4, [1, 3, 4])
    assert b.stored() == ([4], [2 + 8 + 16])
    with h5py.File(b.frames.path) as file:
        rejected = file["entry/rejected"]
        assert rejected["frame_id"][:].tolist() == [2]
        assert rejected["data"][0, 0, 0] == 4
        assert rejected["reason"][0] == b"refused by the test"


def test_the_sub_frames_of_a_point_share_its_attempts_and_good_ones_survive_the_pause(bench, engine):
    b = bench(sub_frames=3, refuse={1, 3, 5}, max_attempts=3)
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan(1))
    assert engine.state == "paused"
    assert b.station.exposed == 5
    engine.resume()
    assert [event["sub_frame_ids"] for event in b.events()] == [[2, 4, 6]]


def test_a_sum_that_overflows_is_refused_like_any_other_fault(bench, engine):
    b = bench(sub_frames=2, max_attempts=2)
    b.station.counts = lambda number: {1: FULL_SCALE - 5, 2: 6}.get(number, 1)
    engine(b.plan(1))
    assert [event["sub_frame_ids"] for event in b.events()] == [[1, 3]]
    assert b.stored() == ([3], [FULL_SCALE - 4])


def test_a_disk_that_refuses_a_sum_costs_no_exposure(bench, engine, monkeypatch):
    b = bench(sub_frames=3)
    append, refused = b.frames.append, []

    def refuse_once(frame, frame_id):
        if not refused:
            refused.append(frame_id)
            raise OSError(28, "No space left on device")
        return append(frame, frame_id)

    monkeypatch.setattr(b.frames, "append", refuse_once)
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan(1))
    assert b.events() == []
    engine.resume()
    assert b.station.exposed == 3
    assert [event["sub_frame_ids"] for event in b.events()] == [[1, 2, 3]]


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("pause", 1), ("pause", 2), ("pause", 3), ("suspend", 0)])
def test_interrupted_at_any_message_the_sum_is_of_the_frames_judged_good_and_of_all_of_them(bench, how, later):
    # Each interruption voids the exposure under way at most: a sub-frame that was judged good is never thrown away,
    # and none is summed that was not judged. 2**i counts in frame i tell exactly which frames a sum is made of.
    messages = bench(sub_frames=3).count_messages(n=1)
    assert messages > 20
    for index in range(messages - 2):
        b = bench(sub_frames=3)
        b.run_interrupted(index, how, later, n=1)
        at = (how, later, index)
        (event,) = b.events()
        ids = event["sub_frame_ids"]
        assert ids == b.gate.judged_good, at
        assert len(ids) == 3, at
        assert b.stored() == ([event["frame_id"]], [sum(2**number for number in ids)]), at
        assert event["frame_id"] == ids[-1], at
        # at most the exposure under way was lost
        assert b.station.exposed <= 4, at
        assert b.rows() == [(0, 1)], at
        assert [doc["exit_status"] for name, doc in b.documents if name == "stop"] == ["success"], at


def test_one_sub_frame_costs_the_messages_it_always_did(bench):
    # set, wait, trigger, wait, read; set, wait of the frame file; create, read, save; checkpoint, two rewindable.
    opening, closing = 3, 2
    assert bench().count_messages(n=1) == opening + 13 + closing
