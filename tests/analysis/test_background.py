import numpy as np
import pytest

from microarpes.analysis import GapFitter
from microarpes.analysis.background import Hump, Step, background_terms
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.forward import Instrument
from microarpes.analysis.norman import NORMAN
from microarpes.analysis.scoring import predict

SIGMA = 12.0 / 2.3548200450309493
KT = 0.8617333262


def spectrum(energy, oracle, delta=35.0, hump=0.0, step=0.0, level=0.1, peak=200.0):
    """Counts per 1 meV by quadrature at 0.1 meV: hump and step as shares of the peak, by their definitions."""
    w = np.arange(energy[0] - 60.0, energy[-1] + 60.0, 0.1)
    gauss = np.exp(-0.5 * ((energy[:, None] - w) / SIGMA) ** 2) * 0.1 / (SIGMA * np.sqrt(2 * np.pi))
    cut = 1 / (np.exp(np.minimum(w / KT, 500.0)) + 1)
    line = oracle(w, delta, 15.0, 2.0) * cut
    height = (gauss @ line).max()
    under = np.array([line[w >= at].sum() for at in np.arange(w[0], w[-1], 5.0)])
    lost = np.interp(w, np.arange(w[0], w[-1], 5.0), under / under.max()) * cut
    behind = np.exp(-4 * np.log(2) * ((w + delta + 70.0) / 80.0) ** 2) * cut
    return peak * (gauss @ (line / height + hump * behind + step * lost + level * cut) + 0.01)


@pytest.mark.parametrize("terms", [(Hump(),), (Step(),), (Hump(60.0, 50.0), Step())])
@pytest.mark.parametrize("n_window", [1, 2])
def test_the_jacobian_is_the_derivative_of_the_expected_counts(energy, terms, n_window):
    axes = np.stack([energy, energy - 0.7])[:n_window]
    problem = FitWindows(axes, Instrument(12.0, 10.0), NORMAN, 0.0, 5.0, terms).problem(-95.0).problem
    theta = np.array([[33.0, 14.0, 3.0, *[5000.0, 20.0, 12.0, 1.5] * n_window, *[30.0, 40.0][: len(terms)] * n_window]])
    _, jacobian = predict(problem, theta)
    assert theta.shape == (1, problem.n_parameters)
    for i, value in enumerate(theta[0]):
        by = np.zeros_like(theta)
        by[0, i] = 1e-4 * max(value, 1.0)
        numeric = (predict(problem, theta + by)[0] - predict(problem, theta - by)[0]) / (2 * by[0, i])
        # where two windows differ in their own parameters the other's derivative is exactly zero
        np.testing.assert_allclose(jacobian[0, i], numeric[0], rtol=1e-5, atol=1e-6 * max(1.0, np.abs(numeric).max()))


@pytest.mark.parametrize(
    ("background", "truth"),
    [("hump", {"hump": 0.5}), ("step", {"step": 0.3}), ("hump+step", {"hump": 0.4, "step": 0.2})],
)
def test_a_term_makes_the_gap_right_where_the_straight_line_makes_it_wrong(energy, norman_oracle, background, truth):
    # 200 fits at 200 counts per meV: the width of the pulls is known to 5 %, their mean to 0.07
    expected = spectrum(energy, norman_oracle, **truth)
    rows = np.random.default_rng(21).poisson(expected, (200, energy.size))
    fits = GapFitter(energy, background=background).fit_many(rows)
    assert (fits.status == "ok").mean() > 0.98
    pull = ((fits.delta - 35.0) / fits.delta_stderr)[fits.status == "ok"]
    assert abs(np.mean(pull)) < 0.35
    # line, constant and the further term share few electrons and none may be negative: their bounds keep the gap from
    # scattering as far as its error allows; what may not be is the other way round
    assert 0.7 < np.std(pull) < 1.15
    clean = GapFitter(energy, background=background).fit(spectrum(energy, norman_oracle, peak=2e4, **truth))
    blind = GapFitter(energy).fit(spectrum(energy, norman_oracle, peak=200.0, **truth))
    assert clean.delta == pytest.approx(35.0, abs=0.1)
    assert abs(blind.delta - 35.0) > abs(clean.delta - 35.0)


def test_a_metal_is_not_given_a_gap_by_a_hump_or_a_step(energy, edc):
    metal = edc(energy, peak=100.0, coherent=0.0, background=1.0, slope=0.0)
    fits = GapFitter(energy, background="hump+step").fit_many(
        np.random.default_rng(22).poisson(metal, (100, energy.size))
    )
    assert (fits.status == "ok").sum() <= 5  # 5 %
    assert np.isfinite(fits.upper_limit[fits.status == "no-gap"]).all()


def test_windows_of_a_pixel_have_humps_of_their_own(energy, norman_oracle):
    counts = np.stack([spectrum(energy, norman_oracle, hump=share, peak=5000.0) for share in (0.1, 0.6)])
    fit = GapFitter(energy, background="hump").fit_joint(counts)
    assert fit.delta == pytest.approx(35.0, abs=0.05)
    inside = (energy > -90) & (energy < 30)
    np.testing.assert_allclose(fit.model_counts[:, inside], counts[:, inside], rtol=0.01, atol=5.0)


def test_terms_can_be_asked_for_by_name_or_by_number(energy):
    assert background_terms("linear") == ()
    assert background_terms("hump+step") == (Hump(), Step())
    assert background_terms(Hump(60.0, 90.0)) == (Hump(60.0, 90.0),)
    assert background_terms([Step(), Hump()]) == (Step(), Hump())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda e: GapFitter(e, background="shirley"), "hump"),
        (lambda e: GapFitter(e, background=[3]), "choose one of"),
        (lambda e: Hump(offset=0.0), "hump offset = 0.0 meV"),
        (lambda e: Hump(width=1.0), "hump width = 1.0 meV"),
    ],
)
def test_a_term_that_is_none_is_refused(energy, make, says):
    with pytest.raises(ValueError, match=says):
        make(energy)
