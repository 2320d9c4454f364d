import numpy as np
import pytest

from microarpes.analysis import GapFitter, corrected_correlation, intrinsic_spread
from microarpes.analysis.error_correlation import error_correlation


@pytest.mark.parametrize("gamma0", ["prior", 2.0])
def test_it_is_the_correlation_of_many_fits_of_one_spectrum(edc, energy, gamma0):
    counts = np.random.default_rng(1).poisson(edc(energy, peak=200.0), (1000, energy.size))
    fitter = GapFitter(energy, gamma0=gamma0)
    fits = fitter.fit_many(counts)
    assert (fits.status == "ok").all()
    # 1000 fits know a correlation of -0.4 to 0.027
    scatter = np.corrcoef(fits.delta, fits.gamma1)[0, 1]
    assert np.mean(error_correlation(fitter, fits)) == pytest.approx(scatter, abs=0.08)
    assert -0.6 < scatter < -0.2


def test_the_prior_on_gamma0_narrows_the_covariance_as_it_does_the_errors(edc, energy):
    # at 40 counts per meV the prior knows gamma0 better than the data: leaving that out would give -0.42 for -0.37
    fitter = GapFitter(energy)
    fits = fitter.fit_many(np.random.default_rng(1).poisson(edc(energy, peak=40.0), (2000, energy.size)))
    scatter = np.corrcoef(fits.delta, fits.gamma1)[0, 1]
    assert np.mean(error_correlation(fitter, fits)) == pytest.approx(scatter, abs=0.04)


def test_windows_fitted_together_have_one_too(edc, energy):
    pair = np.stack([edc(energy, peak=150.0), edc(energy, peak=80.0)])
    fitter = GapFitter(energy)
    fits = fitter.fit_joint_many(np.random.default_rng(2).poisson(pair, (500, *pair.shape)))
    scatter = np.corrcoef(fits.delta, fits.gamma1)[0, 1]
    assert np.mean(error_correlation(fitter, fits)) == pytest.approx(scatter, abs=0.11)


def test_a_gain_changes_units_and_no_correlation(edc, energy):
    electrons = np.random.default_rng(3).poisson(edc(energy, peak=200.0), (5, energy.size))
    plain, loud = GapFitter(energy), GapFitter(energy, gain=4.0)
    expected = error_correlation(plain, plain.fit_many(electrons))
    found = error_correlation(loud, loud.fit_many(4.0 * electrons))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("case", ["step", "dead channels"])
def test_other_backgrounds_and_dead_channels_are_as_the_fit_has_them(edc, energy, case):
    dead = np.where(np.arange(energy.size) % 40 == 7, 0.0, 1.0)
    alive, kwargs = (1.0, {"background": "step"}) if case == "step" else (dead, {"flat_field": dead})
    counts = np.random.default_rng(4).poisson(edc(energy, peak=200.0), (400, energy.size)) * alive
    fitter = GapFitter(energy, gamma0=2.0, **kwargs)
    fits = fitter.fit_many(counts)
    ok = fits.status == "ok"
    assert ok.mean() > 0.95
    scatter = np.corrcoef(fits.delta[ok], fits.gamma1[ok])[0, 1]
    assert np.nanmean(error_correlation(fitter, fits)) == pytest.approx(scatter, abs=0.15)


def test_where_there_is_no_gap_there_is_no_correlation(edc, energy):
    rows = np.stack([edc(energy, peak=200.0), edc(energy, peak=200.0, delta=0.0), np.zeros(energy.size)])
    fitter = GapFitter(energy)
    fits = fitter.fit_many(np.random.default_rng(5).poisson(rows).astype(float))
    assert (
        np.isfinite(error_correlation(fitter, fits)).tolist() == (fits.status == "ok").tolist() == [True, False, False]
    )


def test_fits_of_another_axis_are_refused(edc, energy):
    fits = GapFitter(energy).fit_many(edc(energy)[None])
    with pytest.raises(ValueError, match=r"400 channels, the fitter's axis has 300"):
        error_correlation(GapFitter(energy[100:]), fits)


def test_a_map_of_fits_gives_back_the_spread_and_the_correlation_of_its_truth(edc, energy):
    # 150 spectra at 60 counts per meV: errors of about 0.5 and 2.2 meV, which go together by -0.4
    rng = np.random.default_rng(11)
    gaps, rates = rng.multivariate_normal([35.0, 15.0], [[4.0, 2.5], [2.5, 6.25]], 150).T
    truth = np.corrcoef(gaps, rates)[0, 1]
    rows = np.stack([edc(energy, peak=60.0, delta=gap, gamma1=rate) for gap, rate in zip(gaps, rates, strict=True)])
    fitter, found, spread = GapFitter(energy), [], []
    for _ in range(12):
        fits = fitter.fit_many(rng.poisson(rows))
        rho = error_correlation(fitter, fits)
        found.append(corrected_correlation(fits.delta, fits.delta_stderr, fits.gamma1, fits.gamma1_stderr, rho))
        spread.append(intrinsic_spread(fits.delta, fits.delta_stderr).intrinsic)
    observed, corrected = (np.array([getattr(one, name) for one in found]) for name in ("observed", "corrected"))
    # noise alone moves a corrected value by about 0.1, twelve of them by 0.03; the plain one is off by far more
    assert np.mean(corrected) == pytest.approx(truth, abs=0.1)
    assert truth - np.mean(observed) > 0.15
    assert np.mean(spread) == pytest.approx(np.std(gaps, ddof=1), abs=0.05)
