"""How far below the gap the fit looks, and what that keeps out."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis import GapFitter
from microarpes.analysis.event_fit import RunLayout
from microarpes.sim.photoemission import live_image
from microarpes.sim.sample_source import REFERENCE
from microarpes.sim.truth import parse_truth

ENERGY = REFERENCE.lowest + np.arange(REFERENCE.n_energy) * REFERENCE.step
ANGLE = (np.arange(300) + 0.5) * 0.05 - 7.5


def edc_of(truth, peak=300.0):
    """Return the expected EDC about +k_F, at a gap of 35 meV, with so many counts in its highest channel."""
    image = live_image(REFERENCE, 35.0, 15.0, parse_truth(truth))[REFERENCE.margin : -REFERENCE.margin]
    edc = image[(ANGLE > 1.59) & (ANGLE < 1.79)].sum(axis=0)
    return edc * (peak / edc.max())


def fit_of(truth, **options):
    return GapFitter(ENERGY, resolution=10.0, **options).fit(edc_of(truth))


@pytest.mark.parametrize("truth", ["hump", "replica", "bonding"])
def test_less_depth_keeps_out_what_the_model_lacks(truth):
    clean = fit_of("standard").delta
    usual, less = fit_of(truth), fit_of(truth, fit_depth=30.0)
    assert less.status == "ok"
    # Windows that end before the dip, 40 meV below the gap, see little of the hump and of bands that lie deeper.
    assert abs(less.delta - clean) < 0.75 * abs(usual.delta - clean)
    assert abs(less.delta - clean) < 0.3


def test_a_hump_takes_the_rate_with_it_unless_the_fit_ends_before_it():
    assert fit_of("hump").gamma1 < 5.0
    assert fit_of("hump", fit_depth=30.0).gamma1 == pytest.approx(15.0, abs=1.5)


def test_without_what_the_model_lacks_the_depth_changes_the_error_and_not_the_gap():
    usual, less = fit_of("standard"), fit_of("standard", fit_depth=30.0)
    assert less.delta == pytest.approx(usual.delta, abs=0.05)
    # Fewer channels tell the background, and less of it: about as much is known of the gap.
    assert less.delta_stderr == pytest.approx(usual.delta_stderr, rel=0.1)


def test_the_usual_depth_is_60_mev_bit_for_bit():
    usual, asked = fit_of("standard"), fit_of("standard", fit_depth=60.0)
    assert (usual.delta, usual.delta_stderr, usual.deviance) == (asked.delta, asked.delta_stderr, asked.deviance)


@pytest.mark.parametrize("depth", [0.0, 5.0, 1e3, float("nan"), "deep"])
def test_a_depth_that_is_none_is_refused_with_its_limits(depth):
    with pytest.raises(ValueError, match=r"fit_depth = .* meV is outside \[10, 300\] meV"):
        GapFitter(ENERGY, fit_depth=depth)


@pytest.mark.parametrize(("told", "depth"), [({}, None), ({"fit_depth": 0.04}, 40.0)])
def test_a_run_says_in_ev_how_deep_its_fits_look(told, depth):
    line = {"start": 0.0, "stop": 10.0, "num": 2}
    start = {"grid": {"x": line, "y": line}, "windows": [{"name": "a"}], "energy_axis": [95.5, 95.6], **told}
    assert RunLayout.from_start(start).fit_depth == depth
