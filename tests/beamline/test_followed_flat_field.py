"""Windows that follow k_F through an uneven detector: each pixel has the factors of the rows that it summed."""

import numpy as np
import pytest
from waving_face import (
    ANGLE,
    CHANNELS,
    CURVE,
    ENERGY,
    FERMI_ENERGY,
    HOLDER,
    TILTS,
    FramesAtHand,
    WavingRun,
    curved,
    frames_of_the_run,
    record,
    start_of,
)

from microarpes.analysis import GapMap, LiveGapMap
from microarpes.analysis.engine import engine_name
from microarpes.analysis.k_f_verdict import NO_K_F
from microarpes.beamline.before_map import mirror_finder
from microarpes.beamline.chunk_fit import RefitJob
from microarpes.beamline.config import parse_config, simulated_config
from microarpes.beamline.follow_fit import follow_fit
from microarpes.beamline.journal import read_documents
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_spectrum import SpectrumFits
from microarpes.devices.flat_field import window_factors
from microarpes.sim.flat_field import gain_pattern

#: Uneven by 5 %, on straightened rows.
UNEVEN = gain_pattern(300, 400, 0.05)
FACTORS = curved(UNEVEN)
#: Errors of gaps are a quarter of a meV and what the detector does to them is more.
BRIGHT = 3e6


@pytest.fixture(scope="module")
def frames():
    return frames_of_the_run(UNEVEN, BRIGHT)


@pytest.fixture(scope="module")
def run(tmp_path_factory, frames):
    made = WavingRun(tmp_path_factory.mktemp("runs"), frames, FACTORS)
    list(made.write())
    follow_fit(made.directory, "waving")
    return made


def map_of(run):
    return GapMap.from_documents(read_documents(run.folder / "gap.journal"))


def test_gaps_and_centres_are_those_of_the_sample(run):
    found = map_of(run)
    live = slice(None, HOLDER)
    assert list(found.k_f_status.flat[live]) == ["ok", "ok", "far", "far", "ok"]
    assert np.allclose(found.k_f_centre.flat[live], [-tilt for tilt in TILTS], atol=0.012)
    assert set(found.joint_status.flat[live]) == {"ok"}
    # Half a channel of 0.05 deg, and a quarter of a meV of counting.
    assert np.allclose(found.joint_delta.flat[live], 35.0, atol=0.8)


def test_without_the_flat_field_the_same_frames_have_other_gaps_or_no_centre(tmp_path, frames):
    undeclared = WavingRun(tmp_path, frames)
    list(undeclared.write())
    follow_fit(tmp_path, "waving")
    found = map_of(undeclared)
    live = slice(None, HOLDER)
    right = (found.joint_status.flat[live] == "ok") & (np.abs(found.joint_delta.flat[live] - 35.0) < 0.8)
    assert right.sum() <= 2


def test_an_event_says_the_factors_of_the_rows_that_were_summed_and_of_those_beside(frames):
    planned = record(CURVE.tolist()) | {"flat_field": window_factors(FACTORS, CHANNELS, CURVE).tolist()}
    seen = FramesAtHand(start_of(planned), FACTORS).look(frames[2])
    # A face at -0.42 deg: 8 channels of 0.05 deg; its centre is known to less than one.
    lay = [window_factors(FACTORS, [rows + by for rows in CHANNELS], CURVE) for by in (8, 7, 9)]
    assert np.array_equal(seen["flat_field"], lay[0])
    assert np.array_equal(seen["flat_field_beside"], lay[1:])


def test_a_run_whose_flat_field_is_not_beside_its_frames_keeps_the_planned_windows_and_says_so(frames):
    planned = record(CURVE.tolist()) | {"flat_field": window_factors(FACTORS, CHANNELS, CURVE).tolist()}
    seen = FramesAtHand(start_of(planned)).look(frames[2])
    assert (seen["k_f_status"], seen["window_shift"]) == ("flat-field", 0.0)
    assert "edc" not in seen


def test_live_and_refitted_are_the_same_bits(run, derived, fitted_here):
    outcome = fitted_here(run, 4, job=RefitJob(str(run.folder / "raw.journal"), follow_k_f=True))
    assert derived(outcome.journal) == run.fitted()
    start = next(doc for _, doc in read_documents(outcome.journal))
    assert start["engine"] == engine_name()


def test_without_frames_windows_stay_as_planned_and_no_gap_is_one_at_k_f(tmp_path, frames):
    lean = WavingRun(tmp_path, frames[:2], FACTORS)
    list(lean.write())
    (lean.folder / "frames.h5").unlink()
    follow_fit(tmp_path, "waving")
    found = map_of(lean)
    assert list(found.k_f_status.flat[:2]) == ["no-frame"] * 2
    assert set(found.joint_status.flat[:2]) == {NO_K_F}
    lean.start["follow_k_f"] = False
    planned = LiveGapMap()
    for name, doc in lean.documents():
        planned(name, doc)
    assert np.array_equal(found.joint_delta, planned.gap_map.joint_delta, equal_nan=True)


def test_the_page_shows_a_pixel_with_the_fit_that_the_follower_made_of_it(run):
    feed = RunFeed(run.folder)
    while feed.advance():
        pass
    fits = SpectrumFits()
    assert fits.ready.wait(300.0)
    shown = fits.spectrum(feed, 2)
    gap, error = (feed.planes[name].flat[2] for name in ("delta", "delta_stderr"))
    assert shown.text.startswith(f"gap {gap:.1f} \N{PLUS-MINUS SIGN} {error:.1f} meV")


def test_a_configuration_may_declare_both():
    data = simulated_config().model_dump() | {"analysis": {"follow_k_f": True}}
    data["analyser"] |= {"detector": {"flat_field": "f.npy"}}
    assert parse_config(data, "test").analysis.follow_k_f


def test_alignment_and_control_pixels_look_through_the_declared_flat_field_too(tmp_path, frames):
    np.save(tmp_path / "flat.npy", FACTORS)
    data = simulated_config().model_dump()
    undeclared = parse_config(data, "test")
    data["analyser"] |= {"detector": {"flat_field": str(tmp_path / "flat.npy")}}
    declared = parse_config(data, "test")
    seen = [mirror_finder(config)(frames[3], ENERGY, ANGLE, FERMI_ENERGY, CURVE) for config in (undeclared, declared)]
    assert seen[0].problem
    assert not seen[1].problem
    # Three times the error of 3e6 counts.
    assert abs(seen[1].centre + TILTS[3]) < 0.01
