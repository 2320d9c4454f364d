"""Frames: rate, noise, what the beam falls on."""

from dataclasses import replace

import numpy as np
import pytest

from microarpes.sim.band import antinodal_polar
from microarpes.sim.frame_source import Conditions, Pose, Window
from microarpes.sim.incident_flux import Dose
from microarpes.sim.sample import Sample
from microarpes.sim.sample_source import CENTRE_ENERGY, REFERENCE, SampleSource, cut_for
from microarpes.sim.storage_ring import FULL_CURRENT

WINDOW = Window(CENTRE_ENERGY, 1e-3, 300, 15.0, 0.1)
CONDITIONS = Conditions(100.0, 10.0)
ON_FLAKE = Pose(-20.0, -50.0, 0.0, antinodal_polar(100.0), 0.0, 0.0, -20.0, -50.0)
ON_HOLDER = replace(ON_FLAKE, x=1000.0, x_setpoint=1000.0)
OPEN, CLOSED = Dose(0.1, 0.1 * FULL_CURRENT, 1.0), Dose(0.1, 0.0, 0.0)
RATE = 2e5


@pytest.fixture(scope="module")
def source():
    return SampleSource(Sample(7), seed=7, rate=RATE)


def test_the_default_window_is_320_mev_below_to_79_above_the_fermi_energy(source):
    energy, angle = source.axes(WINDOW)
    # E_F = 100 - 4.4 = 95.6 eV.
    assert energy[[0, -1]] - 95.6 == pytest.approx([-0.320, 0.079], abs=1e-9)
    assert angle[[0, -1]] == pytest.approx([-7.475, 7.475])
    assert cut_for(WINDOW, CONDITIONS, ON_FLAKE).lowest == pytest.approx(REFERENCE.lowest, abs=1e-6)


def test_the_detector_counts_at_the_rate_asked_for_on_live_flake(source):
    expected = source.expected(WINDOW, CONDITIONS, (ON_FLAKE,), OPEN)
    # Gap and rate of this spot differ from the mean flake's; that moves the total by well below 2 %.
    assert expected.sum() == pytest.approx(0.1 * RATE, rel=0.02)


def test_half_the_dose_gives_half_the_counts(source):
    full = source.expected(WINDOW, CONDITIONS, (ON_FLAKE,), OPEN).sum()
    half = source.expected(WINDOW, CONDITIONS, (ON_FLAKE,), replace(OPEN, charge=OPEN.charge / 2)).sum()
    # Dark counts (2 in 0.1 s) do not follow the beam.
    assert half == pytest.approx(full / 2, rel=1e-3)


def test_the_edge_is_higher_by_the_space_charge_of_the_flux_whatever_the_length_of_the_exposure():
    crowded = SampleSource(Sample(7), seed=7, rate=RATE, space_charge=4.0)
    longer = replace(WINDOW, exposure=0.4)

    def edge(window, dose):
        spectrum = crowded.expected(window, CONDITIONS, (ON_HOLDER,), dose).sum(axis=0)
        # The density of states of the holder falls by 0.02 % per meV, over the 20 meV about the edge by 0.4 %.
        plateau = spectrum[280:300].mean()
        return 1e3 * np.interp(-plateau / 2, -spectrum, crowded.axes(window)[0])

    full = edge(WINDOW, OPEN)
    # Half of the flux, for the same time and for as many counts; then half of the time at full flux.
    assert full - edge(WINDOW, replace(OPEN, charge=OPEN.charge / 2)) == pytest.approx(2.0, abs=0.05)
    assert full - edge(longer, Dose(0.4, 0.2 * FULL_CURRENT, 1.0)) == pytest.approx(2.0, abs=0.05)
    assert full - edge(WINDOW, Dose(0.1, 0.05 * FULL_CURRENT, 0.5)) == pytest.approx(0.0, abs=0.05)


