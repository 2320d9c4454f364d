import numpy as np
import pytest

from microarpes.analysis.norman import CHECK_VALUES, NORMAN, norman, norman_gradient


@pytest.mark.parametrize(("arguments", "expected"), CHECK_VALUES)
def test_the_real_form_gives_the_check_values_of_the_complex_one(arguments, expected):
    w, delta, gamma1, gamma0, eps_k = arguments
    assert float(norman(w, delta, gamma1, gamma0, eps_k)) == pytest.approx(expected, rel=2e-8)


def test_the_real_form_agrees_with_the_self_energy_off_k_f_too(norman_oracle):
    w = np.linspace(-200, 200, 801) + 0.1
    for delta, gamma1, gamma0, eps_k in [(35, 15, 2, 0), (10, 20, 5, -12), (5, 40, 0.5, 7), (60, 3, 1, -34)]:
        expected = norman_oracle(w, delta, gamma1, gamma0, eps_k)
        np.testing.assert_allclose(norman(w, delta, gamma1, gamma0, eps_k), expected, rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("eps_k", [0.0, -15.0])
def test_the_derivatives_are_those_of_the_function(eps_k):
    w = np.linspace(-150, 60, 71)
    at = np.array([28.0, 14.0, 3.0])
    _, *gradient = norman_gradient(w, *at, eps_k)
    for i, analytic in enumerate(gradient):
        step = np.zeros(3)
        step[i] = 1e-4
        numeric = (norman(w, *(at + step), eps_k) - norman(w, *(at - step), eps_k)) / 2e-4
        np.testing.assert_allclose(analytic, numeric, rtol=2e-6, atol=1e-10)


def test_one_electron_is_spread_over_all_energies():
    # the tail beyond +-W holds 2 gamma1 / (pi W)
    w = np.arange(-20000.0, 20000.0, 0.25)
    assert float(norman(w, 35.0, 15.0, 2.0).sum() * 0.25) == pytest.approx(1 - 2 * 15 / (np.pi * 20000), abs=1e-5)


def test_without_pair_breaking_the_peak_is_at_the_gap_and_as_wide_as_gamma1():
    # science: delta 37, gamma1 15 -> peak at -37, FWHM 15 (not 2 gamma1)
    w = np.arange(-80.0, 0.0, 0.01)
    line = norman(w, 37.0, 15.0, 0.0)
    above_half = w[line >= line.max() / 2]
    assert w[line.argmax()] == pytest.approx(-37.0, abs=0.02)
    assert above_half[-1] - above_half[0] == pytest.approx(15.0, abs=0.05)


def test_particles_and_holes_mirror_each_other_at_k_f_and_not_elsewhere():
    w = np.linspace(0.5, 90, 50)
    np.testing.assert_allclose(norman(w, 30, 10, 2), norman(-w, 30, 10, 2), rtol=1e-12)
    assert not np.allclose(norman(w, 30, 10, 2, eps_k=-10.0), norman(-w, 30, 10, 2, eps_k=-10.0), rtol=0.1)


def test_at_zero_gap_and_no_pair_breaking_there_is_a_lorentzian_and_no_zero_over_zero():
    w = np.array([-10.0, 0.0, 10.0])
    np.testing.assert_allclose(norman(w, 0.0, 20.0, 0.0), 20.0 / np.pi / (w**2 + 400.0), rtol=1e-6)


def test_the_bank_covers_gaps_from_none_to_the_largest_and_stays_inside_the_bounds():
    assert (NORMAN.bank >= NORMAN.lower).all()
    assert (NORMAN.bank <= NORMAN.upper).all()
    assert NORMAN.bank[:, 0].min() < 2 < 70 < NORMAN.bank[:, 0].max()
