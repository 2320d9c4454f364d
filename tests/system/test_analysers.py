"""Four vendors' drivers behind one device class, over Channel Access."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ophyd import EpicsSignal, EpicsSignalRO

from microarpes.analysis import LiveGapMap
from microarpes.beamline.config import parse_config, simulated_text
from microarpes.beamline.run_metadata import calibration_record
from microarpes.devices.region import Region
from microarpes.plans.gate import Gate
from microarpes.plans.grid import RasterGrid
from microarpes.plans.limits import GateLimits
from microarpes.plans.raster import gap_raster
from microarpes.sim.ioc import list_pvs
from microarpes.sim.process import running_ioc

#: 21 energies about E_F = 95.6 eV, twice.
SWEEP = Region(
    acquisition_mode="Swept", low_energy=95.55, high_energy=95.65, energy_step=0.005, slices=60, acquire_time=0.01,
    iterations=2,
)  # fmt: skip
#: Energy channels of the simulated detector in a sweep: the lead-in, and what every energy passes over.
LEAD_IN = 20


class Bench:
    def __init__(self, driver, station, config):
        self.driver, self.station, self.config = driver, station, config
        self.analyser, self.region = station.analyser, config.region
        #: Signals of the tests. ophyd asks for metadata in a thread of its own, and a channel that is cleared meanwhile
        #: is the end of the process: they are kept as long as the devices.
        self.signals = []

    def set(self, region):
        self.analyser.set(region).wait(30.0)

    def take(self):
        """Expose with the shutter open and return the judged evidence."""
        self.station.shutter.set("open").wait(10.0)
        self.station.set({"x": 0.0, "y": 0.0}).wait(10.0)
        self.station.trigger().wait(60.0)
        evidence = self.station.read()["evidence"]["value"]
        return evidence, Gate.of(self.station, GateLimits()).judge(evidence)


@pytest.fixture(scope="module", params=["ses", "specs", "peak", "mbs"])
def bench(request, other_port):
    from tomllib import loads

    from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

    driver = request.param
    data = loads(simulated_text().replace('"SIM:', f'"{driver.upper()}:'))
    data["analyser"]["driver"] = driver
    del data["channel_access"]["address_list"]
    data["region"]["acquire_time"] = 0.1
    config = parse_config(data, driver)
    with running_ioc(f"{driver.upper()}:", ["--analyser", driver, "--rate", "3e6"], port=other_port):
        station = connect_end_station(config, timeout=20.0)
        bench = Bench(driver, station, config)
        yield bench
        for signal in bench.signals:
            signal.destroy()
        disconnect_end_station(station)


def reader(bench, suffix):
    """A signal of our own on the driver; without a monitor, which may still be delivered when it is destroyed."""
    signal = EpicsSignalRO(f"{bench.driver.upper()}:ARPES:cam1:{suffix}", name="reader", auto_monitor=False)
    signal.wait_for_connection(timeout=20.0)
    bench.signals.append(signal)
    return signal


def test_every_pv_the_device_asks_for_is_the_drivers_own(bench):
    from microarpes.devices.channel_access import asked_pvs

    assert set(asked_pvs(bench.analyser)) <= set(list_pvs(f"{bench.driver.upper()}:", bench.driver))


def test_a_region_is_set_and_read_back_as_a_whole(bench):
    narrow = bench.region.model_copy(update={"pass_energy": 5.0, "slices": 120, "iterations": 2, "energy_step": 0.002})
    for region in (narrow, bench.region):
        bench.set(region)
        found = bench.analyser.read_region()
        # What the region leaves to the driver is all that it may have of its own.
        assert found.model_copy(update={"excitation_energy": None}) == region
        described = bench.analyser.describe_region()
        assert described["driver"] == bench.driver
        assert described["high_energy"] - described["low_energy"] == pytest.approx(399 * region.energy_step)


def test_the_limits_are_the_connected_analysers(bench):
    limits = bench.analyser.limits_now()
    assert limits.choices["lens_mode"] == ("Angular7", "Angular14", "Angular30", "Transmission")
    assert limits.ranges["slices"] == (1, 1000)
    if bench.driver == "specs":
        assert limits.ranges["pass_energy"] == (1.0, 660.0)
    else:
        assert limits.choices["pass_energy"] == ("2", "5", "10", "20", "50", "100")
    assert limits.faults == ()


def test_a_frame_is_what_the_axes_describe(bench):
    bench.set(bench.region)
    energy, angle = bench.analyser.axes
    # 400 channels of 1 meV of which the 200th is the centre; a slit of 15 deg in 300 channels of 0.05 deg.
    assert energy == pytest.approx(95.4795 + 1e-3 * (np.arange(400) - 200))
    assert angle == pytest.approx(-7.475 + 0.05 * np.arange(300))
    evidence, reasons = bench.take()
    assert reasons == []
    assert evidence.frame.shape == (300, 400)
    # The driver's own spectrum is the frame summed over the slit, so the frame is not turned round.
    spectrum = reader(bench, "SPECTRUM" if bench.driver == "peak" else "INT_SPECTRUM")
    assert evidence.frame.sum(axis=0) == pytest.approx(spectrum.get())
    # Half the plateau lies below E_F = 95.6 eV; above it there is nothing but dark counts.
    above = evidence.frame[:, energy > 95.62].sum()
    assert above < 0.02 * evidence.frame[:, energy < 95.58].sum()


def test_a_sweep_is_taken_whole_and_its_times_are_real(bench):
    bench.set(SWEEP)
    energy, angle = bench.analyser.axes
    assert energy == pytest.approx(95.55 + 0.005 * np.arange(21))
    assert angle.size == 60
    before = int(bench.analyser.counters()["frame_id"]["value"])
    evidence, reasons = bench.take()
    assert reasons == []
    assert int(evidence.value("frame_id")) == before + 1
    # Twice 21 energies and 20 points of lead-in, 10 ms each; every energy passes 20 points of the detector.
    assert evidence.acquire_time == pytest.approx(2 * (21 + LEAD_IN) * 0.01)
    assert evidence.acquire_time * evidence.counted_fraction == pytest.approx(2 * LEAD_IN * 0.01)
    took = evidence.readings["frame_id"]["timestamp"] - evidence.edge_time
    # The IOC begins to count at its stamp of the start; 5 ms for its clocks.
    assert took > evidence.acquire_time - 0.005
    # A sum of a part would be short of counts. Per s of counting and per eV a fixed frame has the same: of the six
    # energies below 95.58 eV the sweep holds those from 95.5475 to 95.5775 eV.
    bench.set(bench.region)
    fixed, reasons = bench.take()
    assert reasons == []
    axis = bench.analyser.axes[0]
    same = (axis > 95.5475) & (axis < 95.5775)
    fixed_rate = fixed.frame[:, same].sum() / (0.1 * same.sum() * 0.001)
    swept_rate = evidence.frame[:, :6].sum() / (0.4 * 6 * 0.005)
    # I0 falls by less than 1 % in the seconds between; more than 1e4 counts in either sum are less than 1 % of noise.
    assert min(fixed.frame[:, same].sum(), evidence.frame[:, :6].sum()) > 1e4
    assert swept_rate == pytest.approx(fixed_rate, rel=0.05)


def test_during_a_sweep_no_sum_of_a_part_is_ever_the_frame(bench):
    bench.set(SWEEP.model_copy(update={"slices": 30, "iterations": 1, "acquire_time": 0.02}))
    bench.take()
    driver = reader(bench, "SPECTRUM" if bench.driver == "peak" else "INT_SPECTRUM")
    looks, seen_part = 0, False
    # A sweep takes 0.8 s: on a machine with much else to do one may pass without a look at it.
    deadline = time.monotonic() + 120.0
    while looks <= 3 or not seen_part:
        assert time.monotonic() < deadline, f"no sum of a part was seen in {looks} looks"
        before, previous = bench.analyser.read_frame()
        spectrum_before = driver.get(use_monitor=False)
        status = bench.analyser.trigger()
        frames, parts = [], []
        while not status.done:
            frames.append(bench.analyser.read_frame()[1])
            parts.append(driver.get(use_monitor=False))
        status.wait(20.0)
        final, whole = bench.analyser.read_frame()
        assert final["frame_id"]["value"] == before["frame_id"]["value"] + 1
        # What was read as the frame meanwhile is one of the two, whole.
        assert all(np.array_equal(frame, previous) or np.array_equal(frame, whole) for frame in frames)
        looks += len(frames)
        # The driver shows sums of parts: what it showed was neither of the two spectra.
        seen_part = seen_part or any(0 < part.sum() < 0.8 * spectrum_before.sum() for part in parts)


IMPOSSIBLE = [
    ({"pass_energy": 700.0}, "pass_energy = 700 eV"),
    ({"lens_mode": "Angular45"}, "lens_mode = Angular45 is not offered"),
    ({"slices": 1001}, r"slices = 1001 is outside the connected analyser's \[1, 1000\]"),
    ({"centre_energy": 1600.0, "lens_mode": "Angular7"}, "centre_energy = 1600 eV is outside"),
    ({"pass_energy": 100.0}, "lens mode Angular14 takes 1.5 to 60 times, 150 to 6000 eV"),
    ({"energy_step": 0.03}, "energy_step = 0.03 eV is outside"),
    ({"acquire_time": 0.0001}, "acquire_time = 0.0001 s is outside"),
    ({"deflector_angle": 20.0}, "deflector_angle = 20 deg"),
]


@pytest.mark.parametrize(
    ("changes", "reason"), IMPOSSIBLE, ids=lambda value: next(iter(value)) if isinstance(value, dict) else ""
)
def test_an_impossible_region_is_refused_before_anything_is_written(bench, changes, reason):
    bench.set(bench.region)
    before = bench.analyser.read_settings()
    # All that is possible of it differs from what is set: a single put would show.
    bad = bench.region.model_copy(update={"iterations": 7, "slices": 77, "acquire_time": 0.77, **changes})
    with pytest.raises(ValueError, match=reason):
        bench.analyser.check_region(bad)
    with pytest.raises(ValueError, match=reason):
        bench.set(bad)
    assert bench.analyser.read_settings() == before
    assert bench.analyser.region == bench.region


def test_a_value_the_driver_did_not_take_is_named_with_what_it_has(bench, monkeypatch):
    bench.set(bench.region)
    limits = bench.analyser.limits_now()
    # As of a driver that serves no control limits.
    monkeypatch.setattr(bench.analyser, "limits_now", lambda: type(limits)(limits.pvs, limits.choices))
    with pytest.raises(ValueError, match=r"slices = 2000 was asked for, the analyser has 300 \(.*2000 is outside"):
        bench.set(bench.region.model_copy(update={"slices": 2000}))


def test_an_energy_beyond_the_lens_table_is_refused_by_the_driver_itself(bench, monkeypatch):
    # As of a configuration that does not know the lens table.
    monkeypatch.setattr(bench.analyser, "_energy_ratio", {})
    beyond = bench.region.model_copy(update={"pass_energy": 100.0})
    if bench.driver == "specs":
        with pytest.raises(ValueError, match=r"not accepted \(.*0.955 times the pass energy of 100 eV"):
            bench.set(beyond)
    else:
        bench.set(beyond)
        _, reasons = bench.take()
        assert "0.955 times the pass energy of 100 eV" in "; ".join(reasons)
    bench.set(bench.region)
    assert bench.take()[1] == []


def test_a_sweep_longer_than_the_driver_takes_is_refused_with_what_it_has(bench):
    # 1501 energies; the simulated drivers take 1000 and keep the axis they had.
    bench.set(SWEEP)
    long = SWEEP.model_copy(update={"low_energy": 94.5, "high_energy": 96.0, "energy_step": 0.001})
    with pytest.raises(ValueError, match=r"a sweep of 1501 energies from 94.5 to 96 eV was asked for"):
        bench.set(long)


def test_a_region_somebody_else_changes_between_two_points_is_noticed(bench):
    bench.set(bench.region)
    assert bench.take()[1] == []
    # The shape of the frame stays, its angles do not.
    pvs = bench.analyser.pvs
    options = {"name": "lens", "put_complete": True, "auto_monitor": False}
    lens = EpicsSignal(f"{bench.driver.upper()}:ARPES:cam1:{pvs.lens_mode}", **options)
    lens.wait_for_connection(timeout=20.0)
    bench.signals.append(lens)
    lens.set("Angular7").wait(10.0)
    _, reasons = bench.take()
    assert "somebody changed the region: lens_mode" in "; ".join(reasons)
    bench.set(bench.region)
    assert bench.take()[1] == []


def test_units_that_differ_from_the_map_are_refused(bench, monkeypatch):
    monkeypatch.setattr(bench.analyser, "pvs", bench.analyser.pvs.renamed({"energy_unit": "keV"}))
    with pytest.raises(ValueError, match="is in eV, the analyser's map says otherwise"):
        bench.analyser.check_region(bench.region)


def test_a_deflector_turns_the_cut_where_there_is_one(bench):
    turned = bench.region.model_copy(update={"deflector_angle": 8.0})
    if bench.driver in ("ses", "specs"):
        with pytest.raises(ValueError, match=f"the {bench.driver} driver has no such setting"):
            bench.set(turned)
        return
    spectra = []
    for region in (bench.region, turned):
        bench.set(region)
        assert bench.analyser.read_region().deflector_angle == region.deflector_angle
        evidence, reasons = bench.take()
        assert reasons == []
        spectra.append(evidence.frame.sum(axis=0, dtype=np.float64))
    # 8 deg from the antinode the band is elsewhere: the spectra differ by far more than their noise.
    assert np.abs(spectra[0] - spectra[1]).sum() > 10 * np.sqrt(spectra[0].sum() + spectra[1].sum())


def raster(bench, region, directory, num=2):
    grid = RasterGrid.centred(num, num, 10.0)
    return gap_raster(
        bench.station, grid, region, bench.config.windows, calibration_record(bench.config), directory=directory
    )


#: As fine as the fixed window needs to be for a gap: 151 energies of 2 meV, each counted for 20 points of 2.5 ms.
GAP_SWEEP = Region(
    acquisition_mode="Swept", low_energy=95.38, high_energy=95.68, energy_step=0.002, acquire_time=0.0025
)  # fmt: skip


def rastered(bench, engine, region, directory):
    """Raster 2 x 2 pixels and fit them; return start document, events by pixel and map."""
    documents, live = [], LiveGapMap()
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine.subscribe(live)
    engine(raster(bench, region, directory))
    events = [doc["data"] for name, doc in documents if name == "event" and "edc" in doc["data"]]
    return documents[0][1], sorted(events, key=lambda event: event["pixel"]), live.gap_map


def test_a_raster_gives_gaps_whoever_made_the_analyser(bench, engine, tmp_path):
    start, events, gap_map = rastered(bench, engine, bench.region, tmp_path)
    assert start["region"]["driver"] == bench.driver
    assert start["region"]["excitation_energy"] == 100.0
    assert (len(start["angle_axis"]), len(start["energy_axis"])) == (300, 400)
    assert [event["pixel"] for event in events] == [0, 1, 2, 3]
    assert all(event["acquire_time"] == event["live_time"] == 0.1 for event in events)
    # 0.1 s at 3e6 counts/s is some 5000 electrons in the pair of EDCs: an error of half a meV on a gap of 35 meV.
    assert gap_map.joint_status.ravel().tolist() == ["ok"] * 4
    assert np.all(np.abs(gap_map.joint_delta - 35.0) < 10.0)


def test_a_swept_raster_gives_the_same_gaps_and_keeps_the_lead_in_out_of_both_times(bench, engine, tmp_path):
    start, events, gap_map = rastered(bench, engine, GAP_SWEEP, tmp_path)
    assert (start["region"]["low_energy"], start["region"]["high_energy"]) == (95.38, 95.68)
    assert start["region"]["centre_energy"] == pytest.approx(95.53)
    assert len(start["energy_axis"]) == 151
    for event in events:
        # The exposure is the whole sweep, so that its lead-in is no dead time; an energy is counted for 50 ms of it.
        assert event["acquire_time"] == pytest.approx((151 + LEAD_IN) * 0.0025)
        assert event["live_time"] == pytest.approx(LEAD_IN * 0.0025)
        # I0 is gated by the whole sweep: 0.5 nA/mA of a ring between 297 and 300 mA, with noise of 0.2 %.
        assert event["i0"] / event["acquire_time"] == pytest.approx(149.25, rel=0.02)
    # Half the counts of the test before, in channels twice as wide: the errors are those of 0.5 meV times sqrt(2).
    assert gap_map.joint_status.ravel().tolist() == ["ok"] * 4
    assert np.all(np.abs(gap_map.joint_delta - 35.0) < 10.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slices": 1001, "pass_energy": 700.0}, ["slices = 1001", "pass_energy = 700 eV"]),
        ({"lens_mode": "Transmission"}, ["lens_mode = Transmission images places along the slit, not angles"]),
    ],
)
def test_a_raster_with_a_region_it_cannot_take_moves_and_writes_nothing(bench, engine, tmp_path, changes, words):
    bench.set(bench.region)
    axes = bench.station.manipulator.axes.values()
    before = (bench.analyser.read_settings(), [axis.setpoint.get(use_monitor=False) for axis in axes])
    bad = bench.region.model_copy(update={"iterations": 7, **changes})
    with pytest.raises(ValueError, match=words[0]) as caught:
        engine(raster(bench, bad, tmp_path))
    assert all(word in str(caught.value) for word in words)
    assert (bench.analyser.read_settings(), [axis.setpoint.get(use_monitor=False) for axis in axes]) == before
    assert list(tmp_path.iterdir()) == []
