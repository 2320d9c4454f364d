"""What surrounds the sample, over Channel Access."""

import pytest


def test_the_heartbeat_counts(client):
    with client.monitor("HEARTBEAT") as events:
        before = client.get("HEARTBEAT")
        events.until("HEARTBEAT", before + 3)


def test_the_ring_is_in_top_up(client):
    assert 297.0 <= client.get("RING:CURRENT") <= 300.0
    assert 0.0 <= client.get("RING:TOPUP_COUNTDOWN") <= 60.0


def test_the_cryostat_holds_10_k_and_follows_its_setpoint(client):
    # Sensor noise is 1 mK (sigma).
    assert client.get("LS336:IN1") == pytest.approx(10.0, abs=0.01)
    assert client.label("LS336:IN1:Units_RBV") == "K"
    client.put("LS336:OUT1:SP", 20.0)
    assert client.get("LS336:OUT1:SP_RBV") == 20.0
    with client.monitor("LS336:IN1", "HEARTBEAT") as events:
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 5)
    warmed = client.get("LS336:IN1")
    assert 10.1 < warmed < 20.0
    client.put("LS336:OUT1:SP", 1000.0)
    assert client.get("LS336:OUT1:SP") == 20.0
    client.put("LS336:OUT1:SP", 10.0)


def test_the_vacuum_is_good(client):
    assert client.get("VAC:P-I") == pytest.approx(5e-11, rel=0.2)


def test_the_photon_energy_follows_and_stays_in_range(client):
    client.put("MONO:ENERGY", 60.0)
    assert client.get("MONO:ENERGY_RBV") == 60.0
    client.put("MONO:ENERGY", 5000.0)
    assert client.get("MONO:ENERGY") == 60.0
    assert client.get("MONO:ENERGY_RBV") == 60.0
    client.put("MONO:ENERGY", 100.0)
    client.put("UND:POLARISATION", 1)
    assert client.label("UND:POLARISATION") == "LV"
    client.put("UND:POLARISATION", 0)


def test_i0_needs_an_open_shutter(client):
    with client.monitor("I0:CURRENT", "HEARTBEAT") as events:
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 2)
        assert client.get("I0:CURRENT") == 0.0
        client.put("SHUTTER:Cmd:Opn-Cmd", 1)
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 2)
    # 0.5 nA/mA at 297 to 300 mA, 0.2 % noise.
    assert client.get("I0:CURRENT") == pytest.approx(149.0, abs=3.0)
    client.put("SHUTTER:Cmd:Cls-Cmd", 1)


def test_the_attenuator_lets_any_part_above_nothing_through(client):
    client.put("ATT:TRANSMISSION", 0.25)
    client.put("SHUTTER:Cmd:Opn-Cmd", 1)
    with client.monitor("I0:CURRENT", "HEARTBEAT") as events:
        events.until("HEARTBEAT", client.get("HEARTBEAT") + 2)
    assert client.get("I0:CURRENT") == pytest.approx(149.0 / 4, abs=1.0)
    for wrong in (0.0, -0.5, 1.01):
        client.put("ATT:TRANSMISSION", wrong)
        assert (client.get("ATT:TRANSMISSION"), client.get("ATT:TRANSMISSION_RBV")) == (0.25, 0.25)
    client.put("SHUTTER:Cmd:Cls-Cmd", 1)
    client.put("ATT:TRANSMISSION", 1.0)


def test_a_read_only_value_cannot_be_put(client):
    from caproto import AccessRights

    assert client.pv("RING:CURRENT").access_rights == AccessRights.READ
