"""The band against numbers of Norman et al. (1995) worked out by hand."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from microarpes.sim.band import (
    LATTICE_CONSTANT,
    antinodal_factor,
    antinodal_k_f,
    antinodal_polar,
    band_energy,
    d_wave_factor,
    momentum,
    vacuum_wave_number,
)
from microarpes.sim.sample import k_f_slit_angle

EDGE = math.pi / LATTICE_CONSTANT


def test_the_saddle_point_lies_34_mev_below_the_fermi_energy():
    # c0 - 0 + c2 cos(pi) + c3 + 0 + c5 with cx = -1, cy = 1: 130.5 - 163.6 - 51.9 + 51.0 = -34.0.
    assert band_energy(EDGE, 0.0) == pytest.approx(-34.0, abs=1e-9)


def test_the_antinodal_k_f_is_at_0_18_of_the_zone_and_has_a_d_wave_factor_of_0_92():
    assert antinodal_k_f() / EDGE == pytest.approx(0.180, abs=0.001)
    assert antinodal_factor() == pytest.approx(0.922, abs=0.001)


def test_the_nodal_k_f_is_at_0_365_of_the_diagonal_where_the_gap_vanishes():
    k = brentq(lambda k: float(band_energy(k, k)), 0.2 * EDGE, 0.6 * EDGE)
    assert k / EDGE == pytest.approx(0.365, abs=0.001)
    assert d_wave_factor(k, k) == pytest.approx(0.0, abs=1e-12)


def test_at_100_ev_the_antinode_needs_9_4_deg_polar_and_k_f_is_at_1_69_deg_on_the_slit():
    # k = 0.5123 sqrt(95.6) = 5.009 / Å; asin(0.8203 / 5.009) and asin(0.1476 / 5.009).
    assert antinodal_polar(100.0) == pytest.approx(9.42, abs=0.01)
    assert k_f_slit_angle() == pytest.approx(1.69, abs=0.005)


def test_both_slit_angles_of_k_f_land_on_the_fermi_surface():
    angles = np.array([-k_f_slit_angle(), k_f_slit_angle()])
    kx, ky = momentum(
        angles, polar=antinodal_polar(100.0), tilt=0.0, azimuth=0.0, wave_number=vacuum_wave_number(100.0)
    )
    assert np.allclose(band_energy(kx, ky), 0.0, atol=1e-6)


def test_tilt_slides_the_slit_and_azimuth_turns_the_crystal():
    plain = momentum(np.array([1.0]), polar=0.0, tilt=0.5, azimuth=0.0, wave_number=5.0)
    assert plain[1] == pytest.approx(5.0 * math.sin(math.radians(1.5)))
    turned = momentum(np.array([1.0]), polar=0.0, tilt=0.5, azimuth=90.0, wave_number=5.0)
    assert turned[0] == pytest.approx(plain[1])
