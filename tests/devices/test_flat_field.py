"""A flat field is read whole or refused with a reason, and shifted as the counts are."""

from __future__ import annotations

import hashlib

import h5py
import numpy as np
import pytest

from microarpes.devices.flat_field import FlatField, FlatFieldError, window_factors
from microarpes.devices.frame_file import FLAT_FIELD, FrameFile
from microarpes.devices.spectra import sum_windows

GOOD = 1.0 + 0.1 * np.cos(np.arange(24.0)).reshape(4, 6)
GOOD[1, 2] = 0.0


@pytest.fixture
def written(tmp_path):
    def write(values, name="flat.npy"):
        path = tmp_path / name
        np.save(path, values)
        return path

    return write


def test_an_npy_file_is_read_with_its_checksum(written):
    path = written(GOOD)
    flat = FlatField.read(path)
    np.testing.assert_array_equal(flat.factors, GOOD)
    assert flat.document() == {
        "path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "shape": [4, 6],
    }  # fmt: skip


def test_an_hdf5_file_is_read(tmp_path):
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["flat_field"] = GOOD.astype("<f4")
    np.testing.assert_allclose(FlatField.read(tmp_path / "flat.h5").factors, GOOD, rtol=1e-7)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.where(GOOD == 0.0, np.nan, GOOD), "1 values that are NaN"),
        (GOOD - 0.95, "goes down to -0.95"),
        (250.0 * GOOD, "divide it by that"),
        (0.0 * GOOD, "mean of 0 "),
        (GOOD[0], "must be numbers"),
        (GOOD.astype(str), "must be numbers"),
        (GOOD.astype(complex), "must be numbers"),
    ],
    ids=["nan", "negative", "counts", "dead", "one line", "text", "complex"],
)
def test_what_is_no_flat_field_is_refused_by_what_is_wrong(written, values, words):
    path = written(values)
    with pytest.raises(FlatFieldError, match=words) as refused:
        FlatField.read(path)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_or_something_else_is_refused(tmp_path):
    with pytest.raises(FlatFieldError, match="No such file"):
        FlatField.read(tmp_path / "none.npy")
    for content in (b"", b"1.0 1.0 1.0", b"\x80\x04N."):
        (tmp_path / "other.npy").write_bytes(content)
        with pytest.raises(FlatFieldError, match="nor HDF5"):
            FlatField.read(tmp_path / "other.npy")


def test_nothing_in_a_file_is_executed_and_no_link_is_followed(tmp_path, written):
    with pytest.raises(FlatFieldError, match="nor HDF5"):
        FlatField.read(written(np.array([[{}]], dtype=object)))  # numpy stores objects as a pickle
    with h5py.File(tmp_path / "real.h5", "w") as file:
        file["flat_field"] = GOOD
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["flat_field"] = h5py.ExternalLink("real.h5", "/flat_field")
    with pytest.raises(FlatFieldError, match="links are not followed"):
        FlatField.read(tmp_path / "link.h5")


def test_a_region_of_another_shape_is_refused_with_both_shapes(written):
    flat = FlatField.read(written(GOOD))
    assert flat.refusals((4, 6)) == []
    (reason,) = flat.refusals((4, 8))
    assert "4 x 6" in reason
    assert "4 x 8" in reason


def test_the_factors_are_the_mean_over_the_angle_channels_of_a_window():
    factors = window_factors(GOOD, [np.array([0]), np.array([1, 2, 3])])
    np.testing.assert_allclose(factors, [GOOD[0], GOOD[1:].mean(axis=0)])


def test_factors_are_shifted_as_counts_are():
    # counts of equally bright angle channels behind the mesh: summed, they must be number x factor x spectrum
    shift, spectrum = np.array([0, 1, -2, 0]), np.array([5.0, 7.0, 9.0, 4.0, 2.0, 1.0])
    channels = [np.array([0, 1, 2])]
    frame = np.zeros_like(GOOD)
    for row in range(4):  # the detector sees channel i of the straightened spectrum at i - shift
        for i in range(6):
            if 0 <= i - shift[row] < 6:
                frame[row, i - shift[row]] = GOOD[row, i - shift[row]] * spectrum[i]
    np.testing.assert_allclose(
        sum_windows(frame, channels, shift), 3.0 * window_factors(GOOD, channels, shift) * spectrum
    )


def test_a_window_of_dead_channels_is_refused():
    dead = GOOD.copy()
    dead[2] = 0.0
    with pytest.raises(FlatFieldError, match="window 1 are dead"):
        window_factors(dead, [np.array([0]), np.array([2])])


def test_the_frame_file_keeps_the_flat_field_and_the_frames_as_counted(tmp_path):
    frames = FrameFile(tmp_path / "frames.h5", np.arange(6.0), np.arange(4.0), flat_field=GOOD)
    frames.append(np.full((4, 6), 7, dtype=np.int32), 1)
    with h5py.File(frames.path, "r", swmr=True) as reader:
        np.testing.assert_array_equal(reader[FLAT_FIELD][()], GOOD)
        assert (reader["entry/data/data"][0] == 7).all()
    frames.close()
