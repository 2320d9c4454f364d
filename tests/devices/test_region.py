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


SWEEP = {"acquisition_mode": "Swept", "low_energy": 95.0, "high_energy": 95.5, "acquire_time": 0.1}


def test_a_sweep_is_given_by_its_ends():
    region = Region(**SWEEP)
    assert region.swept
    assert region.energies == {"low_energy": 95.0, "high_energy": 95.5}
    assert Region.model_validate(region.model_dump()) == region


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"acquire_time": 0.1}, "centre_energy is missing"),
        (
            {"acquire_time": 0.1, "centre_energy": 95.5, "low_energy": 95.0},
            "low_energy = 95 eV follows from centre_energy",
        ),
        ({**SWEEP, "centre_energy": 95.2}, "centre_energy = 95.2 eV follows from low_energy and high_energy"),
        ({**SWEEP, "high_energy": None}, "high_energy is missing"),
        ({**SWEEP, "high_energy": 95.0}, "low_energy = 95 eV is not below high_energy"),
        # Which of the two neighbours the driver takes would be its guess.
        ({**SWEEP, "high_energy": 95.5004}, "500.400 of energy_step = 0.001 eV, not a whole number; 95.5 eV would be"),
        ({**SWEEP, "deflector_angle": 91.0}, "deflector_angle"),
        ({**SWEEP, "excitation_energy": 0.0}, "excitation_energy"),
    ],
)
def test_energies_that_do_not_make_a_region_are_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        Region(**given)


def test_a_point_is_counted_in_every_iteration():
    assert Region(centre_energy=95.5, acquire_time=0.1, iterations=5).point_time == pytest.approx(0.5)


def test_a_window_turned_round_is_refused():
    with pytest.raises(ValidationError, match="angle_low"):
        AngleWindow(name="w", angle_low=1.0, angle_high=-1.0)


def test_the_antinodal_pair_is_a_mirror_image():
    left, right = antinodal_pair(k_f=1.7, width=0.2)
    assert (left.angle_low, left.angle_high) == (-right.angle_high, -right.angle_low)
