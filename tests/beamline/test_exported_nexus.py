"""The NeXus file of a run: what the definition requires is there, viewers open it at the gap map, memory stays flat."""

import importlib
import json
import os
import shutil
import tracemalloc

import h5py
import numpy as np
import pytest

from microarpes.beamline import nexus_frames
from microarpes.beamline.export import export_run
from microarpes.beamline.journal import JournalWriter
from microarpes.beamline.moved_windows import WindowError
from microarpes.beamline.open_run import open_run

RAW = "entry/instrument/electronanalyzer/electron_detector/raw_data"

#: What NXmpes_arpes and NXmpes require, and the classes of the groups; from
#: https://github.com/nexusformat/definitions/blob/6cd4705fc649d39acd1f3e3f4e9b29c699462e16/applications/NXmpes_arpes.nxdl.xml
#: and NXmpes.nxdl.xml beside it.
CLASSES = {
    "entry": "NXentry",
    "entry/arpes_geometry": "NXcoordinate_system",
    "entry/arpes_geometry/transformations": "NXtransformations",
    "entry/instrument": "NXinstrument",
    "entry/instrument/beam_probe": "NXbeam",
    "entry/instrument/electronanalyzer": "NXelectronanalyzer",
    "entry/instrument/electronanalyzer/transformations": "NXtransformations",
    "entry/instrument/electronanalyzer/collectioncolumn": "NXcollectioncolumn",
    "entry/instrument/electronanalyzer/energydispersion": "NXenergydispersion",
    "entry/sample": "NXsample",
    "entry/sample/transformations": "NXtransformations",
    "entry/data": "NXdata",
}
FIELDS = {
    "entry": ("definition", "title", "start_time"),
    "entry/arpes_geometry": ("depends_on",),
    "entry/instrument/beam_probe": ("incident_energy",),
    "entry/instrument/electronanalyzer": ("depends_on",),
    "entry/instrument/electronanalyzer/collectioncolumn": ("scheme",),
    "entry/instrument/electronanalyzer/energydispersion": ("scheme", "pass_energy"),
    "entry/sample": ("name", "situation", "depends_on"),
    "entry/data": ("data", "energy", "angular0", "angular1"),
}
#: Rotations: vector and what each stands on.
ROTATIONS = {
    "entry/instrument/electronanalyzer/transformations": {
        "analyzer_rotation": ([0, 0, 1], None), "analyzer_elevation": ([0, 1, 0], "analyzer_dispersion"),
        "analyzer_dispersion": ([1, 0, 0], "analyzer_rotation"),
    },
    "entry/sample/transformations": {
        "sample_azimuth": ([0, 0, 1], "offset_azimuth"), "offset_azimuth": ([0, 0, 1], "sample_tilt"),
        "sample_tilt": ([1, 0, 0], "offset_tilt"), "offset_tilt": ([1, 0, 0], "sample_polar"),
        "sample_polar": ([0, 1, 0], "offset_polar"), "offset_polar": ([0, 1, 0], None),
    },
}  # fmt: skip
UNITS = {
    "entry/data/energy": "eV", "entry/data/angular0": "deg", "entry/data/angular1": "deg", "entry/data/data": "counts",
    "entry/instrument/beam_probe/incident_energy": "eV", "entry/edc/edc": "counts", "entry/gap_map/gap": "meV",
    "entry/gap_map/x": "um", "entry/gap_map/y": "um", "entry/calibration/ef": "eV", "entry/edc/energy": "eV",
    "entry/pixels/manipulator_x": "um", "entry/pixels/sample_temperature": "K",
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(fitted_raster):
    return export_run(fitted_raster.directory, fitted_raster.uid[:8])


def viewer(name):
    """A program that others look at the file with; in CI it must be there."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{name} is not installed; pip install 'microarpes[test]'")


def text(field):
    return field[()].decode()


def test_what_the_definition_requires_is_there(exported):
    with h5py.File(exported) as file:
        assert {path: file[path].attrs["NX_class"] for path in CLASSES} == CLASSES
        for path, names in FIELDS.items():
            assert [name for name in names if name not in file[path]] == [], path
        assert text(file["entry/definition"]) == "NXmpes_arpes"
        assert file["entry/definition"].attrs["version"]
        assert text(file["entry/sample/situation"]) == "vacuum"
        assert text(file["entry/instrument/electronanalyzer/collectioncolumn/scheme"]) == "angular dispersive"
        assert text(file["entry/instrument/electronanalyzer/energydispersion/scheme"]) == "hemispherical"
        assert {path: file[path].attrs["units"] for path in UNITS} == UNITS
        for path, rotations in ROTATIONS.items():
            for name, (vector, below) in rotations.items():
                told = file[path][name].attrs
                assert (list(told["vector"]), told["transformation_type"]) == (vector, "rotation")
                assert told["depends_on"] == below or (below is None and told["depends_on"] in file)
                assert told["units"] == "deg"
        for chain in ("arpes_geometry", "sample", "instrument/electronanalyzer"):
            assert text(file["entry"][chain]["depends_on"]) in file


def test_the_spectrum_of_the_definition_is_the_sum_of_the_frames_that_count(exported, fitted_raster):
    with h5py.File(exported) as file:
        data = file["entry/data"]
        assert data.attrs["signal"] == "data"
        assert list(data.attrs["axes"]) == ["angular0", "angular1", "energy"]
        assert [data.attrs[f"{axis}_indices"] for axis in data.attrs["axes"]] == [0, 1, 2]
        assert data["energy"].attrs["type"] == "kinetic"
        np.testing.assert_array_equal(data["data"][:, 0], fitted_raster.frames.sum(axis=0))


def test_maps_and_spectra_are_those_of_the_run(exported, fitted_raster):
    dataset = open_run(fitted_raster.folder).to_xarray()
    with h5py.File(exported) as file:
        np.testing.assert_array_equal(file["entry/edc/edc"][:], dataset["edc"])
        for name in ("gap", "gap_error", "gamma1"):
            np.testing.assert_array_equal(file["entry/gap_map"][name][:], dataset[name])
        np.testing.assert_array_equal(file["entry/gap_map/gap_errors"][:], dataset["gap_error"])
        assert file["entry/gap_map/status"].asstr()[0, 0] == "ok"
        np.testing.assert_array_equal(
            file["entry/gap_by_window/window_gap"][:].transpose(1, 2, 0), dataset["window_gap"]
        )
        np.testing.assert_array_equal(file["entry/instrument/manipulator/x/value"][:], dataset["manipulator_x"])
        assert file["entry/calibration"].attrs["NX_class"] == "NXprocess"
        np.testing.assert_array_equal(file["entry/calibration/ef"][:], [each["ef"] for each in fitted_raster.records])
        note = file["entry/provenance"][f"run_{fitted_raster.uid[:8]}"]
        assert json.loads(text(note["data"]))["uid"] == fitted_raster.uid
        assert text(file["entry/fit/model"]) == "norman"


def test_temperatures_of_surface_and_sensor_stand_in_the_records_of_references_that_told_them(own_raster):
    # a reference of known resolution whose edge is too sharp to tell more than a limit
    own_raster.records[1] |= {
        "edge_assumed": "resolution", "sensor_temperature": 10.0, "sensor_temperature_error": 0.5,
        "edge_temperature": np.nan, "edge_temperature_error": np.nan, "edge_temperature_limit": 14.0,
    }  # fmt: skip
    own_raster.write(own_raster.documents())
    with h5py.File(export_run(own_raster.directory, "-1")) as file:
        records = file["entry/calibration"]
        found = {name: records[name][:] for name in records if "temperature" in name}
        assert {records[name].attrs["units"] for name in found} == {"K"}
        assert list(records["edge_assumed"].asstr()) == ["", "resolution"]
        assert list(records["resolution"][:]) == [0.010, 0.010]
    nan = np.nan
    expected = {  # the record that the run began with is of no edge
        "temperature": [10.0, 10.0], "temperature_error": [0.5, 0.5],
        "sensor_temperature": [nan, 10.0], "sensor_temperature_error": [nan, 0.5],
        "edge_temperature": [nan, nan], "edge_temperature_error": [nan, nan], "edge_temperature_limit": [nan, 14.0],
    }  # fmt: skip
    np.testing.assert_equal(found, {name: np.array(values) for name, values in expected.items()})


def assert_is_the_gap_map(signal, units, axes, fitted_raster):
    dataset = open_run(fitted_raster.folder).to_xarray(edcs=False)
    np.testing.assert_array_equal(signal, dataset["gap"])
    assert units == "meV"
    for name, (values, unit) in axes.items():
        assert unit == "um"
        np.testing.assert_array_equal(values, dataset[name])


def test_the_default_plot_is_the_gap_map(exported, fitted_raster):
    with h5py.File(exported) as file:
        group = file
        while "signal" not in group.attrs:
            group = group[group.attrs["default"]]
        axes = {name: (group[name][:], group[name].attrs["units"]) for name in group.attrs["axes"]}
        signal = group[group.attrs["signal"]]
        assert list(axes) == ["y", "x"]
        assert_is_the_gap_map(signal[:], signal.attrs["units"], axes, fitted_raster)


def test_silx_opens_it_at_the_gap_map(exported, fitted_raster):
    viewer("silx")
    silx_io, nxdata = importlib.import_module("silx.io"), importlib.import_module("silx.io.nxdata")
    with silx_io.open(str(exported)) as file:
        plot = nxdata.get_default(file)
        assert plot.is_valid
        axes = {
            name: (axis[()], axis.attrs["units"]) for name, axis in zip(plot.axes_dataset_names, plot.axes, strict=True)
        }
        assert_is_the_gap_map(plot.signal[()], plot.signal.attrs["units"], axes, fitted_raster)
        np.testing.assert_array_equal(plot.errors[()], file["entry/gap_map/gap_error"][()])
        groups = []
        file.visititems(lambda name, item: groups.append(name) if item.attrs.get("NX_class") == "NXdata" else None)
        assert {"entry/data", "entry/edc", "entry/fit/gap_by_window", "entry/pixels", RAW} <= set(groups)
        assert [issue for name in groups for issue in nxdata.NXdata(file[name]).issues] == []


def test_nexusformat_opens_it_at_the_gap_map(exported, fitted_raster):
    nexus = importlib.import_module("nexusformat.nexus") if viewer("nexusformat") else None
    with nexus.nxopen(str(exported)) as root:
        plot = root.get_default()
        axes = {axis.nxname: (axis.nxvalue, axis.attrs["units"]) for axis in plot.nxaxes}
        assert list(axes) == ["y", "x"]
        assert_is_the_gap_map(plot.nxsignal.nxvalue, plot.nxsignal.attrs["units"], axes, fitted_raster)


def test_linked_frames_are_those_of_the_run_and_move_with_its_folder(own_raster):
    exported = export_run(own_raster.directory, str(own_raster.folder))
    own_raster.directory.joinpath("elsewhere").mkdir()
    moved = shutil.move(own_raster.folder, own_raster.directory / "elsewhere")
    with h5py.File(os.path.join(moved, exported.name)) as file:
        assert isinstance(file[RAW].get("raw", getlink=True), h5py.ExternalLink)
        np.testing.assert_array_equal(file[RAW]["raw"][:], own_raster.frames)
        np.testing.assert_array_equal(file[RAW]["pixel"][:], np.arange(15))


def test_copied_frames_need_nothing_beside_the_file(own_raster, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone") / "map.nxs"
    export_run(own_raster.directory, "-1", output=alone, copy_frames=True)
    shutil.rmtree(own_raster.folder)
    with h5py.File(alone) as file:
        np.testing.assert_array_equal(file[RAW]["raw"][:], own_raster.frames)
        np.testing.assert_array_equal(file[RAW]["frame_id"][:], own_raster.ids)
        assert "gap" not in file["entry/gap_map"]  # never fitted: the map shown is that of the counts
        assert file["entry/gap_map"].attrs["signal"] == "total_counts"


def test_a_map_in_two_runs_has_the_frames_of_both_and_counts_each_pixel_once(resumed_raster):
    first, second = resumed_raster
    with h5py.File(export_run(first.directory, second.uid)) as file:
        for group, raster, pixels in ((RAW, first, [*range(7), -1]), (f"{RAW}_2", second, [-1] * 7 + [*range(7, 15)])):
            np.testing.assert_array_equal(file[group]["raw"][:], raster.frames)
            np.testing.assert_array_equal(file[group]["pixel"][:], pixels)
        counted = first.frames[:7].sum(axis=0) + second.frames[7:].sum(axis=0)
        np.testing.assert_array_equal(file["entry/data/data"][:, 0], counted)


def test_a_run_whose_frames_are_gone_is_exported_with_its_edcs(own_raster, caplog):
    (own_raster.folder / "frames.h5").unlink()
    with h5py.File(export_run(own_raster.directory, "-1")) as file:
        expected = sum(own_raster.edc(i) for i in range(15))
        np.testing.assert_allclose(file["entry/data/data"][:, 0], expected)
        np.testing.assert_allclose(file["entry/data/angular0"][:], [-0.775, 0.775])  # the middles of the windows
    assert "without frames" in caplog.text
    with pytest.raises(WindowError, match="is not there"):
        export_run(own_raster.directory, "-1", copy_frames=True)


def test_a_file_that_cannot_be_finished_leaves_the_one_before_as_it_was(own_raster, monkeypatch):
    before = export_run(own_raster.directory, "-1").read_bytes()

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(nexus_frames, "_link_or_copy", full)
    files = sorted(own_raster.folder.iterdir())
    with pytest.raises(OSError, match="no space left"):
        export_run(own_raster.directory, "-1", copy_frames=True)
    assert sorted(own_raster.folder.iterdir()) == files
    assert (own_raster.folder / "export.nxs").read_bytes() == before


N_ANGLE, N_ENERGY = 120, 300


def long_run(folder, n):
    """A map of n x 1 pixels with frames of 144 kB, and no fit."""
    folder.mkdir()
    energy, angle = 95.5 + 0.001 * np.arange(N_ENERGY), np.linspace(-6.0, 6.0, N_ANGLE)
    start = {
        "uid": folder.name, "time": 1.8e9, "plan_name": "gap_raster", "num_points": n, "shape": [1, n],
        "grid": {"x": {"start": 0.0, "stop": n - 1.0, "num": n}, "y": {"start": 0.0, "stop": 0.0, "num": 1},
                 "snake": True, "fast_axis": "x", "units": "um"},
        "windows": [{"name": "k_F", "angle_low": -1.0, "angle_high": 1.0}], "energy_axis": energy.tolist(),
        "angle_axis": angle.tolist(), "frame_file": "frames.h5", "calibration": {"ef": [95.7], "temperature": 10.0},
    }  # fmt: skip
    journal = JournalWriter(folder / "raw.journal")
    journal("start", start)
    journal("descriptor", {"uid": "primary", "run_start": folder.name, "name": "primary", "data_keys": {}})
    edc = np.ones((1, N_ENERGY))
    with h5py.File(folder / "frames.h5", "w", libver="latest") as file:
        frames = file.create_dataset("entry/data/data", (n, N_ANGLE, N_ENERGY), "<i4", chunks=(1, N_ANGLE, N_ENERGY))
        file["entry/data/frame_id"] = np.arange(n)
        frames[:] = 1
    for i in range(n):
        data = {"pixel": i, "frame_id": i, "edc": edc, "manipulator_x": float(i), "total_counts": 36000.0}
        journal("stream_datum", {"uid": f"{i}", "descriptor": "primary", "indices": {"start": i, "stop": i + 1},
                                 "seq_nums": {"start": i + 1, "stop": i + 2}})  # fmt: skip
        journal("event", {"uid": f"e{i}", "descriptor": "primary", "seq_num": i + 1, "time": 1.8e9 + i, "data": data,
                          "timestamps": {}, "filled": {}})  # fmt: skip
    journal.close()


@pytest.mark.parametrize("copy_frames", [False, True])
def test_memory_does_not_grow_with_the_frames(tmp_path, copy_frames):
    peaks = []
    for n in (60, 60, 240):  # the first brings in what is imported and made once
        folder = tmp_path / f"run of {n}, {len(peaks)}"
        long_run(folder, n)
        tracemalloc.start()
        try:
            exported = export_run(tmp_path, str(folder), copy_frames=copy_frames)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()  # else all that follows takes several times as long
        with h5py.File(exported) as file:
            assert (file["entry/data/data"][:] == n).all()
    # 180 pixels more are 26 MB of frames and 0.4 MB of EDCs; what is kept of a pixel are its readings, some 0.3 kB.
    assert peaks[2] - peaks[1] < 0.4e6
