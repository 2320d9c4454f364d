"""Windows placed anew give what the device would have summed there, from frames that belong to the run."""

import dataclasses
import io
import os

import h5py
import numpy as np
import pytest

from microarpes.analysis import GapMap
from microarpes.analysis.engine import engine_name
from microarpes.beamline.journal import read_documents
from microarpes.beamline.moved_windows import WindowError, parse_window
from microarpes.beamline.refit import derived_metadata, refit_run
from microarpes.devices.flat_field import window_factors

#: 'centre' is a new name: its Fermi edge is that of the nearest window, and of two equally near ones the first.
MOVED = ("-k_F,-0.7,-0.2", "centre,-0.2,0.2")


def test_the_windows_of_the_run_summed_again_from_the_frames_give_the_same_bits(raster, live, derived, fitted_here):
    same = tuple((w["name"], w["angle_low"], w["angle_high"]) for w in raster.windows)
    outcome = fitted_here(raster, 4, job=dataclasses.replace(raster.job, windows=same))
    assert derived(outcome.journal) == live(raster.documents())


def test_moved_windows_give_what_the_device_would_have_summed_there(raster, live, derived):
    outcome = refit_run(raster.directory, raster.uid[:8], windows=MOVED, processes=2, stream=io.StringIO())
    start = next(doc for _, doc in read_documents(outcome.journal))
    assert (start["edc_source"], start["fermi_edge_of"]) == ("frames", ["-k_F", "-k_F"])
    assert derived(outcome.journal) == live(raster.documents(start["windows"], sources=(0, 0)))


def test_frames_that_are_not_there_are_told_and_never_taken_from_another_pixel(own_raster, live, derived, fitted_here):
    with h5py.File(own_raster.folder / "frames.h5", "r+") as file:
        file["entry/data/frame_id"][5] = 4711
    same = tuple((w["name"], w["angle_low"], w["angle_high"]) for w in own_raster.windows)
    outcome = fitted_here(own_raster, 4, job=dataclasses.replace(own_raster.job, windows=same))
    (problem,) = outcome.problems
    assert "1 events have no frame" in problem
    fits = GapMap.from_documents(read_documents(outcome.journal))
    assert fits.joint_status.flat[5] == "bad-input"
    expected = live(own_raster.documents())
    assert [i for i, fit in enumerate(derived(outcome.journal)) if fit != expected[i]] == [5]


@pytest.mark.parametrize(
    ("name", "words"), [("../elsewhere.h5", "outside"), ("none.h5", "not there"), ("raw.journal", "cannot be read")]
)
def test_a_frame_file_that_is_none_of_the_run_is_refused(own_raster, name, words):
    (own_raster.directory / "elsewhere.h5").write_bytes((own_raster.folder / "frames.h5").read_bytes())
    start = next(doc for _, doc in own_raster.documents()) | {"frame_file": name}
    job = dataclasses.replace(own_raster.job, windows=(("a", -0.5, 0.5),))
    with pytest.raises(WindowError, match=words):
        derived_metadata(job, start)


def test_a_frame_file_with_a_link_to_elsewhere_is_refused(own_raster):
    os.replace(own_raster.folder / "frames.h5", own_raster.directory / "secret.h5")
    with h5py.File(own_raster.folder / "frames.h5", "w", libver="latest") as file:
        file["entry"] = h5py.ExternalLink(str(own_raster.directory / "secret.h5"), "/entry")
    with pytest.raises(WindowError, match="links are not followed"):
        refit_run(own_raster.directory, own_raster.uid, windows=["a,-0.5,0.5"], stream=io.StringIO())
    assert own_raster.left_behind() == []


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (["a,1"], "NAME,LOW,HIGH"),
        (["a,1,b"], "NAME,LOW,HIGH"),
        (["a,0.5,-0.5"], "lower one first"),
        (["a,nan,1"], "finite"),
        ([",0,1"], "name"),
        (["a,0,1", "a,-1,0"], "same name"),
        (["a,20,21"], "holds no angle channel"),
    ],
)
def test_windows_that_cannot_be_are_refused_by_what_is_wrong(raster, windows, words):
    with pytest.raises(WindowError, match=words):
        refit_run(raster.directory, raster.uid, windows=windows, stream=io.StringIO())


def test_a_name_of_a_window_may_hold_a_comma():
    assert parse_window("a,b,0,1").name == "a,b"


FLAT = 1.0 + 0.1 * np.cos(np.arange(12 * 210.0)).reshape(12, 210)


@pytest.fixture
def behind_a_mesh(own_raster):
    """A run with a flat field in its frame file, and what gives its records the factors of other windows."""
    with h5py.File(own_raster.folder / "frames.h5", "r+") as file:
        file["entry/detector/flat_field"] = FLAT

    def declare(windows):
        angle = np.array(next(doc for _, doc in own_raster.documents())["angle_axis"])
        channels = [np.flatnonzero((w["angle_low"] <= angle) & (w["angle_high"] > angle)) for w in windows]
        for record in own_raster.records:
            record["flat_field"] = window_factors(FLAT, channels, np.array(record["row_shift"])).tolist()

    declare(own_raster.windows)
    own_raster.write(own_raster.documents())
    return own_raster, declare


def test_a_refit_uses_the_flat_field_of_the_run(behind_a_mesh, live, derived, fitted_here):
    raster, _ = behind_a_mesh
    outcome = fitted_here(raster, 4)
    start = next(doc for _, doc in read_documents(outcome.journal))
    assert start["engine"] == engine_name()
    assert derived(outcome.journal) == live(raster.documents())


def test_moved_windows_have_the_flat_field_of_where_they_are(behind_a_mesh, live, derived, fitted_here):
    raster, declare = behind_a_mesh
    moved = tuple((name, float(low), float(high)) for name, low, high in (text.split(",") for text in MOVED))
    outcome = fitted_here(raster, 4, job=dataclasses.replace(raster.job, windows=moved))
    start = next(doc for _, doc in read_documents(outcome.journal))
    untold = live(raster.documents(start["windows"], sources=(0, 0)))
    declare(start["windows"])  # also with the row_shift of the second calibration
    expected = live(raster.documents(start["windows"], sources=(0, 0)))
    assert derived(outcome.journal) == expected
    assert expected != untold


def test_windows_are_not_moved_without_the_flat_field_the_run_was_taken_with(behind_a_mesh):
    raster, _ = behind_a_mesh
    with h5py.File(raster.folder / "frames.h5", "r+") as file:
        del file["entry/detector"]
    with pytest.raises(WindowError, match="taken with a flat field"):
        refit_run(raster.directory, raster.uid, windows=MOVED, processes=1, stream=io.StringIO())
    assert raster.left_behind() == []


def test_a_stored_flat_field_that_cannot_be_one_is_refused(behind_a_mesh):
    raster, _ = behind_a_mesh
    with h5py.File(raster.folder / "frames.h5", "r+") as file:
        file["entry/detector/flat_field"][0, 0] = np.nan
    with pytest.raises(WindowError, match="NaN"):
        refit_run(raster.directory, raster.uid, windows=MOVED, processes=1, stream=io.StringIO())
