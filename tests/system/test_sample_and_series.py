"""From the reach of the manipulator to the sample, and maps of it one after the other, on the simulated beamline."""

from __future__ import annotations

import numpy as np
import pytest
from session_runs import run

from microarpes.beamline.engine import make_engine
from microarpes.beamline.find_sample import NoSample, configured_search, find_in_run
from microarpes.beamline.instrument import sample_geometry
from microarpes.beamline.journal import stream_events
from microarpes.beamline.resume import find_unfinished
from microarpes.beamline.series import configured_series
from microarpes.beamline.stored_run import read_run
from microarpes.beamline.turned_sample import turned_as
from microarpes.plans.grid import RasterGrid
from microarpes.plans.settle import NotSettled
from microarpes.sim.sample import LIVE, Sample

#: The IOC's own.
SAMPLE = Sample(7)


#: On the flake.
SHAPE = RasterGrid.centred(2, 1, 10.0, (-20.0, -30.0))
#: The dead patch, to which a window of the temperature is tied that only 10 K is in.
LANDMARK = {"name": "dead patch", "x": -45.0, "y": 35.0, "points": 6, "step": 12.0, "every_rows": 9, "max_error": 3.0}
WINDOW = {"temperature": {"low": 9.5, "high": 10.5}}
QUICK = {"settle_time": 0.5, "temperature_tolerance": 0.2, "source_settle_time": 0.2, "source_deadline": 5.0}


@pytest.fixture
def beamline(config, station, tmp_path):
    engine, journals = make_engine(tmp_path, station)
    yield config, station, journals, lambda plan: run(engine, plan)
    for name in "xyz":
        station.manipulator.axes[name].set(0.0).wait(20.0)


def test_the_flake_is_found_on_its_brighter_holder_where_it_is(beamline):
    config, station, journals, do = beamline
    # 3e6 counts/s for 2 ms: 6000 counts a point, 60 in an angle bin
    uid, found = do(configured_search(config, station, journals, exposure=0.002, width=900.0, step=100.0,
                                      centre=(0.0, 0.0)))  # fmt: skip
    grid = read_run(journals.directory / uid).start["grid"]
    assert (grid["x"]["num"], grid["y"]["num"]) == (9, 9)
    x, y = np.meshgrid(*(np.arange(-450.0, 450.0, 2.0),) * 2)
    on = SAMPLE.surface_at(x, y) == LIVE
    # A cell whose middle is live belongs to it: the outline is known to half a step.
    assert found.centre == pytest.approx((x[on].mean(), y[on].mean()), abs=30.0)
    assert found.extent == pytest.approx((np.ptp(x[on]), np.ptp(y[on])), abs=100.0)
    assert found.region.area == pytest.approx(4.0 * on.sum(), rel=0.2)
    assert found.region.contrast > 0.3
    assert found.region.levels[0].contrast < 0.1 < found.region.levels[0].brightness
    # What comes out is a map of the flake: of a disc 4 cells across, a quarter of what is found lies at its rim.
    places = np.array([(point.x, point.y) for row in found.polygon(40.0).rows() for point in row])
    assert (SAMPLE.surface_at(*places.T) == LIVE).mean() > 0.7
    assert find_in_run(journals.directory / uid, 10.0).centre == found.centre


def test_beside_the_flake_there_is_no_sample_and_the_map_is_kept(beamline):
    config, station, journals, do = beamline
    with pytest.raises(NoSample, match="same everywhere, within counting noise"):
        do(configured_search(config, station, journals, exposure=0.002, width=400.0, step=100.0, centre=(900.0, 0.0)))
    assert read_run(journals.directory / journals.run_uid).stop["exit_status"] == "success"


@pytest.fixture(scope="module")
def guarded(ioc, config):
    """Configuration and station with a guard of the temperature; all settings of a series go back at the end."""
    from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

    changed = config.changed(series=QUICK, guards=WINDOW, region={"acquire_time": 0.005})
    station = connect_end_station(changed, timeout=20.0)
    yield changed, station
    station.cryostat.setpoint.set(10.0).wait(10.0)
    station.demand.photon_energy.set(100.0).wait(10.0)
    station.demand.polarisation.set("LH").wait(10.0)
    disconnect_end_station(station)


@pytest.fixture
def bench(guarded, tmp_path):
    config, station = guarded
    engine, journals = make_engine(tmp_path)

    def take(steps, config=config, **options):
        return run(engine, configured_series(config, station, SHAPE, steps, journals, **options))

    yield config, station, journals, take
    # or the window of the guard would hold the next one
    station.cryostat.setpoint.set(10.0).wait(10.0)


