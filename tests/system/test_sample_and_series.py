"""From the reach of the manipulator to the sample, and maps of it one after the other, on the simulated beamline."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.beamline.engine import make_engine
from microarpes.beamline.find_sample import NoSample, configured_search, find_in_run
from microarpes.beamline.stored_run import read_run
from microarpes.sim.sample import LIVE, Sample

#: The IOC's own.
SAMPLE = Sample(7)


def run(engine, plan):
    """Run a plan and return its result."""
    results = []

    def kept():
        results.append((yield from plan))

    engine(kept())
    return results[0]


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
    # What comes out is a map to be taken: of the flake, not of the holder.
    places = np.array([(point.x, point.y) for row in found.polygon(40.0).rows() for point in row])
    assert (SAMPLE.surface_at(*places.T) == LIVE).mean() > 0.8
    assert find_in_run(journals.directory / uid, 10.0).centre == found.centre


def test_beside_the_flake_there_is_no_sample_and_the_map_is_kept(beamline):
    config, station, journals, do = beamline
    with pytest.raises(NoSample, match="same everywhere, within counting noise"):
        do(configured_search(config, station, journals, exposure=0.002, width=400.0, step=100.0, centre=(900.0, 0.0)))
    assert read_run(journals.directory / journals.run_uid).stop["exit_status"] == "success"
