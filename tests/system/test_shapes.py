"""A polygon and a spiral on the simulated beamline: measured at the right places, and on the map there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from microarpes.beamline.config import simulated_text
from microarpes.beamline.planned import planned_mask
from microarpes.beamline.stored_run import read_run
from microarpes.plans.shapes import SHAPES, Polygon, Spiral, Union, walks_of

#: An L of 8 pixels, walked upwards, and a spiral beside it whose places lie on no lattice.
POLYGON = Polygon(vertices=[(0, 0), (40, 0), (40, 10), (20, 10), (20, 30), (0, 30)], step=10.0, fast_axis="y")
SHAPE = Union(shapes=(POLYGON, Spiral(centre=(-40.0, 20.0), radius=20.0, step=8.0, inwards=True)))


@pytest.fixture(scope="module")
def mapped(ioc, command_line, tmp_path_factory):
    """A map taken from the command line: its run, what was printed and the summary."""
    folder = tmp_path_factory.mktemp("shape")
    (folder / "beamline.toml").write_text(simulated_text())
    (folder / "shape.json").write_bytes(SHAPES.dump_json(SHAPE))
    options = ["--config", "beamline.toml", "--shape", "shape.json", "--exposure", "0.02", "--no-page"]
    done = command_line(folder)("map", *options, "--directory", "runs", "--summary", "summary.json")
    assert done.returncode == 0, done.stdout + done.stderr
    (journal,) = (folder / "runs").glob("*/raw.journal")
    return read_run(journal.parent), done.stdout, json.loads((folder / "summary.json").read_text())


def test_every_place_was_measured_once_where_it_was_planned(mapped):
    run, _, _ = mapped
    places = np.concatenate(walks_of(SHAPE))
    events = sorted(run.events.values(), key=lambda event: event["seq_num"])
    assert len(events) == len(places) == run.start["num_points"]
    for event, (x, y) in zip(events, places, strict=True):
        # the encoders are read within 0.05 um
        assert event["data"]["manipulator_x"] == pytest.approx(x, abs=0.5)
        assert event["data"]["manipulator_y"] == pytest.approx(y, abs=0.5)


def test_the_start_document_gives_the_shape_back(mapped):
    run, _, _ = mapped
    assert SHAPES.validate_python(run.start["raster_shape"]) == SHAPE


def test_what_was_measured_is_on_the_map_where_it_was_measured(mapped):
    run, _, _ = mapped
    lattice, planned = SHAPE.lattice(), planned_mask(run.start)
    assert planned.shape == run.shape == lattice.shape
    measured = run.gap_map.seq_num > 0
    assert np.array_equal(measured, planned)
    assert not planned.all()
    x, y = np.meshgrid(*(np.linspace(line.start, line.stop, line.num) for line in (lattice.x, lattice.y)))
    # in its cell: half a cell away from the centre at the most, and the encoders' 0.05 um
    assert np.abs(run.gap_map.manipulator_x - x)[measured].max() <= lattice.x.step / 2 + 0.2
    assert np.abs(run.gap_map.manipulator_y - y)[measured].max() <= lattice.y.step / 2 + 0.2


def test_only_what_is_planned_is_counted_and_reported(mapped):
    run, told, summary = mapped
    assert summary["n_points"] == summary["n_acquired"] == SHAPE.num_points
    assert f"{SHAPE.num_points} points from x = " in told
    report = (run.folder / "report.html").read_text()
    assert f"union, {SHAPE.num_points} of these pixels" in report
    assert "not measured" not in report
    assert (run.folder / "gap_map.png").stat().st_size > 10_000


def test_a_dry_run_tells_time_dose_and_disk_and_moves_nothing(microarpes, station):
    (microarpes.folder / "beamline.toml").write_text(simulated_text())
    shape = Union(shapes=(POLYGON, Polygon(vertices=POLYGON.vertices, step=5.0)))
    (microarpes.folder / "shape.json").write_bytes(SHAPES.dump_json(shape))
    before = {name: axis.position for name, axis in station.manipulator.axes.items()}
    done = microarpes("map", "--config", "beamline.toml", "--shape", "shape.json", "--exposure", "2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    # 8 pixels of 10 um lie on the 32 of 5 um, which are visited after them
    assert "32 points from x = 0 to 35 um, y = 0 to 25 um" in done.stdout
    assert "time 0:01:0" in done.stdout
    assert "2 s exposure" in done.stdout
    # the footprint is 17 x 12 um: within half of it lie the place, two rows of neighbours along x and one along y
    assert "dose: up to " in done.stdout
    # frames of 400 x 300 int32, and the journals
    assert f"disk {32 * (480_000 + 15_000) / 1e6:.3g} MB" in done.stdout
    assert before == pytest.approx({name: axis.position for name, axis in station.manipulator.axes.items()}, abs=0.5)
    assert not (microarpes.folder / "microarpes-data").exists()


def test_a_night_that_nobody_agreed_to_does_not_begin(microarpes, station):
    (microarpes.folder / "beamline.toml").write_text(simulated_text())
    (microarpes.folder / "shape.json").write_bytes(SHAPES.dump_json(SHAPE))
    done = microarpes("map", "--config", "beamline.toml", "--shape", "shape.json", "--exposure", "3600")
    assert done.returncode == 1
    # 28 points of an hour
    assert f"time {SHAPE.num_points}:00:0" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "more than 12 h; say --yes to have it so" in line
    assert not (microarpes.folder / "microarpes-data").exists()
