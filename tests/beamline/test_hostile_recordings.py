"""Files that are damaged, or made to do harm, are refused in one line: nothing crashes, hangs, grows or reaches out."""

import json
import os
import pickle  # noqa: TID251 - to make what must not be read
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from foreign_files import (
    SES_AXES,
    counts_of,
    ibw,
    npz_parts,
    write_exported,
    write_i05,
    write_ibw,
    write_merlin,
    write_npz,
)

from microarpes.beamline.guarded_hdf5 import has_writer
from microarpes.beamline.moved_windows import FRAME_ID, WindowError, open_frames
from microarpes.beamline.recordings import RecordingError, convert, open_recording
from microarpes.devices.frame_file import FrameFile
from microarpes.sim.recording import RecordingError as NotServed
from microarpes.sim.recording import open_recording as open_served

HERE = Path(__file__).parent


def write_fits(path):
    columns = [
        fits.Column(name, "1D", unit, array=values)
        for name, unit, values in (("X", "mm", [0.1, 0.2, 0.3]), ("Y", "mm", [1.0, 1.0, 1.0]))
    ]
    columns.append(fits.Column("Spectra", "24D", "arb", array=counts_of(3)[:, 0].astype(float)))
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"TRPIX3": 1, "TRVAL3": 95.5, "TDELT3": 0.01})
    primary = fits.PrimaryHDU()
    primary.header.update({"BL_E": 100.0, "SFPE_0": 20, "SFLNM0": "A30"})
    fits.HDUList([primary, table]).writeto(path)


def write_bloch(path):
    x, y = np.meshgrid([0.1, 0.2], [1.0, 1.1])
    parts = {"counts": counts_of(2, 2), "x": x, "y": y, "angle": np.arange(5.0), "kinetic_energy": np.arange(24.0)}
    with h5py.File(path, "w") as file:
        file.attrs.update({"photon_energy_eV": 100.0, "pass_energy_eV": 20.0})
        for name, values in parts.items():
            file[name] = values
        file["x"].attrs["units"] = file["y"].attrs["units"] = "mm"


@pytest.fixture
def corpus(tmp_path):
    """One small undamaged file of every format."""
    folder = tmp_path / "sources"
    folder.mkdir()
    write_ibw(folder / "wave.ibw", ("X [mm]", 0.0, 1.0, 2))
    write_i05(folder / "i05.nxs", (2,), [("analyser/sax", [0.1, 0.2], "mm")])
    write_merlin(folder / "merlin.h5")
    write_exported(folder / "exported.nxs")
    write_bloch(folder / "bloch.h5")
    write_npz(folder / "plain.npz")
    write_npz(folder / "compressed.npz", compressed=True)
    write_fits(folder / "maestro.fits")
    convert(folder / "plain.npz", folder / "recording.h5")
    shutil.copy(folder / "recording.h5", folder / "served.h5")  # read as the simulated devices read it
    write_frame_file(folder / "frames.h5")
    return folder


def write_frame_file(path):
    """Write the frame file of a run of ours, as the engine does."""
    frames = FrameFile(path, np.arange(24.0), np.arange(5.0), flat_field=np.ones((5, 24)))
    for number, counts in enumerate(counts_of(3)):
        frames.append(counts, number + 1)
    frames.reject(counts_of(1)[0], 7, 2, "the beam was away")
    frames.close()


@pytest.mark.timeout(280)
def test_no_damage_does_anything_but_a_refusal_in_one_line(corpus):
    done = subprocess.run(
        [sys.executable, str(HERE / "hostile_reading.py"), str(corpus)],
        capture_output=True, text=True, timeout=270, check=False, env=os.environ | {"PYTHONWARNINGS": "error"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Warning" not in done.stderr, done.stderr  # a file that was left open is told there alone
    report = json.loads(done.stdout)
    assert len(report) == 11
    for name, counts in report.items():
        assert not counts["wrong"], (name, counts["wrong"][:5], len(counts["wrong"]))
        assert counts["refused"] >= 24, name  # what is cut is refused, at the least


def refused(path, words):
    with pytest.raises(RecordingError, match=words) as error, open_recording(path) as (recording, frames):
        [frames[i] for i in range(recording.n_points)]
    assert "\n" not in str(error.value)


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_in_an_archive_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("objects.npz", **npz_parts(title=np.array(Harm(), dtype=object)))
    refused(Path("objects.npz"), "'title' in objects.npz holds pickled objects")
    with zipfile.ZipFile("bare.npz", "w") as archive:
        archive.writestr("frames.npy", pickle.dumps(Harm()))
    refused(Path("bare.npz"), "cannot be read")
    assert not Path("harm").exists()


def test_an_archive_that_claims_more_than_it_holds_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", **npz_parts(frames=np.zeros((6, 2000, 2000), np.int8)))
    refused(tmp_path / "bomb.npz", r"claims 23 MiB in a file of 0.0\d MiB")

    def lying(name, shape, data):
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("frames.npy", b"\x93NUMPY\x01\x00" + bytes([118, 0]) + header.encode() + data)
        return tmp_path / name

    refused(lying("huge.npz", "(1000000000, 1000, 1000)", bytes(80)), r"'frames' in .* claims shape \(1000000000")
    refused(lying("negative.npz", "(-1, -10)", bytes(80)), r"claims shape \(-1, -10\)|cannot be read")


def test_names_that_are_not_known_or_come_twice_are_refused(tmp_path):
    np.savez(tmp_path / "more.npz", **npz_parts(), secret=1)
    refused(tmp_path / "more.npz", "holds 'secret'")
    np.savez(tmp_path / "path.npz", **npz_parts(), **{"../../x": 1})
    refused(tmp_path / "path.npz", r"holds '../../x'")
    write_npz(tmp_path / "twice.npz")
    with zipfile.ZipFile(tmp_path / "twice.npz", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("energy.npy", archive.read("angle.npy"))
    refused(tmp_path / "twice.npz", "holds 'energy', perhaps twice")


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"energy": np.full(24, np.nan)}, "energy axis .* does not ascend"),
        ({"angle": np.full(5, np.inf)}, "angle axis .* not a row of finite"),
        ({"x": np.full(6, np.nan)}, "column 'x' .* not 6 finite"),
        ({"x": None}, "no positions 'x'"),
        ({"x": None, "y": None}, "no positions 'x'"),
        ({"photon_energy": None}, "does not tell its photon energy"),
        ({"photon_energy": -5.0}, "photon_energy .* above 0"),
        ({"frames": counts_of(5)}, r"shape \(5, 5, 24\); points and axes say \(6, 5, 24\)"),
        ({"frames": counts_of(6).astype(complex)}, "real numbers needed"),
        ({"lens_mode": 3.0}, "a text needed"),
        ({"energy": None}, "no array energy"),
    ],
)
def test_an_archive_whose_parts_do_not_agree_is_refused_by_name(tmp_path, replaced, words):
    write_npz(tmp_path / "bad.npz", **replaced)
    refused(tmp_path / "bad.npz", words)


