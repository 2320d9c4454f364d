"""A recording keeps positions, counts and axes exactly; whatever is damaged, hostile or no raster is one clear line."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from microarpes.beamline.recordings import RecordingError, convert, nominal_grid, open_recording

REALDATA = os.environ.get("MICROARPES_REALDATA", "")
real = pytest.mark.skipif(not REALDATA, reason="MICROARPES_REALDATA names no folder of real recordings")
ROWS, COLUMNS, ENERGIES, ANGLES = 4, 5, 60, 7


def raster_positions(jitter, seed=3):
    """X fast, mm, with the readback jitter of a stepper (0.02 um at MAESTRO)."""
    y, x = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    noise = np.random.default_rng(seed).uniform(-jitter, jitter, (2, ROWS * COLUMNS))
    return 0.43 + 0.0107 * x + noise[0], -0.93 + 0.0107 * y + noise[1]


@pytest.fixture
def maestro(tmp_path):
    """A FITS table in the layout of a MAESTRO raster."""
    x, y = raster_positions(2e-5)
    n = len(x)
    spectra = np.random.default_rng(1).poisson(3000.0, (n, ENERGIES)).astype(float)
    columns = [
        fits.Column("time", "1D", "sec", array=4.3 * np.arange(n)),
        fits.Column("X", "1D", "mm", array=x),
        fits.Column("Y", "1D", "mm", array=y),
        fits.Column("I0_NEXAFS", "1D", "nA", array=np.linspace(0.62, 0.45, n)),
        fits.Column("Cryostat_A", "1D", "K", array=np.full(n, 5.7)),
        fits.Column("Fixed_Spectra254", f"{ENERGIES}D", "arb", array=spectra),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="data")
    table.header.update({"TDESC6": "eV", "TRPIX6": 1, "TRVAL6": 32.4, "TDELT6": 0.01127})
    primary = fits.PrimaryHDU()
    primary.header.update(
        {"START_TS": 3.6354e9, "BL_E": 70.0, "SFPE_0": 70, "SFLNM0": "Angular30", "LWLVNM": "XY Scan"}
    )
    fits.HDUList([primary, table]).writeto(tmp_path / "maestro.fits")
    return tmp_path / "maestro.fits", x, y, spectra


def write_bloch(path, counts=None, **replaced):
    rng = np.random.default_rng(2)
    counts = rng.uniform(0, 14, (3, 3, ANGLES, ENERGIES)).astype("f4") if counts is None else counts
    column, row = np.meshgrid(np.arange(3), np.arange(3))
    parts = {
        "counts": counts,
        "x": -1.10 + 0.117 * row,
        "y": 274.694 + 0.12 * column,
        "kinetic_energy": np.linspace(118.29, 119.74, ENERGIES),
        "angle": np.linspace(-12, 12, ANGLES),
        **replaced,
    }
    units = {"x": "mm", "y": "mm", "kinetic_energy": "eV", "angle": "deg"}
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {"beamline": "Bloch", "photon_energy_eV": 124.0, "pass_energy_eV": 20, "lens_mode": "DA30L_01"}
        )
        for name, values in parts.items():
            file[name] = values
            file[name].attrs["units"] = units.get(name, "")
    return path, counts


def test_a_maestro_raster_comes_out_as_it_was_recorded(maestro, tmp_path):
    path, x, y, spectra = maestro
    recording = convert(path, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["format"] == "microarpes-recording"
        assert file.attrs["version"] == 1
        assert file["frames"].dtype == np.int32  # counts stored as floats, all of them whole
        np.testing.assert_array_equal(file["frames"][:, 0, :], spectra)
        np.testing.assert_array_equal(file["points/x"], x * 1000.0)
        np.testing.assert_array_equal(file["points/y"], y * 1000.0)
        assert file["points/x"].attrs["units"] == "um"
        np.testing.assert_array_equal(file["points/i0"], np.linspace(0.62, 0.45, ROWS * COLUMNS))
        np.testing.assert_allclose(file["energy"], 32.4 + 0.01127 * np.arange(ENERGIES), rtol=1e-15)
        np.testing.assert_array_equal(file["angle"], [0.0])
        # LabVIEW counts from 1904-01-01: 66 years of which 17 were leap years before 1970; 4.3 s a row.
        assert file["points/time"][1] == pytest.approx(3.6354e9 - (66 * 365 + 17) * 86400 + 4.3, abs=1e-3)
    assert (recording.photon_energy, recording.lens_mode) == (70.0, "Angular30")
    assert recording.acquire_time == pytest.approx(4.3)
    assert recording.assumed == ("acquire_time", "temperature")


def test_the_grid_of_a_raster_is_found_through_its_jitter(maestro):
    with open_recording(maestro[0]) as (recording, _):
        grid = nominal_grid(recording)
    assert (grid.fast_axis, grid.snake) == ("x", False)
    assert (grid.x.num, grid.y.num) == (COLUMNS, ROWS)
    # Jitter of 0.02 um averages down over a line; no readback is further from the grid than jitter and fit error.
    assert grid.x.start == pytest.approx(430.0, abs=0.02)
    assert grid.x.stop == pytest.approx(430.0 + 4 * 10.7, abs=0.02)
    assert grid.y.stop == pytest.approx(-930.0 + 3 * 10.7, abs=0.02)
    assert 0.005 < grid.deviation < 0.04


def test_a_bloch_raster_keeps_its_frames_and_its_order(tmp_path):
    path, counts = write_bloch(tmp_path / "bloch.h5")
    recording = convert(path, tmp_path / "out.h5", acquire_time=2.0)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["frames"].dtype == np.float64  # interpolated by the instrument: no whole numbers
        np.testing.assert_array_equal(file["frames"], counts.reshape(9, ANGLES, ENERGIES))
    grid = nominal_grid(recording)
    assert (grid.fast_axis, grid.snake, grid.x.num, grid.y.num) == ("y", False, 3, 3)
    assert grid.x.start == pytest.approx(-1100.0)
    assert grid.y.stop == pytest.approx(274934.0)
    assert (recording.acquire_time, recording.assumed) == (2.0, ("temperature",))


def test_a_recording_converts_to_itself(maestro, tmp_path):
    first = convert(maestro[0], tmp_path / "a.h5")
    second = convert(tmp_path / "a.h5", tmp_path / "b.h5")
    assert {**vars(first), "points": 0, "energy": 0, "angle": 0} == {
        **vars(second),
        "points": 0,
        "energy": 0,
        "angle": 0,
    }
    assert set(first.points) == set(second.points)
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        for name in ("frames", "energy", "points/x", "points/i0"):
            np.testing.assert_array_equal(a[name], b[name])
    with pytest.raises(RecordingError, match="is the source itself"):
        convert(tmp_path / "a.h5", tmp_path / "a.h5")


def external_link(file, secret):
    file["linked"] = h5py.ExternalLink(str(secret), "/data")


def external_storage(file, secret):
    file.create_dataset("raw", (8,), "u1", external=[(str(secret), 0, 8)])


def soft_link(file, secret):
    file["soft"] = h5py.SoftLink("/counts")


def virtual_dataset(file, secret):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "data", shape=(4,))
    file.create_virtual_dataset("virtual", layout)


def absurd_shape(file, secret):
    file.create_dataset("huge", (2**20, 2**20), "f8", chunks=(64, 64))


def link_in_a_group(file, secret):
    external_link(file.create_group("nested/deep"), secret)


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (external_link, "external link /linked"),
        (link_in_a_group, "external link /nested/deep/linked"),
        (external_storage, "/raw in .* other files"),
        (virtual_dataset, "/virtual in .* other files"),
        (soft_link, "soft link /soft"),
        (absurd_shape, r"/huge in .* claims 8388608 MiB .* limits are 8 GiB and 64 times"),
    ],
)
def test_an_hdf5_file_that_reaches_out_or_blows_up_is_refused(tmp_path, attack, words):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.arange(4.0)
    path, _ = write_bloch(tmp_path / "hostile.h5")
    with h5py.File(path, "a") as file:
        attack(file, secret)
    with pytest.raises(RecordingError, match=words) as refused:
        convert(path, tmp_path / "out.h5")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.h5").exists()


def test_a_group_that_holds_itself_ends(tmp_path):
    path, _ = write_bloch(tmp_path / "loop.h5")
    with h5py.File(path, "a") as file:
        file["again"] = file["/"]
    with open_recording(path) as (recording, _):
        assert recording.n_points == 9


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"x": np.zeros((2, 2))}, r"x in .* shape \(2, 2\), the raster 3 x 3"),
        ({"angle": np.zeros(3)}, "7 angles x 60 energies, the axes 3 x 60"),
        ({"y": np.full((3, 3), np.nan)}, "column 'y' .* not 9 finite numbers"),
        ({"kinetic_energy": np.linspace(2, 1, ENERGIES)}, "energy axis .* does not ascend"),
        ({"kinetic_energy": np.array(["a"] * ENERGIES, dtype="S1")}, "real numbers in 1 dimensions"),
    ],
)
def test_a_raster_whose_parts_do_not_agree_is_refused_by_name(tmp_path, replaced, words):
    path, _ = write_bloch(tmp_path / "bad.h5", **replaced)
    with pytest.raises(RecordingError, match=words):
        convert(path, tmp_path / "out.h5")


def test_positions_in_an_unknown_unit_are_not_guessed(tmp_path):
    path, _ = write_bloch(tmp_path / "bad.h5")
    with h5py.File(path, "a") as file:
        file["x"].attrs["units"] = "steps"
    with pytest.raises(RecordingError, match=r"x in .* is in 'steps'"):
        convert(path, tmp_path / "out.h5")


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_what_is_no_whole_file_of_a_known_format_is_one_clear_line(maestro, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("x,y,counts\n")
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["something"] = 1
    fits.HDUList([fits.PrimaryHDU(np.zeros((3, 3)))]).writeto(tmp_path / "image.fits")
    bloch, _ = write_bloch(tmp_path / "bloch.h5")
    cases = {
        tmp_path / "missing": "No such file",
        tmp_path: "not a regular file",
        tmp_path / "pipe": "not a regular file",
        tmp_path / "empty": "empty",
        tmp_path / "text": "known are a MAESTRO raster",
        tmp_path / "other.h5": "HDF5 with something in it",
        tmp_path / "image.fits": "holds no raster",
        cut(bloch, 0.6): "not a whole HDF5 file",
        cut(maestro[0], 0.7): "is truncated",
    }
    for path, words in cases.items():
        with pytest.raises(RecordingError, match=words) as refused:
            convert(path, tmp_path / "out.h5")
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(("rows", "words"), [(999999999, r"claims .* MiB in a file"), (10**18, "holds no raster")])
def test_a_table_that_claims_more_rows_than_any_disk_holds_is_refused(maestro, tmp_path, rows, words):
    path = maestro[0]
    claim = b"NAXIS2  = %20d"
    path.write_bytes(path.read_bytes().replace(claim % (ROWS * COLUMNS), claim % rows))
    with pytest.raises(RecordingError, match=words):
        convert(path, tmp_path / "out.h5")


@real
def test_the_real_maestro_raster_comes_out_as_recorded(tmp_path):
    path = Path(REALDATA) / "MAESTRO_13.fits"
    recording = convert(path, tmp_path / "out.h5")
    with fits.open(path) as hdus, h5py.File(tmp_path / "out.h5") as file:
        header, data = hdus[0].header, hdus[1].data
        np.testing.assert_array_equal(file["frames"][:, 0], data["Fixed_Spectra254"])
        np.testing.assert_array_equal(file["points/i0"], data["I0_NEXAFS"])
        assert file["frames"].dtype == np.int32
        grid = nominal_grid(recording)
        assert (grid.x.num, grid.y.num, grid.fast_axis, grid.snake) == (15, 15, "x", False)
        # What the header says was asked for; the encoder steps are 0.016 um.
        assert grid.x.start == pytest.approx(1000 * header["ST_0_0"], abs=0.02)
        assert grid.y.stop == pytest.approx(1000 * header["EN_0_1"], abs=0.02)
        assert recording.energy[[0, -1]] == pytest.approx([header["SFSE_0"], header["SFEE_0"]], abs=0.012)
    assert 0.01 < grid.deviation < 0.05


@real
def test_the_real_bloch_raster_comes_out_as_recorded(tmp_path):
    path = Path(REALDATA) / "bloch_raster.h5"
    recording = convert(path, tmp_path / "out.h5")
    with h5py.File(path) as source, h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["frames"], source["counts"][()].reshape(9, 198, 245))
    grid = nominal_grid(recording)
    assert (grid.x.num, grid.y.num, grid.fast_axis) == (3, 3, "y")
    assert grid.x.stop - grid.x.start == pytest.approx(233.33, abs=0.01)