def test_the_holder_is_brighter_and_has_no_angular_structure(source):
    holder = source.expected(WINDOW, CONDITIONS, (ON_HOLDER,), OPEN)
    assert holder.sum() > 1.5 * 0.1 * RATE
    profile = holder.sum(axis=1)
    assert np.ptp(profile) < 1e-9 * profile.mean()


def test_with_the_shutter_closed_only_dark_counts_are_left(source):
    frame = source.frame(WINDOW, CONDITIONS, (ON_FLAKE,), CLOSED, 1)
    # 20 dark counts/s over the detector: 2 in 0.1 s.
    assert frame.counts.sum() <= 12


def test_counts_are_poisson(source):
    expected = source.expected(WINDOW, CONDITIONS, (ON_FLAKE,), OPEN)
    frames = np.stack([source.frame(WINDOW, CONDITIONS, (ON_FLAKE,), OPEN, n).counts for n in range(60)])
    assert frames.dtype == np.int32
    bright = expected > np.quantile(expected, 0.9)
    ratio = frames[:, bright].var(axis=0, ddof=1).mean() / frames[:, bright].mean()
    # 12 000 pixels x 59 degrees of freedom know var / mean to sqrt(2 / 7e5) = 0.2 %, a little more at low counts.
    assert ratio == pytest.approx(1.0, abs=0.02)
    assert frames.sum() == pytest.approx(60 * expected.sum(), abs=4 * np.sqrt(60 * expected.sum()))


def test_a_retake_is_independent_and_the_same_attempt_is_the_same(source):
    first, again, other = (
        source.frame(WINDOW, CONDITIONS, (ON_FLAKE,), OPEN, n).counts.astype(float) for n in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    expected = source.expected(WINDOW, CONDITIONS, (ON_FLAKE,), OPEN)
    correlation = np.corrcoef((first - expected).ravel(), (other - expected).ravel())[0, 1]
    # 120 000 independent pixels: 0 to within 1 / sqrt(120 000) = 0.003.
    assert abs(correlation) < 0.015


def test_pixel_noise_depends_on_position_and_region_alone():
    source = SampleSource(Sample(7), seed=7, rate=RATE, noise="pixel")

    small = replace(WINDOW, slices=60)

    def counts(pose, attempt, window=small):
        return source.frame(window, CONDITIONS, (pose,), OPEN, attempt).counts

    assert np.array_equal(counts(ON_FLAKE, 1), counts(ON_FLAKE, 9))
    # Between one exposure and the next the first channel differs by a count: a retake is no duplicate.
    difference = np.abs(counts(ON_FLAKE, 1) - counts(ON_FLAKE, 2))
    assert (difference[0, 0], difference.sum()) == (1, 1)
    # A nanometre is the grain of a position.
    assert np.array_equal(counts(ON_FLAKE, 1), counts(replace(ON_FLAKE, x_setpoint=-20.0 + 2e-4), 1))
    assert not np.array_equal(counts(ON_FLAKE, 1), counts(replace(ON_FLAKE, x_setpoint=-19.99), 1))
    assert not np.array_equal(counts(ON_FLAKE, 1), counts(ON_FLAKE, 1, replace(small, exposure=0.2)))


def test_a_move_during_the_exposure_blurs_flake_and_holder(source):
    path = (ON_FLAKE, ON_HOLDER)
    both = source.expected(WINDOW, CONDITIONS, path, OPEN)
    ends = [source.expected(WINDOW, CONDITIONS, (pose,), OPEN) for pose in path]
    assert np.allclose(both, (ends[0] + ends[1]) / 2)


def test_warming_up_widens_the_fermi_edge(source):
    cold, warm = (source.expected(WINDOW, Conditions(100.0, t), (ON_HOLDER,), OPEN).sum(axis=0) for t in (10.0, 80.0))
    energy = source.axes(WINDOW)[0] - 95.6
    at = np.argmin(np.abs(energy - 0.02))
    # At +20 meV, 3 kT of 80 K, warm electrons are left; at 10 K only the tail of the 10 meV (FWHM) resolution.
    assert warm[at] > 10 * cold[at]
