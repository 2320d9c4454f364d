"""A run of our own as a recording: what was measured where it was planned, and nothing that is not surely there."""

import h5py
import numpy as np
import pytest

from microarpes.beamline.read_run import open_recorded_run
from microarpes.beamline.recording_format import RecordingError, write_recording
from microarpes.beamline.recordings import open_recording

REGION = {"pass_energy": 10.0, "lens_mode": "Angular14", "acquire_time": 0.1, "iterations": 1}


def described(raster, drift=0.0):
    """The documents of a raster with a region and a source; its targets followed a sample that drifts along x, um."""
    for name, doc in raster.documents():
        if name == "start":
            doc = doc | {"region": REGION, "source": {"photon_energy": 100.0}}
        elif name == "event" and "pixel" in doc["data"]:
            at = doc["data"]["manipulator_x"] + drift * doc["seq_num"]
            more = {"live_time": 0.3, "i0": 1.0 + 0.01 * doc["seq_num"], "manipulator_x": at}
            doc = doc | {"data": doc["data"] | more | {"manipulator_x_setpoint": at}}
        yield name, doc


def test_frames_and_readings_are_in_the_order_they_were_taken_and_survive_the_file_of_a_recording(own_raster, tmp_path):
    own_raster.write(described(own_raster))
    path = tmp_path / "recording.h5"
    with open_recorded_run(own_raster.folder) as recorded:
        write_recording(path, recorded.recording, recorded.frames)
    with open_recording(path) as (recording, frames):
        assert recording.n_points == len(own_raster.frames)
        assert all(np.array_equal(frames[i], frame) for i, frame in enumerate(own_raster.frames))
        assert recording.points["i0"].tolist() == [1.0 + 0.01 * (i + 1) for i in range(recording.n_points)]
        assert recording.points["ring_current"].tolist() == [300.0] * recording.n_points
        assert (recording.acquire_time, recording.photon_energy) == (0.3, 100.0)


def test_a_place_is_that_of_the_plan_and_the_drift_that_was_followed_is_in_the_readback(own_raster):
    # Pixels are 10 um apart: the last ones, followed for 0.6 um a point, were measured where others are planned.
    own_raster.write(described(own_raster, drift=0.6))
    with open_recorded_run(own_raster.folder) as recorded:
        points = recorded.recording.points
        planned = {point.pixel: point.x for row in recorded.shape.rows() for point in row}
        assert points["x_setpoint"].tolist() == [planned[i] for i in range(len(own_raster.frames))]
        assert np.allclose(
            points["x"] - 10.0 * (np.arange(len(points["x"])) % 4), 0.6 * (1 + np.arange(len(points["x"])))
        )


def test_pixels_that_were_not_measured_are_left_out(own_raster):
    own_raster.write(described(own_raster))
    with open_recorded_run(own_raster.folder) as recorded:
        assert recorded.missing == {len(own_raster.frames)}


def test_a_map_in_two_runs_is_one_recording(make_raster, tmp_path):
    first, second = make_raster(tmp_path, n=8), make_raster(tmp_path, time=1.8e9 + 1000)
    first.write(described(first))
    second.write(
        (name, doc | {"resumes": first.uid} if name == "start" else doc)
        for name, doc in described(second)
        if name != "event" or doc["data"].get("pixel", 8) >= 8
    )
    with open_recorded_run(second.folder) as recorded:
        assert recorded.recording.n_points == len(second.frames)
        assert np.array_equal(recorded.frames[7], first.frames[7])
        assert np.array_equal(recorded.frames[8], second.frames[8])


def test_a_run_that_tells_no_region_is_no_recording(raster):
    with pytest.raises(RecordingError, match="no region, source"), open_recorded_run(raster.folder):
        pass


def test_a_pixel_whose_frame_is_not_there_is_no_recording(own_raster):
    own_raster.write(described(own_raster))
    with h5py.File(own_raster.folder / "frames.h5", "r+") as file:
        file["entry/data/frame_id"][2] = 99
    with open_recorded_run(own_raster.folder) as recorded:
        assert np.array_equal(recorded.frames[1], own_raster.frames[1])
        with pytest.raises(RecordingError, match="pixel 2 has no frame"):
            recorded.frames[2]
