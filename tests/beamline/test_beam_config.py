"""What a configuration says of the beam: it fits together, and no device asks for what the beamline does not have."""

from __future__ import annotations

import tomllib

import pytest

from microarpes.beamline.config import ConfigError, parse_config, simulated_config, simulated_text


def without_i0():
    """The simulated beamline's configuration, of a beamline without gated I0."""
    data = simulated_config().model_dump()
    del data["beam"]["i0_prefix"]
    return data


def test_a_beamline_without_gated_i0_has_to_say_that_its_beam_is_checked_afterwards():
    data = without_i0()
    with pytest.raises(ConfigError, match=r"needs beam\.i0_prefix"):
        parse_config(data, "this test")
    data["gate"]["beam_check"] = "delayed"
    assert parse_config(data, "this test").beam.i0_prefix is None


@pytest.mark.parametrize("policy", ["gate", "discard"])
def test_injections_can_only_be_kept_out_where_they_are_announced(policy):
    data = simulated_config().model_dump()
    data["gate"] |= {"top_up": policy, "top_up_interval": 60.0}
    assert parse_config(data, "this test").gate.longest_exposure == 58.5
    data["beam"]["top_up_countdown_pv"] = None
    with pytest.raises(ConfigError, match=r"needs beam\.top_up_countdown_pv"):
        parse_config(data, "this test")


@pytest.fixture
def asked():
    """Process variables the devices of a configuration ask for."""
    from microarpes.beamline.instrument import disconnect_end_station, make_end_station
    from microarpes.devices.channel_access import asked_pvs

    stations = []

    def asked(config):
        stations.append(make_end_station(config))
        return {pv for device in stations[-1].devices for pv in asked_pvs(device)}

    yield asked
    for station in stations:
        disconnect_end_station(station)


def test_only_what_the_checks_need_is_asked_for(asked):
    # Of nobody: where an IOC answers, ophyd reads of it in threads of its own while the devices are taken away again.
    config = parse_config(tomllib.loads(simulated_text().replace('"SIM:', '"NOBODY:')), "this test")
    i0 = {f"NOBODY:I0:{name}" for name in ("CURRENT", "INTEGRAL", "FRAME_ID", "OPEN_FRACTION")}
    countdown = "NOBODY:RING:TOPUP_COUNTDOWN"
    usual = asked(config)
    assert i0 <= usual
    assert countdown not in usual
    # the prefix may be there: delayed is a choice
    delayed = asked(config.changed(gate={"beam_check": "delayed"}))
    assert usual - delayed == i0
    assert delayed < usual
    gated = asked(config.changed(gate={"top_up": "gate", "top_up_interval": 60.0}))
    assert gated - usual == {countdown}


def test_a_raster_is_refused_where_the_devices_do_not_fit_its_limits():
    from types import SimpleNamespace

    from microarpes.plans.limits import GateLimits
    from microarpes.plans.preflight import check_beam

    station = SimpleNamespace(beam=SimpleNamespace(check="gated"), top_up=None)
    assert check_beam(station, GateLimits()) == []
    (problem,) = check_beam(station, GateLimits(beam_check="delayed"))
    assert "'delayed' was asked for, the devices of the beam are for 'gated'" in problem
    (problem,) = check_beam(station, GateLimits(top_up="gate", top_up_interval=60.0))
    assert "needs the ring's countdown" in problem
