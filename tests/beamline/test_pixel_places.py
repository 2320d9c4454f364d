"""From a pixel back to the sample: where it was measured, where that is now, and what forbids to go there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from microarpes.beamline.journal import JournalWriter
from microarpes.beamline.long_spectra import go_to_pixel
from microarpes.beamline.pixel_places import NotThere, find_beam, read_places, whereabouts
from microarpes.beamline.stored_run import NoSuchRun

ANGLES = {"polar": 9.425, "tilt": 0.0, "azimuth": 1.0}
GRID = {"x": {"start": 0.0, "stop": 20.0, "num": 3}, "y": {"start": 0.0, "stop": 10.0, "num": 2}}


def event(stream, seq_num, data):
    return {"uid": f"{stream} {seq_num}", "descriptor": f"{stream}-uid", "seq_num": seq_num, "time": float(seq_num),
            "data": data, "timestamps": {}}  # fmt: skip


def pixel_event(pixel, shift=None):
    """A pixel 10 um from the next, taken where the sample was."""
    dx, dy = shift or (0.0, 0.0)
    at = {"x": 10.0 * (pixel % 3) + dx, "y": 10.0 * (pixel // 3) + dy, "z": 4.0, **ANGLES}
    data = {"pixel": pixel, **{f"manipulator_{name}_setpoint": value for name, value in at.items()}}
    return data if shift is None else data | {"shift_x": dx, "shift_y": dy}


def write(directory, uid, pixels, looks=(), *, time=1.0, **start):
    """A map with these events, and these shifts found along the way."""
    folder = directory / uid
    folder.mkdir()
    writer = JournalWriter(folder / "raw.journal")
    writer("start", {"uid": uid, "time": time, "plan_name": "gap_raster", "shape": [2, 3], "grid": GRID, **start})
    for name in ("primary", "drift"):
        writer("descriptor", {"uid": f"{name}-uid", "run_start": uid, "name": name, "data_keys": {}})
    for number, data in enumerate(pixels, 1):
        writer("event", event("primary", number, data))
    for number, (x, y, status) in enumerate(looks, 1):
        writer("event", event("drift", number, {"shift_x": x, "shift_y": y, "status": status}))
    writer.close()
    return folder


class Axis:
    def __init__(self, name, position, tolerance, limit=5000.0):
        self.name, self.position, self.tolerance, self.limit, self.parent = name, position, tolerance, limit, None

    def check_value(self, value):
        if abs(value) > self.limit:
            raise ValueError(f"{self.name}: {value:g} um is beyond {self.limit:g} um")


def station(x=0.0, y=0.0, z=4.0, limit=5000.0, **angles):
    axes = {"x": Axis("x", x, 1.0, limit), "y": Axis("y", y, 1.0), "z": Axis("z", z, 2.0)}
    axes |= {name: Axis(name, angle, 0.02) for name, angle in (ANGLES | angles).items()}
    manipulator = SimpleNamespace(
        **axes, axes=axes, angles=lambda: [axes[name].position for name in ANGLES],
        positions=lambda: {name: {"readback": {"value": axis.position}} for name, axis in axes.items()},
    )  # fmt: skip
    return SimpleNamespace(manipulator=manipulator)


def moved(plan):
    """Axis to where a plan moves it."""
    return {msg.obj.name: msg.args[0] for msg in plan if msg.command == "set"}


def test_a_pixel_is_where_it_was_measured(tmp_path):
    write(tmp_path, "map", map(pixel_event, range(6)))
    places = read_places(tmp_path)
    assert moved(go_to_pixel(station(), places, 4)) == {"x": 10.0, "y": 10.0, "z": 4.0}
    assert places.target((1, 1)) == places.target(4)


def test_it_has_gone_with_the_sample_since(tmp_path):
    # Taken when the sample was 3 um to the right; at the last look that found it, it was 5 um to the right and 2 up.
    looks = [(0.0, 0.0, "ok"), (5.0, 2.0, "ok"), (99.0, 99.0, "it is not found")]
    write(tmp_path, "map", [pixel_event(1, (3.0, 0.0))], looks)
    places = read_places(tmp_path)
    assert places.target(1) == {"x": 15.0, "y": 2.0, "z": 4.0}
    assert places.place(1).x == 10.0
    here = whereabouts(station(x=16.0, y=2.0), (0.0, 0.0), places)
    assert (here.pixel, here.off, here.on_map) == (1, (1.0, 0.0), True)


def test_a_resumed_map_is_one_map(tmp_path):
    write(tmp_path, "first", [pixel_event(0), pixel_event(1)], [(0.0, 0.0, "ok")])
    write(tmp_path, "second", [pixel_event(2, (1.0, 1.0))], [(1.5, 1.0, "ok")], time=9.0, resumes="first")
    places = read_places(tmp_path)
    assert sorted(places.measured) == [0, 1, 2]
    assert places.target(0) == {"x": 1.5, "y": 1.0, "z": 4.0}
    assert places.target(2) == {"x": 21.5, "y": 1.0, "z": 4.0}


def test_the_newest_map_is_meant_not_the_spectrum_that_was_taken_after_it(tmp_path):
    write(tmp_path, "map", [pixel_event(0)])
    write(tmp_path, "long", [pixel_event(0)], time=9.0, plan_name="long_spectrum")
    assert read_places(tmp_path).uid == "map"
    with pytest.raises(NoSuchRun, match="is of plan 'long_spectrum', no map"):
        read_places(tmp_path, "long")
    with pytest.raises(NoSuchRun, match=r"-2 of plan gap_raster was asked for, .* holds 1"):
        read_places(tmp_path, "-2")


@pytest.mark.parametrize(
    ("pixel", "reason"),
    [
        (3, "pixel 3 of run map was not measured, 2 others were"),
        (6, "pixel 6 is not in the map; run map has 3 columns and 2 rows"),
        (-1, "pixel -1 is not in the map"),
        ((3, 0), r"pixel \(3, 0\) is not in the map"),
        (1.0, "neither a number nor"),
        (True, "neither a number nor"),
        ((1, 1, 1), "neither a number nor"),
    ],
)
def test_what_was_not_measured_is_not_gone_to(tmp_path, pixel, reason):
    write(tmp_path, "map", [pixel_event(0), pixel_event(1)])
    with pytest.raises(NotThere, match=reason):
        next(go_to_pixel(station(), read_places(tmp_path), pixel))


@pytest.mark.parametrize(
    ("here", "reason"),
    [
        ({"limit": 5.0}, "pixel 1 of run map: x: 10 um is beyond 5 um"),
        ({"polar": 12.0}, "polar is 12 deg, the pixel was measured at 9.425 deg; turn it back"),
        ({"tilt": 0.5, "azimuth": 0.0}, "tilt is 0.5 deg.*azimuth is 0 deg, the pixel was measured at 1 deg"),
    ],
)
def test_limits_and_angles_that_differ_forbid_it_and_nothing_moves(tmp_path, here, reason):
    write(tmp_path, "map", [pixel_event(0), pixel_event(1)])
    with pytest.raises(NotThere, match=reason):
        next(go_to_pixel(station(**here), read_places(tmp_path), 1))


def test_where_the_beam_is_is_told_with_what_keeps_it_from_being_the_pixel(tmp_path):
    write(tmp_path, "map", map(pixel_event, range(6)))
    places = read_places(tmp_path)
    here = whereabouts(station(x=12.0, y=-1.0), (7.0, 8.0), places)
    assert repr(here) == "u, v = 7.0, 8.0 um; pixel 1 of run map: x +2.0, y -1.0 um off"
    # half a step of 10 um is the end of the outermost cell
    assert whereabouts(station(x=24.9), (0.0, 0.0), places).on_map
    outside = whereabouts(station(x=26.0), (0.0, 0.0), places)
    assert (outside.pixel, outside.on_map) == (2, False)
    assert "outside of what was measured" in repr(outside)
    turned = whereabouts(station(x=10.0, z=9.0, polar=0.0), (0.0, 0.0), places)
    assert not turned.on_map
    assert "polar is 0 deg" in repr(turned)
    assert "z is 9 um, the pixel was measured at 4 um" in repr(turned)


def test_a_map_without_a_pixel_is_nowhere(tmp_path):
    write(tmp_path, "map", [])
    with pytest.raises(NotThere, match="nothing was measured in run map"):
        whereabouts(station(), (0.0, 0.0), read_places(tmp_path))


def test_without_a_map_the_spot_of_the_sample_is_told_all_the_same(tmp_path):
    here = find_beam(station(), (7.0, 8.0), tmp_path)
    assert repr(here).startswith("u, v = 7.0, 8.0 um; no run '-1'")
    write(tmp_path, "map", [pixel_event(0)])
    assert find_beam(station(), (7.0, 8.0), tmp_path).pixel == 0
