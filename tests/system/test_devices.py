"""The devices against the real IOC, over Channel Access."""

from __future__ import annotations

import os
import signal as signal_numbers
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from microarpes.devices.axis import MoveFailed
from microarpes.sim.ioc import list_pvs


@pytest.fixture
def x(station):
    axis = station.manipulator.x
    yield axis
    axis.velocity.set(2000.0).wait(5.0)
    axis.set(0.0).wait(10.0)


def test_every_process_variable_a_device_asks_for_is_served(station):
    from microarpes.devices.channel_access import asked_pvs

    served = set(list_pvs("SIM:"))
    asked = {pv for device in station.devices for pv in asked_pvs(device)}
    assert len(asked) > 90
    # fields of a motor record belong to the record that is listed
    missing = {pv for pv in asked if pv not in served and pv.rpartition(".")[0] not in served}
    assert missing == set()


def test_a_start_with_missing_process_variables_names_every_one(ioc):
    from microarpes.devices.channel_access import MissingPVs, connect
    from microarpes.devices.environment import Cryostat, VacuumGauge

    cryostat, gauge = Cryostat("SIM:NONE:", name="cryostat"), VacuumGauge("SIM:VAC:NONE", name="gauge")
    with pytest.raises(MissingPVs) as caught:
        connect([cryostat, gauge], timeout=1.0)
    assert sorted(caught.value.missing) == [
        "SIM:NONE:IN1",
        "SIM:NONE:OUT1:SP",
        "SIM:NONE:OUT1:SP_RBV",
        "SIM:VAC:NONE",
    ]
    cryostat.destroy()
    gauge.destroy()


def test_a_move_ends_at_its_request(x):
    x.set(123.4).wait(10.0)
    assert x.position == pytest.approx(123.4, abs=x.tolerance)


def test_a_move_of_no_length_ends_too(x):
    # The record pulses DMOV even then; a device that waits for the pulse of a longer way would hang.
    for _ in range(3):
        x.set(x.setpoint.get()).wait(5.0)


def test_a_thousand_moves_in_a_row_are_all_done(x):
    # Stock ophyd loses the status of a fast move now and then (issue 782) and the plan hangs for ever.
    for index in range(200):
        x.set(float(index % 2)).wait(10.0)


def test_a_move_stopped_from_outside_has_failed(x):
    # VAL follows RBV after a stop, so only the request tells that the axis did not arrive.
    x.velocity.set(100.0).wait(5.0)
    status = x.set(400.0)
    threading.Timer(0.2, x.stop).start()
    with pytest.raises(MoveFailed, match="asked for 400 um"):
        status.wait(10.0)


@pytest.mark.parametrize("position", [5001.0, -5000.1, float("nan"), float("inf"), True, "3", [1.0]])
def test_a_position_that_cannot_be_is_refused_before_anything_is_written(x, position):
    before = x.setpoint.get(use_monitor=False)
    with pytest.raises(ValueError, match="nothing was moved"):
        x.set(position)
    assert x.setpoint.get(use_monitor=False) == before


def test_units_that_differ_from_the_configuration_are_refused(x):
    x.check_units()
    x.units = "mm"
    with pytest.raises(ValueError, match="'um', the config says 'mm'"):
        x.check_units()
    x.units = "um"


def test_a_region_is_set_as_a_whole_and_read_back(station, config):
    station.analyser.set(config.region).wait(20.0)
    described = station.analyser.describe_region()
    assert described["pass_energy"] == 10.0
    assert described["high_energy"] - described["low_energy"] == pytest.approx(0.4, abs=0.002)
    energy, angle = station.analyser.axes
    assert (len(angle), len(energy)) == (300, 400)
    assert energy[1] - energy[0] == pytest.approx(0.001)


def test_a_region_the_analyser_does_not_offer_is_refused_by_name(station, config):
    region = config.region.model_copy(update={"pass_energy": 11.0})
    with pytest.raises(ValueError, match=r"pass_energy = 11 eV is not offered"):
        station.analyser.set(region).wait(20.0)
    station.analyser.set(config.region).wait(20.0)


