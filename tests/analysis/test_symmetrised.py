import numpy as np
import pytest
from scipy.optimize import curve_fit

from microarpes.analysis.norman import norman
from microarpes.analysis.symmetrised import fit_symmetrised, fold

SIGMA = 12.0 / 2.3548200450309493


@pytest.fixture(scope="module")
def wide():
    """The axis reaches as far above E_F as the literature's windows do."""
    return np.arange(-250.0, 130.0)


def drawn(edc, energy, n, seed, **truth):
    return np.random.default_rng(seed).poisson(edc(energy, **truth), (n, energy.size)).astype(float)


def pulls(fits, truth):
    return np.array([(fit.delta - truth) / fit.delta_stderr for fit in fits if fit.status == "ok"])


@pytest.mark.parametrize(("delta", "peak"), [(35.0, 60.0), (20.0, 200.0)])
def test_the_error_bar_of_one_half_means_what_it_says(edc, wide, delta, peak):
    # 200 fits: the width of the pulls is known to 5 %
    fits = [fit_symmetrised(wide, row) for row in drawn(edc, wide, 200, 12, delta=delta, peak=peak)]
    assert sum(fit.status == "ok" for fit in fits) >= 199
    assert 0.9 < np.std(pulls(fits, delta)) < 1.1
    assert abs(np.mean(pulls(fits, delta))) < 0.1 + 2 / np.sqrt(200)


def bound_of_the_half(edc):
    """Cramer-Rao bound of delta from sums of mirrored channels, by difference quotients of the brute-force spectrum."""
    w = np.arange(0.5, 100.0)
    base = {"delta": 35.0, "gamma1": 15.0, "gamma0": 2.0, "coherent": 1.0, "background": 0.1, "slope": 0.0006}

    def half(**change):
        both = edc(np.concatenate([-w[::-1], w]), peak=100.0, dark=0.0, **(base | change))
        return both[w.size :] + both[: w.size][::-1]

    steps = {"delta": 0.1, "gamma1": 0.1, "gamma0": 0.1, "coherent": 0.01, "background": 0.01, "slope": 1e-5}
    jacobian = np.stack([
        (half(**{name: base[name] + step}) - half(**{name: base[name] - step})) / (2 * step)
        for name, step in steps.items()
    ])  # fmt: skip
    fisher = (jacobian / half()) @ jacobian.T
    fisher[2, 2] += 1 / 5.0**2  # the prior on gamma0
    return np.sqrt(np.linalg.inv(fisher)[0, 0])


def test_the_error_reaches_the_bound_of_the_symmetrised_window(edc, wide):
    # 2 meV bins cost 0.3 % of the error; the rest is the scatter of 40 spectra
    fits = [fit_symmetrised(wide, row) for row in drawn(edc, wide, 40, 3, delta=35.0, peak=100.0, dark=0.0)]
    assert np.median([fit.delta_stderr for fit in fits]) == pytest.approx(bound_of_the_half(edc), rel=0.05)


def common_practice(energy, row):
    """Both halves, unweighted, errors scaled by the residuals, as the usual scripts do it; returns delta and error."""
    half = np.arange(0.5, 100.0)
    mirrored = np.interp(half, energy, row) + np.interp(-half, energy, row)
    x, y = np.concatenate([-half[::-1], half]), np.concatenate([mirrored[::-1], mirrored])
    fine = np.arange(-140.0, 141.0)
    gauss = np.exp(-0.5 * ((x[:, None] - fine) / SIGMA) ** 2) / (SIGMA * np.sqrt(2 * np.pi))
    found, covariance = curve_fit(
        lambda _, d, g1, g0, a, b: a * (gauss @ norman(fine, d, abs(g1), abs(g0))) + b,
        x, y, (30.0, 15.0, 2.0, 30 * y.max(), y[0]),
    )  # fmt: skip
    return abs(found[0]), np.sqrt(covariance[0, 0])


def test_what_the_doubled_half_would_claim(edc, wide):
    # every electron counted twice takes sqrt 2 off the error, unequal variances treated as equal the rest: 1.4 to 2.1
    rows = drawn(edc, wide + 0.5, 120, 14, delta=35.0, peak=100.0, slope=0.0)
    doubled = np.array([common_practice(wide + 0.5, row) for row in rows])
    honest = [fit_symmetrised(wide + 0.5, row) for row in rows]
    claimed = np.std((doubled[:, 0] - 35.0) / doubled[:, 1])
    assert 1.35 < claimed < 2.3
    assert np.std(pulls(honest, 35.0)) == pytest.approx(1.0, abs=0.15)
    assert np.median(doubled[:, 1]) < 0.75 * np.median([fit.delta_stderr for fit in honest])
    # and it scatters more, for bright and dark channels are weighed alike
    assert np.std(doubled[:, 0]) > np.std([fit.delta for fit in honest])


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, -0.37])
def test_the_fermi_energy_may_lie_anywhere_in_a_channel(edc, wide, offset):
    energy = wide + offset
    fit = fit_symmetrised(energy, edc(energy, delta=25.0, peak=3000.0))
    # the background's slope is odd about E_F and folds like the model; what is left is the quadrature's 1e-5
    assert fit.delta == pytest.approx(25.0, abs=0.02)
    assert fit.gamma1 == pytest.approx(15.0, abs=0.1)


@pytest.mark.parametrize("offset", [0.0, 0.5, 0.3])
def test_every_channel_is_counted_once_and_beside_its_mirror(offset):
    energy = np.arange(-200.0, 90.0) + offset
    pairs = fold(energy, 80.0, 12.0)
    assert pairs.shape[1] == 4  # bins of a sixth of 12 meV: two channels and their mirrors
    assert np.unique(pairs).size == pairs.size
    np.testing.assert_allclose(energy[pairs[:, :2]], -energy[pairs[:, 2:]], atol=0.61)
    assert energy[pairs].max() <= 80.0


def test_a_symmetrised_metal_has_no_gap(edc, wide):
    rows = drawn(edc, wide, 60, 8, delta=0.0, gamma1=20.0, peak=100.0)
    fits = [fit_symmetrised(wide, row) for row in rows]
    assert sum(fit.status == "no-gap" for fit in fits) >= 57
    assert np.isnan(fits[0].delta)


def test_bad_input_gets_a_verdict(edc, wide):
    good = drawn(edc, wide, 1, 2)[0]
    assert fit_symmetrised(wide, good[:-1]).status == "bad-input"
    assert fit_symmetrised(wide, np.full(wide.size, np.nan)).status == "bad-input"
    assert fit_symmetrised(wide, np.full(wide.size, 50.0)).status == "no-edge"
    assert fit_symmetrised(wide, np.zeros(wide.size)).status == "low-counts"
    assert fit_symmetrised(wide + 400.0, good).status == "no-edge"
    spike = good.copy()
    spike[215] = 800.0
    assert fit_symmetrised(wide, spike).status == "bad-fit"


def test_an_axis_that_cannot_be_mirrored_is_refused(edc, wide):
    with pytest.raises(ValueError, match="steps from"):
        fit_symmetrised(np.sort(wide + 0.2 * np.sin(wide)), edc(wide))
    with pytest.raises(ValueError, match="window = 10"):
        fit_symmetrised(wide, edc(wide), window=10.0)
