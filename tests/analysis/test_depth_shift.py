"""Gaps of one map fitted to two depths: when does their difference say that the model is wrong?"""

import math

import numpy as np
import pytest

from microarpes.analysis.depth_shift import depth_shift


def test_the_shift_is_that_of_the_pixels_with_a_gap_in_both_maps():
    first = np.array([[35.0, 36.0, 34.0, np.nan], [33.0, 35.5, 37.0, 36.0]])
    second = first - 0.4 + np.array([[0.0, 0.1, -0.1, 0.0], [0.1, np.nan, -0.1, 0.0]])
    shift = depth_shift(first, second)
    # Differences -0.4, -0.3, -0.5, -0.3, -0.5, -0.4: spread 0.0894.
    assert (shift.mean, shift.pixels) == (pytest.approx(-0.4), 6)
    assert shift.error == pytest.approx(0.08944 / math.sqrt(6), rel=1e-3)
    assert shift.model_is_wrong


@pytest.mark.parametrize(("mean", "scatter", "wrong"), [(0.09, 0.01, False), (0.2, 0.01, True), (0.2, 1.0, False)])
def test_a_small_shift_or_one_within_the_noise_accuses_no_model(mean, scatter, wrong):
    noise = np.tile([-scatter, scatter], 50)
    assert depth_shift(np.full(100, 35.0), 35.0 + mean + noise).model_is_wrong is wrong


def test_too_few_pixels_say_nothing():
    shift = depth_shift([35.0] * 4, [34.0] * 4)
    assert math.isnan(shift.mean)
    assert not shift.model_is_wrong


def test_two_rasters_are_not_one_map():
    with pytest.raises(ValueError, match="not those of one map"):
        depth_shift(np.zeros(4), np.zeros(5))
