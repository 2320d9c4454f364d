"""The same grid stepped and flown on the simulated beamline: the same map, within the blur it states."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from microarpes.beamline.stored_run import read_run
from microarpes.plans.fly import Fly
from microarpes.plans.gate import WIDEST
from microarpes.plans.grid import RasterGrid
from microarpes.sim.sample import Sample

EXPOSURE, STEP, SEED = 0.05, 12.0, 7
#: Over the dead patch, 45 um about x, y of about -40, 35 um.
GRID = RasterGrid.centred(16, 8, STEP)


def taken(station, config, folder, **options):
    """The run of a raster, and its summary with the truth."""
    from microarpes.beamline.finish import finish_run
    from microarpes.beamline.raster_run import run_raster

    outcome = run_raster(config, station, GRID, folder, stream=io.StringIO(), md={"seed": SEED}, **options)
    finish_run(folder, outcome, summary=folder / "summary.json", seed=SEED)
    return read_run(folder / outcome.uid), json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def runs(ioc, station, config, tmp_path_factory):
    from epics import PV

    # Somebody looked at the readback by other means: libca has one channel for all who ask for a name.
    looked = PV(station.manipulator.x.readback.pvname)
    assert looked.wait_for_connection(10.0)
    looked.disconnect()
    config = config.changed(region={"acquire_time": EXPOSURE})
    before = station.manipulator.x.velocity.get(use_monitor=False)
    stepped = taken(station, config, tmp_path_factory.mktemp("step"))
    flown = taken(station, config, tmp_path_factory.mktemp("fly"), fly=Fly())
    assert station.manipulator.x.velocity.get(use_monitor=False) == before
    return stepped, flown


def values(run, name):
    return np.array([event["data"][name] for event in run.events.values()])


def edge_shift(run):
    """By how much (um along x) the counts about the dead patch lie beside those the true sample gives there."""
    x, y, counts = (values(run, name) for name in ("manipulator_x", "manipulator_y", "total_counts"))
    about = (y > 10.0) & (x < 10.0) & (x > -85.0)
    x, y, counts = x[about], y[about], counts[about] / counts[about].max()

    def misfit(shift):
        live = Sample(SEED).truth(x - shift, y).live_fraction
        model = np.column_stack([live, np.ones_like(live)])
        return np.linalg.norm(counts - model @ np.linalg.lstsq(model, counts, rcond=None)[0])

    return minimize_scalar(misfit, bounds=(-8.0, 8.0), method="bounded").x


def test_no_pixel_is_missing_and_each_was_measured_in_its_cell(runs):
    _, (run, _) = runs
    assert run.start["plan_name"] == "gap_fly"
    assert sorted(values(run, "pixel")) == list(range(GRID.num_points))
    away = np.abs(values(run, "manipulator_x") - values(run, "manipulator_x_setpoint"))
    assert away.max() <= STEP / 2
    # most were really flown over: at half a minute's load of the machine some are taken at rest
    blur = values(run, "blur_x")
    assert (blur > 0).mean() > 0.5
    # hardly wider than a pixel, and at most the velocity of the start document for as long as the exposure takes
    assert blur.max() <= WIDEST * STEP
    assert np.median(blur[blur > 0]) <= 1.1 * run.start["fly"]["axes"]["x"]["blur"]


def test_the_dead_patch_lies_where_it_lies_when_stepped(runs):
    (stepped, _), (flown, _) = runs
    # A blur about the mean position moves no straight edge; the curvature of the patch, 22 um, moves it by
    # blur^2 / (24 * 22 um) < 0.15 um, the readback's lag of 2 ms at 170 um/s by 0.34 um, this way in one row and that
    # way in the next. Counting: 1e5 in each of 30 pixels, 5 % a um at the edge: below 0.1 um.
    assert edge_shift(stepped) == pytest.approx(0.0, abs=1.0)
    assert edge_shift(flown) == pytest.approx(edge_shift(stepped), abs=1.0)


def test_the_flown_gaps_are_as_true_as_the_stepped_ones(runs):
    (_, stepped), (_, flown) = runs
    # 100 pixels: the correlation of two samples of the same map differs by a few hundredths, the width of pulls by 0.1
    assert flown["truth_correlation"] > stepped["truth_correlation"] - 0.1
    assert flown["pull_std"] == pytest.approx(stepped["pull_std"], abs=0.35)


def test_the_axis_is_read_after_the_flight_as_before(runs, station):
    from epics import PV

    # Channels that are connected now would take the place of one that had been let go.
    others = [PV(f"SIM:FAULT:{kind}:AMOUNT") for kind in ("EF_DRIFT", "OVER_COUNT", "LATE_FRAME", "SHUTTER_DROP")]
    assert all(other.wait_for_connection(10.0) for other in others)
    x = station.manipulator.x
    x.set(37.0).wait(20.0)
    assert x.position == pytest.approx(37.0, abs=x.tolerance)
    for other in others:
        other.disconnect()
