"""Channel centres, served or computed."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.devices.channel_axes import ServedAxis, SpannedAxis


def test_a_served_axis_is_what_was_served_also_of_one_channel():
    assert ServedAxis("X").centres([np.array([1.0, 2.0])]).tolist() == [1.0, 2.0]
    assert ServedAxis("X").centres([3.0]).tolist() == [3.0]


def test_centres_reach_both_ends():
    # A sweep from 95.5 to 95.6 eV in 101 points: 1 meV apart, the ends are points.
    assert SpannedAxis("L", "H", "N").centres([95.5, 95.6, 101]) == pytest.approx(95.5 + 1e-3 * np.arange(101))


def test_outer_edges_are_half_a_channel_beyond_the_first_and_last_centre():
    # A slit of 15 deg in 300 channels of 0.05 deg; taking the edges for centres would stretch every angle by 1/299.
    angle = SpannedAxis("MIN", "MAX", "N", outer_edges=True).centres([-7.5, 7.5, 300])
    assert angle == pytest.approx(-7.475 + 0.05 * np.arange(300))


@pytest.mark.parametrize("outer_edges", [True, False])
def test_no_channels_are_an_empty_axis(outer_edges):
    assert SpannedAxis("L", "H", "N", outer_edges).centres([0.0, 1.0, 0]).size == 0
