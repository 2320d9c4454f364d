"""The gap along the Fermi surface: Delta_0, node and harmonic from gaps at several momenta, with honest errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from microarpes.analysis import GapFitter
from microarpes.analysis.d_wave import fit_d_wave
from microarpes.sim.band import LATTICE_CONSTANT, antinodal_factor, band_energy, vacuum_wave_number
from microarpes.sim.photoemission import Cut, live_image

A = LATTICE_CONSTANT
#: Cuts at these kx, in units of pi/a, cross the Fermi surface of the band from the antinode to beyond the node,
#: which lies at 0.365.
CUTS = np.array([1.0, 0.85, 0.7, 0.6, 0.52, 0.25])


def fermi_momenta():
    kx = CUTS * np.pi / A
    # along ky from the zone boundary inwards; beyond the node the surface is reached at a larger ky
    ky = [brentq(lambda y, x=x: float(band_energy(x, y)), 1e-3, np.pi / A) for x in kx]
    return kx, np.array(ky)


KX, KY = fermi_momenta()
D = (np.cos(KY * A) - np.cos(KX * A)) / 2
H = (np.cos(2 * KY * A) - np.cos(2 * KX * A)) / 2


def test_a_d_wave_is_found_and_nothing_else():
    found = fit_d_wave(38.0 * np.abs(D), np.full(D.size, 0.5), KX, KY, A)
    assert found.delta0 == pytest.approx(38.0)
    assert (found.node, found.shift, found.harmonic) == pytest.approx((45.0, 0.0, 0.0), abs=1e-6)
    assert (found.dof, found.p_value) == (4.0, pytest.approx(1.0))
    # at 0.5 and more the two windows nearest to the node, at 0.38 and 0.40 of Delta_0, are left out
    assert fit_d_wave(38.0 * np.abs(D), np.full(D.size, 0.5), KX, KY, A, least_factor=0.5).dof == 2.0


def test_a_node_beside_the_diagonal_is_found_where_it_is():
    # s = 3 meV: the gap vanishes where D = -s / Delta_0, at 0.365 pi/a D falls by 2.9 % a degree
    found = fit_d_wave(np.abs(38.0 * D + 3.0), np.full(D.size, 0.5), KX, KY, A)
    along = np.linspace(0.25, 0.5, 400) * np.pi / A
    across = np.array([brentq(lambda y, x=x: float(band_energy(x, y)), 1e-3, np.pi / A) for x in along])
    gap = 38.0 * (np.cos(across * A) - np.cos(along * A)) / 2 + 3.0
    at = np.interp(0.0, gap, np.degrees(np.arctan2(np.pi - along * A, np.pi - across * A)))
    assert found.node == pytest.approx(at, abs=0.3)
    assert at > 46.5


def test_the_next_harmonic_is_told_from_a_d_wave():
    rng = np.random.default_rng(1)
    gaps = np.abs(38.0 * (D + 0.1 * H))[:, None] + 0.3 * rng.standard_normal((D.size, 500))
    found = fit_d_wave(gaps, np.full_like(gaps, 0.3), KX, KY, A)
    assert found.harmonic.mean() == pytest.approx(0.1, abs=4 * found.harmonic_stderr[0] / 500**0.5)
    # and the fit of a d-wave alone says that it is none
    assert np.median(found.p_value) < 0.01


def test_errors_of_gaps_become_the_scatter_of_what_is_fitted():
    rng = np.random.default_rng(2)
    errors = np.linspace(0.3, 1.0, D.size)[:, None] * np.ones((1, 2000))
    found = fit_d_wave(38.0 * np.abs(D)[:, None] + errors * rng.standard_normal(errors.shape), errors, KX, KY, A)
    # 2000 pixels: a standard deviation is known to 1.6 %
    for name, true in (("delta0", 38.0), ("shift", 0.0), ("node", 45.0), ("harmonic", 0.0)):
        values, stderr = getattr(found, name), getattr(found, f"{name}_stderr")
        assert np.std((values - true) / stderr) == pytest.approx(1.0, abs=0.08), name
    assert found.p_value.mean() == pytest.approx(0.5, abs=0.03)


def test_an_error_of_the_fermi_energy_makes_all_gaps_larger_and_is_told_apart_from_counting():
    larger = fit_d_wave(38.0 * np.abs(D) + 0.5, np.full(D.size, 0.3), KX, KY, A, systematic=0.5)
    true = fit_d_wave(38.0 * np.abs(D), np.full(D.size, 0.3), KX, KY, A)
    assert abs(larger.delta0 - true.delta0) == pytest.approx(larger.delta0_systematic, rel=0.02)
    assert abs(larger.node - true.node) == pytest.approx(larger.node_systematic, rel=0.05)
    assert true.delta0_systematic == 0.0


def test_a_gap_that_was_not_found_counts_as_its_limit():
    gaps, errors, limits = 38.0 * np.abs(D), np.full(D.size, 0.5), np.full(D.size, np.nan)
    gaps[3], errors[3], limits[3] = np.nan, np.nan, 3.0
    without = fit_d_wave(gaps, errors, KX, KY, A)
    found = fit_d_wave(gaps, errors, KX, KY, A, upper_limit=limits)
    assert (found.dof, without.dof) == (without.dof + 1, without.dof)
    # 38 meV times the factor of 0.6 pi/a cannot be below 3 meV
    assert found.p_value < 1e-3 < without.p_value


def test_windows_that_lie_alike_tell_no_gap_function():
    alone = fit_d_wave([35.0, 35.2], [0.5, 0.5], [KX[0]] * 2, [KY[0], -KY[0]], A)
    assert np.isnan([alone.delta0, alone.node, alone.chi2, alone.p_value]).all()
    empty = fit_d_wave(np.full((3, 2), np.nan), np.full((3, 2), np.nan), KX[:3], KY[:3], A)
    assert np.isnan(empty.delta0).all()


@pytest.mark.parametrize(("gap", "error", "lattice"), [([1.0, 2.0], [1.0], A), ([1.0], [1.0], 0.0)])
def test_what_does_not_fit_together_is_refused(gap, error, lattice):
    with pytest.raises(ValueError, match="lattice_constant"):
        fit_d_wave(gap, error, 1.0, 1.0, lattice)


def spectra(gaps, rng, counts):
    """EDCs at k_F of every cut, shape (n_cut, n_pixel, n_energy), of the simulation's own photoemission."""
    k = vacuum_wave_number(100.0)
    found = []
    for kx, ky in zip(KX, KY, strict=True):
        # the tilt brings k_F to the middle of a slit of two channels of 0.05 deg: no more of the cut is needed
        polar, tilt = (float(np.degrees(np.arcsin(each / k))) for each in (kx, ky))
        cut = Cut(-150.0, 1.0, 200, 2, 0.1, polar, tilt, 0.0, k, 10.0)
        window = slice(cut.margin, -cut.margin)
        means = np.array([live_image(cut, gap, 15.0)[window].sum(axis=0) for gap in gaps])
        found.append(rng.poisson(means * counts / means.sum(axis=1).mean()))
    return -150.0 + np.arange(200.0), np.array(found)


def test_delta0_and_node_of_the_simulated_sample_are_found_pixel_by_pixel():
    rng = np.random.default_rng(3)
    # antinodal gaps of 30 to 40 meV; 3e4 counts an EDC are 0.3 meV a gap
    truth = np.linspace(30.0, 40.0, 12)
    energy, edcs = spectra(truth, rng, 3e4)
    fitter = GapFitter(energy, resolution=10.0, temperature=10.0)
    fits = [fitter.fit_many(edc) for edc in edcs]
    gap, error, limit = (np.array([getattr(fit, name) for fit in fits]) for name in
                         ("delta", "delta_stderr", "upper_limit"))  # fmt: skip
    found = fit_d_wave(gap, error, KX, KY, A, upper_limit=limit)
    assert np.corrcoef(found.delta0, truth)[0, 1] > 0.95
    assert found.delta0.mean() == pytest.approx(truth.mean() / antinodal_factor(), rel=0.03)
    assert found.node.mean() == pytest.approx(45.0, abs=1.0)
