"""What a frame takes and what its energies are counted for."""

from __future__ import annotations

import pytest

from microarpes.devices.exposure_time import ExposureTime
from microarpes.devices.region import Region

FIXED = Region(centre_energy=95.5, acquire_time=0.1, iterations=5)
SWEEP = Region(acquisition_mode="Swept", low_energy=95.0, high_energy=95.1, acquire_time=0.1, iterations=2)


def test_a_fixed_frame_counts_all_the_time():
    times = ExposureTime.of(FIXED, n_energy=400, points=400)
    assert (times.real, times.counted, times.fraction) == pytest.approx((0.5, 0.5, 1.0))


def test_a_sweep_takes_its_lead_in_and_counts_every_energy_for_as_many_points():
    # 101 energies and 20 points of lead-in, twice: the detector is 20 points wide, each energy passes all of them.
    times = ExposureTime.of(SWEEP, n_energy=101, points=121)
    assert (times.real, times.counted) == pytest.approx((2 * 121 * 0.1, 2 * 20 * 0.1))
    assert times.fraction == pytest.approx(20 / 121)


def test_a_driver_that_hides_its_lead_in_tells_it_by_the_time_it_takes():
    told = ExposureTime.of(SWEEP, n_energy=101, points=101, told=24.2)
    counted = ExposureTime.of(SWEEP, n_energy=101, points=121)
    assert (told.real, told.counted) == pytest.approx((counted.real, counted.counted))


def test_a_sweep_without_lead_in_counts_every_energy_for_one_point():
    times = ExposureTime.of(SWEEP, n_energy=101, points=101)
    assert (times.real, times.counted) == pytest.approx((20.2, 0.2))


def test_a_driver_that_says_nothing_yet_takes_at_least_its_energies():
    assert ExposureTime.of(SWEEP, n_energy=101).real == pytest.approx(20.2)
