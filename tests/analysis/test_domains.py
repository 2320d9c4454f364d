"""Domains of alike spectra: found where they are, as many as the counts tell, none in noise or brightness."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis.domains import find_domains
from microarpes.sim.photoemission import EnergyResponse, fermi, incoherent
from microarpes.sim.spectral_function import norman_spectral_function


def edc(gap, gamma1=15.0):
    """Expected EDC at k_F in 2 meV channels, sum 1: the simulation's own."""
    response = EnergyResponse(-150.0, 2.0, 100)
    w = response.energy
    spectrum = (norman_spectral_function(w, 0.0, gap, gamma1) + incoherent(w)) * fermi(w, 10.0)
    shape = response(spectrum)
    return shape / shape.sum()


SMALL, LARGE = edc(32.0), edc(38.0)


def counted(rng, shapes, counts):
    return rng.poisson(np.asarray(shapes) * np.broadcast_to(counts, len(shapes))[:, None]).astype(float)


def test_two_domains_are_found_and_every_pixel_is_in_its_own():
    rng = np.random.default_rng(1)
    truth = np.arange(300) % 3 == 0
    # 54 meV / sqrt(N) is the error of a gap: 0.85 meV at 4000 counts, a seventh of what the gaps differ by
    found = find_domains(counted(rng, [LARGE if one else SMALL for one in truth], 4000.0))
    assert found.number == 2
    # the larger domain, of small gaps, is the first
    assert np.mean(found.labels == truth.astype(int)) > 0.98
    assert found.spectra.sum(axis=1) == pytest.approx([200 * 4000.0, 100 * 4000.0], rel=0.02)
    assert [one.told for one in found.evidence[1:]] == [True, False]


def test_noise_and_brightness_make_no_domains():
    for seed in range(20):
        rng = np.random.default_rng([seed, 5])
        # as a beam that falls to a tenth, and an edge of the flake, have it
        found = find_domains(counted(rng, [SMALL] * 150, rng.uniform(300.0, 3000.0, 150)), seed=seed)
        assert found.number == 1, seed
        assert (found.labels == 0).all()


def test_metal_a_dead_patch_and_the_sample_are_domains_of_their_own():
    rng = np.random.default_rng(3)
    w = EnergyResponse(-150.0, 2.0, 100)
    metal, dead = w(fermi(w.energy, 10.0)), np.ones(100)
    kinds = rng.integers(0, 3, 240)
    shapes = np.array([SMALL, metal / metal.sum(), dead / dead.sum()])
    found = find_domains(counted(rng, shapes[kinds], 1000.0))
    assert found.number == 3
    for label in range(3):
        assert len(set(kinds[found.labels == label])) == 1


def test_the_number_can_be_given_and_units_of_the_detector_make_no_difference():
    rng = np.random.default_rng(4)
    counts = counted(rng, [SMALL] * 60 + [LARGE] * 60, 4000.0)
    asked, scaled = find_domains(counts, number=3), find_domains(7.0 * counts, gain=7.0)
    assert (asked.number, asked.evidence) == (3, ())
    assert scaled.number == 2
    np.testing.assert_array_equal(scaled.labels, find_domains(counts).labels)
    assert scaled.spectra.sum() == pytest.approx(7.0 * counts.sum())


def test_pixels_without_a_spectrum_are_in_no_domain():
    rng = np.random.default_rng(6)
    counts = counted(rng, [SMALL] * 20, 1000.0)
    counts[3], counts[7] = np.nan, 0.0
    found = find_domains(counts.reshape(20, 2, 50))
    assert sorted(np.flatnonzero(found.labels < 0)) == [3, 7]
    assert found.spectra.shape == (1, 2, 50)


@pytest.mark.parametrize(
    ("counts", "number", "told"),
    [(np.full((5, 9), np.nan), None, "0 of 5 pixels"), (np.full((3, 9), 50.0), 4, "3 of 3 pixels have a spectrum; 4"),
     (np.full((5, 9), -1.0), None, "below 0 is no count")],
)  # fmt: skip
def test_what_cannot_be_grouped_is_refused(counts, number, told):
    with pytest.raises(ValueError, match=told):
        find_domains(counts, number=number)