def test_a_wave_whose_header_is_changed_fails_its_checksum(tmp_path):
    wave = bytearray(ibw(counts_of().T, SES_AXES))
    wave[180] ^= 1  # the first energy
    (tmp_path / "wave.ibw").write_bytes(wave)
    refused(tmp_path / "wave.ibw", "checksum is wrong")


def test_a_link_out_of_its_folder_is_not_followed_and_one_inside_is(tmp_path):
    (tmp_path / "inbox").mkdir()
    write_npz(tmp_path / "private.npz")
    (tmp_path / "inbox" / "raster.npz").symlink_to("../private.npz")
    refused(tmp_path / "inbox" / "raster.npz", "is a link to .*, which is not in its folder")
    (tmp_path / "latest.npz").symlink_to("private.npz")
    with open_recording(tmp_path / "latest.npz") as (recording, _):
        assert recording.n_points == 6
    (tmp_path / "itself.npz").symlink_to("itself.npz")
    refused(tmp_path / "itself.npz", "cannot be read")


@pytest.mark.timeout(60)
def test_a_text_that_leads_hdf5_round_in_circles_is_refused(tmp_path):
    write_bloch(tmp_path / "bloch.h5")
    lengthen_first_text(tmp_path / "bloch.h5")
    refused(tmp_path / "bloch.h5", "damaged global heap")
    # Given straight to the simulated beamline it is no other: that one reads texts too.
    write_npz(tmp_path / "plain.npz")
    convert(tmp_path / "plain.npz", tmp_path / "served.h5")
    lengthen_first_text(tmp_path / "served.h5")
    with pytest.raises(NotServed, match="damaged global heap"):
        open_served(tmp_path / "served.h5")


def lengthen_first_text(path):
    """Make the first text so long that the next is looked for among zeros, where free space of size 0 stands."""
    data = bytearray(path.read_bytes())
    size = data.index(b"GCOL") + 24
    assert int.from_bytes(data[size : size + 8], "little") < 256
    data[size + 1] = 1
    path.write_bytes(data)


def test_a_frame_file_whose_type_was_made_one_of_variable_length_is_not_read(tmp_path):
    # Only through its type could a dataset of ours lead into a global heap.
    path = tmp_path / "frames.h5"
    write_frame_file(path)
    with h5py.File(path, "a") as file:
        del file["entry/data/frame_id"]
        file.create_dataset("entry/data/frame_id", (3,), h5py.vlen_dtype(np.int64))
    with pytest.raises(WindowError, match=r"frame_id in .* is not of the type it was written with"), open_frames(path):
        pass


def test_a_frame_file_is_looked_at_while_it_is_written_and_once_it_is_closed(tmp_path):
    path = tmp_path / "frames.h5"
    frames = FrameFile(path, np.arange(24.0), np.arange(5.0))
    frames.append(counts_of(1)[0], 1)
    with open_frames(path) as file:
        frames.append(counts_of(2)[1], 2)
        file[FRAME_ID].refresh()
        assert file[FRAME_ID][:].tolist() == [1, 2]
    assert has_writer(path)
    frames.close()
    # Nobody waits for a writer that is not there: what is cut off is told at once.
    assert not has_writer(path)
    path.write_bytes(path.read_bytes()[:11])
    assert not has_writer(path)


def test_an_attribute_that_is_no_number_and_no_text_is_refused(tmp_path):
    write_bloch(tmp_path / "bloch.h5")
    with h5py.File(tmp_path / "bloch.h5", "a") as file:
        kind = h5py.vlen_dtype(np.int64)
        rows = np.array([np.arange(3), np.arange(2)], dtype=object)
        file["x"].attrs.create("units", rows, dtype=kind)
    refused(tmp_path / "bloch.h5", "attribute 'units' of /x .* is no number and no text")


def test_groups_that_are_nested_without_end_are_refused(tmp_path):
    write_merlin(tmp_path / "deep.h5")
    with h5py.File(tmp_path / "deep.h5", "a") as file:
        group = file
        for _ in range(10_001):
            group = group.create_group("g")
    refused(tmp_path / "deep.h5", "more than 10000 objects")
