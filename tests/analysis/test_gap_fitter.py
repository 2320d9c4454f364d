import numpy as np
import pytest

from microarpes.analysis import GapFitter


@pytest.fixture(scope="module")
def fitter(energy):
    return GapFitter(energy)


def drawn(edc, energy, n, seed, **truth):
    expected = edc(energy, **truth)
    return np.random.default_rng(seed).poisson(expected, (n, energy.size)).astype(float)


@pytest.mark.parametrize("delta", [20.0, 30.0, 40.0])
@pytest.mark.parametrize("peak", [30.0, 100.0, 1000.0])
def test_the_error_bar_means_what_it_says(fitter, edc, energy, delta, peak):
    # 800 fits: the width of the pulls is known to 2.5 %, their mean to 0.035; bias < 0.1 sigma allows three of those
    fits = fitter.fit_many(drawn(edc, energy, 800, 11, peak=peak, delta=delta))
    # a goodness limit of 4 standard deviations may cost one EDC in 10 000
    assert (fits.status == "ok").sum() >= 799
    pull = ((fits.delta - delta) / fits.delta_stderr)[fits.status == "ok"]
    assert np.std(pull) == pytest.approx(1.0, abs=0.1 + 0.025)
    assert abs(np.mean(pull)) < 0.1 + 2 * 0.035
    # a wrong minimum would be many sigma away
    assert np.abs(pull).max() < 5.0


def test_the_error_reaches_the_cramer_rao_bound(fitter, edc, energy):
    # bound at 100 counts/meV, delta 35, window -100..36 with a free constant: 0.43 meV for the base case whose
    # background is the same; 0.35-0.43 brackets the prior on gamma0 and the mean over EDCs
    fits = fitter.fit_many(drawn(edc, energy, 400, 5, peak=100.0, delta=35.0))
    assert 0.33 < np.median(fits.delta_stderr) < 0.44
    assert np.std(fits.delta) < 0.44


@pytest.mark.parametrize("delta", [10.0, 15.0, 45.0, 60.0])
def test_no_wrong_minimum_from_small_gaps_to_large(fitter, edc, energy, delta):
    fits = fitter.fit_many(drawn(edc, energy, 300, 23, peak=300.0, delta=delta))
    ok = fits.status == "ok"
    assert ok.sum() >= 299
    assert (np.abs(fits.delta - delta) < 6 * fits.delta_stderr)[ok].all()


def same_bits(a, b):
    for name in a._fields:
        left, right = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        assert left.shape == right.shape, name
        assert left.tobytes() == right.astype(left.dtype).tobytes(), name


def test_one_fit_a_batch_and_any_order_give_the_same_bits(fitter, edc, energy):
    rows = np.concatenate(
        [drawn(edc, energy, 20, i, peak=p, delta=d) for i, (p, d) in enumerate([(60, 36), (20, 8), (300, 25), (40, 2)])]
    )
    fits = fitter.fit_many(rows)
    assert {"ok", "no-gap"} <= set(fits.status)
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = fitter.fit_many(rows[order])
    again = GapFitter(energy)
    for at, row in enumerate(order):
        same_bits(fits[row], shuffled[at])
    for row in range(0, len(rows), 7):
        same_bits(fits[row], again.fit(rows[row]))


def test_a_gapless_metal_is_not_given_a_gap(fitter, edc, energy):
    # Lorentzian at E_F, and a bare edge: with 250 of each 5 % would be 12; 1 % is expected
    lorentzian = drawn(edc, energy, 250, 31, peak=100.0, delta=0.0, gamma1=20.0)
    edge = drawn(edc, energy, 250, 32, peak=100.0, coherent=0.0, background=1.0, slope=0.0)
    for rows in (lorentzian, edge):
        fits = fitter.fit_many(rows)
        assert np.isin(fits.status, ["no-gap", "ok", "bad-fit"]).all()
        assert (fits.status == "ok").sum() <= 7
        assert (fits.status == "bad-fit").sum() <= 5
        gapless = fits.status == "no-gap"
        assert np.isnan(fits.delta[gapless]).all()
        assert np.isfinite(fits.upper_limit[gapless]).all()
        assert np.isfinite(fits.model_counts[gapless]).all()


