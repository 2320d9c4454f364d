"""Recordings: what is served, what is refused."""

import h5py
import numpy as np
import pytest

from microarpes.sim.frame_source import FrameRefusedError, Pose
from microarpes.sim.recording import RecordingError, open_recording
from microarpes.sim.replay import ReplaySource


def write(path, dtype=np.int32, descending=False, setpoints=True, n_angle=5):
    """Write a raster of 4 x 3 points 10 um apart; frame i holds the number i everywhere, plus the energy channel."""
    x, y = (v.ravel() for v in np.meshgrid(np.arange(4) * 10.0 + 100.0, np.arange(3) * 10.0))
    n = x.size
    frames = np.arange(n)[:, None, None] * 100 + np.broadcast_to(np.arange(30), (n, n_angle, 30))
    energy = 89.0 + np.arange(30) * 0.01
    with h5py.File(path, "w") as file:
        file.attrs.update(
            format="microarpes-recording", version=1, title="a raster", photon_energy=94.0, pass_energy=20.0,
            lens_mode="A30", acquire_time=0.02, temperature=20.0,
        )  # fmt: skip
        file["points/x"], file["points/y"] = x + 0.3, y - 0.2
        if setpoints:
            file["points/x_setpoint"], file["points/y_setpoint"] = x, y
        file["points/i0"] = np.arange(n) + 1.0
        file["points/time"] = 1.6e9 + np.arange(n)
        file["points/temperature"] = 20.0 + np.arange(n)
        file["frames"] = (frames[:, :, ::-1] if descending else frames).astype(dtype)
        file["energy"] = energy[::-1] if descending else energy
        file["angle"] = np.linspace(-1.0, 1.0, n_angle) if n_angle > 1 else np.zeros(1)
    return path


@pytest.mark.parametrize(
    ("dtype", "served"), [(np.int32, "int32"), (np.uint16, "float64"), (np.float32, "float64"), (np.int64, "float64")]
)
def test_int32_frames_stay_and_others_become_float64(tmp_path, dtype, served):
    recording = open_recording(write(tmp_path / "r.h5", dtype))
    assert recording.dtype == served
    assert recording.frame(2).dtype == served
    assert recording.frame(2)[0, 3] == 203
    recording.close()


def test_a_descending_axis_is_turned_together_with_the_frames(tmp_path):
    turned = open_recording(write(tmp_path / "d.h5", descending=True))
    plain = open_recording(write(tmp_path / "p.h5"))
    assert np.all(np.diff(turned.energy) > 0)
    assert np.array_equal(turned.frame(7), plain.frame(7))
    turned.close()
    plain.close()


def test_a_request_belongs_to_a_point_within_half_a_step(tmp_path):
    source = ReplaySource(open_recording(write(tmp_path / "r.h5")))
    assert source.recording.reach == pytest.approx(5.0)
    assert source.index_at(110.0, 10.0) == 5
    assert source.index_at(113.0, 13.0) == 5
    assert source.index_at(136.0, 20.0) is None
    source.stop()


def test_a_single_point_answers_at_its_place_alone(tmp_path):
    path = write(tmp_path / "r.h5")
    with h5py.File(path, "a") as file:
        for name in ("frames", *(f"points/{each}" for each in file["points"])):
            first = file[name][:1]
            del file[name]
            file[name] = first
    source = ReplaySource(open_recording(path))
    assert source.index_at(100.5, 0.0) == 0
    assert source.index_at(102.0, 0.0) is None
    source.stop()


def test_a_group_that_holds_itself_is_looked_at_once(tmp_path):
    path = write(tmp_path / "r.h5")
    with h5py.File(path, "a") as file:
        file["again"] = file["/"]
    open_recording(path).close()


def test_without_setpoints_the_readbacks_are_the_points(tmp_path):
    source = ReplaySource(open_recording(write(tmp_path / "r.h5", setpoints=False)))
    assert source.recording.requested[5].tolist() == pytest.approx([110.3, 9.8])
    source.stop()


def test_a_frame_is_refused_away_from_points_and_while_moving(tmp_path):
    source = ReplaySource(open_recording(write(tmp_path / "r.h5")))
    here = Pose(110.0, 10.0, 0.0, 0.0, 0.0, 0.0, 110.0, 10.0)
    source.check(here)
    with pytest.raises(FrameRefusedError, match=r"no recorded point at \(160, 10\) um.*\(130, 10\)"):
        source.check(Pose(160.0, 10.0, 0.0, 0.0, 0.0, 0.0, 160.0, 10.0))
    with pytest.raises(FrameRefusedError, match="DMOV"):
        source.check(Pose(108.0, 10.0, 0.0, 0.0, 0.0, 0.0, 110.0, 10.0))
    source.stop()


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def drop_frames(file):
    del file["frames"]


def shorten_energy(file):
    del file["energy"]
    file["energy"] = np.arange(7.0)


def link_outside(file):
    del file["angle"]
    file["angle"] = h5py.ExternalLink("elsewhere.h5", "/angle")


def link_softly(file):
    file["points/z"] = h5py.SoftLink("/points/x")


