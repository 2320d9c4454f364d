"""Guards in a configuration: names that know what they watch, and what is refused before any run."""

from __future__ import annotations

import tomllib

import pytest

from microarpes.beamline.config import ConfigError, parse_config, simulated_config, simulated_text
from microarpes.beamline.guard_config import make_guards, watched_device


def config_with(**guards):
    return parse_config({**tomllib.loads(simulated_text()), "guards": guards}, "test.toml")


def test_the_shipped_configuration_names_none():
    assert simulated_config().guards == {}


def test_known_names_watch_what_the_configuration_tells_and_take_over_the_ages_of_the_gate():
    floor = {"low": 1.0}
    names = ("ring_current", "top_up", "vacuum", "temperature", "count_rate")
    guards = config_with(**dict.fromkeys(names, floor), shutter={"value": "Open"}).guards
    assert {name: each.pv for name, each in guards.items()} == {
        "ring_current": "SIM:RING:CURRENT",
        "top_up": "SIM:RING:TOPUP_COUNTDOWN",
        "vacuum": "SIM:VAC:P-I",
        "temperature": "SIM:LS336:IN1",
        "count_rate": "SIM:ARPES:cam1:COUNT_RATE_RBV",
        "shutter": "SIM:SHUTTER:Pos-Sts",
    }
    # three times the usual update period of each, s; a shutter and a count rate are updated when they change
    ages = {name: each.max_age for name, each in guards.items()}
    assert ages == {
        "ring_current": 3.0, "top_up": 3.0, "vacuum": 9.0, "temperature": 6.0, "count_rate": None, "shutter": None,
    }  # fmt: skip
    assert [name for name, each in guards.items() if each.while_exposing] == ["count_rate"]


def test_a_configuration_that_is_changed_keeps_its_guards():
    config = config_with(ring_current={"low": 200.0})
    assert config.changed(region={"acquire_time": 1.0}).guards == config.guards


@pytest.mark.parametrize(
    ("guards", "why"),
    [
        ({"cooling": {"low": 1.0}}, "guards.cooling watches nothing: give pv"),
        ({"operator": {"low": 1.0, "pv": "A"}}, "stands for pauses"),
        ({"plan": {"low": 1.0, "pv": "A"}}, "stands for pauses"),
        ({"Ring Current": {"low": 1.0}}, "pattern"),
        ({"disk": {"high": 1.0}}, "give low, and no pv"),
        ({"disk": {"low": 1.0, "pv": "A"}}, "give low, and no pv"),
        ({"shutter": {"value": "Open", "close_shutter": True}}, "cannot close the shutter it waits to see open"),
        ({"vacuum": {"hihg": 1.0}}, "hihg"),
    ],
)
def test_guards_that_cannot_be_are_refused_with_the_reason(guards, why):
    with pytest.raises(ConfigError, match=why):
        config_with(**guards)


def test_the_disk_guard_looks_at_the_folder_of_the_runs_and_trips_when_it_is_gone(tmp_path):
    guards = config_with(disk={"low": 1e-9}).guards
    assert watched_device(guards) is None
    found = make_guards(guards, None, tmp_path, lambda: "")._read()["disk"]
    assert found["value"] > 0.0
    gone = make_guards(guards, None, tmp_path / "gone", lambda: "")._read()["disk"]
    assert isinstance(gone, OSError)
