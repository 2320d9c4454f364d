"""What comes before a map, against the simulated beamline: antinode, Fermi surface, focus."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from session_runs import events, run, start_of

from microarpes.beamline.before_map import configured_alignment, configured_focus, configured_fs_map
from microarpes.beamline.engine import make_engine
from microarpes.beamline.window_file import load_windows
from microarpes.plans.focus import FocusLines
from microarpes.sim.sample import LIVE, Sample

POLAR = 9.425
#: The IOC's own.
SAMPLE = Sample(7)


@pytest.fixture
def beamline(config, station, tmp_path):
    """Configuration, station and journals, and what runs a plan and returns its result; the axes go back after it."""
    engine, journals = make_engine(tmp_path, station)
    yield config, station, journals, lambda plan: run(engine, plan)
    for name, axis in station.manipulator.axes.items():
        axis.set(POLAR if name == "polar" else 0.0).wait(20.0)


def test_the_antinode_is_found_tilted_to_and_windows_lie_about_it(beamline):
    config, station, journals, do = beamline
    config = config.changed(region={"acquire_time": 0.1})
    station.manipulator.x.set(-20.0).wait(20.0)
    station.manipulator.y.set(-50.0).wait(20.0)
    station.manipulator.tilt.set(0.4).wait(20.0)
    face = float(SAMPLE.face_tilt_at(-20.0, -50.0))
    uid, seen = do(configured_alignment(config, station, journals, polar=POLAR, save="seen"))
    # 3e6 counts/s for 0.1 s know the centre to 0.006 deg; the tilt readback is good to 0.001 deg.
    assert seen.centre == pytest.approx(-(0.4 + face), abs=0.03)
    assert seen.proposed_tilt == pytest.approx(-face, abs=0.03)
    assert not seen.moved
    assert station.manipulator.tilt.position == pytest.approx(0.4, abs=0.02)
    before, placed = config.windows, load_windows(journals.directory / "windows-seen.toml")
    for old, new in zip(before, placed, strict=True):
        assert new.angle_low - old.angle_low == pytest.approx(seen.centre, abs=1e-3)
    uid, found = do(configured_alignment(config, station, journals, polar=POLAR, go=True))
    assert found.moved
    assert found.tilt == pytest.approx(-face, abs=0.04)
    assert abs(found.centre) < 0.03
    told = events(journals, uid, "mirror_centre")
    assert [one["status"] for one in told] == ["ok"] * len(told)
    assert told[0]["centre"] == pytest.approx(seen.centre, abs=0.04)
    assert start_of(journals, uid)["plan_name"] == "align_antinode"


def test_on_the_holder_nothing_is_tilted_and_no_windows_are_saved(beamline):
    config, station, journals, do = beamline
    station.manipulator.x.set(400.0).wait(20.0)
    _, found = do(configured_alignment(config, station, journals, go=True, save="holder"))
    assert "holder" in found.problem
    assert np.isnan(found.centre)
    assert not found.moved
    assert station.manipulator.tilt.position == pytest.approx(0.0, abs=0.02)
    assert not (journals.directory / "windows-holder.toml").exists()


def test_a_fermi_surface_map_is_a_frame_at_each_polar_angle(beamline):
    config, station, journals, do = beamline
    polars = [0.0, 4.0, POLAR]
    uid, number = do(configured_fs_map(config, station, polars, journals))
    assert number == 3
    taken = events(journals, uid, "primary")
    assert [one["pixel"] for one in taken] == [0, 1, 2]
    assert [one["manipulator_polar_setpoint"] for one in taken] == polars
    start = start_of(journals, uid)
    assert (start["plan_name"], start["polar"]) == ("fs_map", polars)
    with h5py.File(journals.directory / uid / start["frame_file"]) as file:
        assert len(file["entry/data/data"]) == 3
    with pytest.raises(ValueError, match="limit"):
        do(configured_fs_map(config, station, [0.0, 4.0, 1e4], journals))
    with pytest.raises(ValueError, match="told apart"):
        do(configured_fs_map(config, station, [0.0, 4.0, 4.001], journals))


def test_spot_sizes_are_those_of_the_beam_and_without_a_focus_nothing_moves(beamline):
    config, station, journals, do = beamline
    along = np.arange(0.0, 150.0, 0.5)
    edge = float(along[SAMPLE.surface_at(along, np.full(along.shape, 0.0)) == LIVE].max())
    # The grain of the sample, 0.3 % of the counts a point, is to stay below counting noise: 3e4 counts a point.
    config = config.changed(region={"acquire_time": 0.005})
    lines = FocusLines(x=round(edge), y=0.0, length=70.0, points=15, focus=(-9.0, -3.0, 3.0, 9.0))
    uid, found = do(configured_focus(config, station, lines, journals, go=True))
    told = events(journals, uid, "spot_size")
    assert [one["status"] for one in told] == ["ok"] * 4
    # The simulated beam is 10 um wide at any z; 3e4 counts a point know that to about 0.3 um.
    assert [one["width"] for one in told] == pytest.approx([10.0] * 4, abs=1.5)
    # It comes at 45 deg from the side: 18 um of z are so many um of x at polar 9.4 deg.
    assert abs(told[-1]["edge"] - told[0]["edge"]) > 5.0
    assert "both sides" in found.best.problem
    assert not found.moved
    assert events(journals, uid, "focus")[0]["status"] == found.best.problem
    assert len(events(journals, uid, "primary")) == 60
    for name in ("x", "y", "z"):
        assert getattr(station.manipulator, name).position == pytest.approx(0.0, abs=2.0)
