"""The beam attenuator of a source: set until it reads back, never an exception in a plan, put back to what it was."""

from __future__ import annotations

import pytest
from ophyd.sim import make_fake_device

from microarpes.devices.environment import AttenuatedSource, is_kept

SOON = 20.0


@pytest.fixture
def source():
    fake = make_fake_device(AttenuatedSource)(
        photon_energy_pv="E", polarisation_pv="P", slit_prefix="S:", transmission_pv="T", name="source"
    )
    fake.transmission.sim_put(1.0)
    return fake


def test_it_is_set_when_it_reads_back(source):
    source.set(0.25).wait(SOON)
    assert (source.error, source.transmission.get()) == ("", 0.25)


def test_one_that_stays_where_it_is_says_so_and_its_status_does_not_fail(source, monkeypatch, caplog):
    source.SET_TIMEOUT = 0.05
    monkeypatch.setattr(source.transmission, "put", lambda *_, **__: None)
    outcome = source.set(0.25)
    outcome.wait(SOON)
    assert outcome.success
    assert source.error == "the attenuator did not go to transmission 0.25: it reads 1 after 0.05 s"
    assert source.error in caplog.text
    # filters come in steps: near is enough
    source.set(0.95).wait(SOON)
    assert source.error == ""


def test_who_asks_for_another_does_not_hear_of_the_one_before(source, monkeypatch):
    monkeypatch.setattr(source.transmission, "put", lambda *_, **__: None)
    first = source.set(0.25)
    source.set(1.0).wait(SOON)
    first.wait(SOON)
    assert source.error == ""


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1.01, float("nan")])
def test_no_beam_and_more_than_all_of_it_are_refused(source, wrong):
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        source.set(wrong)


def test_what_is_put_back_is_what_was_asked_for_where_that_was_reached(source, monkeypatch):
    source.transmission.sim_put(0.231)
    monkeypatch.setattr(source.transmission, "get_setpoint", lambda **_: 0.23, raising=False)
    assert source.resting_transmission() == 0.23
    # since a boot nobody has asked for anything
    monkeypatch.setattr(source.transmission, "get_setpoint", lambda **_: 0.0)
    assert source.resting_transmission() == 0.231


def test_settings_are_kept_within_what_is_accepted():
    assert is_kept("polarisation", "LH", "LH")
    assert not is_kept("polarisation", "LH", "LV")
    assert is_kept("photon_energy", 100.0, 100.009)
    assert not is_kept("photon_energy", 100.0, 100.011)
    # 2 % of it, whether there is much of it or little
    assert is_kept("transmission", 0.001, 0.00101)
    assert not is_kept("transmission", 0.001, 0.00103)
