"""The edges of a reference: E_F of each window, one resolution, and the counts it takes."""

import numpy as np
import pytest
from scipy.special import expit

from microarpes.beamline.reference_fit import fit_edges, tell_surface

ENERGY = 95.6 + np.arange(-280.0, 120.0) / 1000
RECORD = {"gain": 1.0}


def edge(ef, height=150.0, resolution=10.0, seed=0, temperature=10.0):
    """Counts of a metal, FWHM in meV: by quadrature, sharing nothing with the fit."""
    w = np.arange(-400.0, 200.0, 0.25)
    sigma = resolution / 2.3548
    kernel = np.exp(-0.5 * (((ENERGY - ef) * 1000)[:, None] - w) ** 2 / sigma**2) * 0.25 / (sigma * np.sqrt(2 * np.pi))
    mean = height * kernel @ expit(-w / (0.08617 * temperature))
    return np.random.default_rng(seed).poisson(mean).astype(float)


def test_each_window_has_its_own_edge_and_errors_that_are_right():
    pulls = []
    for seed in range(6):
        fit = fit_edges(ENERGY, np.stack([edge(95.6, seed=seed), edge(95.6005, seed=100 + seed)]), 10.0, RECORD)
        assert fit.problem == ""
        pulls += list((np.array(fit.ef) - [95.6, 95.6005]) / fit.ef_error)
        # sqrt(sigma / height) is 0.17 meV for an edge of sigma 4.2 meV of which all but E_F is known; it is not
        assert max(fit.ef_error) == pytest.approx(0.00025, rel=0.2)
        assert abs(fit.resolution - 0.010) < 5 * fit.resolution_error
        # the channels above the edge hold next to no counts, and so next to no deviance
        assert fit.deviance < 1.3 * fit.dof
    # 12 pulls: their mean is known to 0.29, their width to 0.2
    assert abs(np.mean(pulls)) < 1.2
    assert 0.4 < np.std(pulls) < 1.8


def test_a_window_without_an_edge_is_named_and_nothing_raises():
    fit = fit_edges(ENERGY, np.stack([edge(95.6), np.full(ENERGY.size, 20.0)]), 10.0, RECORD)
    assert "window 1 shows no Fermi edge" in fit.problem
    assert "temperature" in fit_edges(ENERGY, edge(95.6)[None], 0.1, RECORD).problem


def test_a_mesh_that_is_declared_moves_no_edge():
    # A shadow of 20 %, 15 meV wide, on the edge itself.
    factor = 1.0 - 0.2 * np.exp(-0.5 * ((ENERGY - 95.605) / 0.007) ** 2)
    counts = np.random.default_rng(1).poisson(edge(95.6, 3000.0) * factor).astype(float)
    right = fit_edges(ENERGY, counts[None], 10.0, {**RECORD, "flat_field": [factor.tolist()]})
    wrong = fit_edges(ENERGY, counts[None], 10.0, RECORD)
    assert abs(right.ef[0] - 95.6) < 5 * right.ef_error[0]
    assert abs(wrong.ef[0] - 95.6) > 10 * wrong.ef_error[0]


def test_the_sensor_may_be_wrong_and_the_error_of_the_resolution_says_so():
    counts = edge(95.6, 3e4, temperature=100.0)[None]
    sure = fit_edges(ENERGY, counts, 100.0, RECORD)
    fit = fit_edges(ENERGY, counts, 100.0, {**RECORD, "temperature_error": 1.0})
    other = fit_edges(ENERGY, counts, 101.0, RECORD)
    assert fit.resolution == sure.resolution
    # what is as wide stays as wide: R dR = 18 k^2 T dT, 1.4 meV for 1 K at 100 K and 10 meV
    assert fit.resolution_error == pytest.approx(sure.resolution - other.resolution, rel=0.15)
    assert fit.resolution_error == pytest.approx(0.0014, rel=0.15)
    assert fit.resolution_error > 4 * sure.resolution_error


def test_windows_of_known_resolution_tell_one_temperature_of_the_surface():
    edcs = np.stack([edge(ef, 400.0, seed=seed, temperature=40.0) for seed, ef in enumerate((95.6, 95.603))])
    found = tell_surface(ENERGY, edcs, 0.010, 0.0003, RECORD)
    assert np.isnan(found.limit)
    assert abs(found.temperature - 40.0) < 4.0 * found.error
    # 1 K by counting of 400 counts per meV in each window; 0.3 meV of 10 is 0.6 K at 40 K: R dR = 18 k^2 T dT
    assert found.error == pytest.approx(np.hypot(1.0, 0.6), rel=0.35)
