"""EDCs and frame figures: counts stay counts, and flat is told from dispersing."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.devices.region import AngleWindow
from microarpes.devices.spectra import angular_contrast, sum_windows

ANGLE = np.linspace(-7.475, 7.475, 300)
ENERGY = 95.6 + np.arange(-320, 80) * 1e-3


def test_a_window_sums_the_channels_whose_centres_it_holds():
    frame = np.arange(12, dtype=np.int32).reshape(3, 4)
    window = AngleWindow(name="w", angle_low=0.0, angle_high=2.0)
    channels = window.channels(np.array([-1.0, 0.0, 1.0]))
    # half-open: 0 and 1 deg are inside, 2 deg would not be
    assert channels.tolist() == [1, 2]
    assert sum_windows(frame, [channels]).tolist() == [[12.0, 14.0, 16.0, 18.0]]


def test_a_row_shift_moves_whole_channels_and_fills_with_zeros():
    frame = np.array([[1, 2, 3, 4], [10, 20, 30, 40]])
    edc = sum_windows(frame, [np.array([0, 1])], np.array([1, -2]))
    assert edc.tolist() == [[0 + 30, 1 + 40, 2 + 0, 3 + 0]]


def test_a_shift_beyond_the_frame_leaves_nothing_of_that_channel():
    frame = np.ones((2, 4))
    assert sum_windows(frame, [np.array([0, 1])], np.array([9, 0])).tolist() == [[1.0, 1.0, 1.0, 1.0]]


def test_large_counts_do_not_wrap():
    # 300 channels at the full scale of int32 overflow int32, but not the float64 they are summed in.
    frame = np.full((300, 2), 2**31 - 1, dtype=np.int32)
    assert sum_windows(frame, [np.arange(300)])[0, 0] == 300.0 * (2**31 - 1)


def test_a_window_off_the_detector_is_refused():
    with pytest.raises(ValueError, match="holds no angle channel"):
        AngleWindow(name="far", angle_low=8.0, angle_high=9.0).channels(ANGLE)


def test_a_polycrystal_has_no_angular_contrast():
    # Counting noise alone: the excess variance over Poisson is zero within its error, sqrt(2/19) of the mean's share.
    rng = np.random.default_rng(3)
    contrasts = [angular_contrast(rng.poisson(1.0, (300, 400)), ENERGY, 95.6) for _ in range(20)]
    assert max(contrasts) < 0.03


#: Weight within 1.7 deg of the zone face and 100 meV of E_F over a background: 23 % of the profile carries most of it.
BAND = np.where((abs(ANGLE) < 1.7)[:, None] & (abs(ENERGY - 95.55) < 0.05), 1.0, 0.2)


def test_a_band_that_crosses_the_window_has_contrast():
    assert angular_contrast(np.random.default_rng(3).poisson(BAND), ENERGY, 95.6) > 0.4


def test_contrast_is_a_matter_of_shape_not_of_brightness():
    rng = np.random.default_rng(5)
    faint, bright = (angular_contrast(rng.poisson(k * BAND), ENERGY, 95.6) for k in (1, 50))
    assert faint == pytest.approx(bright, rel=0.05)


def test_what_dims_the_rims_of_the_slit_at_all_energies_alike_is_no_contrast():
    rng = np.random.default_rng(6)
    transmitted = (1.0 - 0.5 * (ANGLE / 7.5) ** 2)[:, None]
    metal = np.broadcast_to(ENERGY < 95.6, BAND.shape)
    assert angular_contrast(rng.poisson(10.0 * metal * transmitted), ENERGY, 95.6) < 0.03
    plain, dimmed = (angular_contrast(rng.poisson(50.0 * frame), ENERGY, 95.6) for frame in (BAND, BAND * transmitted))
    assert dimmed == pytest.approx(plain, rel=0.15)
    # Nothing lies below to compare it with: all variation counts.
    near = ENERGY > 95.45
    assert angular_contrast(rng.poisson(10.0 * metal * transmitted)[:, near], ENERGY[near], 95.6) > 0.15


@pytest.mark.parametrize(
    "frame",
    [np.zeros((300, 400)), np.ones((1, 400))],
    ids=["no counts", "angle-integrated"],
)
def test_contrast_that_cannot_be_known_is_nan(frame):
    assert np.isnan(angular_contrast(frame, ENERGY, 95.6))


def test_contrast_without_the_fermi_energy_on_the_axis_is_nan():
    assert np.isnan(angular_contrast(np.ones((300, 400)), ENERGY, 60.0))
