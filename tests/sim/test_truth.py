"""What a realistic truth adds, against what must hold of each ingredient by itself."""

import math

import numpy as np
import pytest

from microarpes.sim import command_line
from microarpes.sim.band import LATTICE_CONSTANT, antinodal_k_f, band_energy
from microarpes.sim.flat_field import flat_field, gain_pattern
from microarpes.sim.frame_source import Conditions, Pose, Window
from microarpes.sim.image_cache import CutImages
from microarpes.sim.incident_flux import Dose
from microarpes.sim.photoemission import incoherent, live_image
from microarpes.sim.sample import Sample
from microarpes.sim.sample_source import CENTRE_ENERGY, REFERENCE, SampleSource
from microarpes.sim.spectral_function import SUPERSTRUCTURE, band_emission, bonding_energy, hump
from microarpes.sim.storage_ring import FULL_CURRENT
from microarpes.sim.truth import INGREDIENTS, REALISTIC, STANDARD, Truth, parse_truth

ENERGY = REFERENCE.lowest + np.arange(REFERENCE.n_energy) * REFERENCE.step
ANGLE = (np.arange(REFERENCE.n_angle) + 0.5) * REFERENCE.angle_step - REFERENCE.angle_span / 2
INNER = slice(REFERENCE.margin, -REFERENCE.margin)
AT_K_F = np.abs(ANGLE - 1.69) < 0.1
EDGE = math.pi / LATTICE_CONSTANT


def image_of(**ingredients):
    return live_image(REFERENCE, 35.0, 15.0, Truth(**ingredients))[INNER]


@pytest.fixture(scope="module")
def plain():
    return live_image(REFERENCE, 35.0, 15.0)[INNER]


def at(spectrum, energy):
    return spectrum[round(energy - REFERENCE.lowest)]


@pytest.mark.parametrize("band", [-90.0, 0.0, 40.0])
def test_the_hump_holds_one_electron_and_as_much_of_it_is_occupied_as_of_the_pair(band):
    energy = np.arange(-700.0, 700.0, 0.1)
    height = hump(energy, np.array([[band]]), np.array([[35.0]]))[0] * 0.1
    assert height.sum() == pytest.approx(1.0, abs=2e-3)
    # BCS: (1 - eps / E) / 2 below E_F.
    assert height[energy < 0].sum() == pytest.approx((1 - band / math.hypot(band, 35.0)) / 2, abs=2e-3)


def test_a_hump_takes_from_the_peak_what_it_holds():
    energy, k = np.arange(-8000.0, 8000.0, 0.5), (np.array([EDGE]), np.array([antinodal_k_f()]))
    with_hump, without = (band_emission(energy, *k, 35.0, 15.0, Truth(hump=part))[0] for part in (0.4, 0.0))
    # Both hold one electron, and beyond 8 eV the same small tail.
    assert with_hump.sum() * 0.5 == pytest.approx(without.sum() * 0.5, abs=2e-3)
    peak = np.abs(energy + 35.0) < 20.0
    assert with_hump[peak] == pytest.approx(0.6 * without[peak], rel=0.03)


def test_peak_dip_and_hump_lie_where_they_do_at_the_antinode(plain):
    spectrum = image_of(hump=REALISTIC.hump)[AT_K_F].mean(axis=0)
    between = (ENERGY > -100.0) & (ENERGY < -45.0)
    dip = ENERGY[between][spectrum[between].argmin()]
    top = ENERGY[ENERGY < dip][spectrum[ENERGY < dip].argmax()]
    assert ENERGY[spectrum.argmax()] == pytest.approx(ENERGY[plain[AT_K_F].mean(axis=0).argmax()], abs=1.0)
    # A gap of 35 meV and a mode of 40: 70 to 80 meV are the literature's dip, 100 to 130 its hump.
    assert -80.0 <= dip <= -60.0
    assert -130.0 <= top <= -100.0
    # A third of the peak, both above what is emitted without direction.
    ground = incoherent(ENERGY)
    assert at(spectrum - ground, top) == pytest.approx(0.33 * (spectrum - ground).max(), rel=0.15)


