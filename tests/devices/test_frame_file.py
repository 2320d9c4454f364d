"""Accepted frames: row i is frame i, its id beside it, readable while the run goes on."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from microarpes.devices.accepted_point import FRAME_KEY, AcceptedPoint, JudgedPoint
from microarpes.devices.frame_file import FrameFile
from microarpes.devices.rejected_frames import RejectedFrames, Rejection

ENERGY, ANGLE = np.arange(4.0), np.arange(3.0)
KEYS = {"frame_id": {"dtype": "integer", "shape": []}, "time_write": {"dtype": "number", "shape": []}}


@pytest.fixture
def frames(tmp_path):
    file = FrameFile(tmp_path / "frames.h5", ENERGY, ANGLE)
    yield file
    file.close()


def frame(value):
    return np.full((3, 4), value, dtype=np.int32)


def test_frames_and_ids_share_their_rows_and_a_reader_sees_them_during_the_run(frames):
    for row, frame_id in enumerate((11, 12, 15)):
        assert frames.append(frame(frame_id), frame_id) == row
        with h5py.File(frames.path, "r", swmr=True) as reader:
            assert reader["entry/data/frame_id"][:].tolist() == [11, 12, 15][: row + 1]
            assert reader["entry/data/data"][row, 0, 0] == frame_id


def test_a_row_without_its_event_is_taken_back(frames):
    frames.append(frame(1), 1)
    frames.append(frame(2), 2)
    frames.discard_after(1)
    assert frames.append(frame(3), 3) == 1
    with h5py.File(frames.path, "r", swmr=True) as reader:
        assert reader["entry/data/frame_id"][:].tolist() == [1, 3]


def test_rejected_frames_are_kept_apart_with_pixel_and_reason(frames):
    rejected = RejectedFrames("rejected", frames)
    rejected.set(Rejection(7, 21, frame(5), "stale: frame 21 follows frame 21")).wait(1.0)
    rejected.set(Rejection(8, 22, np.zeros(5), "frame has shape (5,)")).wait(1.0)
    with h5py.File(frames.path, "r", swmr=True) as reader:
        group = reader["entry/rejected"]
        assert group["pixel"][:].tolist() == [7, 8]
        assert group["reason"][0].startswith(b"stale")
        assert group["data"][0].tolist() == frame(5).tolist()
        assert reader["entry/data/data"].shape[0] == 0


def test_a_file_that_exists_is_never_overwritten(frames):
    with pytest.raises(OSError, match="file exists"):
        FrameFile(frames.path, ENERGY, ANGLE)


def test_an_accepted_point_gives_its_resource_once_and_one_datum_a_row(frames):
    accepted = AcceptedPoint("accepted", KEYS, frames)
    seen = []
    for frame_id in (5, 6):
        accepted.set(JudgedPoint(frame(frame_id), {"frame_id": frame_id}, {})).wait(1.0)
        seen += list(accepted.collect_asset_docs())
        # asked again without a new point, as after a rewind: nothing more
        assert list(accepted.collect_asset_docs()) == []
        assert accepted.read()["frame_id"]["value"] == frame_id
    assert [name for name, _ in seen] == ["stream_resource", "stream_datum", "stream_datum"]
    assert [doc["indices"] for _, doc in seen[1:]] == [{"start": 0, "stop": 1}, {"start": 1, "stop": 2}]
    assert set(accepted.describe()) == {*KEYS, FRAME_KEY}


def test_an_accepted_point_with_other_keys_than_described_is_refused(frames):
    accepted = AcceptedPoint("accepted", KEYS, frames)
    with pytest.raises(KeyError, match="ring_current"):
        accepted.set(JudgedPoint(frame(1), {"frame_id": 1, "ring_current": 300.0}, {}))


def test_a_disk_that_refuses_a_frame_is_told_not_raised(frames, monkeypatch):
    accepted = AcceptedPoint("accepted", KEYS, frames)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frames, "append", refuse)
    accepted.set(JudgedPoint(frame(1), {"frame_id": 1}, {})).wait(1.0)
    assert "No space" in str(accepted.error)


def test_unstaging_takes_back_a_frame_whose_event_never_came(tmp_path):
    frames = FrameFile(tmp_path / "other.h5", ENERGY, ANGLE)
    accepted = AcceptedPoint("accepted", KEYS, frames)
    accepted.set(JudgedPoint(frame(1), {"frame_id": 1}, {})).wait(1.0)
    list(accepted.collect_asset_docs())
    accepted.set(JudgedPoint(frame(2), {"frame_id": 2}, {})).wait(1.0)
    accepted.unstage()
    with h5py.File(tmp_path / "other.h5") as reader:
        assert reader["entry/data/frame_id"][:].tolist() == [1]