@pytest.mark.parametrize("shift", [-2.0, 2.0])
def test_an_edge_that_is_off_by_its_error_does_not_make_a_gap(edc, energy, shift):
    # a normal-state peak, E_F 2 meV beside where the calibration has it, error 2 meV: without that doubt the fit sees
    # a gap of 7 +- 1 meV
    rows = drawn(edc, energy + shift, 60, 51, peak=300.0, delta=0.0, gamma1=20.0)
    fits = GapFitter(energy, ef_error=2.0).fit_many(rows)
    assert (fits.status == "no-gap").sum() >= 57
    assert (GapFitter(energy).fit_many(rows).status != "no-gap").sum() >= 30


def test_the_upper_limit_covers_a_small_gap(fitter, edc, energy):
    # a 95 % limit on 300 EDCs fails 15 +- 4 times
    fits = fitter.fit_many(drawn(edc, energy, 300, 41, peak=30.0, delta=4.0, gamma1=15.0))
    gapless = fits.status == "no-gap"
    assert gapless.sum() > 200
    assert (fits.upper_limit[gapless] >= 4.0).mean() > 0.91


def test_the_model_is_returned_on_the_axis_in_counts(fitter, edc, energy):
    truth = edc(energy, peak=2000.0, delta=35.0)
    fit = fitter.fit(np.random.default_rng(2).poisson(truth))
    inside = (energy > -90) & (energy < 36)
    assert fit.model_counts.shape == energy.shape
    np.testing.assert_allclose(fit.model_counts[inside], truth[inside], atol=5 * np.sqrt(2000.0) / 2)
    assert fit.deviance < fit.dof + 5 * np.sqrt(2 * fit.dof)


def test_a_gain_scales_the_error_and_leaves_the_gap(edc, energy):
    # detector units = 4 per electron: the same electrons must give the same fit
    counts = drawn(edc, energy, 1, 8, peak=100.0)[0]
    plain, amplified = GapFitter(energy).fit(counts), GapFitter(energy, gain=4.0).fit(4.0 * counts)
    assert amplified.delta == pytest.approx(plain.delta, rel=1e-12)
    assert amplified.delta_stderr == pytest.approx(plain.delta_stderr, rel=1e-12)
    np.testing.assert_allclose(amplified.model_counts, 4.0 * plain.model_counts, rtol=1e-9)


def test_calibration_errors_move_the_gap_as_a_refit_does(edc, energy):
    # E_F is the limit: about -0.75 .. -1 meV per meV
    counts = edc(energy, peak=3000.0, delta=35.0)
    fits = [GapFitter(energy + shift).fit(counts).delta for shift in (-0.5, 0.5)]
    slope = abs(fits[1] - fits[0])
    fit = GapFitter(energy, ef_error=1.0).fit(counts)
    assert 0.7 < slope < 1.05
    assert fit.delta_systematic == pytest.approx(slope, rel=0.05)
    assert fit.delta_stderr == GapFitter(energy).fit(counts).delta_stderr
    assert GapFitter(energy).fit(counts).delta_systematic == 0.0
    warm = GapFitter(energy, temperature_error=5.0, resolution_error=1.0, eps_k_error=8.0).fit(counts)
    # missing k_F by eps costs about eps^2 / (2 delta) = 0.9 meV at 8; temperature and resolution cost little at 35 meV
    assert 0.4 < warm.delta_systematic < 2.0


def test_a_temperature_that_may_be_wrong_is_an_error_of_the_gap_as_a_refit_has_it(edc, energy):
    # small gaps feel it: 0.1 to 0.2 meV/K at 10 meV
    counts = edc(energy, peak=3000.0, delta=10.0)
    refits = [GapFitter(energy, temperature=kelvin).fit(counts).delta for kelvin in (9.0, 11.0)]
    fit = GapFitter(energy, temperature_error=1.0).fit(counts)
    assert fit.delta_systematic == pytest.approx(0.5 * abs(refits[1] - refits[0]), rel=0.1)
    assert fit.delta_systematic > 0.05


