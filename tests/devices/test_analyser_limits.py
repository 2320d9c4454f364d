"""What an analyser cannot do is known before anything is written, all of it at once."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.devices.analyser_limits import AnalyserLimits, differences, wrong_sweep
from microarpes.devices.analyser_pvs import MBS, PEAK, SES, SPECS
from microarpes.devices.region import Region

REGION = Region(centre_energy=95.5, acquire_time=0.1)
SWEEP = Region(acquisition_mode="Swept", low_energy=95.0, high_energy=96.0, acquire_time=0.1)


def limits(pvs=SES, **changes):
    choices = {
        "acquisition_mode": ("Swept", "Fixed") if pvs is SES else tuple(pvs.modes.values()),
        "lens_mode": ("Angular7", "Angular14", "Transmission"),
        "pass_energy": ("2", "5", "10", "100"),
        "energy_mode": ("Binding", "Kinetic"),
    }
    ranges = {"slices": (1.0, 1000.0), "centre_energy": (1.0, 1500.0), "deflector_angle": (-15.0, 15.0)}
    found = {"choices": choices, "ranges": ranges, "energy_ratio": {"Angular14": (1.5, 60.0)}}
    return AnalyserLimits(pvs, **{**found, **changes})


def test_a_region_becomes_the_drivers_own_strings_with_the_energies_last():
    asked = limits().settings(REGION)
    assert asked["energy_mode"] == "Kinetic"
    assert (asked["acquisition_mode"], asked["pass_energy"], asked["slices"]) == ("Fixed", "10", 300)
    assert list(asked)[-1] == "centre_energy"
    # The low end before the high end, neither with the centre.
    assert list(limits(SPECS).settings(SWEEP))[-2:] == ["low_energy", "high_energy"]


def test_a_driver_is_asked_only_for_what_it_has():
    specs, mbs, peak = (limits(pvs).settings(SWEEP) for pvs in (SPECS, MBS, PEAK))
    assert specs["acquisition_mode"] == "Fixed Transmission"
    assert peak["acquisition_mode"] == "Sweep Energy"
    assert "energy_mode" not in specs
    assert "energy_mode" not in mbs
    assert "deflector_angle" not in specs
    assert peak["deflector_angle"] == mbs["deflector_angle"] == 0.0
    # None leaves the driver's own.
    assert "excitation_energy" not in peak
    assert limits().settings(REGION.model_copy(update={"excitation_energy": 100.0}))["excitation_energy"] == 100.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"pass_energy": 11.0},
            "pass_energy = 11 eV is not offered by the connected analyser; it has 2, 5, 10, 100 eV",
        ),
        ({"lens_mode": "Wide"}, "lens_mode = Wide is not offered by the connected analyser; it has Angular7, "),
        ({"slices": 1001}, "slices = 1001 is outside the connected analyser's [1, 1000]"),
        ({"centre_energy": 0.5, "lens_mode": "Angular7"}, "centre_energy = 0.5 eV is outside the connected analyser's"),
        ({"deflector_angle": 2.0}, "deflector_angle = 2 deg: the ses driver has no such setting"),
        # 95.5 eV at 100 eV pass energy: the lens would have to accelerate.
        (
            {"pass_energy": 100.0},
            "is 0.955 times pass_energy = 100 eV; lens mode Angular14 takes 1.5 to 60 times, 150 ",
        ),
    ],
)
def test_what_the_analyser_cannot_do_is_refused_with_value_unit_and_limit(changes, reason):
    (found,) = limits().refusals(REGION.model_copy(update=changes))
    assert reason in found


def test_all_reasons_are_told_at_once():
    bad = REGION.model_copy(update={"pass_energy": 100.0, "lens_mode": "Angular14", "slices": 2000})
    found = limits(faults=("the driver is away",)).refusals(bad)
    assert len(found) == 3
    with pytest.raises(ValueError, match=r"^the driver is away; slices = 2000 .*; centre_energy = 95.5 eV is"):
        limits(faults=("the driver is away",)).settings(bad)


def test_both_ends_of_a_sweep_must_be_in_the_lens_table():
    wide = SWEEP.model_copy(update={"low_energy": 10.0, "high_energy": 700.0})
    low, high = limits().refusals(wide)
    assert low.startswith("low_energy = 10 eV is 1 times")
    assert high.startswith("high_energy = 700 eV is 70 times")


def test_a_mode_without_a_known_lens_table_is_the_drivers_to_judge():
    assert limits(energy_ratio={}).refusals(REGION.model_copy(update={"pass_energy": 100.0})) == []


def test_a_mode_the_driver_lacks_is_refused():
    choices = {"acquisition_mode": ("Fixed", "Dither")}
    (found,) = limits(choices=choices).refusals(SWEEP)
    assert found.startswith("acquisition_mode = Swept is not offered")


def test_a_pass_energy_that_is_a_number_is_held_to_its_range():
    number = {"choices": {"lens_mode": ("Angular14",)}, "ranges": {"pass_energy": (1.0, 660.0)}}
    assert limits(SPECS, **number).settings(REGION.model_copy(update={"pass_energy": 12.5}))["pass_energy"] == 12.5
    assert limits(SPECS, **number).refusals(REGION.model_copy(update={"pass_energy": 0.5}))


def test_a_sweep_the_driver_cut_short_or_did_not_take_shows_in_its_axis():
    whole = np.linspace(95.0, 96.0, 1001)
    assert wrong_sweep(SWEEP, whole) == ""
    for axis in (whole[:-1], whole + 0.001, np.linspace(95.0, 96.0, 401)):
        assert wrong_sweep(SWEEP, axis).startswith("a sweep of 1001 energies from 95 to 96 eV was asked for")


def test_a_difference_names_the_setting_both_values_and_the_unit():
    asked = {"lens_mode": "Angular14", "slices": 300, "centre_energy": 95.5, "pass_energy": "10"}
    found = {"lens_mode": "Angular7", "slices": 300, "centre_energy": 95.5000001, "pass_energy": "10", "other": 1}
    assert differences(asked, found) == ["lens_mode = Angular14 was asked for, the analyser has Angular7"]
    # A tenth of the narrowest channel, 0.1 meV, is a difference.
    (energy,) = differences({"centre_energy": 9.5}, {"centre_energy": 9.50001})
    assert energy == "centre_energy = 9.5 eV was asked for, the analyser has 9.50001"


@pytest.mark.parametrize(
    "energy",
    [[95.0, 95.5, 96.0], [94.0, *np.linspace(95.001, 96.0, 1000)], [*np.linspace(95.0, 95.999, 1000), 97.0]],
    ids=["too few between the right ends", "another low end", "another high end"],
)
def test_a_sweep_is_right_only_with_both_ends_and_every_energy_between(energy):
    assert wrong_sweep(SWEEP, np.linspace(95.0, 96.0, 1001)) == ""
    assert "a sweep of 1001 energies from 95 to 96 eV was asked for" in wrong_sweep(SWEEP, np.array(energy))
