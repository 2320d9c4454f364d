"""A sample that ages behind Channel Access is found out by its control pixels; one that does not is left in peace."""

from __future__ import annotations

import numpy as np
import pytest
from session_runs import events, run, start_of

from microarpes.beamline.config import parse_config, simulated_text
from microarpes.beamline.control_fits import ageing_of_map, looks_of_map
from microarpes.beamline.dose_tests import configured_dose_test
from microarpes.beamline.engine import make_engine
from microarpes.beamline.follow_fit import follow_fit
from microarpes.beamline.raster_run import configured_raster
from microarpes.beamline.report_material import gather
from microarpes.beamline.report_results import ageing
from microarpes.beamline.stored_run import read_run
from microarpes.plans.grid import RasterGrid
from microarpes.sim.process import running_ioc

#: meV in a minute of beam: in a second as much as a night takes from a real one.
BY_DOSE = 400.0
#: On live flake, with room for control pixels that do not see one another's beam.
GRID = RasterGrid.centred(3, 4, 25.0, (-20.0, -40.0))
CONTROL = {"pixels": [4, 8], "every_rows": 1}


@pytest.fixture(scope="module")
def ageing_config():
    from tomllib import loads

    data = loads(simulated_text().replace('"SIM:', '"AGE:'))
    del data["channel_access"]["address_list"]
    data["region"]["acquire_time"] = 0.1
    return parse_config(data | {"control_pixels": CONTROL}, "test")


@pytest.fixture(scope="module")
def ageing_station(ageing_config, other_port):
    from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

    with running_ioc("AGE:", ["--rate", "3e6", "--ageing-dose", f"{BY_DOSE:g}"], port=other_port):
        connected = connect_end_station(ageing_config, timeout=20.0)
        yield connected
        disconnect_end_station(connected)


def test_a_map_of_a_sample_that_ages_raises_the_alarm(ageing_config, ageing_station, tmp_path):
    engine, journals = make_engine(tmp_path, ageing_station)
    uid = run(engine, configured_raster(ageing_config, ageing_station, GRID, journals))
    follow_fit(journals.directory, uid)
    # The report's section alone: its pictures take longest.
    section = ageing(gather(read_run(journals.directory / uid), {}))
    assert section.sentences[0].startswith("ALARM: the sample ages: gap")
    looks = events(journals, uid, "control")
    assert [(look["pixel"], look["look"]) for look in looks] == [(p, n) for n in range(1, 6) for p in (4, 8)]
    # Each had its own five looks of 0.1 s and its pixel of the map: 0.5 s before the last look.
    assert [look["dose"] for look in looks[-2:]] == pytest.approx([0.5, 0.5], abs=0.02)
    assert len(events(journals, uid, "primary")) == 12
    assert start_of(journals, uid)["control_pixels"]["pixels"] == CONTROL["pixels"]
    gap = ageing_of_map(journals.directory / uid).trends[0]
    assert gap.dose.value == pytest.approx(-BY_DOSE, abs=4 * gap.dose.error + 0.1 * BY_DOSE)


def test_a_dose_test_finds_how_fast_the_beam_ages_it(ageing_config, ageing_station, tmp_path):
    engine, journals = make_engine(tmp_path, ageing_station)
    uid = run(engine, configured_dose_test(ageing_config, ageing_station, 12, journals, place=(-20.0, -110.0)))
    start = start_of(journals, uid)
    assert (start["plan_name"], start["looks"], start["num_points"]) == ("dose_test", 12, 1)
    follow_fit(journals.directory, uid)
    looks = looks_of_map(journals.directory / uid)
    assert np.diff([look["dose"] for look in looks]) == pytest.approx([0.2, *[0.1] * 10], abs=0.01)
    gap, _, intensity, centre = ageing_of_map(journals.directory / uid).trends
    # 12 looks, 1.2 s: 8 meV. The ring gives 297 to 300 mA, and a beam is truth's within 2 %.
    assert gap.dose.value == pytest.approx(-BY_DOSE, abs=4 * gap.dose.error + 0.03 * BY_DOSE)
    assert gap.dose.sigmas > 4.0
    # The cut stays where it is, and is found in all looks.
    assert centre.n == 12
    assert centre.dose.sigmas < 4.0
    # 1 % a meV.
    assert intensity.dose.value == pytest.approx(-BY_DOSE, abs=4 * intensity.dose.error + 0.1 * BY_DOSE)


def test_a_map_of_a_sample_that_does_not_age_raises_none(config, station, tmp_path):
    engine, journals = make_engine(tmp_path, station)
    chosen = config.changed(control_pixels=CONTROL, region={"acquire_time": 0.1})
    uid = run(engine, configured_raster(chosen, station, GRID, journals))
    follow_fit(journals.directory, uid)
    gap = ageing_of_map(journals.directory / uid).trends[0]
    assert gap.n == 10
    # What strong ageing did in 0.5 s is 3.3 meV; nothing like it is here. 4 sigma: one seed of 16 000.
    assert gap.dose.sigmas < 4.0
    assert gap.dose.value == pytest.approx(0.0, abs=4 * gap.dose.error)
    assert gap.dose.error < BY_DOSE / 4
