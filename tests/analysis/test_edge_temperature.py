"""The temperature of a surface from its Fermi edge at known resolution: found with honest errors, or only limited."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis.edge_temperature import fit_edge_temperature
from microarpes.sim.photoemission import EnergyResponse, fermi

#: 1 meV channels about E_F; the resolution of the simulation is 10 meV FWHM.
STEP, N = 1.0, 300
RESPONSE = EnergyResponse(-200.0, STEP, N)
ENERGY = 95.6 + 1e-3 * (-200.0 + STEP * np.arange(N))


def edge(temperature, level=2000.0):
    shape = RESPONSE(fermi(RESPONSE.energy, temperature))
    return level * shape / shape[0]


def test_the_temperature_of_a_surface_is_found_with_its_error():
    rng = np.random.default_rng(2)
    truth = np.array([25.0, 100.0] * 6)
    fits = [fit_edge_temperature(ENERGY, rng.poisson(edge(temperature)), 0.010) for temperature in truth]
    assert {fit.status for fit in fits} == {"ok"}
    pulls = np.array([(fit.temperature - true) / fit.temperature_stderr for fit, true in zip(fits, truth, strict=True)])
    # 12 of them: the mean is known to 0.3, the width to 0.2
    assert abs(pulls.mean()) < 1.0
    assert 0.5 < pulls.std() < 1.6


def test_a_surface_that_is_warmer_than_its_sensor_says_so():
    fit = fit_edge_temperature(ENERGY, np.random.default_rng(1).poisson(edge(30.0, 2e4)), 0.010)
    assert fit.temperature - 10.0 > 10 * fit.temperature_stderr
    assert fit.ef == pytest.approx(95.6, abs=5 * fit.ef_stderr)


def test_an_edge_that_is_as_sharp_as_the_resolution_gives_a_limit_and_no_temperature():
    # 3.5 kT is 0.6 meV at 2 K, of 10 meV
    fit = fit_edge_temperature(ENERGY, np.random.default_rng(2).poisson(edge(2.0, 300.0)), 0.010)
    assert (fit.status, np.isnan(fit.temperature)) == ("cold", True)
    assert 2.0 < fit.upper_limit < 25.0


def test_an_error_of_the_resolution_is_an_error_of_the_temperature():
    counts = edge(40.0, 1e6)
    fit = fit_edge_temperature(ENERGY, counts, 0.010, 0.0005)
    wrong = fit_edge_temperature(ENERGY, counts, 0.0105)
    assert fit.temperature == pytest.approx(40.0, abs=0.2)
    assert fit.temperature - wrong.temperature == pytest.approx(fit.temperature_systematic, rel=0.1)
    assert fit.temperature_systematic > 5 * fit.temperature_stderr


@pytest.mark.parametrize(("counts", "status"), [(np.full(N, 50.0), "no-edge"), (np.full(N, np.nan), "bad-input")])
def test_what_is_no_edge_has_no_temperature(counts, status):
    fit = fit_edge_temperature(ENERGY, counts, 0.010)
    assert (fit.status, np.isnan(fit.temperature), np.isnan(fit.upper_limit)) == (status, True, True)


def test_an_error_that_is_none_is_refused():
    with pytest.raises(ValueError, match="resolution_error = -1"):
        fit_edge_temperature(ENERGY, edge(10.0), 0.010, -1.0)