def test_the_bonding_band_is_split_off_by_88_mev_at_the_antinode_and_not_on_the_diagonal():
    assert bonding_energy(EDGE, 0.0) == pytest.approx(-34.0 - 88.0, abs=0.5)
    assert bonding_energy(0.3, 0.3) == pytest.approx(band_energy(0.3, 0.3))


def test_the_bonding_band_crosses_further_out_with_a_gap_of_its_own_k(plain):
    ky = np.linspace(0.0, 0.5 * EDGE, 2001)
    k_f = ky[np.abs(bonding_energy(EDGE, ky)).argmin()]
    assert 1.3 < k_f / antinodal_k_f() < 1.8
    slit = math.degrees(math.asin(k_f / REFERENCE.wave_number))
    added = image_of(bonding=1.0) - plain
    spectrum = added[np.abs(ANGLE - slit) < 0.06].mean(axis=0)
    # d-wave: 35 (1 + cos ky a) / (1 + cos ky_F a), and 2 meV of resolution and pair breaking.
    factor = (1 + math.cos(k_f * LATTICE_CONSTANT)) / (1 + math.cos(antinodal_k_f() * LATTICE_CONSTANT))
    assert ENERGY[spectrum.argmax()] == pytest.approx(-35.0 * factor, abs=3.0)
    # At (pi, 0) it lies at E = sqrt(122^2 + 38^2), broadened: nothing of it near E_F.
    centre = added[np.abs(ANGLE) < 0.1].mean(axis=0)
    assert ENERGY[centre.argmax()] == pytest.approx(-128.0, abs=8.0)
    assert at(centre, -36.0) < 0.25 * centre.max()


def test_a_shirley_step_is_the_same_at_all_angles_and_counts_the_electrons_above(plain):
    loss = 0.01
    step = image_of(shirley=loss) - plain
    assert np.ptp(step, axis=0).max() < 1e-9
    assert step[0, ENERGY > 25.0].max() < 1e-6
    assert (np.diff(step[0]) <= 1e-12).all()
    # Far below the band every electron of the bands has a chance of `loss` per meV; the image holds them per meV.
    bands = (plain - incoherent(ENERGY) * (ENERGY < 0)).mean(axis=0)
    assert step[0, 0] == pytest.approx(loss * bands.sum(), rel=0.03)


def test_a_replica_shows_the_band_one_wave_vector_away_with_its_share():
    q = SUPERSTRUCTURE * EDGE
    k = np.array([EDGE + q]), np.array([antinodal_k_f() + q])
    added = (band_emission(ENERGY, *k, 35.0, 15.0, Truth(replica=0.1)) - band_emission(ENERGY, *k, 35.0, 15.0))[0]
    # One copy is the antinodal k_F itself; the other lies far from any Fermi surface.
    main = band_emission(ENERGY, np.array([EDGE]), np.array([antinodal_k_f()]), 35.0, 15.0)[0]
    near = np.abs(ENERGY + 35.0) < 15.0
    assert added[near] == pytest.approx(0.1 * main[near], rel=0.05)


@pytest.mark.parametrize("name", ["hump", "bonding", "shirley", "replica"])
def test_the_antinodal_cut_stays_even_but_for_matrix_elements(name):
    image = live_image(REFERENCE, 35.0, 15.0, parse_truth(name))
    assert np.allclose(image, image[::-1], rtol=1e-6, atol=1e-9)


def test_a_matrix_element_makes_one_k_f_brighter_and_moves_nothing(plain):
    image = image_of(matrix_element=0.3)
    ground = incoherent(ENERGY) * (ENERGY < 0)
    left, right = ((image - ground)[np.abs(ANGLE - side) < 0.1].mean(axis=0) for side in (-1.69, 1.69))
    by = 0.3 * math.sin(antinodal_k_f() * LATTICE_CONSTANT)
    assert right.max() / left.max() == pytest.approx((1 + by) / (1 - by), rel=0.03)
    assert right.argmax() == left.argmax() == plain[AT_K_F].mean(axis=0).argmax()


