import numpy as np
import pytest
from scipy.special import wofz

from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.forward import Instrument, channel_kernel, fit_window
from microarpes.analysis.norman import NORMAN, norman
from microarpes.analysis.poisson import deviance, deviance_moments
from microarpes.analysis.scoring import predict
from microarpes.analysis.units import energy_from_kinetic, kinetic_from_energy


def problem_on(energy, resolution=12.0, temperature=10.0, eps_k=0.0):
    return FitWindows(np.atleast_2d(energy), Instrument(resolution, temperature), NORMAN, eps_k, 5.0)


@pytest.mark.parametrize("resolution", [6.0, 12.0, 20.0])
@pytest.mark.parametrize("delta", [0.5, 10.0, 35.0])
def test_the_model_is_the_brute_force_convolution(energy, edc, norman_oracle, resolution, delta):
    # trapezoid at 1 meV converges spectrally: 1e-5 of the peak for gamma0 >= 2 (fitting theory: 2 exp(-2 pi kT pi / h))
    truth = edc(energy, peak=1000.0, delta=delta, resolution=resolution, background=0.1, slope=0.06e-2, dark=0.01)
    unit = edc(energy, peak=1.0, delta=delta, resolution=resolution, background=0.0, slope=0.0, dark=0.0)
    whole = problem_on(energy, resolution).whole
    # amplitude from the area: at the peak the model must be 1000
    area = predict(whole, np.array([[delta, 15.0, 2.0, 1.0, 0.0, 0.0, 0.0]]))[0]
    theta = np.array([[delta, 15.0, 2.0, 1000.0 / area.max(), 100.0 + 0.6, 100.0, 10.0]])
    model = predict(whole, theta)[0][0]
    assert unit.max() == pytest.approx(1.0)
    np.testing.assert_allclose(model, truth, atol=1000.0 * (2e-5 if delta > 1 else 2e-3))


def test_without_the_fermi_cut_the_convolution_is_the_faddeeva_closed_form():
    # A * G = Re[sum r w((W - w_pm) / (sqrt2 sigma))] / (sigma sqrt(2 pi)), poles w_pm = -i g +- E
    energy = np.arange(-150.0, 151.0)
    delta, gamma1, gamma0 = 35.0, 15.0, 2.0
    instrument = Instrument(12.0, 10.0)
    fine, kernel, _ = channel_kernel(energy, instrument)
    g, d = (gamma0 + gamma1) / 2, (gamma1 - gamma0) / 2
    root = np.sqrt(complex(delta**2 - d**2))
    closed = np.zeros(energy.size)
    for sign in (1, -1):
        residue = 0.5 + sign * 1j * -d / (2 * root)
        pole = -1j * g + sign * root
        closed += (residue * wofz((energy - pole) / (np.sqrt(2) * instrument.sigma))).real
    closed /= instrument.sigma * np.sqrt(2 * np.pi)
    np.testing.assert_allclose(norman(fine, delta, gamma1, gamma0) @ kernel, closed, atol=1e-5 * closed.max())


def test_the_jacobian_is_the_derivative_of_the_expected_counts(energy):
    problem = problem_on(energy).problem(-95.0).problem
    theta = np.array([[33.0, 14.0, 3.0, 5000.0, 20.0, 12.0, 1.5]])
    _, jacobian = predict(problem, theta)
    for i, value in enumerate(theta[0]):
        step = np.zeros_like(theta)
        step[0, i] = 1e-4 * max(value, 1.0)
        numeric = (predict(problem, theta + step)[0] - predict(problem, theta - step)[0]) / (2 * step[0, i])
        np.testing.assert_allclose(jacobian[0, i], numeric[0], rtol=1e-5, atol=1e-7 * np.abs(jacobian[0, i]).max())


@pytest.mark.parametrize("step", [0.5, 1.0, 2.9, 6.0, 11.3])
def test_channels_of_any_width_hold_the_same_density_of_counts(step):
    # counts per channel of a smooth part of the spectrum do not depend on how fine the channels are
    energy = np.arange(-320.0, 80.0, step)
    whole = problem_on(energy).whole
    model = predict(whole, np.array([[35.0, 15.0, 2.0, 0.0, 70.0, 70.0, 5.0]]))[0][0]
    assert model[(energy > -200) & (energy < -100)] == pytest.approx(75.0, abs=0.05)
    assert model[energy > 40] == pytest.approx(5.0, abs=0.05)


def test_bins_are_at_most_as_wide_as_asked_for_and_meet_at_the_fermi_energy(energy):
    first, size, n_bins = fit_window(energy, -95.0, 36.0, 2.9)
    assert size == 2
    assert (320 - first) % size == 0
    assert energy[first] >= -95.0
    assert energy[first + size * n_bins - 1] <= 36.0


def test_the_deviance_has_the_moments_of_its_own_poisson_distribution():
    rng = np.random.default_rng(3)
    for mu in (0.02, 0.7, 4.0, 60.0):
        expected = np.full((40_000, 1), mu)
        drawn = deviance(rng.poisson(expected).astype(float), expected)
        mean, variance = deviance_moments(expected[:1])
        # the standard error of 40 000 draws is below 2 % of the mean for all but the rarest counts
        assert drawn.mean() == pytest.approx(float(mean[0]), rel=0.05)
        assert drawn.var() == pytest.approx(float(variance[0]), rel=0.1)


def test_energies_convert_there_and_back():
    kinetic = np.array([95.0, 95.1234])
    np.testing.assert_allclose(kinetic_from_energy(energy_from_kinetic(kinetic, 95.02), 95.02), kinetic, rtol=1e-14)
