"""A detector's flat field is a factor of the model: known, it does no harm; unknown, it is found out or it biases."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from microarpes.analysis import GapFitter
from microarpes.analysis.edge_test import refuse_edge
from microarpes.analysis.forward import Instrument
from microarpes.analysis.overdispersion import overdispersion
from microarpes.analysis.shared_gamma0 import shared_gamma0

N = 120
#: Dead: one channel alone, and three in a row, a whole bin of the fit.
DEAD = [60, 250, 290, 291, 292]


@pytest.fixture(scope="module")
def mesh(energy):
    """10 % up and down, 9 channels of 1 meV apart: as wide as the resolution, where it hurts most."""
    return 1.0 + 0.1 * np.cos(2.0 * np.pi * energy / 9.3 + 1.0)


@pytest.fixture(scope="module")
def flat(mesh):
    flat = mesh.copy()
    flat[DEAD] = 0.0
    return flat


@pytest.fixture(scope="module")
def counted(edc, energy, flat):
    """EDCs of one spectrum behind the mesh, 1000 counts per meV at the peak."""
    return np.random.default_rng(5).poisson(edc(energy, peak=1000.0) * flat, (N, energy.size)).astype(np.float64)


@pytest.fixture(scope="module")
def told(energy, flat, counted):
    return GapFitter(energy, flat_field=flat).fit_many(counted)


def test_gaps_are_right_and_error_bars_mean_what_they_say(told):
    assert (told.status == "ok").all()
    pulls = (told.delta - 35.0) / told.delta_stderr
    # of 120 pulls the mean is known to 0.09, the width to 0.065
    assert abs(pulls.mean()) < 0.28
    assert 0.8 < pulls.std() < 1.2


def test_the_deviance_is_that_of_counting_noise(told):
    # mean 1 known to sqrt(2 / 60 / 120) = 0.017
    assert (told.deviance / told.dof).mean() == pytest.approx(1.0, abs=0.05)


def test_a_fit_that_does_not_know_of_the_mesh_is_refused_as_bad(edc, energy, mesh):
    # sum of (0.1 cos)^2 mu / 2 over the bins: the deviance is several times its expectation
    rows = np.random.default_rng(6).poisson(edc(energy, peak=1000.0) * mesh, (10, energy.size))
    fits = GapFitter(energy).fit_many(rows)
    assert (fits.status == "bad-fit").all()
    assert (fits.deviance / fits.dof).mean() > 2.0


def test_dead_channels_carry_no_information_and_do_no_harm(energy, flat, counted, told):
    hot = counted[:6].copy()
    hot[:, DEAD] = 70000.0
    assert same(GapFitter(energy, flat_field=flat).fit_many(hot), told)
    # a whole bin of three channels is dead: it is no degree of freedom
    alive = GapFitter(energy, flat_field=np.where(flat > 0.0, flat, 1.0)).fit(counted[0] + (flat == 0.0) * 300.0)
    assert told.dof[0] == alive.dof - 1


def test_a_hot_dead_channel_is_not_saturation(energy, flat, counted):
    hot = counted[0].copy()
    hot[DEAD] = 70000.0
    assert GapFitter(energy, flat_field=flat, saturation=60000.0).fit(hot).status == "ok"
    assert GapFitter(energy, saturation=60000.0).fit(hot).status == "saturated"


def test_a_dead_channel_costs_no_more_than_its_electrons(edc, energy, told):
    clean = GapFitter(energy).fit(edc(energy, peak=1000.0))
    # a bin of three channels of some sixty, at the side of the peak
    assert 1.0 < np.median(told.delta_stderr) / clean.delta_stderr < 1.2


def test_a_factor_of_one_everywhere_changes_no_bit(edc, energy):
    rows = np.random.default_rng(7).poisson(edc(energy, peak=60.0, delta=14.0), (8, energy.size)).astype(np.float64)
    # the compiled engine, which sums behind the factors, comes to the same with other roundings: see test_engines
    plain, told = (GapFitter(energy, engine="numpy-2", flat_field=f) for f in (None, np.ones(energy.size)))
    assert same(told.fit_many(rows), plain.fit_many(rows))


def test_one_fitter_serves_all_flat_fields_with_the_bits_of_fitters_of_their_own(energy, flat, mesh, counted):
    fitter = GapFitter(energy)
    for factors in (flat, mesh[::-1], flat):
        own = GapFitter(energy, flat_field=factors)
        assert repr(fitter.through(factors).fit(counted[2])) == repr(own.fit(counted[2]))
    assert fitter.flat_field is None
    assert repr(fitter.fit(counted[2])) == repr(GapFitter(energy).fit(counted[2]))


def test_single_batch_and_any_order_give_the_same_bits(energy, flat, counted):
    fitter, order = GapFitter(energy, flat_field=flat), np.random.default_rng(1).permutation(12)
    fits = fitter.fit_many(counted[:12])
    assert same(fitter.fit_many(counted[:12][order]), fits, order)
    for i in (0, 7):
        assert repr(fitter.fit(counted[i])) == repr(fits[i])


def test_the_scale_of_the_factor_is_the_amplitudes_only(energy, flat, counted):
    # the amplitude takes up a common factor: the gap cannot know it
    one, two = (GapFitter(energy, flat_field=scale * flat).fit(counted[3]) for scale in (1.0, 2.0))
    assert two.delta == pytest.approx(one.delta, abs=1e-4)
    assert two.amplitude == pytest.approx(one.amplitude / 2.0, rel=1e-4)


def test_the_model_that_is_returned_is_what_the_detector_should_have_counted(edc, energy, flat):
    expected = edc(energy, peak=1000.0) * flat
    near = (energy > -60.0) & (energy < 30.0)
    model = GapFitter(energy, flat_field=flat).fit(expected).model_counts
    np.testing.assert_allclose(model[near], expected[near], rtol=0.01, atol=0.5)
    assert model[290] < 1e-6


def test_each_window_has_a_factor_of_its_own(edc, energy, flat, mesh):
    other = mesh[::-1]
    spectra = np.stack([edc(energy, peak=600.0) * flat, edc(energy, peak=600.0) * other])
    fitter = GapFitter(energy, flat_field=[flat, other])
    assert fitter.fit_joint(spectra).delta == pytest.approx(35.0, abs=0.05)
    assert GapFitter(np.stack([energy, energy]), flat_field=flat).fit_joint(spectra[[0, 0]]).status == "ok"
    with pytest.raises(ValueError, match="of 2 windows, the counts are of 1"):
        fitter.fit(spectra[0])


def test_a_small_gap_and_no_gap_are_told_apart_behind_the_mesh(edc, energy, flat):
    rng = np.random.default_rng(8)
    # gamma1 of 60 and no gap: a metal, of which about 1 % pass for a gap
    metal = rng.poisson(edc(energy, peak=300.0, delta=0.0, gamma1=60.0) * flat, (10, energy.size))
    fits = GapFitter(energy, flat_field=flat).fit_many(metal)
    assert (fits.status == "no-gap").mean() >= 0.9


@pytest.mark.parametrize("background", ["hump", "step"])
def test_background_terms_stand_behind_the_mesh_too(edc, energy, flat, background):
    fit = GapFitter(energy, flat_field=flat, background=background).fit(edc(energy, peak=1000.0) * flat)
    # the step does not describe a sloping line, which costs up to half a meV; see the page on what can fool a map
    assert fit.delta == pytest.approx(35.0, abs=0.6)


def test_a_rate_shared_by_a_map_is_found_behind_the_mesh(energy, flat, counted):
    hot = counted[:12].copy()
    hot[:, DEAD] = 70000.0
    shared = shared_gamma0(GapFitter(energy, flat_field=flat), hot)
    assert shared.n_used == 12
    assert abs(shared.value - 2.0) < 3.0 * shared.error


def test_verdicts_before_the_fit_know_the_flat_field(edc, energy):
    # vignetting down to 30 % below E_F alone: with it the spectrum above E_F seems to be more than half of that below
    flat = np.where(energy < 5.0, 0.05, 1.0)
    rows = edc(energy, peak=3000.0, dark=0.06)[None] * flat
    instrument = Instrument(12.0, 10.0)
    assert refuse_edge(energy, rows, instrument)[0]
    assert not refuse_edge(energy, rows, instrument, flat)[0]
    assert refuse_edge(energy, rows, instrument, np.where(np.abs(energy) < 200.0, 0.0, 1.0))[0]


def test_a_mesh_that_is_known_is_no_noise(energy):
    # period of four bins of 12 channels: fourth differences take it for noise
    flat = 1.0 + 0.1 * np.cos(2.0 * np.pi * energy / 37.0)
    flat[24:36] = 0.0
    rows = np.random.default_rng(9).poisson(2000.0 * flat, (200, energy.size)).astype(np.float64)[:, None]
    axis = energy[None]
    assert np.median(overdispersion(axis, rows, 12.0, 150.0)) > 3.0
    # half of all ratios are above 1 by the scatter of a median of ten; none is below
    assert np.median(overdispersion(axis, rows, 12.0, 150.0, flat[None])) < 1.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda flat: flat[:-1], "one factor a channel"),
        (lambda flat: np.ones((2, 2, flat.size)), "one factor a channel"),
        (lambda flat: np.where(flat == 0.0, np.nan, flat), "NaN"),
        (lambda flat: flat - 1.0, "outside"),
        (lambda flat: 1000.0 * flat, "outside"),
        (lambda flat: 0.0 * flat, "nothing can be measured"),
        (lambda _: "flat", "not an array"),
    ],
)
def test_a_flat_field_that_is_none_is_refused(energy, flat, change, words):
    with pytest.raises(ValueError, match=words):
        GapFitter(energy, flat_field=change(flat))


def test_what_has_no_flat_field_says_so(energy, flat):
    with pytest.raises(ValueError, match="readout noise"):
        GapFitter(energy, flat_field=flat, likelihood="gaussian", read_noise=1.0)
    with pytest.raises(ValueError, match="one factor a channel"):
        GapFitter(energy).through(flat[:-1])
    with pytest.raises(ValueError, match="readout noise"):
        GapFitter(energy, likelihood="gaussian", read_noise=1.0).through(flat)
    with pytest.raises(ValueError, match="one such row a window"):
        GapFitter(np.stack([energy] * 3), flat_field=np.stack([flat, flat]))


def same(one, other, order=None):
    """Whether two results hold the same bits; of the other, those rows that the one has."""
    rows = np.arange(len(one.status)) if order is None else order
    pairs = ((name, getattr(one, name), getattr(other, name)[rows]) for name in (f.name for f in fields(one)))
    return all(np.array_equal(a, b, equal_nan=name != "status") for name, a, b in pairs)
