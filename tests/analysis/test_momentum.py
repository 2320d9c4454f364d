"""From angles to momentum: against the simulation's own map, against geometry, and where the two must differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from microarpes.analysis.momentum import (
    d_wave_factor,
    emission_direction,
    fermi_surface_angle,
    in_plane_momentum,
    wave_number,
)
from microarpes.devices.sample_geometry import SampleGeometry
from microarpes.sim import band

A = band.LATTICE_CONSTANT
#: 100 eV photons, and the kinetic energy at E_F.
PHOTONS = 100.0
AT_EF = PHOTONS - band.WORK_FUNCTION


def momentum(slit_angle, polar=0.0, tilt=0.0, azimuth=0.0, deflector=0.0, slit="y"):
    turn = SampleGeometry().absolute((polar, tilt, azimuth))
    return in_plane_momentum(emission_direction(slit_angle, deflector, slit), AT_EF, turn)


@pytest.mark.parametrize("azimuth", [0.0, 45.0, -20.0])
def test_the_cut_lies_where_the_simulated_beamline_has_it(azimuth):
    # The simulation takes kx from the polar angle alone: exact at the slit's middle, cos(2 deg) off at its ends (6e-4).
    angles = np.linspace(-2.0, 2.0, 41)
    polar = band.antinodal_polar(PHOTONS)
    kx, ky = momentum(angles, polar, 0.0, azimuth)
    wave = band.vacuum_wave_number(PHOTONS)
    sim_x, sim_y = band.momentum(angles, polar=polar, tilt=0.0, azimuth=azimuth, wave_number=wave)
    np.testing.assert_allclose([kx, ky], [sim_x, sim_y], atol=8e-4 * math.pi / A)
    np.testing.assert_allclose([kx[20], ky[20]], [sim_x[20], sim_y[20]], rtol=1e-4)


def test_tilt_adds_to_the_angle_along_the_slit_at_polar_zero():
    np.testing.assert_allclose(momentum([1.0], tilt=0.5), momentum([1.5]), atol=1e-12)


def test_the_in_plane_momentum_depends_on_polar_only_through_the_emission_angle():
    # Normal emission stays in the middle of the slit; a turn by polar gives k0 sin(polar) along kx.
    kx, ky = momentum([0.0], polar=30.0)
    assert kx[0] == pytest.approx(0.5 * float(wave_number(AT_EF)))
    assert ky[0] == pytest.approx(0.0, abs=1e-12)


def test_a_deflector_looks_where_a_turned_sample_would_be_seen():
    # At slit angle 0 the deflector and the polar axis turn in one plane.
    np.testing.assert_allclose(momentum([0.0], deflector=7.0), momentum([0.0], polar=7.0), atol=1e-12)


def test_a_slit_across_the_polar_axis_images_kx():
    kx, ky = momentum([3.0], slit="x")
    assert (kx[0], ky[0]) == pytest.approx((float(wave_number(AT_EF)) * math.sin(math.radians(3.0)), 0.0), abs=1e-12)


def test_directions_are_of_length_one():
    grid = np.linspace(-15.0, 15.0, 7)
    np.testing.assert_allclose(np.linalg.norm(emission_direction(grid[:, None], grid), axis=-1), 1.0)


def test_a_quarter_turn_of_the_crystal_exchanges_its_axes():
    kx, ky = momentum([1.7], polar=9.4)
    turned_x, turned_y = momentum([1.7], polar=9.4, azimuth=90.0)
    assert (turned_x[0], turned_y[0]) == pytest.approx((ky[0], -kx[0]))


def test_the_antinodal_pair_of_windows_lies_at_phi_zero_and_keeps_nearly_the_whole_gap():
    # The windows of the simulated beamline are centred on +-1.69 deg, its k_F on the zone boundary.
    kx, ky = momentum([-1.69, 1.69], polar=band.antinodal_polar(PHOTONS))
    np.testing.assert_allclose(fermi_surface_angle(kx, ky, A), 0.0, atol=0.05)
    np.testing.assert_allclose(np.abs(ky), band.antinodal_k_f(), rtol=5e-3)
    np.testing.assert_allclose(d_wave_factor(kx, ky, A), band.antinodal_factor(), rtol=2e-3)


@pytest.mark.parametrize("zone", [0, 1, -2])
def test_phi_is_the_same_in_every_zone_and_octant(zone):
    phi = fermi_surface_angle(2.5, 1.1, 1.0)
    shift = zone * 2 * math.pi
    for kx, ky in [(2.5, 1.1), (1.1, 2.5), (-2.5, 1.1), (2.5, -1.1)]:
        assert fermi_surface_angle(kx + shift, ky - shift, 1.0) == pytest.approx(phi)


@pytest.mark.parametrize("kinetic", [0.0, -1.0, float("nan")])
def test_no_electron_leaves_without_kinetic_energy(kinetic):
    with pytest.raises(ValueError, match=r"kinetic energy = .* eV must be above 0 eV"):
        wave_number(kinetic)
