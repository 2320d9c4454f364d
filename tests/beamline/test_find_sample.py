"""The grid of a search, and the sample read from a stored map."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from microarpes.beamline.config import simulated_config
from microarpes.beamline.find_sample import NoSample, coarse_grid, find_in_run
from microarpes.beamline.journal import JournalWriter
from microarpes.plans.grid import RasterGrid

GRID = RasterGrid.centred(8, 6, 60.0, (100.0, 0.0))


def axis(low=-5000.0, high=5000.0, position=0.0):
    return SimpleNamespace(limits=(low, high), position=position)


def grid(x=None, y=None, **asked):
    manipulator = SimpleNamespace(x=x or axis(), y=y or axis())
    return coarse_grid(simulated_config(), SimpleNamespace(manipulator=manipulator), **asked)


def stored(directory, counts, contrast, uid="coarse", beam=None):
    """A map with these counts [ny, nx] and angular contrasts."""
    folder = directory / uid
    folder.mkdir()
    writer = JournalWriter(folder / "raw.journal")
    writer("start", {"uid": uid, "time": 1.0, "plan_name": "gap_raster", "shape": [6, 8], "grid": GRID.document()})
    writer("descriptor", {"uid": "primary-uid", "run_start": uid, "name": "primary", "data_keys": {}})
    for pixel, (n, c) in enumerate(zip(counts.ravel(), contrast.ravel(), strict=True)):
        data = {"pixel": pixel, "total_counts": float(n), "angular_contrast": float(c), **(beam or {"i0": 1.0})}
        writer("event", {"uid": f"{pixel}", "descriptor": "primary-uid", "seq_num": pixel + 1, "time": 1.0,
                         "data": data, "timestamps": {}})  # fmt: skip
    writer.close()
    return folder


def flake():
    counts, contrast = np.full((6, 8), 5000.0), np.zeros((6, 8))
    counts[1:4, 2:5], contrast[1:4, 2:5] = 2000.0, 0.4
    return counts, contrast


def test_a_search_fills_the_reach_of_the_axes_with_a_bounded_number_of_points_off_the_limits():
    found = grid()
    assert found.num_points <= 400
    # 10 mm in 20 steps of 500 um; half a step is left for the backlash
    assert (found.x.num, found.x.step) == (20, 500.0)
    assert (found.x.start, found.x.stop) == (-4750.0, 4750.0)
    narrow = grid(x=axis(0.0, 2000.0))
    assert narrow.x.start == 2000.0 - narrow.x.stop == pytest.approx(narrow.x.step / 2)
    # a small field is looked at in steps of four spots, not finer
    assert grid(width=480.0).x.step == 48.0
    about = grid(width=(480.0, 240.0), x=axis(position=700.0))
    assert ((about.x.start + about.x.stop) / 2, about.y.num) == (700.0, 5)
    assert grid(width=480.0, centre=(10.0, 20.0)).y.start == 20.0 - 4.5 * 48.0


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"width": -1.0}, "width = -1.0 um must be a finite number above 0"),
        ({"width": 100.0, "step": True}, "step = True um"),
        ({"width": 10000.0, "step": 10.0}, "1000 x 1000 points, more than 400"),
        ({"most": 2}, "most = 2 points"),
        ({"x": axis(0.0, 0.0)}, "no soft limits"),
    ],
)
def test_a_search_without_an_end_is_refused(asked, told):
    with pytest.raises(ValueError, match=told):
        grid(**asked)


@pytest.mark.parametrize("beam", [{"i0": 2.0}, {"ring_current": 400.0, "live_time": 0.02}])
def test_what_is_found_comes_with_shapes_about_it(tmp_path, beam):
    found = find_in_run(stored(tmp_path, *flake(), beam=beam), 10.0)
    # columns 2 to 4 of x = -110, -50, ... and rows 1 to 3 of y = -150, -90, ...
    assert found.centre == (70.0, -30.0)
    assert found.extent == (180.0, 180.0)
    box = found.grid()
    assert (box.x.num, box.y.num, box.x.start, box.y.stop) == (18, 18, -15.0, 55.0)
    assert set(found.polygon(60.0).vertices) == {(-20.0, -120.0), (-20.0, 60.0), (160.0, -120.0), (160.0, 60.0)}
    assert found.polygon(60.0).num_points == 9
    assert "contrast is 0.40" in repr(found)
    assert "outline is known to 30 um" in repr(found)


def test_a_map_without_a_sample_says_what_it_holds_instead(tmp_path):
    counts, contrast = flake()
    with pytest.raises(NoSample, match=r"no patch .* contrast of a band.*5e\+03 \(39 points, contrast 0.00\), 2e\+03"):
        find_in_run(stored(tmp_path, counts, 0.0 * contrast, "metal"), 10.0)
    with pytest.raises(NoSample, match="run level: the counts over I0 are the same everywhere"):
        find_in_run(stored(tmp_path, 0.0 * counts + 2000.0, contrast, "level"), 10.0)
