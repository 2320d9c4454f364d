"""The flux check against a simulated beamline with space charge: found, entered into E_F's error, and no trace left."""

from __future__ import annotations

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted
from session_runs import events, run, start_of

from microarpes.beamline.config import parse_config, simulated_text
from microarpes.beamline.engine import make_engine
from microarpes.beamline.flux_shift import configured_flux_check, with_shift
from microarpes.beamline.journal import read_documents
from microarpes.beamline.raster_run import configured_raster
from microarpes.plans.grid import RasterGrid
from microarpes.sim.process import running_ioc

#: meV at full ring current without attenuation.
SPACE_CHARGE = 4.0
GOLD = {"x": 150.0, "y": 0.0, "z": 40.0, "at_start": False}
#: The metal is the same at all angles: in windows as wide as these E_F is known after a few exposures.
WIDE = [
    {"name": "left", "angle_low": -6.0, "angle_high": -1.0},
    {"name": "right", "angle_low": 1.0, "angle_high": 6.0},
]


@pytest.fixture(scope="module")
def config():
    from tomllib import loads

    data = loads(simulated_text().replace('"SIM:', '"SPC:'))
    del data["channel_access"]["address_list"]
    data |= {"windows": WIDE, "reference": GOLD}
    data["region"]["acquire_time"] = 0.05
    return parse_config(data, "test")


@pytest.fixture(scope="module")
def station(config, other_port):
    from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

    with running_ioc("SPC:", ["--rate", "3e6", "--space-charge", f"{SPACE_CHARGE:g}"], port=other_port):
        connected = connect_end_station(config, timeout=20.0)
        yield connected
        disconnect_end_station(connected)


def test_the_space_charge_is_found_and_enters_the_error_of_e_f(config, station, tmp_path):
    engine, journals = make_engine(tmp_path, station)
    told = []
    uid, found = run(engine, configured_flux_check(config, station, journals, tell=told.append))
    shift = found.shift
    assert not shift.problem
    # The ring is at 297 to 300 mA: 4 meV to 1 %.
    assert 1e3 * shift.shift == pytest.approx(SPACE_CHARGE, abs=3e3 * shift.shift_error + 0.04)
    # 0.2 meV or better at each of five fluxes know it to 0.3 meV.
    assert 1e3 * shift.shift_error < 0.3
    # 0.5 nA/mA
    assert found.flux == pytest.approx(149.0, abs=2.0)
    taken = events(journals, uid, "flux_edge")
    assert [one["transmission"] for one in taken] == [0.5, 1.0, 0.25, 1.0, 0.5]
    flux = np.array([one["flux"] for one in taken])
    assert flux / found.flux == pytest.approx([0.5, 1.0, 0.25, 1.0, 0.5], rel=0.01)
    assert events(journals, uid, "flux_shift") == [{"shift": shift.shift, "shift_error": shift.shift_error,
        "slope": shift.slope, "slope_error": shift.slope_error, "drift": shift.drift, "drift_error": shift.drift_error,
        "chi2": shift.chi2, "dof": 2, "status": "ok"}]  # fmt: skip
    assert station.source.settings()["transmission"] == 1.0
    assert station.manipulator.x.position == pytest.approx(0.0, abs=1.0)
    assert told[1].startswith("flux_shift = 0.00")

    later = with_shift(config, found)
    uid = run(engine, configured_raster(later, station, RasterGrid.centred(2, 1, 10.0), journals))
    record = start_of(journals, uid)["calibration"]
    wrong = np.hypot(shift.shift, shift.shift_error)
    assert record["ef_error"] == pytest.approx([np.hypot(0.0002, wrong)] * 2, rel=1e-4)
    assert (record["flux_shift"], record["flux_shift_error"]) == pytest.approx(
        (shift.shift, shift.shift_error), rel=1e-3
    )
    (reference,) = events(journals, uid, "calibration")
    # what was counted there is 0.2 meV or less
    assert reference["ef_error"] == pytest.approx([wrong] * 2, rel=0.005)
    assert reference["flux_shift"] == record["flux_shift"]
    # The metal is seen with its space charge, and so is the sample: E_F is left as it was measured.
    assert 1e3 * (np.mean(reference["ef"]) - 95.6) == pytest.approx(SPACE_CHARGE, abs=0.6)


def test_whoever_ends_it_the_beam_is_as_before(config, station, tmp_path):
    engine, journals = make_engine(tmp_path, station)
    seen = []

    def pause_when_attenuated(msg):
        if msg.command == "trigger" and msg.obj is station and not seen:
            seen.append(station.source.settings()["transmission"])
            engine.loop.create_task(engine._request_pause_coro(False))

    engine.msg_hook = pause_when_attenuated
    with pytest.raises(RunEngineInterrupted):
        engine(configured_flux_check(config, station, journals))
    assert seen == [0.5]
    engine.abort("by the test")
    assert station.source.settings()["transmission"] == 1.0
    stop = list(read_documents(journals.directory / journals.run_uid / "raw.journal"))[-1]
    assert (stop[0], stop[1]["exit_status"]) == ("stop", "abort")


def test_a_beamline_without_metal_or_attenuator_has_no_flux_check(config, station, tmp_path):
    _, journals = make_engine(tmp_path, station)
    with pytest.raises(ValueError, match=r"give the configuration its \[reference\]"):
        configured_flux_check(config.model_copy(update={"reference": None}), station, journals)
    nowhere = config.changed(source={"transmission_pv": None, "transmission_readback_pv": None})
    with pytest.raises(ValueError, match="needs an attenuator"):
        configured_flux_check(nowhere, station, journals)
