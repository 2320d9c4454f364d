"""A long spectrum of a pixel of a map that was just taken, and maps that alternate, on the simulated beamline."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from microarpes.analysis import LiveGapMap
from microarpes.beamline.journal import read_documents, stream_events
from microarpes.beamline.pixel_places import NotThere, read_places, whereabouts
from microarpes.beamline.stored_run import read_run
from microarpes.plans.grid import RasterGrid
from microarpes.plans.long_spectrum import SpectrumGoal

#: On the flake; beside it, out of the focus of the raster, is the metal.
SHAPE = RasterGrid.centred(2, 1, 10.0, (-20.0, -30.0))
GOLD = {"x": 150.0, "y": 0.0, "z": 40.0}


def fits_of(folder):
    """The joint fit of each event, as the live fit has it."""
    fits = []
    router = LiveGapMap(lambda name, doc: fits.append(doc["data"]) if name == "event" else None)
    for name, doc in read_documents(folder / "raw.journal"):
        router(name, doc)
    return fits


@pytest.fixture(scope="module")
def bench(station, config, tmp_path_factory):
    """An engine in a folder with a map of two pixels."""
    from microarpes.beamline.engine import make_engine
    from microarpes.beamline.raster_run import configured_raster

    class Bench:
        def __init__(self):
            self.directory = tmp_path_factory.mktemp("back") / "runs"
            self.engine, self.journals = make_engine(self.directory)
            self.map = self.take(configured_raster(config, station, SHAPE, self.journals))

        def take(self, plan):
            self.engine(plan)
            return self.directory / self.journals.run_uid

        def long_spectrum(self, pixel, *, config=config, **asked):
            from microarpes.beamline.long_spectra import long_spectrum

            goal = SpectrumGoal.of(**asked)
            places = read_places(self.directory)
            return self.take(long_spectrum(config, station, self.journals, places, pixel, goal))

    return Bench()


def test_the_gap_of_a_pixel_is_counted_until_it_is_known_as_well_as_was_asked(bench):
    before = fits_of(bench.map)[1]
    assert before["joint_status"] == "ok"
    # four times the counts give half the error
    wanted = 0.5 * before["joint_delta_stderr"]
    folder = bench.long_spectrum(1, target_sigma=wanted, longest=2.0)
    run = read_run(folder)
    (event,) = run.events.values()
    assert run.stop["reason"] == ""
    assert (run.start["plan_name"], run.start["of_run"], run.start["of_pixel"]) == ("long_spectrum", bench.map.name, 1)
    fit = fits_of(folder)[-1]
    assert fit["joint_delta_stderr"] <= wanted
    # pixels of 20 ms; counting statistics of the estimate, and at most as much again before each look
    assert 3 <= round(event["data"]["acquire_time"] / 0.02) <= 9
    assert fit["joint_delta"] == pytest.approx(before["joint_delta"], abs=5 * before["joint_delta_stderr"])
    with h5py.File(folder / "frames.h5") as file:
        assert file["entry/data/data"][-1].sum() == event["data"]["total_counts"]


def test_references_stand_before_and_after_it_and_the_pixel_is_where_it_was(bench, config, station):
    folder = bench.long_spectrum(0, config=config.changed(reference=GOLD), time=0.1)
    run = read_run(folder)
    records = [doc["time"] for doc in stream_events(folder / "raw.journal", "calibration")]
    (event,) = run.events.values()
    assert len(records) == 2
    assert records[0] < event["time"] < records[1]
    at = read_run(bench.map).events[0]["data"]
    for name, tolerance in (("x", 1.0), ("y", 1.0), ("z", 2.0)):
        found = event["data"][f"manipulator_{name}"]
        assert found == pytest.approx(at[f"manipulator_{name}_setpoint"], abs=tolerance)


def test_the_beam_is_found_on_the_pixel_gone_to_and_a_turned_sample_is_refused(bench, station):
    from microarpes.beamline.long_spectra import go_to_pixel

    places = read_places(bench.directory, bench.map.name)
    bench.engine(go_to_pixel(station, places, 1))
    here = whereabouts(station, (0.0, 0.0), places)
    assert (here.pixel, here.on_map) == (1, True)
    # the encoders are read within 0.05 um
    assert np.hypot(*here.off) < 0.5
    polar = station.manipulator.polar
    try:
        polar.set(12.0).wait(30.0)
        with pytest.raises(NotThere, match=r"polar is 12 deg, the pixel was measured at 9.425 deg"):
            bench.engine(go_to_pixel(station, places, 1))
    finally:
        polar.set(9.425).wait(30.0)


def test_a_map_that_is_repeated_goes_backwards_every_other_time_with_the_same_pixels(bench, config, station):
    from microarpes.beamline.raster_run import configured_raster
    from microarpes.beamline.repeats import repeated

    def one(md, backwards):
        return configured_raster(config, station, SHAPE, bench.journals, md, backwards=backwards)

    uids = bench.engine(repeated(2, one))
    runs = [read_run(bench.directory / uid) for uid in uids]
    orders = [sorted(run.events, key=lambda pixel, run=run: run.events[pixel]["seq_num"]) for run in runs]
    assert orders == [[0, 1], [1, 0]]
    assert [run.start["repeat"]["number"] for run in runs] == [1, 2]
    assert runs[0].start["repeat"]["group"] == runs[1].start["repeat"]["group"]
    assert [run.start.get("backwards", False) for run in runs] == [False, True]
    for pixel in (0, 1):
        places = [run.events[pixel]["data"]["manipulator_x"] for run in runs]
        assert places[0] == pytest.approx(places[1], abs=0.5)
