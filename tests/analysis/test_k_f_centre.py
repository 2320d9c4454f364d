"""The middle between +-k_F of a pixel, and what its error means for the gap."""

import math
from dataclasses import replace

import numpy as np
import pytest

from microarpes.analysis import Calibration
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.k_f_centre import find_k_f_centre, gap_error_of_centre
from microarpes.sim.photoemission import live_image
from microarpes.sim.sample_source import REFERENCE

ANGLE = (np.arange(300) + 0.5) * 0.05 - 7.5
FERMI_ENERGY = 95.6
ENERGY = FERMI_ENERGY + 1e-3 * (np.arange(400) - 320.0)
M = REFERENCE.margin


def frame_at(tilt, counts=3e5, seed=1):
    mean = live_image(replace(REFERENCE, tilt=tilt), 35.0, 15.0)[M:-M]
    return np.random.default_rng(seed).poisson(mean * (counts / mean.sum()))


def centre_of(frame, middle=0.0, angle=ANGLE, fermi_energy=FERMI_ENERGY, **options):
    return find_k_f_centre(frame, ENERGY, angle, fermi_energy, middle, **options)


@pytest.mark.parametrize(("tilt", "middle", "status"), [(0.1, 0.0, "ok"), (0.4, 0.0, "far"), (0.4, -0.35, "ok")])
def test_a_centre_far_from_the_middle_of_the_windows_is_flagged_and_kept(tilt, middle, status):
    found = centre_of(frame_at(tilt), middle)
    # 3e5 counts: 0.006 deg (test_mirror_centre).
    assert found.error == pytest.approx(0.006, rel=0.2)
    assert found.centre == pytest.approx(-tilt, abs=4 * found.error)
    assert (found.status, found.found) == (status, True)


def test_a_frame_that_holds_less_than_eleven_degrees_is_looked_at_as_far_as_it_goes():
    inside = np.abs(ANGLE) < 3.75
    found = centre_of(frame_at(0.2)[inside], angle=ANGLE[inside])
    assert found.centre == pytest.approx(-0.2, abs=4 * found.error)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"frame": np.full((300, 400), 4)}, "flat"),
        ({"fermi_energy": 97.0}, "outside"),
        ({"middle": 7.6}, "outside"),
        ({"frame": np.full((300, 400), np.nan)}, "bad-input"),
    ],
)
def test_where_there_is_no_centre_the_status_says_why_and_nothing_raises(change, status):
    given = {"frame": frame_at(0.0)} | change
    found = centre_of(**given)
    assert (found.status, found.found) == (status, False)
    assert math.isnan(found.centre)


def test_the_error_of_a_centre_moves_a_gap_by_slope_and_bend():
    # A gap of 35 + 20 c + 300 c^2 meV: the root mean square of its change under a normal c, drawn.
    slope, bend, error, step = 20.0, 300.0, 0.03, 0.05
    lower, higher = (35.0 + slope * c + bend * c * c for c in (-step, step))
    drawn = np.random.default_rng(2).normal(0.0, error, 200_000)
    expected = np.sqrt(np.mean((slope * drawn + bend * drawn**2) ** 2))
    assert gap_error_of_centre(35.0, lower, higher, step, error) == pytest.approx(expected, rel=0.01)


def test_one_side_will_do_and_none_is_not_known():
    assert gap_error_of_centre(35.0, math.nan, 36.0, 0.05, 0.01) == pytest.approx(0.2)
    assert gap_error_of_centre(35.0, 34.0, math.nan, 0.05, 0.01) == pytest.approx(0.2)
    assert math.isnan(gap_error_of_centre(35.0, math.nan, math.nan, 0.05, 0.01))


START = {
    "windows": [{"name": "-k_F"}, {"name": "+k_F"}],
    "energy_axis": ENERGY,
    "grid": {"x": {"num": 1}, "y": {"num": 1}},
    "follow_k_f": True,
}
RECORD = {"time": 1.0, "ef": [FERMI_ENERGY] * 2, "resolution": 0.012, "temperature": 10.0}


def record_of(edc, energy, gaps, **data):
    """Record of an event whose windows have these gaps, and those beside them."""
    lines = {gap: edc(energy, peak=300.0, delta=gap) for pair in gaps for gap in pair}
    planned, *beside = (np.array([lines[gap] for gap in pair]) for pair in gaps)
    more = {"edc_beside": np.array(beside), "beside_step": 0.05, "k_f_centre": 0.1, "k_f_centre_error": 0.02,
            "k_f_status": "ok", "window_shift": 0.1}  # fmt: skip
    event = {"pixel": 0, "angular_contrast": 0.4, "edc": planned, **(more if beside else {}), **data}
    return EventFitter("norman", "prior").fit(RunLayout.from_start(START), Calibration.from_record(RECORD, 2), event)


def test_the_error_of_the_centre_enters_the_systematic_error_of_each_window_and_of_the_joint_fit(edc, energy):
    # Windows that move outwards and inwards: +-1 meV a step of 0.05 deg in each, nothing in both together.
    moved = record_of(edc, energy, [(35.0, 35.0), (36.0, 34.0), (34.0, 36.0)])
    # 20 meV a deg times 0.02 deg; the rest is what the fit makes of 5 counts in a channel less.
    assert moved["delta_systematic"] == pytest.approx([0.4, 0.4], abs=0.02)
    assert moved["joint_delta_systematic"] < 0.03
    # Both windows too far out or in: the gap of the pair goes with the centre.
    together = record_of(edc, energy, [(35.0, 35.0), (34.0, 34.0), (36.0, 36.0)])
    assert together["joint_delta_systematic"] == pytest.approx(0.4, abs=0.02)
    assert (moved["k_f_centre"], moved["k_f_centre_error"], moved["window_shift"]) == (0.1, 0.02, 0.1)


def test_it_is_added_in_quadrature_to_what_was_there(edc, energy):
    with_ef = {**RECORD, "ef_error": [0.0003] * 2}
    layout, fitter = RunLayout.from_start(START), EventFitter("norman", "prior")
    line = np.array([edc(energy, peak=300.0, delta=gap) for gap in (34.0, 35.0, 36.0)])
    data = {"pixel": 0, "angular_contrast": 0.4, "edc": line[[1, 1]], "k_f_status": "ok", "k_f_centre_error": 0.02}
    beside = {"edc_beside": line[[[0, 0], [2, 2]]], "beside_step": 0.05}
    without, withal = (fitter.fit(layout, Calibration.from_record(with_ef, 2), data | more) for more in ({}, beside))
    # 0.3 meV of E_F are some 0.27 meV of gap.
    assert 0.2 < without["joint_delta_systematic"] < 0.31
    expected = np.hypot(without["joint_delta_systematic"], 0.4)
    assert withal["joint_delta_systematic"] == pytest.approx(expected, abs=0.02)


def test_an_event_in_which_nobody_looked_for_k_f_says_so(edc, energy):
    record = record_of(edc, energy, [(35.0, 35.0)])
    assert (record["joint_status"], record["k_f_status"]) == ("ok", "no-frame")
    assert math.isnan(record["k_f_centre"])
