"""What a long spectrum takes from its map: region, calibration, and where the pixel is after the sample has moved."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from microarpes.beamline import long_spectra
from microarpes.beamline.config import simulated_config
from microarpes.beamline.journal import JournalWriter
from microarpes.beamline.long_spectra import FittedError, long_spectrum
from microarpes.beamline.pixel_places import NotThere, read_places
from microarpes.plans.long_spectrum import SpectrumGoal

LANDMARK = {"x": -45.0, "y": 35.0, "points": 4, "step": 20.0, "every_rows": 4}
CONFIG = simulated_config()
FOLLOWED = CONFIG.changed(landmark=LANDMARK)
ANGLES = {"polar": 9.425, "tilt": 0.0, "azimuth": 0.0}
GOAL = SpectrumGoal("time", 60.0)
SHIFT = (5.0, 2.0)


def write(directory):
    """A map with a landmark and one pixel of three, taken with a shift of 3 um; the last look saw 5 and 2 um."""
    folder = directory / "map"
    folder.mkdir()
    writer = JournalWriter(folder / "raw.journal")
    region = {**CONFIG.region.model_dump(), "low_energy": 95.28, "high_energy": 95.679, "excitation_energy": 100.0}
    grid = {"x": {"start": 0.0, "stop": 20.0, "num": 3}, "y": {"start": 0.0, "stop": 0.0, "num": 1}}
    writer("start", {
        "uid": "map", "time": 1.0, "plan_name": "gap_raster", "shape": [1, 3], "grid": grid, "region": region,
        "windows": [window.model_dump() for window in CONFIG.windows], "gate": CONFIG.gate.model_dump(),
        "calibration": {"time": 1.0, "ef": [95.6, 95.6]}, "landmark": FOLLOWED.landmark.model_dump(),
        "sample": {"id": "flake 3"},
    })  # fmt: skip
    at = {"x": 13.0, "y": 0.0, "z": 4.0, **ANGLES}
    axes = {f"manipulator_{name}{suffix}": value for name, value in at.items() for suffix in ("", "_setpoint")}
    look = {"status": "ok", "image": [[1.0]], "image_error": [[0.1]]}
    for stream, data in (
        ("primary", {"pixel": 1, "shift_x": 3.0, "shift_y": 0.0, **axes}),
        ("drift", {**look, "shift_x": SHIFT[0], "shift_y": SHIFT[1]}),
        ("calibration", {"time": 5.0, "ef": [95.602, 95.602]}),
    ):
        writer("descriptor", {"uid": f"{stream}-uid", "run_start": "map", "name": stream, "data_keys": {}})
        writer("event", {"uid": stream, "descriptor": f"{stream}-uid", "seq_num": 1, "time": 5.0, "data": data,
                         "timestamps": {}})  # fmt: skip
    writer.close()
    return read_places(directory)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Return what the plan of a raster is given for a long spectrum of a configuration."""

    def ask(config, pixel=1):
        given = {}
        monkeypatch.setattr(long_spectra, "gap_raster", lambda *a, **k: given.update(k, positional=a))
        axes = {
            name: SimpleNamespace(check_value=lambda value: None, tolerance=1.0) for name in ("x", "y", "z", *ANGLES)
        }
        manipulator = SimpleNamespace(**axes, axes=axes, angles=lambda: list(ANGLES.values()))
        station = SimpleNamespace(manipulator=manipulator, watched=None)
        journals = SimpleNamespace(directory=tmp_path, error=lambda: None)
        long_spectrum(config, station, journals, write(tmp_path), pixel, GOAL, {"comment": "again"})
        return given

    return ask


def aimed_at(given):
    """Where the axes are sent for the pixel before the landmark is looked at again."""
    ((point,),) = given["positional"][1].rows()
    return dict(given["target"](point))


def test_the_pixel_is_where_the_landmark_was_seen_last_and_follows_it_from_there(asked):
    given = asked(FOLLOWED)
    # planned at x = 10 um
    assert aimed_at(given) == {"x": 15.0, "y": 2.0, "z": 4.0}
    assert given["shift_of"](0) == SHIFT
    assert given["positional"][1].x.start == 10.0


def test_a_landmark_that_the_map_did_not_have_begins_anew_where_the_pixel_is_now(asked):
    given = asked(CONFIG.changed(landmark={**LANDMARK, "x": 60.0}))
    assert aimed_at(given) == {"x": 15.0, "y": 2.0, "z": 4.0}
    assert given["shift_of"](0) == (0.0, 0.0)


def test_without_a_landmark_the_pixel_is_where_the_map_saw_it_last(asked):
    given = asked(CONFIG)
    assert aimed_at(given) == {"x": 15.0, "y": 2.0, "z": 4.0}
    assert "shift_of" not in given


def test_it_is_taken_as_the_map_was_and_names_its_pixel(asked):
    given = asked(CONFIG)
    _, _, region, windows, calibration = given["positional"]
    assert (region, windows, given["limits"]) == (CONFIG.region, CONFIG.windows, CONFIG.gate)
    assert calibration["ef"] == [95.602, 95.602]
    told = given["md"]
    assert (told["plan_name"], told["of_run"], told["of_pixel"]) == ("long_spectrum", "map", 1)
    assert told["goal"] == {"kind": "time", "value": 60.0, "longest": 3600.0}
    assert (told["sample"], told["comment"]) == ({"id": "flake 3"}, "again")


def test_a_pixel_that_was_not_measured_has_no_spectrum(asked):
    with pytest.raises(NotThere, match="pixel 2 of run map was not measured"):
        asked(CONFIG, pixel=2)


def test_the_error_that_is_asked_for_is_that_of_the_live_fit(own_raster):
    documents = list(own_raster.documents())
    start = documents[0][1]
    fitted = FittedError()
    assert math.isnan(fitted({"edc": []})[0])
    fitted.begin(start)
    events = [doc["data"] for name, doc in documents if name == "event"][:3]
    edcs = np.array([event["edc"] for event in events])
    once, status = fitted(events[0])
    assert status == "ok"
    # three pixels with the same gap, counted as one
    more, _ = fitted({**events[0], "edc": edcs.sum(axis=0)})
    assert once / more == pytest.approx(3.0**0.5, rel=0.3)
    assert math.isnan(fitted({**events[0], "edc": 0.0 * edcs[0]})[0])
