"""A run as one Dataset: what was measured stands at its pixel, with its unit, and survives a netCDF file."""

import dataclasses
import json
import math

import h5py
import numpy as np
import pytest
import xarray as xr

from microarpes.analysis import GapMap
from microarpes.beamline.export import export_run
from microarpes.beamline.journal import read_documents
from microarpes.beamline.kept_mask import KeptMask, write_mask
from microarpes.beamline.open_run import open_run
from microarpes.beamline.run_chain import read_map
from microarpes.beamline.stored_run import NoSuchRun


@pytest.fixture(scope="module")
def dataset(fitted_raster):
    return open_run(fitted_raster.uid[:8], fitted_raster.directory).to_xarray(frames=True)


def test_counts_places_and_fits_stand_at_their_pixel(dataset, fitted_raster):
    stored = read_map(fitted_raster.folder)
    assert dataset["edc"].dims == ("y", "x", "window", "energy")
    for pixel, event in stored.events.items():
        here = dataset.isel(y=pixel // 4, x=pixel % 4)
        np.testing.assert_array_equal(here["edc"], event["data"]["edc"])
        assert (here["manipulator_x"], here["manipulator_y"]) == (10.0 * (pixel % 4), 10.0 * (pixel // 4))
        assert here["frame_id"] == event["data"]["frame_id"]
    np.testing.assert_array_equal(dataset["gap"], stored.gap_map.joint_delta)
    np.testing.assert_array_equal(dataset["gap_error"], stored.gap_map.joint_delta_stderr)
    np.testing.assert_array_equal(dataset["window_gap"].transpose("window", "y", "x"), stored.gap_map.delta)
    np.testing.assert_array_equal(dataset["status"], stored.gap_map.joint_status)
    # The raster puts 35 meV into every pixel and counts enough for 1 meV.
    assert abs(float(dataset["gap"].mean()) - 35.0) < 1.0


def test_a_pixel_that_was_not_measured_has_no_number_and_no_verdict(dataset):
    last = dataset.isel(y=3, x=3)
    assert np.isnan(last["edc"]).all()
    assert np.isnan(last["frame"]).all()
    assert np.isnan([last["gap"], last["manipulator_x"], last["time"]]).all()
    assert (last["status"], last["frame_id"], last["run"], last["kept"]) == ("", -1, -1, False)
    assert bool(last["planned"])


def test_energies_are_kinetic_and_from_the_fermi_edge_that_held(dataset, fitted_raster):
    first, second = fitted_raster.records
    np.testing.assert_array_equal(dataset["energy"], np.asarray(fitted_raster.documents().__next__()[1]["energy_axis"]))
    # 100 meV below E_F is a binding energy of 0.1 eV.
    np.testing.assert_allclose(dataset["binding_energy"].isel(window=1) + dataset["energy"], first["ef"][1])
    np.testing.assert_array_equal(dataset["ef"].isel(y=0, x=0), first["ef"])
    np.testing.assert_array_equal(dataset["ef"].isel(y=3, x=1), second["ef"])


def test_every_variable_says_what_it_is_and_in_which_unit(dataset):
    for name, variable in dataset.variables.items():
        assert variable.attrs["long_name"], name
        if variable.dtype.kind == "f":
            assert variable.attrs["units"], name
    units = {"x": "um", "energy": "eV", "angle": "deg", "gap": "meV", "edc": "counts", "ring_current": "mA"}
    assert {name: dataset[name].attrs["units"] for name in units} == units


def test_the_run_says_where_it_comes_from(dataset, fitted_raster):
    told = dataset.attrs
    assert (told["uid"], told["plan"], told["sample"]) == (fitted_raster.uid, "gap_raster", "test")
    assert told["temperature"] == 10.0
    assert json.loads(told["calibration"])["ef"] == fitted_raster.records[0]["ef"]
    assert json.loads(told["start_document"])["uid"] == fitted_raster.uid
    assert told["microarpes_version"]


def test_frames_are_read_when_they_are_asked_for(fitted_raster, dataset, monkeypatch):
    opened = []
    monkeypatch.setattr("microarpes.beamline.map_frames.open_frames", _counted(opened))
    frames = open_run(fitted_raster.folder).to_xarray(edcs=False, frames=True)["frame"]
    assert opened == []
    one = frames.isel(y=1, x=2)
    np.testing.assert_array_equal(one, fitted_raster.frames[6])
    assert len(opened) == 1
    # A stretch of energies of a column of pixels, and single places.
    np.testing.assert_array_equal(frames[0:3, 1, 2:5, [7, 9]], fitted_raster.frames[[1, 5, 9]][:, 2:5][:, :, [7, 9]])
    places = {axis: xr.DataArray([0, 2], dims="spot") for axis in ("y", "x")}
    np.testing.assert_array_equal(frames.isel(places), fitted_raster.frames[[0, 10]])


def _counted(opened):
    from microarpes.beamline.moved_windows import open_frames

    def count(path):
        opened.append(path)
        return open_frames(path)

    return count


@pytest.mark.parametrize("engine", ["h5netcdf"])
def test_a_netcdf_file_gives_back_what_was_written(dataset, tmp_path, engine):
    dataset.to_netcdf(tmp_path / "map.nc", engine=engine)
    with xr.open_dataset(tmp_path / "map.nc", engine=engine) as back:
        xr.testing.assert_identical(back.load(), dataset.load())


def test_runs_that_resume_one_another_are_one_map(resumed_raster):
    first, second = resumed_raster
    run = open_run("-1", first.directory)
    assert run.uid == second.uid
    dataset = run.to_xarray(frames=True)
    assert dataset.attrs["runs"].split() == [first.uid, second.uid]
    np.testing.assert_array_equal(dataset["run"].values.ravel()[[0, 6, 7, 14, 15]], [0, 0, 1, 1, -1])
    # Both have pixel 7: the one that took it last counts, with its frame.
    np.testing.assert_array_equal(dataset["edc"].isel(y=1, x=3), second.edc(7))
    np.testing.assert_array_equal(dataset["frame"].isel(y=1, x=3), second.frames[7])
    np.testing.assert_array_equal(dataset["frame"].isel(y=1, x=2), first.frames[6])
    assert float(dataset["time"].isel(y=1, x=3)) == second.time + 7
    assert set(dataset["status"].values.ravel()) == {"not-fitted", ""}


def test_a_kept_mask_goes_along_and_takes_nothing_away(own_raster):
    mask = KeptMask(own_raster.uid, 1.5, math.inf, (2, 5), 14, "ada", 1.8e9)
    write_mask(own_raster.folder, mask)
    dataset = open_run(own_raster.folder).to_xarray()
    np.testing.assert_array_equal(np.flatnonzero(~dataset["kept"].values), [2, 5, 15])
    assert "1.5 meV" in dataset["kept"].attrs["comment"]
    assert np.isfinite(dataset["edc"].values[0, 2]).all()


def test_where_two_events_claim_a_pixel_or_a_number_the_later_counts(own_raster):
    def twice():
        for name, doc in own_raster.documents():
            yield name, doc
            if name == "event" and doc["data"].get("pixel") == 4:
                yield name, own_raster.event("primary", doc["seq_num"], doc["time"] + 0.25, doc["data"] | {"i0": 4.5})
            if name == "event" and doc["data"].get("pixel") == 6:
                yield name, own_raster.event("primary", 40, doc["time"] + 0.5, doc["data"] | {"i0": 6.5})

    own_raster.write(twice())
    dataset = open_run(own_raster.folder).to_xarray()
    assert (float(dataset["i0"][1, 0]), float(dataset["i0"][1, 2])) == (4.5, 6.5)
    assert int(dataset["seq_num"][1, 2]) == 40
    assert np.isnan(dataset["i0"][0, 0])


@pytest.mark.parametrize(("names", "angle"), [("erlab", "alpha"), ("peaks", "theta_par")])
def test_axes_are_called_as_other_programs_call_them(fitted_raster, names, angle):
    dataset = open_run(fitted_raster.folder).to_xarray(frames=True, names=names)
    assert dataset["frame"].dims == ("y", "x", angle, "eV")
    # The edges of the windows are 95.6 and 95.6003 eV: E_F is 0 in the middle of them, occupied states are negative.
    assert float(dataset["eV"][0]) == pytest.approx(-0.150 - 0.00015, abs=1e-9)
    assert float(dataset["sample_temp"]) == 10.0
    with pytest.raises(ValueError, match="erlab"):
        open_run(fitted_raster.folder).to_xarray(names="matlab")


def test_a_refit_is_shown_in_the_place_of_the_live_fit(own_raster, fitted_here):
    job = dataclasses.replace(own_raster.job, gamma0="zero")
    outcome = fitted_here(own_raster, 32, job=job)
    run = open_run(own_raster.folder, fit=outcome.uid[:8])
    dataset = run.to_xarray(edcs=False)
    refit = GapMap.from_documents(read_documents(outcome.journal))
    np.testing.assert_array_equal(dataset["gap"], refit.joint_delta)
    assert (dataset["gamma0"].values[dataset["status"].values == "ok"] == 0.0).all()
    assert dataset.attrs["fit"] == outcome.uid
    assert "gap" not in open_run(own_raster.folder).to_xarray(edcs=False)  # there is no live fit
    with h5py.File(export_run(own_raster.directory, "-1", fit=outcome.uid)) as file:
        np.testing.assert_array_equal(file["entry/gap_map/gap"][:], refit.joint_delta)
        assert file["entry/fit/gamma0"][()] == b"zero"
    with pytest.raises(NoSuchRun, match=f"live, or one of: {outcome.uid[:8]}"):
        open_run(own_raster.folder, fit="zz")


def test_a_run_without_a_map_is_told_by_its_plan(own_raster):
    def without_grid():
        for name, doc in own_raster.documents():
            yield name, {key: value for key, value in doc.items() if key != "grid"}

    own_raster.write(without_grid())
    with pytest.raises(NoSuchRun, match="of plan 'gap_raster' and has no map"):
        open_run(own_raster.folder).to_xarray()