def test_the_pattern_of_the_detector_is_as_uneven_as_asked_for_and_always_the_same():
    pattern = gain_pattern(300, 400, 0.02)
    assert (pattern.mean(), pattern.std()) == pytest.approx((1.0, 0.02))
    np.testing.assert_array_equal(pattern, gain_pattern(300, 400, 0.02))
    # Coarser slices see the means of the same channels: no wave is shorter than 20 of them.
    means = pattern.reshape(100, 3, 400).mean(axis=1)
    assert np.abs(gain_pattern(100, 400, 0.02) - means).max() < 0.15 * 0.02 * 3
    np.testing.assert_array_equal(flat_field(300, 400, 0.0, 0.02), pattern)


def expected_frame(truth):
    pose = Pose(-20.0, -50.0, 0.0, REFERENCE.polar, 0.0, 0.0, -20.0, -50.0)
    window, dose = Window(CENTRE_ENERGY, 1e-3, 300, 15.0, 0.1), Dose(0.1, 0.1 * FULL_CURRENT, 1.0)
    source = SampleSource(Sample(7), seed=7, rate=1e6, truth=truth)
    return source.expected(window, Conditions(100.0, 10.0), (pose,), dose)


def test_whatever_the_truth_the_detector_counts_at_the_rate_asked_for():
    shares = expected_frame(Truth(hump=0.4, shirley=0.008)).sum(), expected_frame(STANDARD).sum()
    assert shares == pytest.approx((1e5, 1e5), rel=0.02)


def test_a_frame_is_the_spectrum_through_an_uneven_detector():
    uneven, even = expected_frame(Truth(gain_pattern=0.02)), expected_frame(STANDARD)
    # 2 dark counts over the whole detector do not pass the pattern.
    np.testing.assert_allclose(uneven, even * gain_pattern(300, 400, 0.02), atol=1e-4)


def test_images_of_a_realistic_truth_may_be_interpolated_as_those_of_the_standard_one():
    direct = live_image(REFERENCE, 35.25, 15.0, REALISTIC)[INNER]
    cached = CutImages(REFERENCE, REALISTIC).live(np.array([35.25]), np.array([15.0]), np.array([1.0]))
    assert np.abs(cached - direct).max() <= 2e-3 * direct.max()


def test_every_ingredient_can_be_had_alone_and_all_of_them_together():
    assert parse_truth("standard") == STANDARD
    assert parse_truth("realistic") == parse_truth(",".join(INGREDIENTS)) == REALISTIC
    assert parse_truth("hump,bonding") == Truth(hump=REALISTIC.hump, bonding=REALISTIC.bonding)
    assert all(getattr(REALISTIC, name) for name in INGREDIENTS)


@pytest.mark.parametrize("name", ["real", "", "hump,", "hump;bonding"])
def test_a_truth_that_is_none_is_refused_in_one_line(name, capsys):
    assert command_line.main(["--truth", name]) == 2
    assert "neither standard nor realistic nor some of hump, bonding" in capsys.readouterr().err


def test_the_option_reaches_the_sample_of_the_ioc(monkeypatch):
    served = []
    monkeypatch.setattr(command_line, "run", lambda options, source: served.append((options, source)) or 0)
    monkeypatch.setattr(command_line, "remember_command", lambda command: None)
    assert command_line.main(["--truth", "realistic"]) == 0
    assert [(options.truth, source) for options, source in served] == [(REALISTIC, None)]


def test_the_flat_field_of_the_pattern_can_be_written_for_a_configuration(tmp_path):
    file = tmp_path / "flat.npy"
    assert command_line.main(["--truth", "realistic", "--write-flat-field", str(file)]) == 0
    np.testing.assert_array_equal(np.load(file), gain_pattern(300, 400, REALISTIC.gain_pattern))
