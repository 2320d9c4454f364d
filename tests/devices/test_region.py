"""Regions and windows refuse what no analyser could do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from microarpes.devices.region import AngleWindow, Region, antinodal_pair


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acquire_time", 0.0),
        ("acquire_time", -1.0),
        ("acquire_time", float("nan")),
        ("acquire_time", 1e9),
        ("centre_energy", -95.0),
        ("centre_energy", float("inf")),
        ("pass_energy", 0.0),
        ("energy_step", 0.0),
        ("slices", 0),
        ("slices", 1.5),
        ("slices", True),
        ("iterations", 0),
        ("acquisition_mode", "Sweep"),
        ("spin", 1),
    ],
)
def test_a_region_no_analyser_can_take_is_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        Region(**{"centre_energy": 95.5, "acquire_time": 0.1, field: value})


def test_the_exposure_is_what_the_detector_counts_for():
    assert Region(centre_energy=95.5, acquire_time=0.1, iterations=5).exposure == pytest.approx(0.5)


def test_a_window_turned_round_is_refused():
    with pytest.raises(ValidationError, match="angle_low"):
        AngleWindow(name="w", angle_low=1.0, angle_high=-1.0)


def test_the_antinodal_pair_is_a_mirror_image():
    left, right = antinodal_pair(k_f=1.7, width=0.2)
    assert (left.angle_low, left.angle_high) == (-right.angle_high, -right.angle_low)