def test_each_trigger_gives_the_next_frame_stamped_after_its_start(station, config):
    analyser = station.analyser
    analyser.set(config.region).wait(20.0)
    station.shutter.set("open").wait(10.0)
    before = analyser.counters()["frame_id"]["value"]
    for step in (1, 2, 3):
        analyser.trigger().wait(10.0)
        counters, frame = analyser.read_frame()
        assert counters["frame_id"]["value"] == before + step
        assert counters["frame_id"]["timestamp"] > analyser.acquire_edge_time()
        assert frame.shape == (300, 400)
        assert frame.sum() > 0
    station.shutter.set("close").wait(10.0)


def test_a_closed_shutter_gives_a_dark_frame_the_gate_refuses(station, config):
    from microarpes.plans.gate import Gate
    from microarpes.plans.limits import GateLimits

    station.analyser.set(config.region).wait(20.0)
    station.shutter.set("close").wait(10.0)
    station.set({"x": 0.0, "y": 0.0}).wait(10.0)
    station.trigger().wait(10.0)
    evidence = station.read()["evidence"]["value"]
    reasons = "; ".join(Gate.of(station, GateLimits()).judge(evidence))
    assert "beam on the sample for 0.0%" in reasons
    assert "no beam" in reasons


def test_a_batch_of_fresh_reads_sees_what_was_just_written(station):
    from microarpes.devices.channel_access import read_fresh

    cryostat = station.cryostat
    for kelvin in (11.0, 12.0, 10.0):
        cryostat.setpoint.put(kelvin, wait=True)
        assert read_fresh({"setpoint": cryostat.setpoint})["setpoint"]["value"] == kelvin


def test_a_batch_of_fresh_reads_gives_numbers_states_and_arrays_as_single_ones_do(station):
    from microarpes.devices.channel_access import read_fresh

    image, state = station.analyser.image, station.analyser.state
    signals = {
        "double": station.gauge.pressure,
        "integer": image.n_energy,
        "enum as a number": state.detector_state,
        "enum as text": station.shutter.state,
        "long string": state.message,
        "array": image.array,
    }
    found = read_fresh(signals)
    assert list(found) == list(signals)
    for name, signal in signals.items():
        alone = signal.get(use_monitor=False)
        assert type(found[name]["value"]) is type(alone), name
        if name != "double":  # the pressure is another one by now
            assert np.array_equal(found[name]["value"], alone), name
        assert found[name]["timestamp"] <= signal.timestamp
        assert found[name]["alarm_severity"] == signal.alarm_severity


def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_read(ioc, station, monkeypatch):
    from microarpes.devices import channel_access
    from microarpes.devices.channel_access import read_fresh

    beat = {"beat": station.heartbeat.beat}
    frozen_at = read_fresh(beat)["beat"]["timestamp"]
    with monkeypatch.context() as hasty:
        hasty.setattr(channel_access, "READ_TIMEOUT", 0.1)
        os.kill(ioc.process.pid, signal_numbers.SIGSTOP)
        try:
            with pytest.raises(TimeoutError, match=r"HEARTBEAT did not answer within 0\.1 s"):
                read_fresh(beat)
        finally:
            os.kill(ioc.process.pid, signal_numbers.SIGCONT)
    deadline = time.monotonic() + 10.0
    while not (stamp := read_fresh(beat)["beat"]["timestamp"]) > frozen_at:
        assert time.monotonic() < deadline
    assert stamp > frozen_at


def test_both_control_layers_take_the_same_raster(ioc, tmp_path):
    # ophyd speaks Channel Access through pyepics or through caproto; which one a site uses must not matter.
    from microarpes.beamline.config import simulated_text
    from microarpes.beamline.stored_run import read_run

    text = simulated_text().replace('control_layer = "pyepics"', 'control_layer = "caproto"')
    (tmp_path / "beamline.toml").write_text(text)
    command = [sys.executable, "-m", "microarpes.beamline.cli", "map", "--config", "beamline.toml"]
    command += ["--points", "3x2", "--step", "10", "--exposure", "0.02", "--directory", "runs"]
    environment = {**os.environ, "OPHYD_CONTROL_LAYER": "caproto"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (journal,) = (tmp_path / "runs").glob("*/raw.journal")
    run = read_run(journal.parent)
    assert sorted(run.events) == list(range(6))
    ids = sorted(event["data"]["frame_id"] for event in run.events.values())
    assert np.all(np.diff(ids) == 1)
