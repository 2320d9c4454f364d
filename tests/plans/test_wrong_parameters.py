"""Every wrong parameter of a raster is refused in one clear line, and no motor is told anything."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from microarpes.beamline.cli import main
from microarpes.beamline.config import ConfigError, simulated_config, simulated_text
from microarpes.beamline.engine import RunJournals
from microarpes.beamline.journal import RAW_JOURNAL, JournalWriter
from microarpes.beamline.outlook import agreed
from microarpes.devices.axis import Axis
from microarpes.devices.motor_settings import MotorSettings
from microarpes.devices.region import AngleWindow, Region
from microarpes.plans import estimate as estimates
from microarpes.plans.estimate import estimate
from microarpes.plans.grid import Line, RasterGrid
from microarpes.plans.limits import GateLimits
from microarpes.plans.point_run import point_run
from microarpes.plans.preflight import RESERVED, check_metadata
from microarpes.plans.raster import gap_raster
from microarpes.plans.shapes import SHAPES, LineScan, Mask, PointList, Polygon, Spiral, Union
from microarpes.plans.start_document import instrument_document, raster_document

NAN, INF = float("nan"), float("inf")
#: 6 mm of travel, and no backlash.
SETTINGS = MotorSettings(
    low_limit=-3000.0, high_limit=3000.0, velocity=2000.0, acceleration_time=0.01, settle_time=0.0, backlash=0.0,
    backlash_velocity=100.0, backlash_acceleration_time=0.01, direction=0, mode=3, egu="um", offset=0.0,
)  # fmt: skip


class StillAxis:
    """What an axis refuses, without its record; it remembers what it was told."""

    check_value, check_units, _outside = Axis.check_value, Axis.check_units, Axis._outside
    kinematic_time, limits = Axis.kinematic_time, Axis.limits

    def __init__(self, name, units="um", **changes):
        self.name, self.prefix, self.units, self.tolerance = name, f"M:{name.upper()}", units, 1.0
        self.settings = dataclasses.replace(SETTINGS, **{"egu": units, **changes})
        self.setpoint = SimpleNamespace(connected=True)
        self.told = []

    def set(self, value):
        self.told.append(value)


class StillStation:
    """An end station that can be asked, as far as the preflight asks, and notices when a motor is told to move."""

    def __init__(self, **x):
        axes = {"x": StillAxis("x", **x), "y": StillAxis("y"), "polar": StillAxis("polar", "deg")}
        self.manipulator = SimpleNamespace(**axes, axes=axes, angles=lambda: (0.0, 0.0, 0.0), describe_axes=dict)
        self.analyser = SimpleNamespace(
            name="analyser", parent=None, refusals=lambda region: [], axes=(np.arange(400.0), np.arange(300.0)),
            pvs=SimpleNamespace(angular=lambda mode: True), frame_dtype="<i4", images_angles=True,
            describe_region=lambda: {"excitation_energy": 100.0},
        )  # fmt: skip
        self.beam, self.top_up, self.exposure = SimpleNamespace(check="gated"), None, 0.1
        self.source = SimpleNamespace(settings=lambda: {"photon_energy": 100.0})

    @property
    def told(self):
        return [value for axis in self.manipulator.axes.values() for value in axis.told]


REGION = Region(acquire_time=0.1, centre_energy=95.5)
WINDOWS = (AngleWindow(name="+k_F", angle_low=100.0, angle_high=120.0),)


def begin(station, tmp_path, shape, **options):
    """Ask the plan for its first message."""
    return next(gap_raster(station, shape, REGION, WINDOWS, {}, directory=tmp_path, **options))


GRID = RasterGrid.centred(3, 3, 10.0)


@pytest.mark.parametrize(
    "shape",
    [
        GRID,
        RasterGrid.centred(1, 1, 10.0),
        RasterGrid.centred(1, 9, 10.0),
        # from the right to the left, which is written out and meant
        RasterGrid(x=Line(start=20.0, stop=-20.0, num=3), y=Line(start=0.0, stop=10.0, num=2), fast_axis="y"),
        RasterGrid.centred(3, 3, 10.0, centre=(2990.0, 0.0)),
        Spiral(centre=(0.0, 0.0), radius=50.0, step=10.0),
    ],
)
def test_what_is_right_comes_to_its_first_message_which_sets_the_region(tmp_path, shape):
    station = StillStation()
    message = begin(station, tmp_path, shape, md={"sample": {"id": "Bi2212"}})
    assert (message.command, message.obj) == ("set", station.analyser)


@pytest.mark.parametrize("run", ["raster", "points"])
def test_the_start_document_is_told_of_the_angles_of_the_measurement_and_not_of_those_before_the_axes_move(
    tmp_path, run
):
    # A resumed raster turns back an axis that somebody has turned; the alignment goes to the polar angle it is given.
    station, told = StillStation(), []
    station.manipulator.angles = lambda: (15.0, 0.0, 0.2)

    def at_angles(angles):
        told.append(list(angles))
        raise ValueError("asked")

    around = {"directory": tmp_path, "at_angles": at_angles}
    calibration = {"ef": 95.6, "ef_error": 0.001}
    if run == "raster":
        plan = gap_raster(
            station, GRID, REGION, WINDOWS, calibration,
            target=lambda point: {"x": point.x, "y": point.y, "polar": 2.425}, **around,
        )  # fmt: skip
    else:
        described = {"plan_name": "align_antinode", "num_points": 1}
        plan = point_run(station, None, [{"polar": 2.425}], REGION, WINDOWS, calibration, described, **around)
    with pytest.raises(ValueError, match="asked"):
        list(plan)
    assert told == [[2.425, 0.0, 0.2]]
    assert station.told == []


#: Number in the list of wrong plan parameters, how the value is made, what the refusal says.
NO_VALUE = [
    (1, lambda: RasterGrid.centred(3, 3, 10.0, centre=(NAN, 0.0)), "centre = .nan, 0.0. um must be two finite"),
    (1, lambda: PointList(points=((0.0, NAN),)), "finite number"),
    (2, lambda: RasterGrid.centred(3, 3, 10.0, centre=(0.0, INF)), "centre = .*must be two finite"),
    (2, lambda: Line(start=-INF, stop=0.0, num=3), "finite number"),
    (3, lambda: RasterGrid.centred(3, 3, 0.0), "step = 0.0 um must be a finite number above 0"),
    (3, lambda: Line(start=5.0, stop=5.0, num=3), "same place"),
    (3, lambda: Spiral(centre=(0.0, 0.0), radius=5.0, step=0.0), "greater than 0"),
    (4, lambda: RasterGrid.centred(3, 3, -1.0), "step = -1.0 um must be a finite number above 0"),
    (4, lambda: Polygon(vertices=((0.0, 0.0), (9.0, 0.0), (0.0, 9.0)), step=-1.0), "greater than 0"),
    (6, lambda: RasterGrid.centred(0, 3, 10.0), "greater than or equal to 1"),
    (6, lambda: PointList(points=()), "at least 1 item"),
    (6, lambda: Mask(grid=GRID, pixels=()), "at least 1 item"),
    (8, lambda: RasterGrid.centred(-3, 3, 10.0), "greater than or equal to 1"),
    (8, lambda: RasterGrid.centred(2.5, 3, 10.0), "valid integer"),
    (9, lambda: RasterGrid.centred(31623, 31623, 1.0), "at most 1000000 are allowed"),
    (9, lambda: Spiral(centre=(0.0, 0.0), radius=1e6, step=1.0), "at most 1000000 are allowed"),
    (9, lambda: Union(shapes=(RasterGrid.centred(1000, 1000, 1.0), GRID)), "at most 1000000 are allowed"),
    (13, lambda: SHAPES.validate_python({**GRID.model_dump(), "units": "mm"}), "should be 'um'"),
    (16, lambda: Polygon(vertices=((0.0, 0.0), (9.0, 0.0), (0.0, 9.0)), step=10.0), "above the size of the polygon"),
    (16, lambda: Spiral(centre=(0.0, 0.0), radius=5.0, step=6.0), "above radius"),
    (18, lambda: Region(acquire_time=0.0, centre_energy=95.5), "greater than 0"),
    (18, lambda: Region(acquire_time=-1.0, centre_energy=95.5), "greater than 0"),
    (18, lambda: Region(acquire_time=NAN, centre_energy=95.5), "finite"),
    (18, lambda: Region(acquire_time=3601.0, centre_energy=95.5), "less than or equal to 3600"),
    (19, lambda: RasterGrid.centred(True, 3, 10.0), "valid integer"),
    (19, lambda: RasterGrid.centred(3, 3, True), "step = True um must be a finite number"),
    (19, lambda: PointList(points=((True, 0.0),)), "valid number"),
    (20, lambda: RasterGrid.centred("3", 3, 10.0), "valid integer"),
    (20, lambda: RasterGrid.centred(3, 3, "10"), "step = '10' um must be a finite number"),
    (20, lambda: RasterGrid.centred(3, 3, 10.0, centre=("0", 0.0)), "centre = .*must be two finite"),
    (20, lambda: LineScan(start=("0", 0.0), stop=(1.0, 1.0), num=2), "valid number"),
    (21, lambda: RasterGrid.centred(3, 3, [10.0]), "step = .10.0. um must be a finite number"),
    (21, lambda: RasterGrid.centred(3, 3, 10.0, centre=5.0), "centre = 5.0 um must be two finite"),
    (21, lambda: Line(start=[0.0], stop=1.0, num=2), "valid number"),
]


@pytest.mark.parametrize(("make", "words"), [row[1:] for row in NO_VALUE], ids=[f"{row[0]}" for row in NO_VALUE])
def test_what_is_no_raster_is_not_even_a_value(make, words):
    with pytest.raises(ValueError, match=words) as refused:
        make()
    # of the value itself pydantic makes a paragraph; what is said of it is one line
    for problem in getattr(refused.value, "errors", list)():
        assert "\n" not in problem["msg"]


#: The same: settings of the axis x, shape, metadata, what the refusal says.
FORBIDDEN = [
    (11, {}, RasterGrid.centred(3, 3, 10.0, centre=(2991.0, 0.0)), {}, "x = 3001.0 um is outside the soft limits"),
    (11, {}, Spiral(centre=(-2960.0, 0.0), radius=50.0, step=5.0), {}, r"outside the soft limits \[-3000, 3000\] um"),
    # the places are allowed, the way by which the axis comes to them is not
    (11, {"backlash": 30.0}, RasterGrid.centred(3, 1, 10.0, (-2980.0, 0.0)), {}, "approached from -3020 um .BDST."),
    (11, {"backlash": -30.0}, PointList(points=((2980.0, 0.0),)), {}, "approached from 3010 um .BDST."),
    (13, {"egu": "mm"}, GRID, {}, "M:X.EGU is 'mm', the config says 'um'"),
    (15, {}, RasterGrid.centred(3, 3, 0.05), {}, "nearer than a tenth of the tolerances, 1 um along x"),
    (15, {}, PointList(points=((0.0, 0.0), (9.0, 9.0), (0.05, 0.05))), {}, "1 pairs of places are nearer"),
    (15, {}, PointList(points=((0.0, 0.0), (0.2, 0.2), (2000.0, 1999.9))), {}, "rasters of their own"),
    (24, {}, GRID, {"tags": {"a", "b"}}, "'tags' cannot be written as JSON: Object of type set"),
    (24, {}, GRID, {"sample": object()}, "'sample' cannot be written as JSON: Object of type object"),
    (24, {}, GRID, {"temperature": NAN}, "'temperature' cannot be written as JSON"),
    (25, {}, GRID, {"notes": "x" * 1_000_001}, "at most 1000000 are allowed"),
    (25, {}, GRID, {f"note {i}": "x" * 1000 for i in range(1000)}, "at most 1000000 are allowed"),
    *((26, {}, GRID, {key: 1}, f"metadata '{key}' is what the plan itself says") for key in ("time", "uid", "seq_num")),
    (26, {}, GRID, {"grid": {}}, "metadata 'grid' is what the plan itself says"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("axis", "shape", "md", "words"), [row[1:] for row in FORBIDDEN], ids=[f"{row[0]}" for row in FORBIDDEN]
)
def test_what_this_beamline_cannot_do_is_refused_before_anything_is_told(tmp_path, axis, shape, md, words):
    station = StillStation(**axis)
    with pytest.raises(ValueError, match=words) as refused:
        begin(station, tmp_path, shape, md=md)
    assert "\n" not in str(refused.value)
    assert station.told == []


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    shape = PointList(points=((4000.0, -4000.0), (4000.05, -4000.0)))
    with pytest.raises(ValueError, match="soft limits") as refused:
        begin(StillStation(), tmp_path, shape, md={"uid": "mine"})
    for words in ("x = 4000.0 um", "y = -4000.0 um", "nearer than a tenth", "'uid'"):
        assert words in str(refused.value)


def outlook(station, tmp_path, shape, exposure=1.0, beam=None):
    return estimate(station, shape.rows(), exposure, tmp_path, beam or {})


def test_time_dose_disk_and_the_real_end_points_are_reckoned(tmp_path):
    found = outlook(StillStation(), tmp_path, GRID, exposure=2.0, beam={"footprint": [30.0, 30.0]})
    # a move of 10 um is over before full speed: 2 sqrt(10 um * 0.01 s / 2000 um/s), and 9 pixels need 8
    assert found.motion == pytest.approx(8 * 0.014142, rel=1e-3)
    assert found.duration == pytest.approx(9 * (2.0 + estimates.OVERHEAD) + found.motion)
    # the middle has its four neighbours within half of 30 um, and those across the corner, at 14.1 um
    assert found.dose == 9 * 2.0
    assert found.disk == 9 * (300 * 400 * 4 + estimates.RECORD_BYTES)
    assert found.doubts == found.refusals == list(found.warnings) == []
    # 17: a step that does not divide the range; 25 um are asked for
    polygon = Polygon(vertices=((0.0, 0.0), (25.0, 0.0), (25.0, 25.0), (0.0, 25.0)), step=10.0)
    assert "9 points from x = 0 to 20 um, y = 0 to 20 um" in outlook(StillStation(), tmp_path, polygon).lines()


#: um FWHM
SPOT = {"spot_size": [10.0, 12.0]}


@pytest.mark.parametrize(
    ("axis", "num", "step", "beam", "words"),
    [
        # 12: EPICS takes equal limits for none
        (
            {"low_limit": 0.0, "high_limit": 0.0},
            3,
            10.0,
            SPOT,
            "M:X has soft limits [0, 0], which EPICS takes for no",
        ),
        ({}, 9, 21.0, SPOT, "a step of 21 um leaves gaps between spots of 10 x 12 um FWHM"),
        ({}, 9, 2.4, SPOT, "a step of 2.4 um exposes every place many times with a spot of 10 x 12 um FWHM"),
    ],
)
def test_what_may_be_a_mistake_is_told_and_not_refused(tmp_path, axis, num, step, beam, words):
    found = outlook(StillStation(**axis), tmp_path, RasterGrid.centred(num, 1, step), beam=beam)
    assert found.refusals == []
    (warning,) = found.warnings
    assert words in warning


def test_a_raster_as_small_as_if_mm_had_been_meant_needs_somebody_who_agrees(tmp_path):
    # 14: 2 um of 6 mm; a thousandth of the travel is below any spot
    found = outlook(StillStation(), tmp_path, RasterGrid.centred(3, 1, 1.0))
    assert found.doubts == [
        "the raster is 2 um along x, of 6000 um that can be travelled; positions are in um, not in mm"
    ]
    with pytest.raises(ConfigError, match="positions are in um, not in mm; say --yes"):
        agreed(found, yes=False)
    assert outlook(StillStation(), tmp_path, RasterGrid.centred(4, 1, 2.0)).doubts == []


def test_a_raster_beyond_the_end_of_the_beamtime_needs_somebody_who_agrees(tmp_path):
    # 10: 9 exposures of 60 s in the last 5 minutes
    found = dataclasses.replace(outlook(StillStation(), tmp_path, GRID, exposure=60.0), left=300.0)
    assert found.doubts == ["it takes 0:09:00 h, 0:05:00 h of the beamtime are left"]
    assert dataclasses.replace(found, left=600.0).doubts == []
    config = simulated_config()
    assert config.beamline.time_left() == INF
    ends = datetime.now() + timedelta(minutes=5)
    assert 290.0 < config.changed(beamline={"beamtime_ends": ends}).beamline.time_left() <= 300.0


@pytest.mark.parametrize(
    ("number", "handed", "words"),
    [
        # 22: a name for a device; 23: shape and station swapped; a region that is the config's table of one
        (22, {"station": "manip"}, "station = 'manip' is no end station: it has no manipulator, analyser and beam"),
        (23, {"station": GRID, "shape": StillStation()}, "is no end station: .*; shape = .* is no shape of a raster"),
        (23, {"region": StillAxis("x")}, "region = .* is no Region of the analyser"),
        (21, {"region": {"acquire_time": 0.1}}, "region = .'acquire_time': 0.1. is no Region"),
        (21, {"windows": WINDOWS[0]}, "windows = .* is no list of AngleWindow"),
        (6, {"windows": ()}, r"windows = \(\) is no list of AngleWindow"),
    ],
)
def test_what_is_handed_over_in_place_of_something_else_is_told_by_name(tmp_path, number, handed, words):
    given = {"station": StillStation(), "shape": GRID, "region": REGION, "windows": WINDOWS, **handed}
    with pytest.raises(TypeError, match=words) as refused:
        next(gap_raster(**given, calibration={}, directory=tmp_path))
    assert "\n" not in str(refused.value)


def test_a_second_process_that_would_move_the_same_axes_is_refused(tmp_path):
    # 28: the first holds the lock of its journal for as long as it lives
    writer = JournalWriter(make_folder(tmp_path / "0f3a9c11-first") / RAW_JOURNAL)
    journals = RunJournals(tmp_path)
    with pytest.raises(ValueError, match=r"run 0f3a9c11 in .* is being measured by another process"):
        journals.refuse_second()
    journals.run_uid = "0f3a9c11-first"
    journals.refuse_second()
    journals.run_uid = ""
    writer.close()
    journals.refuse_second()


def make_folder(folder):
    folder.mkdir()
    return folder


def disk(monkeypatch, free):
    monkeypatch.setattr(estimates.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


def test_a_raster_that_the_disk_cannot_hold_is_refused_and_one_that_takes_most_of_it_is_asked_about(
    tmp_path, monkeypatch
):
    # 9 frames of 480 kB and their records: 4.46 MB
    disk(monkeypatch, 4_400_000)
    (refusal,) = outlook(StillStation(), tmp_path, GRID).refusals
    assert refusal == "9 points take 4.46 MB of disk, 4.4 MB are free; make room or measure fewer points"
    disk(monkeypatch, 8_800_000)
    found = outlook(StillStation(), tmp_path, GRID)
    assert found.refusals == []
    assert found.doubts == ["it takes 4.46 MB of the 8.8 MB that are free"]


def test_the_plan_itself_asks_the_disk_once_the_region_tells_how_large_a_frame_is(tmp_path, monkeypatch):
    disk(monkeypatch, 4_400_000)
    station, calibration = StillStation(), {"ef": 95.6, "ef_error": 0.001}
    plan = gap_raster(station, GRID, REGION, WINDOWS, calibration, directory=tmp_path)
    told = []
    with pytest.raises(ValueError, match=r"9 points take 4\.46 MB of disk, 4\.4 MB are free"):
        told.extend(plan)
    # the region, and nothing else
    assert [(message.command, message.obj) for message in told] == [("set", station.analyser), ("wait", None)]


def test_what_takes_longer_than_half_a_day_needs_somebody_who_agrees(tmp_path, monkeypatch):
    # 10 and 18: nine pixels of 3600 s are 9 h, fourteen are 14 h
    assert outlook(StillStation(), tmp_path, GRID, exposure=3600.0).doubts == []
    long = outlook(StillStation(), tmp_path, RasterGrid.centred(14, 1, 10.0), exposure=3600.0)
    assert long.doubts == ["it takes 14:00:00 h, more than 12 h"]
    agreed(long, yes=True)
    terminal = SimpleNamespace(isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(ConfigError, match="say --yes to have it so"):
        agreed(long, yes=False)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: "n\n"))
    with pytest.raises(ConfigError, match="nothing was moved"):
        agreed(long, yes=False)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: "y\n"))
    agreed(long, yes=False)


SHAPE_FILES = {
    "spiral.json": '{"kind": "spiral", "centre": [0, 0], "radius": "50", "step": NaN}',
    "broken.json": '{"kind": "spiral", ',
    "twice.toml": 'kind = "points"\npoints = [[0.0, 0.0], [0.0, 0.0]]',
    "deep.json": '{"kind": "union", "shapes": [' * 5000,
    "list.json": "[1, 2]",
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["where to measure is missing", "--points", "--shape FILE"]),
        (["--points", "3x3"], ["where to measure is missing"]),
        (["--points", "3x3", "--step", "nan"], ["step = nan um must be a finite number above 0"]),
        (["--points", "3x3", "--step", "-1"], ["step = -1.0 um"]),
        (["--points", "3x3", "--step", "10", "--centre", "nan,0"], ["centre = (nan, 0.0) um"]),
        (["--points", "0x3", "--step", "10"], ["--points '0x3'", "whole numbers above 0"]),
        (["--points", "40000x40000", "--step", "1"], ["at most 1000000"]),
        (["--points", "3x3", "--step", "10", "--fast-axis", "z"], ["--fast-axis 'z' is neither x nor y"]),
        (["--points", "3x3", "--shape", "spiral.json"], ["leave out --points"]),
        (["--no-snake", "--shape", "spiral.json"], ["leave out --snake"]),
        (["--shape", "none.json"], ["none.json cannot be read: No such file"]),
        (["--shape", "broken.json"], ["broken.json is not JSON"]),
        (["--shape", "deep.json"], ["deep.json"]),
        (["--shape", "list.json"], ["list.json: the shape"]),
        (["--shape", "spiral.json"], ["radius: Input should be a valid number (found '50')", "step: Input should be"]),
        (["--shape", "twice.toml"], ["twice.toml: points: point (0.0, 0.0) is given twice"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_that_asks_for_no_raster_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beamline.toml").write_text(simulated_text())
    for name, text in SHAPE_FILES.items():
        (tmp_path / name).write_text(text)
    assert main(["map", "--config", "beamline.toml", "--no-page", *arguments]) in (1, 2)
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith("microarpes: ")
    for word in words:
        assert word in line
    assert told.out == ""


def test_nothing_that_the_plan_says_can_be_said_by_metadata():
    station, calibration = StillStation(), {"ef": 95.6, "ef_error": 0.001}
    start = instrument_document(station, WINDOWS, calibration, station.analyser.axes, GateLimits())
    start |= raster_document(GRID)
    assert start.keys() - {"plan_name"} <= RESERVED


def test_the_metadata_of_every_run_are_allowed():
    from microarpes.beamline.detector import make_detector
    from microarpes.beamline.run_metadata import start_metadata

    config = simulated_config()
    said = {"detector": make_detector(config.analyser.detector).document(), **start_metadata(config), "seed": 7}
    assert check_metadata(said) == []