def test_a_joint_fit_shares_the_gap_and_halves_the_variance(fitter, edc, energy):
    rows = drawn(edc, energy, 300, 17, peak=80.0, delta=33.0)
    pairs = np.stack([rows[:150], rows[150:]], axis=1)
    joint, single = fitter.fit_joint_many(pairs), fitter.fit_many(rows[:150])
    assert (joint.status == "ok").all()
    assert np.median(joint.delta_stderr) == pytest.approx(np.median(single.delta_stderr) / np.sqrt(2), rel=0.06)
    assert np.std((joint.delta - 33.0) / joint.delta_stderr) == pytest.approx(1.0, abs=0.17)
    same_bits(joint[3], fitter.fit_joint(pairs[3]))


def test_windows_with_edges_of_their_own_are_fitted_jointly(edc, energy):
    axes = np.stack([energy, energy - 0.7])
    counts = np.stack([edc(axes[0], peak=400.0, delta=34.0), edc(axes[1], peak=250.0, delta=34.0, background=0.2)])
    fit = GapFitter(axes).fit_joint(counts)
    assert fit.delta == pytest.approx(34.0, abs=0.1)
    assert fit.model_counts.shape == (2, energy.size)


def test_gamma0_is_free_only_under_its_prior(edc, energy):
    counts = edc(energy, peak=500.0, delta=30.0, gamma0=2.0)
    assert GapFitter(energy, gamma0="zero").fit(counts).gamma0 == 0.0
    fixed = GapFitter(energy, gamma0=2.0).fit(counts)
    assert fixed.gamma0 == 2.0
    assert np.isnan(fixed.gamma0_stderr)
    assert fixed.delta == pytest.approx(30.0, abs=0.05)
    free = GapFitter(energy).fit(counts)
    assert 0 < fixed.delta_stderr < free.delta_stderr
    assert free.gamma0_stderr > 0


def test_off_k_f_the_bare_energy_corrects_the_gap(edc, energy):
    counts = edc(energy, peak=1000.0, delta=35.0, eps_k=-10.0)
    blind, told = GapFitter(energy).fit(counts), GapFitter(energy, eps_k=-10.0).fit(counts)
    assert blind.delta > 35.8
    assert told.delta == pytest.approx(35.0, abs=0.2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"resolution": 0.0}, "resolution = 0.0 meV"),
        ({"resolution": float("nan")}, "resolution"),
        ({"temperature": -4.0}, "temperature = -4.0 K"),
        ({"gain": 0.0}, "gain"),
        ({"gain": "two"}, "gain"),
        ({"model": "lorentz"}, "norman"),
        ({"gamma0": "shared"}, "shared"),
        ({"gamma0": "free"}, "prior"),
        ({"gamma0": -1.0}, "gamma0 = -1.0 meV"),
        ({"ef_error": -0.1}, "ef_error"),
        ({"eps_k": float("inf")}, "eps_k"),
        ({"saturation": 0}, "saturation"),
    ],
)
def test_a_wrong_argument_is_named_with_its_limit(energy, arguments, says):
    with pytest.raises(ValueError, match=says):
        GapFitter(energy, **arguments)


@pytest.mark.parametrize(
    ("axis", "says"),
    [
        (np.arange(80.0, -320.0, -1.0), "ascend"),
        (np.array([0.0, 1.0]), "shape"),
        (np.full(50, np.nan), "NaN"),
        (np.zeros((2, 3, 50)), "shape"),
        (["a"] * 20, "numbers"),
    ],
)
def test_a_wrong_axis_is_refused(axis, says):
    with pytest.raises(ValueError, match=says):
        GapFitter(axis)


def test_counts_of_the_wrong_rank_are_a_wrong_argument(fitter, energy):
    with pytest.raises(ValueError, match="n_energy"):
        fitter.fit_many(np.zeros(energy.size))
    with pytest.raises(ValueError, match="n_window"):
        fitter.fit_joint_many(np.zeros((3, energy.size)))
