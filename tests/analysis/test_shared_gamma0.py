import numpy as np
import pytest

from microarpes.analysis import GapFitter
from microarpes.analysis.shared_gamma0 import shared_gamma0


def map_of(edc, energy, seed, gamma0, n=60, peak=150.0):
    """EDCs whose gaps and rates differ from pixel to pixel and whose pair breaking does not."""
    rng = np.random.default_rng(seed)
    rows = [
        edc(energy, peak=peak, delta=rng.uniform(28, 40), gamma1=rng.uniform(12, 20), gamma0=gamma0, dark=0.02)
        for _ in range(n)
    ]
    return rng.poisson(rows).astype(float)


@pytest.mark.parametrize("gamma0", [1.0, 3.0, 8.0])
def test_a_rate_that_no_pixel_can_tell_is_known_for_the_map(edc, energy, gamma0):
    counts = map_of(edc, energy, 5, gamma0)
    fitter = GapFitter(energy)
    shared = shared_gamma0(fitter, counts)
    alone = np.nanmedian(fitter.fit_many(counts).gamma0_stderr)
    assert shared.n_used >= 55
    assert abs(shared.value - gamma0) < 3 * shared.error
    assert shared.error < 0.3 * alone


def test_its_error_means_what_it_says(edc, energy):
    # 12 maps of 12 pixels: the width of the pulls is known to 20 %
    fitter = GapFitter(energy)
    found = [shared_gamma0(fitter, map_of(edc, energy, seed, 3.0, n=12, peak=400.0)) for seed in range(12)]
    pulls = np.array([(one.value - 3.0) / one.error for one in found])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.5)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(12)


def test_no_pair_breaking_is_found_to_be_none(edc, energy):
    shared = shared_gamma0(GapFitter(energy), map_of(edc, energy, 6, 0.0))
    assert shared.value < 3 * shared.error
    assert shared.rise_at_zero < 9.0
    assert shared_gamma0(GapFitter(energy), map_of(edc, energy, 5, 3.0)).rise_at_zero > 9.0


def test_the_shared_value_serves_every_pixel_and_tightens_its_gap(edc, energy):
    counts = map_of(edc, energy, 7, 3.0)
    shared = shared_gamma0(GapFitter(energy), counts)
    free, told = GapFitter(energy).fit_many(counts), GapFitter(energy, gamma0=shared.value).fit_many(counts)
    assert (told.gamma0[told.status == "ok"] == shared.value).all()
    assert np.nanmedian(told.delta_stderr) < np.nanmedian(free.delta_stderr)


def test_windows_of_a_pixel_share_as_pixels_do(edc, energy):
    expected = edc(energy, peak=150.0, delta=33.0, gamma0=3.0)
    pairs = np.random.default_rng(8).poisson(expected, (30, 2, energy.size))
    shared = shared_gamma0(GapFitter(energy), pairs, at_most=20)
    assert shared.n_used == 20
    assert abs(shared.value - 3.0) < 3 * shared.error


def test_a_map_without_a_gap_has_no_rate(edc, energy):
    shared = shared_gamma0(GapFitter(energy), np.zeros((4, energy.size)))
    assert (shared.n_used, np.isnan(shared.value), np.isnan(shared.error)) == (0, True, True)


def test_wrong_arguments_are_refused(edc, energy):
    with pytest.raises(ValueError, match="no pair-breaking rate"):
        shared_gamma0(GapFitter(energy, model="bcs"), np.ones((2, energy.size)))
    with pytest.raises(ValueError, match="shape"):
        shared_gamma0(GapFitter(energy), np.ones(energy.size))
    with pytest.raises(ValueError, match="at_most"):
        shared_gamma0(GapFitter(energy), np.ones((2, energy.size)), at_most=0)
