"""What other beamlines wrote comes out with its counts, axes and positions; the rest is said to be assumed."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from foreign_files import (
    ANGLE,
    ENERGY,
    NOTE,
    SES_AXES,
    counts_of,
    ibw,
    write_exported,
    write_i05,
    write_ibw,
    write_merlin,
    write_npz,
)

from microarpes.beamline import replay
from microarpes.beamline.export import export_run
from microarpes.beamline.recordings import RecordingError, convert, nominal_grid, open_recording

REALDATA = os.environ.get("MICROARPES_REALDATA", "")
real = pytest.mark.skipif(not REALDATA, reason="MICROARPES_REALDATA names no folder of real recordings")
TWO_PLACES = (("X [mm]", 1.0, 0.01, 4), ("Y [um]", -30.0, 10.0, 3))


def opened(path):
    with open_recording(path) as (recording, frames):
        return recording, np.array([frames[i] for i in range(recording.n_points)])


def assert_axes(recording):
    np.testing.assert_allclose(recording.energy, ENERGY, atol=1e-12)
    np.testing.assert_allclose(recording.angle, ANGLE, atol=1e-12)


def test_a_cut_of_ses_is_one_point_whose_place_is_assumed(tmp_path):
    counts = write_ibw(tmp_path / "any.name")
    recording, frames = opened(tmp_path / "any.name")
    np.testing.assert_array_equal(frames, counts)
    assert_axes(recording)
    told = (recording.photon_energy, recording.pass_energy, recording.lens_mode, recording.acquire_time)
    assert told == (100.5, 20.0, "A30", 2.5)
    # The note has a manipulator position, but in no unit: it is not taken.
    assert recording.assumed == ("temperature", "x", "y")
    assert {name: column.tolist() for name, column in recording.points.items()} == {"x": [0.0], "y": [0.0]}
    assert nominal_grid(recording).x.num == 1


def test_a_map_of_ses_keeps_its_places_and_their_order(tmp_path):
    counts = write_ibw(tmp_path / "map.ibw", *TWO_PLACES)
    recording = convert(tmp_path / "map.ibw", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["frames"], counts)
    grid = nominal_grid(recording)
    assert (grid.fast_axis, grid.x.num, grid.y.num) == ("x", 4, 3)
    assert (grid.x.start, grid.x.stop) == (pytest.approx(1000), pytest.approx(1030))  # mm became um
    assert (grid.y.start, grid.y.stop) == (pytest.approx(-30), pytest.approx(-10))
    assert recording.assumed == ("temperature",)


@pytest.mark.parametrize(
    ("label", "along", "assumed"),
    [("Y [um]", "y", ("x",)), ("Sample X [mm]", "x", ("y",)), ("SamY [mm]", "y", ("x",)), ("Position [mm]", "x", "xy")],
)
def test_a_line_lies_along_the_axis_that_it_names(tmp_path, label, along, assumed):
    write_ibw(tmp_path / "line.ibw", (label, 5.0, 0.5, 4))
    recording, _ = opened(tmp_path / "line.ibw")
    assert np.ptp(recording.points[along]) == pytest.approx(1.5 * (1.0 if "um" in label else 1000.0))
    assert np.ptp(recording.points["y" if along == "x" else "x"]) == 0
    assert recording.assumed == ("temperature", *assumed)


def test_units_as_igor_itself_has_them_and_descending_energies_are_read(tmp_path):
    counts = counts_of()
    axes = (("", float(ENERGY[-1]), -0.01), ("", -2.0, 1.0))
    (tmp_path / "cut.ibw").write_bytes(ibw(counts.T, axes, short_units=("eV", "deg")))
    recording, frames = opened(tmp_path / "cut.ibw")
    assert_axes(recording)
    np.testing.assert_array_equal(frames[0], counts[:, ::-1])


def test_binding_energies_become_kinetic_with_a_work_function_that_is_said_to_be_assumed(tmp_path):
    counts = counts_of()
    axes = (("Binding Energy [eV]", 0.2, -0.01), SES_AXES[1])
    (tmp_path / "cut.ibw").write_bytes(ibw(counts.T, axes))
    merlin = write_merlin(tmp_path / "cut.h5", "Binding", 0.2, -0.01)
    for name, written in (("cut.ibw", counts), ("cut.h5", merlin)):
        recording, frames = opened(tmp_path / name)
        # hv 100.5 eV less 4.4 eV is the edge; 0.2 eV below it the axis begins, and ascends as binding descends.
        np.testing.assert_allclose(recording.energy, 95.9 + 0.01 * np.arange(24))
        np.testing.assert_array_equal(frames[0], written)
        assert "energy" in recording.assumed


@pytest.mark.parametrize(
    ("wave", "words"),
    [
        (ibw(counts_of().T, (SES_AXES[0], ("Y-Scale [mm]", 0, 1))), r"dimensions of .* 'Y-Scale \[mm\]'; one in eV"),
        (ibw(counts_of(3).T, (*SES_AXES, ("ThetaY [deg]", 0, 1))), "one in deg, and positions"),
        (ibw(counts_of(3, 3).T, (*SES_AXES, *[("X [mm]", 0, 1)] * 2)), "both position axes .* are called x"),
        (ibw(counts_of().T, SES_AXES, NOTE.replace("Excitation", "No")), "does not tell its photon energy"),
        (ibw(counts_of().T, SES_AXES, NOTE.replace("=20", "=twenty")), "pass_energy in .* is 'twenty'"),
        (ibw(counts_of().T, (("Kinetic Energy [eV]", np.nan, 0.01), SES_AXES[1])), "energy axis .* does not ascend"),
        (ibw(np.arange(5.0), SES_AXES[:1]), "a wave of 1 dimensions"),
    ],
)
def test_a_wave_that_is_no_map_of_spectra_is_refused(tmp_path, wave, words):
    (tmp_path / "wave.ibw").write_bytes(wave)
    with pytest.raises(RecordingError, match=words):
        opened(tmp_path / "wave.ibw")


def test_a_single_frame_of_i05_stands_where_the_manipulator_stood(tmp_path):
    places = [
        (f"instrument/manipulator/sa{axis}", [value], "mm") for axis, value in (("x", 2.2), ("y", -7.8), ("z", 1))
    ]
    counts = write_i05(tmp_path / "cut.nxs", places=places)
    recording, frames = opened(tmp_path / "cut.nxs")
    np.testing.assert_array_equal(frames, counts)
    assert_axes(recording)
    assert [recording.points[axis][0] for axis in "xyz"] == pytest.approx([2200, -7800, 1000])
    told = (recording.photon_energy, recording.lens_mode, recording.acquire_time, recording.temperature)
    assert (told, recording.assumed) == ((100.5, "L4", 0.5, 10.7), ())


@pytest.mark.parametrize(("slow", "fast", "fast_axis"), [("say", "sax", "x"), ("sax", "saz", "y"), ("smx", "smy", "y")])
def test_a_map_of_i05_has_its_scanned_plane_as_x_and_y(tmp_path, slow, fast, fast_axis):
    grids = np.meshgrid(0.1 + 0.02 * np.arange(3), 0.3 + 0.01 * np.arange(4), indexing="ij")
    places = [(f"analyser/{name}", grid, "mm") for name, grid in zip((slow, fast), grids, strict=True)]
    counts = write_i05(tmp_path / "map.nxs", (3, 4), places, **{"analyser/energies": np.tile(ENERGY, (3, 4, 1))})
    recording, frames = opened(tmp_path / "map.nxs")
    np.testing.assert_array_equal(frames, counts)
    grid = nominal_grid(recording)
    assert (grid.fast_axis, grid.snake) == (fast_axis, False)
    assert getattr(grid, fast_axis).stop == pytest.approx(330)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scan": (3,), "places": [("instrument/manipulator/sapolar", [1, 2, 3], "deg")]}, "3 points of which"),
        ({"scan": (3,), "places": [("analyser/sax", [1, 2], "mm")]}, r"sax in .* shape \(2,\), the scan \(3,\)"),
        ({"places": [("analyser/sax", 1, "steps")]}, "in 'steps'"),
        ({"analyser/angles": ANGLE[:3]}, r"angles in .* shape \(3,\), the counts 5"),
        ({"analyser/angles": np.full(5, np.nan)}, "differs from point to point|not a row of finite"),
        ({"scan": (2,), "analyser/energies": [ENERGY, ENERGY + 1]}, "differs from point to point"),
        ({"instrument/monochromator/energy": [np.nan]}, "does not tell its photon energy"),
        ({"scan": (2, 1, 2)}, "at most two scanned axes"),
    ],
)
def test_a_scan_of_i05_that_is_no_raster_is_refused(tmp_path, options, words):
    write_i05(tmp_path / "scan.nxs", **options)
    with pytest.raises(RecordingError, match=words):
        opened(tmp_path / "scan.nxs")


def test_a_cut_of_merlin_says_what_is_assumed(tmp_path):
    counts = write_merlin(tmp_path / "cut.h5")
    recording, frames = opened(tmp_path / "cut.h5")
    np.testing.assert_array_equal(frames[0], counts)
    assert_axes(recording)
    assert (recording.photon_energy, recording.pass_energy, recording.temperature) == (100.5, 20.0, 10.7)
    assert recording.assumed == ("acquire_time", "temperature", "x", "y")
    write_merlin(tmp_path / "bad.h5", AxisUnits="eV,eV")
    with pytest.raises(RecordingError, match="one axis in eV, one in degree"):
        opened(tmp_path / "bad.h5")
    write_merlin(tmp_path / "worse.h5", scale="Final")
    with pytest.raises(RecordingError, match="scale 'final'"):
        opened(tmp_path / "worse.h5")


def test_a_replay_says_what_it_assumes(tmp_path):
    write_merlin(tmp_path / "cut.h5", "Binding", 0.2, -0.01)
    told = replay._foreign(tmp_path / "cut.h5", tmp_path / "served.h5", 10.0, None).told
    assert "1 x 1 recorded points, 5 angles x 24 energies, 95.900 to 96.130 eV" in told
    assert "does not say its x; 0 um is assumed" in told
    assert "does not say its energy; kinetic energy = photon energy - 4.4 eV - binding energy is assumed" in told
    write_ibw(tmp_path / "line.ibw", ("Position [mm]", 5.0, 0.5, 4))
    told = replay._foreign(tmp_path / "line.ibw", tmp_path / "served.h5", 10.0, None).told
    assert "does not say its x; the order of its axes is assumed" in told
    assert "does not say its y; 0 um is assumed" in told


def test_an_archive_of_numpy_is_read_with_what_it_tells(tmp_path):
    frames = write_npz(tmp_path / "map.npz", temperature=np.linspace(12, 13, 6), title="a metal")
    recording = convert(tmp_path / "map.npz", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["frames"], frames)
        np.testing.assert_array_equal(file["points/temperature"], np.linspace(12, 13, 6))
        np.testing.assert_array_equal(file["points/i0"], np.full(6, 0.9))
    assert_axes(recording)
    assert (recording.title, recording.lens_mode, recording.acquire_time) == ("a metal", "A30", 0.5)
    assert (nominal_grid(recording).x.num, recording.assumed) == (3, ("temperature",))
    write_npz(tmp_path / "cut.npz", frames=counts_of(), x=None, y=None, i0=None, temperature=None, acquire_time=None)
    assert opened(tmp_path / "cut.npz")[0].assumed == ("acquire_time", "temperature", "x", "y")


def test_our_own_export_with_its_frames_is_a_recording_of_the_run(own_raster, tmp_path):
    path = export_run(own_raster.directory, "-1", output=tmp_path / "map.nxs", copy_frames=True)
    with pytest.raises(RecordingError, match="does not tell its photon energy"):  # neither did the run
        opened(path)
    with h5py.File(path, "a") as file:
        beam = file["entry/instrument/beam_probe"]
        beam.pop("incident_energy", None)
        beam["incident_energy"] = 100.0
    recording, frames = opened(path)
    np.testing.assert_array_equal(frames, own_raster.frames)
    x, y = (10.0 * part for part in np.divmod(np.arange(len(frames)), 4)[::-1])  # rows of 4 pixels, 10 um apart
    np.testing.assert_array_equal(recording.points["x"], x)
    np.testing.assert_array_equal(recording.points["y"], y)
    assert set(recording.points["temperature"]) == {10.0}
    assert recording.temperature == 10.0
    linked = export_run(own_raster.directory, "-1")
    with pytest.raises(RecordingError, match=r"external link .*; links are not followed"):
        opened(linked)


def test_an_export_of_a_resumed_run_has_the_frames_of_both_and_none_that_no_pixel_counts(tmp_path):
    first, second = write_exported(tmp_path / "map.nxs")
    recording, frames = opened(tmp_path / "map.nxs")
    np.testing.assert_array_equal(frames, [*first[:2], *second])
    assert recording.points["x"].tolist() == [0.0, 10.0, 0.1, 10.1]
    assert (recording.acquire_time, recording.pass_energy) == (0.5, 10.0)
    assert recording.assumed == ("lens_mode", "temperature")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixels": ((0, 1), (1, 2))}, "two frames .* are of one pixel"),
        ({"pixels": ((0, 1, 4),)}, "a frame of pixel 4 in a map of 4"),
        ({"pixels": ((-1, -1),)}, "holds no frame that a pixel counts"),
        ({"instrument/electronanalyzer/electron_detector/raw_data/pixel": [0]}, "another number of frames"),
        ({"instrument/electronanalyzer/electron_detector/raw_data/energy": ENERGY[:5]}, "not of 5 angles x 5 energies"),
        ({"pixels/manipulator_x": np.full((2, 2), np.nan)}, "no positions 'x'"),
        ({"pixels/manipulator_y": np.arange(4.0)}, "real numbers in 2 dimensions"),
    ],
)
def test_an_export_whose_parts_do_not_agree_is_refused(tmp_path, options, words):
    write_exported(tmp_path / "map.nxs", **options)
    with pytest.raises(RecordingError, match=words):
        opened(tmp_path / "map.nxs")


@real
def test_the_real_cut_of_ses_has_its_edge_where_it_was_found_by_others():
    edge = replay.summed_edge(Path(REALDATA) / "STO_2_0010STO_2_.ibw")
    # 42.2410 eV, fitted with another program at 20 K; the axis has 2 meV steps.
    assert (edge.status, edge.ef) == ("ok", pytest.approx(42.241, abs=0.001))


@real
@pytest.mark.parametrize(
    ("name", "place", "assumed"),
    [
        ("als-merlin-cut.h5", "2Ddata/Spectrum", ("acquire_time", "temperature", "x", "y", "energy")),
        ("diamond-i05-bmap_new.nxs", "entry1/analyser/data", ()),
    ],
)
def test_a_real_cut_in_hdf5_comes_out_as_recorded(name, place, assumed):
    recording, frames = opened(Path(REALDATA) / name)
    with h5py.File(Path(REALDATA) / name) as file:
        np.testing.assert_array_equal(frames[0], np.squeeze(file[place][()]))
    assert recording.assumed == assumed
