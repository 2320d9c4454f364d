"""The forward model against what must hold whatever the parameters."""

import math
from dataclasses import replace

import numpy as np
import pytest

from microarpes.sim.photoemission import (
    BOLTZMANN,
    ENERGY_RESOLUTION,
    EnergyResponse,
    fermi,
    holder_spectrum,
    live_image,
)
from microarpes.sim.sample_source import REFERENCE
from microarpes.sim.spectral_function import norman_spectral_function

SIGMA = ENERGY_RESOLUTION / (2 * math.sqrt(2 * math.log(2)))


def test_without_pair_breaking_the_peak_is_at_the_gap_and_as_wide_as_gamma1():
    energy = np.arange(-100.0, 0.0, 0.01)
    spectrum = norman_spectral_function(energy, 0.0, 37.0, 15.0, gamma0=1e-6)
    assert energy[spectrum.argmax()] == pytest.approx(-37.0, abs=0.02)
    above = energy[spectrum > spectrum.max() / 2]
    # Norman 1998: with Gamma0 = 0 and eps = 0 the FWHM is Gamma1, not twice that.
    assert above[-1] - above[0] == pytest.approx(15.0, abs=0.05)


def test_the_spectral_function_holds_one_electron():
    energy = np.arange(-20000.0, 20000.0, 0.5)
    total = norman_spectral_function(energy, -20.0, 35.0, 15.0).sum() * 0.5
    # A Lorentzian tail of HWHM 15 meV leaves 2 * 15 / (pi * 20000) = 5e-4 outside.
    assert total == pytest.approx(1.0, abs=1e-3)


def test_the_response_shifts_nothing_and_widens_by_its_own_variance():
    response = EnergyResponse(-100.0, 1.0, 200)
    centre = 0.125 + 4 * 0.25
    line = np.exp(-0.5 * ((response.energy - centre) / 6.0) ** 2)
    counts = response(line)
    channel = -100.0 + np.arange(200)
    mean = (channel * counts).sum() / counts.sum()
    variance = ((channel - mean) ** 2 * counts).sum() / counts.sum()
    assert mean == pytest.approx(centre, abs=1e-4)
    # Variances add: line, resolution, and the width of a channel (1 meV)^2 / 12.
    assert variance == pytest.approx(36.0 + SIGMA**2 + 1.0 / 12.0, rel=1e-3)
    assert counts.sum() == pytest.approx(6.0 * math.sqrt(2 * math.pi), rel=1e-4)


def test_the_holder_has_a_fermi_edge_of_thermal_and_instrumental_width_at_zero():
    cut = replace(REFERENCE, temperature=60.0)
    spectrum = holder_spectrum(cut)
    energy = cut.lowest + np.arange(cut.n_energy) * cut.step
    near = np.abs(energy) < 60.0
    # The holder's density of states falls by 0.02 % per meV; without it only the edge is left.
    slope = -np.gradient(spectrum / (1.0 - 0.0002 * energy))[near]
    at = energy[near]
    centre = (at * slope).sum() / slope.sum()
    width = math.sqrt(((at - centre) ** 2 * slope).sum() / slope.sum())
    # -df/dw has the variance (pi kT)^2 / 3; channels are 1 meV.
    expected = math.sqrt((math.pi * BOLTZMANN * 60.0) ** 2 / 3 + SIGMA**2)
    assert centre == pytest.approx(0.0, abs=0.05)
    assert width == pytest.approx(expected, rel=0.02)


def test_the_fermi_function_is_a_half_at_zero_and_10_to_90_percent_over_4_4_kt():
    assert fermi(np.array([0.0]), 10.0)[0] == pytest.approx(0.5)
    half = math.log(9.0) * BOLTZMANN * 10.0
    assert fermi(np.array([-half, half]), 10.0) == pytest.approx([0.9, 0.1])


def test_the_antinodal_cut_is_even_in_the_slit_angle():
    image = live_image(REFERENCE, 35.0, 15.0)
    assert np.allclose(image, image[::-1], rtol=1e-9, atol=1e-12)


def test_at_k_f_the_peak_lies_a_gap_below_the_fermi_energy_and_moves_with_it():
    energy = REFERENCE.lowest + np.arange(REFERENCE.n_energy) * REFERENCE.step
    angle = (np.arange(300) + 0.5) * 0.05 - 7.5
    row = REFERENCE.margin + int(np.argmin(np.abs(angle - 1.69)))
    peaks = [energy[live_image(REFERENCE, gap, 15.0)[row].argmax()] for gap in (30.0, 40.0)]
    # Within 2 meV of -gap: pair breaking and resolution push the peak by about that much, and channels are 1 meV.
    assert peaks == pytest.approx([-30.0, -40.0], abs=2.0)


def test_finer_slices_sum_to_coarser_ones():
    coarse = live_image(replace(REFERENCE, n_angle=100), 35.0, 15.0)
    fine = live_image(replace(REFERENCE, n_angle=300), 35.0, 15.0)
    margins = replace(REFERENCE, n_angle=100).margin, REFERENCE.margin
    summed = fine[margins[1] : -margins[1]].reshape(100, 3, -1).mean(axis=1)
    inner = coarse[margins[0] : -margins[0]]
    # Both sample the slit at 0.05 deg, where nothing is sharper than the 0.1 deg (FWHM) of the lens.
    assert np.abs(inner - summed).max() < 2e-3 * summed.max()
