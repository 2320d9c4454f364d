"""A raster behind a mesh of 10 %, from configuration to map: told of it the fit is right, untold it is refused."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from microarpes.analysis import LiveGapMap
from microarpes.beamline.config import simulated_text
from microarpes.beamline.journal import read_documents
from microarpes.beamline.stored_run import read_run
from microarpes.sim.process import running_ioc
from microarpes.sim.sample import Sample

#: Counts/s at which a pixel of 0.05 s knows its gap to 0.17 meV and the mesh stands out of the noise.
RATE = "3e7"


MAP = ["map", "--points", "2x2", "--step", "20", "--directory", "runs"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, command_line):
    """5 x 5 pixels in the middle of the flake, with the flat field declared."""
    microarpes = command_line(tmp_path_factory.mktemp("mesh"))
    written = microarpes("sim", "--flat-field-mesh", "0.1", "--write-flat-field", "flat.npy")
    assert written.returncode == 0, written.stderr
    with running_ioc(arguments=["--seed", "7", "--rate", RATE, "--flat-field-mesh", "0.1"]) as ioc:
        text = simulated_text().replace("# flat_field", "flat_field")
        port = f"auto_address_list = false\nserver_port = {ioc.environment['EPICS_CA_SERVER_PORT']}"
        (microarpes.folder / "beamline.toml").write_text(text.replace("auto_address_list = false", port))
        done = microarpes(
            *("map", "--config", "beamline.toml", "--points", "5x5", "--step", "6", "--centre", "-20,-50"),
            *("--exposure", "0.05", "--no-page", "--directory", "runs", "--summary", "map.json"),
            timeout=280,
            **ioc.environment,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((microarpes.folder / "map.json").read_text())
    return read_run(microarpes.folder / "runs" / summary["run_uid"])


def without_flat_field(name, doc):
    if name != "start":
        return doc
    return {**doc, "calibration": {key: value for key, value in doc["calibration"].items() if key != "flat_field"}}


def test_with_the_flat_field_declared_the_gaps_are_right(run):
    windows = [(window["angle_low"], window["angle_high"]) for window in run.start["windows"]]
    x, y = run.plane("manipulator_x"), run.plane("manipulator_y")
    truth = Sample(7).truth(x, y, windows=windows).gap.reshape(run.shape)
    assert (run.gap_map.joint_status == "ok").all()
    pulls = (run.gap_map.joint_delta - truth) / run.gap_map.joint_delta_stderr
    # 25 pulls know their width to 0.14. The gap varies over the beam and the band over the window: 0.13 meV at most,
    # 0.8 of these small errors, mesh or none
    assert abs(pulls.mean()) < 1.5
    assert pulls.std() < 1.6


def test_without_it_most_pixels_are_refused_as_bad_fits(run):
    untold = LiveGapMap()
    for name, doc in read_documents(run.folder / "raw.journal"):
        untold(name, without_flat_field(name, doc))
    # 27 of 36 in a larger map
    assert (untold.gap_map.joint_status == "bad-fit").mean() > 0.4


def test_the_run_keeps_all_it_needs_to_be_fitted_again(run):
    declared = run.start["detector"]
    assert declared["counting"] == "pulse"
    assert declared["flat_field"]["shape"] == [300, 400]
    assert len(declared["flat_field"]["sha256"]) == 64
    with h5py.File(run.folder / "frames.h5") as file:
        stored, counts = file["entry/detector/flat_field"][()], file["entry/data/data"][()]
    angle = np.array(run.start["angle_axis"])
    for window, factor in zip(run.start["windows"], run.start["calibration"]["flat_field"], strict=True):
        rows = (angle >= window["angle_low"]) & (angle < window["angle_high"])
        np.testing.assert_allclose(factor, stored[rows].mean(axis=0))
    assert counts.dtype == np.int32
    # frames are as they were counted: the shadow, mean 1, is still in them (angle channels 0.05 deg, bright part)
    seen = counts.sum(axis=0)[:, :200]
    smooth = np.apply_along_axis(lambda row: np.convolve(row, np.ones(9) / 9, "same"), 1, seen)
    ripple = (seen / np.maximum(smooth, 1.0) - 1.0)[100:200, 20:180]
    assert np.corrcoef(ripple.ravel(), (stored[100:200, 20:180] - 1.0).ravel())[0, 1] > 0.5


@pytest.mark.parametrize(
    ("flat", "command", "words"),
    [
        (np.ones((300, 200)), MAP, ["300 x 200", "300 x 400"]),
        (np.full((300, 400), 80.0), ["check"], ["mean of 80"]),
        (None, MAP, ["flat.npy", "No such file"]),
    ],
    ids=["shape", "counts", "missing"],
)
def test_a_flat_field_of_another_detector_is_refused_before_anything_moves(ioc, microarpes, flat, command, words):
    if flat is not None:
        np.save(microarpes.folder / "flat.npy", flat)
    (microarpes.folder / "beamline.toml").write_text(simulated_text().replace("# flat_field", "flat_field"))
    done = microarpes(*command, "--config", "beamline.toml", **ioc.environment)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert not list((microarpes.folder / "runs").glob("*/raw.journal"))