def test_the_same_pixels_are_measured_at_another_temperature_under_a_guard_that_went_with_it(bench):
    config, station, journals, take = bench
    config = config.changed(landmark=LANDMARK)
    uids = take([{"temperature": 10.0}, {"temperature": 20.0}], config)
    runs = [read_run(journals.directory / uid) for uid in uids]
    told = [one.start["series"] for one in runs]
    assert [(one["number"], one["of"], one["settings"]) for one in told] == [
        (1, 2, {"temperature": 10.0}), (2, 2, {"temperature": 20.0}),
    ]  # fmt: skip
    assert (told[1]["first"], told[1]["group"]) == (uids[0], told[0]["group"])
    for one, kelvin in zip(runs, (10.0, 20.0), strict=True):
        assert set(one.events) == {0, 1}
        found = [event["data"]["sample_temperature"] for event in one.events.values()]
        assert found == pytest.approx([kelvin] * 2, abs=0.2)
        assert one.start["calibration"]["temperature"] == kelvin
        assert one.start["guards"]["temperature"]["high"] == kelvin + 0.5
        assert one.interruptions == []
    # The landmark of the first map is found again in the second: the sample stayed, and the pixels with it.
    (look,) = (doc["data"] for doc in stream_events(runs[1].folder / "raw.journal", "drift"))
    assert look["status"] == "ok"
    assert abs(look["shift_x"]) < max(1.0, 5 * look["shift_x_error"])
    for pixel in (0, 1):
        places = [one.events[pixel]["data"]["manipulator_x"] - one.events[pixel]["data"]["shift_x"] for one in runs]
        assert places[0] == pytest.approx(places[1], abs=0.5)
    assert station.cryostat.setpoint.get(use_monitor=False) == 20.0


def test_photon_energy_polarisation_and_region_change_and_the_edge_stays_where_it_is_looked_for(bench):
    _, _, journals, take = bench
    uids = take([{"photon_energy": 102.0, "polarisation": "LV"}, {"region": {"energy_step": 0.002}}])
    first, second = (read_run(journals.directory / uid) for uid in uids)
    assert first.start["source"]["photon_energy"] == 102.0
    assert first.start["source"]["polarisation"] == second.start["source"]["polarisation"] == "LV"
    assert first.start["calibration"]["ef"] == pytest.approx([97.6, 97.6])
    assert np.diff(second.start["energy_axis"])[0] == pytest.approx(0.002)
    for one in (first, second):
        energy = np.array(one.start["energy_axis"]) - one.start["calibration"]["ef"][0]
        edc = sum(event["data"]["edc"] for event in one.events.values()).sum(axis=0)
        # Beyond 40 meV, ten times kT at 10 K broadened by the resolution, nothing is left of what lies below E_F.
        below, above = edc[(energy > -0.1) & (energy < -0.04)].mean(), edc[energy > 0.04].mean()
        assert above < 0.1 * below


def test_the_same_spots_are_measured_on_another_cut_and_its_windows_lie_at_another_momentum(bench):
    config, station, journals, take = bench
    # 6 deg lie 0.65 pi/a from Gamma, between the antinode and the node
    windows = [{"name": "k_F", "angle_low": 2.1, "angle_high": 2.3}]
    uids = take([{"polar": 9.425}, {"polar": 6.0, "windows": windows}])
    first, turned = (read_run(journals.directory / uid) for uid in uids)
    geometry = sample_geometry(config)
    for pixel in (0, 1):
        spots = []
        for one in (first, turned):
            data = one.events[pixel]["data"]
            found = [data[f"manipulator_{name}"] for name in ("x", "y", "z", "polar", "tilt", "azimuth")]
            spots.append(geometry.spot(found[:3], found[3:]))
        # readbacks are good to a tenth of the tolerance of 1 um
        np.testing.assert_allclose(spots[1], spots[0], atol=0.5)
    assert turned.events[0]["data"]["manipulator_polar"] == pytest.approx(6.0, abs=0.01)
    assert turned.start["momentum"]["kx"][0] < 0.7 * first.start["momentum"]["kx"][0]
    assert turned.start["turned"]["planned_at"]["polar"] == pytest.approx(9.425, abs=0.01)
    # cut off, it would be gone on with at its angles
    assert turned_as(config, turned.start).angles["polar"] == 6.0
    station.manipulator.polar.set(9.425).wait(20.0)


def test_a_step_that_cannot_be_is_refused_before_the_first_is_set(bench):
    _, station, journals, take = bench
    before = station.cryostat.setpoint.get(use_monitor=False)
    with pytest.raises(ValueError, match=r"step 2: pass_energy = 7 eV"):
        take([{"temperature": 50.0}, {"region": {"pass_energy": 7.0}}])
    with pytest.raises(ValueError, match=r"step 1: .*tilt"):
        take([{"tilt": 300.0}])
    assert station.cryostat.setpoint.get(use_monitor=False) == before
    assert list(journals.directory.glob("*/raw.journal")) == []


def test_a_temperature_that_is_not_reached_ends_the_series_and_the_map_before_it_is_whole(bench):
    config, station, journals, take = bench
    late = config.changed(series={"settle_deadline": 0.1, "settle_time": 30.0})
    with pytest.raises(NotSettled, match=r"temperature was to be 12.0 for 30 s within 0.1 s"):
        take([{"region": {"energy_step": 0.001}}, {"temperature": 12.0}], late)
    (done,) = journals.directory.glob("*/raw.journal")
    assert read_run(done.parent).stop["exit_status"] == "success"
    with pytest.raises(ValueError, match="is complete"):
        find_unfinished(done.parent)
    # What was set stays set.
    assert station.cryostat.setpoint.get(use_monitor=False) == 12.0
