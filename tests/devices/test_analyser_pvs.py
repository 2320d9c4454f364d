"""Vendors as data."""

from __future__ import annotations

import pytest

from microarpes.devices.analyser_pvs import DRIVERS, MBS, PEAK, SES, SPECS, AnalyserPVs


def test_every_driver_says_what_fixed_and_swept_are_to_it():
    assert set(DRIVERS) == {"ses", "specs", "peak", "mbs"}
    assert all(set(pvs.modes) == {"Fixed", "Swept"} for pvs in DRIVERS.values())
    assert SPECS.modes["Swept"] == "Fixed Transmission"


def test_a_sites_fork_is_a_map_with_other_names():
    fork = SES.renamed({"centre_energy": "KINETIC_ENERGY", "excitation_unit": "keV"})
    assert (fork.centre_energy, fork.lens_mode) == ("KINETIC_ENERGY", "LENS_MODE")
    assert fork.unit("excitation_energy") == 1000.0
    assert fork.unit("centre_energy") == fork.unit("pass_energy") == 1.0


@pytest.mark.parametrize("name", ["center_energy", "modes", "define", "driver"])
def test_a_name_the_map_does_not_have_or_no_text_can_replace_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name}: the analyser's map has no such entry; it has acquire_time, "):
        SES.renamed({name: "X"})


def test_a_unit_that_is_none_is_refused():
    with pytest.raises(ValueError, match="energy_unit = 'meV'"):
        AnalyserPVs(energy_unit="meV")


@pytest.mark.parametrize("pvs", [SES, SPECS, PEAK, MBS], ids=lambda pvs: pvs.driver)
def test_transmission_is_no_angular_mode(pvs):
    assert pvs.angular("Angular14")
    assert not pvs.angular("Transmission")
