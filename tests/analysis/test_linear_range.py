"""A pixel brighter than its detector is linear is saturated; one that cannot be judged is too."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis.linear_range import LinearRange

START = {
    "angle_axis": [-0.5, 0.0, 0.5, 1.0],
    "windows": [
        {"name": "a", "angle_low": -1.0, "angle_high": 0.5},
        {"name": "b", "angle_low": 0.5, "angle_high": 1.5},
    ],
    "detector": {"counting": "adc", "linearity": {"linear_up_to": 100.0}},
}
LIMIT = LinearRange(100.0, (2, 2))


def edc(rate, live_time=2.0, gain=1.0):
    """Two windows of two angle channels, dark but for eight energy channels of so many counts/s each."""
    counts = np.zeros((2, 40))
    counts[1, 20:28] = rate * live_time * gain * 2
    return counts


def test_the_range_is_read_from_the_start_document():
    assert LinearRange.from_start(START) == LIMIT
    assert LinearRange.from_start({}) is None
    assert LinearRange.from_start({"detector": {"counting": "pulse", "linearity": None}}) is None


@pytest.mark.parametrize("limit", [float("nan"), -1.0, None, "fast"])
def test_a_range_that_cannot_be_understood_is_an_error_and_not_no_range(limit):
    with pytest.raises((ValueError, TypeError)):
        LinearRange.from_start({**START, "detector": {"linearity": {"linear_up_to": limit}}})


@pytest.mark.parametrize("gain", [1.0, 40.0])
def test_a_rate_beyond_the_range_is_found_in_any_window(gain):
    # five channels of 400 electrons: 2000 +- 45, so 5 % beyond is 2.3 standard deviations
    assert not LIMIT.exceeded(edc(98.0, gain=gain), 2.0, gain)
    assert LIMIT.exceeded(edc(110.0, gain=gain), 2.0, gain)


def test_a_fluctuation_of_one_channel_is_no_rate():
    counts = edc(10.0)
    counts[0, 5] = 1200.0
    assert not LIMIT.exceeded(counts, 2.0, 1.0)


def test_a_detector_that_is_linear_nowhere_refuses_every_pixel_with_counts():
    assert LinearRange(0.0, (2, 2)).exceeded(edc(10.0), 2.0, 1.0)


@pytest.mark.parametrize("live_time", [float("nan"), 0.0])
def test_without_a_live_time_nothing_is_known_to_be_linear(live_time):
    assert LIMIT.exceeded(edc(1.0), live_time, 1.0)


def test_what_is_not_finite_is_left_to_another_verdict():
    counts = edc(1.0)
    counts[0, 3] = np.inf
    counts[0, 4] = -np.inf
    assert not LIMIT.exceeded(counts, 2.0, 1.0)
