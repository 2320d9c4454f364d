"""The fitter is as honest with the other line shapes as with Norman's: error bars, verdicts, limits."""

import numpy as np
import pytest
from scipy.special import expit

from microarpes.analysis import GapFitter
from microarpes.analysis.bcs import bcs
from microarpes.analysis.dynes import dynes

KT = 0.8617333262
SIGMA = 12.0 / 2.3548200450309493


def expected_counts(energy, line, background=0.1, dark=0.01, peak=100.0):
    """Counts per 1 meV channel by quadrature at 0.2 meV; `line(w)` is scaled to a height of `peak`."""
    w = np.arange(energy[0] - 60.0, energy[-1] + 60.0, 0.2)
    gauss = np.exp(-0.5 * ((energy[:, None] - w) / SIGMA) ** 2) * 0.2 / (SIGMA * np.sqrt(2 * np.pi))
    shape = gauss @ (line(w) * expit(-w / KT))
    return peak * (shape / shape.max() + background * (gauss @ expit(-w / KT)) + dark)


TRUTHS = {
    "bcs": lambda delta: lambda w: bcs(w, delta, 15.0),
    "dynes": lambda delta: lambda w: dynes(w, delta, 3.0),
}


@pytest.mark.parametrize(
    ("model", "delta", "peak"), [("bcs", 35.0, 100.0), ("bcs", 18.0, 100.0), ("dynes", 20.0, 300.0)]
)
def test_the_error_bar_means_what_it_says(energy, model, delta, peak):
    # 250 fits: the width of the pulls is known to 4.5 %, their mean to 0.063
    expected = expected_counts(energy, TRUTHS[model](delta), peak=peak)
    fits = GapFitter(energy, model=model).fit_many(np.random.default_rng(3).poisson(expected, (250, energy.size)))
    ok = fits.status == "ok"
    assert ok.sum() >= 248
    pull = ((fits.delta - delta) / fits.delta_stderr)[ok]
    assert np.std(pull) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean(pull)) < 0.2
    assert np.isnan(fits.gamma0).all()
    assert np.isnan(fits.gamma0_stderr).all()
    truth = {"bcs": 15.0, "dynes": 3.0}[model]
    assert np.median(fits.gamma1[ok]) == pytest.approx(truth, abs=2 * np.median(fits.gamma1_stderr[ok]))


@pytest.mark.parametrize("model", ["bcs", "dynes"])
def test_a_gapless_metal_is_not_given_a_gap(energy, model):
    metal = expected_counts(energy, np.ones_like, background=0.0)
    fits = GapFitter(energy, model=model).fit_many(np.random.default_rng(4).poisson(metal, (120, energy.size)))
    assert (fits.status == "ok").sum() <= 6  # 5 %
    assert (fits.status == "bad-fit").sum() <= 2
    gapless = fits.status == "no-gap"
    assert np.isfinite(fits.upper_limit[gapless]).all()
    assert np.isnan(fits.delta[gapless]).all()


def test_particle_hole_asymmetry_is_told_to_a_bcs_fit(energy):
    counts = expected_counts(energy, lambda w: bcs(w, 30.0, 12.0, -15.0), peak=2000.0)
    assert GapFitter(energy, model="bcs", eps_k=-15.0).fit(counts).delta == pytest.approx(30.0, abs=0.05)
    # a peak at the quasiparticle energy passes for the gap when k is believed to be k_F: sqrt(30^2 + 15^2) = 33.5
    assert GapFitter(energy, model="bcs").fit(counts).delta == pytest.approx(33.5, abs=0.6)


@pytest.mark.parametrize("model", ["bcs", "dynes"])
def test_bad_data_get_the_same_verdicts_from_every_model(energy, model):
    fitter = GapFitter(energy, model=model, saturation=1e5)
    good = np.random.default_rng(5).poisson(expected_counts(energy, TRUTHS[model](30.0), peak=300.0)).astype(float)
    rows = np.stack([good] * 6)
    rows[0, 10], rows[1, 10], rows[2] = np.nan, 2e5, 0.0
    rows[3], rows[4, 300] = 200.0, 9_000.0
    assert list(fitter.fit_many(rows).status) == ["bad-input", "saturated", "empty", "no-edge", "bad-fit", "ok"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model": "bcs", "gamma0": 2.0}, "gamma0 = 2.0 meV"),
        ({"model": "dynes", "eps_k": -5.0}, "eps_k = -5.0 meV"),
        ({"model": "dynes", "eps_k_error": 3.0}, "density of states"),
    ],
)
def test_what_a_model_does_not_have_is_a_wrong_argument(energy, arguments, says):
    with pytest.raises(ValueError, match=says):
        GapFitter(energy, **arguments)