def shorten_points(file):
    del file["points/i0"]
    file["points/i0"] = np.arange(3.0)


def break_position(file):
    file["points/x"][3] = np.nan


def other_format(file):
    file.attrs["format"] = "something else"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_frames, "/frames is missing"),
        (shorten_energy, "7 values; need 30"),
        (link_outside, "ExternalLink"),
        (link_softly, "SoftLink"),
        (shorten_points, "3 values for 12 frames"),
        (break_position, "not finite"),
        (other_format, "something else"),
    ],
)
def test_a_file_that_cannot_be_served_is_refused_with_its_reason(tmp_path, change, message):
    path = write(tmp_path / "r.h5")
    edit(path, change)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_frames_that_claim_more_than_the_file_can_hold_are_refused(tmp_path):
    path = write(tmp_path / "r.h5")
    with h5py.File(path, "r+") as file:
        shape = file["frames"].shape
        del file["frames"]
        file.create_dataset("frames", (shape[0], 2**20, 2**20), "i4", chunks=(1, 64, 64))
    with pytest.raises(RecordingError, match=r"claims .* MiB in a file of 0.0"):
        open_recording(path)


def test_data_kept_in_other_files_are_refused(tmp_path):
    path = write(tmp_path / "r.h5")
    with h5py.File(path, "r+") as file:
        del file["energy"]
        file.create_dataset("energy", (30,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 240)])
    with pytest.raises(RecordingError, match="other files"):
        open_recording(path)


def test_what_is_not_a_file_or_not_hdf5_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="not a file"):
        open_recording(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(RecordingError, match="not a readable HDF5 file"):
        open_recording(tmp_path / "text.h5")


def test_a_recording_behind_the_devices(tmp_path, start_beamline):
    path = write(tmp_path / "r.h5")
    cam = "ARPES:cam1:"
    with start_beamline("R:", ["--recording", str(path)]) as client:
        client.put("SHUTTER:Cmd:Opn-Cmd", 1)
        # It begins at the first point, with the recording's settings.
        assert (client.get("MANIP:X"), client.get("MANIP:Y")) == (100.0, 0.0)
        assert client.get("MANIP:X.RBV") == pytest.approx(100.3)
        assert client.get(cam + "X_SCALE_RBV")[0] == pytest.approx(89.0)
        assert client.get(cam + "SLICES") == 5
        assert client.label(cam + "PASS_ENERGY") == "20"
        assert client.get("MONO:ENERGY_RBV") == 94.0
        # x first, then y: every axis shows the recorded point when DMOV rises.
        client.put("MANIP:X", 120.0)
        client.put("MANIP:Y", 10.0)
        assert client.get("MANIP:X.RBV") == pytest.approx(120.3)
        assert client.get("MANIP:Y.RBV") == pytest.approx(9.8)
        client.put(cam + "Acquire", 1)
        assert client.get("ARPES:image1:ArrayData").reshape(5, 30)[0, 0] == 600
        assert client.get("I0:INTEGRAL") == 7.0
        assert client.get("I0:OPEN_FRACTION") == 1.0
        assert client.get("REPLAY:RECORDED_TIME") == 1.6e9 + 6
        assert client.get("LS336:IN1") == 26.0
        check_refusals(client, cam)


def check_refusals(client, cam):
    counter = client.get(cam + "ArrayCounter_RBV")
    client.put("MANIP:X", 300.0)
    assert client.get("MANIP:X") == 120.0
    assert client.get("MANIP:X.DMOV") == 1
    assert client.get("MANIP:X.LVIO") == 1
    assert client.get("MANIP:X.MSTA") & 1 << 9
    assert "300" in client.text("REPLAY:MESSAGE")
    # Within the raster but between points, 7 um from each: only the exposure is refused.
    client.put("MANIP:X", 125.0)
    client.put("MANIP:Y", 15.0)
    client.put(cam + "Acquire", 1)
    assert client.label(cam + "DetectorState_RBV") == "Error"
    assert "no recorded point" in client.text(cam + "StatusMessage_RBV")
    client.put(cam + "SLICES", 300)
    assert client.get(cam + "SLICES") == 5
    assert client.get(cam + "ArrayCounter_RBV") == counter


def test_float_frames_of_one_slice_are_served_as_float64(tmp_path, start_beamline):
    path = write(tmp_path / "r.h5", np.float32, n_angle=1)
    with start_beamline("R:", ["--recording", str(path)]) as client:
        assert client.label("ARPES:cam1:DataType_RBV") == "Float64"
        client.put("SHUTTER:Cmd:Opn-Cmd", 1)
        client.put("ARPES:cam1:Acquire", 1)
        data = client.get("ARPES:image1:ArrayData")
        assert data.dtype.kind == "f"
        assert data.tolist() == list(range(30))
        client.put("SHUTTER:Cmd:Cls-Cmd", 1)
        client.put("ARPES:cam1:Acquire", 1)
        assert client.get("ARPES:image1:ArrayData").sum() == 0.0
        assert client.get("I0:INTEGRAL") == 0.0
