"""What a run of any shape plans is waited for, drawn and counted; the other cells of its lattice are nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from microarpes.beamline.page_header import Header
from microarpes.beamline.planned import planned_mask, visit_of
from microarpes.beamline.raster_view import RasterView
from microarpes.beamline.stored_figures import gap_figures, map_picture, stopped_by_operator
from microarpes.beamline.stored_run import StoredRun
from microarpes.plans.grid import RasterGrid
from microarpes.plans.shapes import Mask, Spiral

GRID = RasterGrid.centred(4, 3, 10.0)
CHOSEN = Mask(grid=GRID, pixels=(0, 5, 6, 9))


def start_of(shape):
    lattice = shape.lattice()
    return {
        "uid": "u", "grid": lattice.document(), "shape": list(lattice.shape), "num_points": shape.num_points,
        "raster_shape": shape.model_dump(mode="json"),
    }  # fmt: skip


def test_a_grid_plans_all_of_its_pixels_whether_it_says_so_or_is_from_before_there_were_shapes():
    told = start_of(GRID)
    before = {key: value for key, value in told.items() if key != "raster_shape"}
    for start in (told, before):
        assert visit_of(start) is None
        assert planned_mask(start).all()


def test_a_mask_plans_its_pixels_and_the_way_ahead_leads_through_them_alone():
    start = start_of(CHOSEN)
    assert np.flatnonzero(planned_mask(start)).tolist() == [0, 5, 6, 9]
    raster = RasterView.of(start["grid"], visit_of(start))
    # the second row backwards
    assert raster.visit().tolist() == [0, 6, 5, 9]


def test_a_spiral_is_walked_turn_by_turn_on_the_page_too():
    spiral = Spiral(centre=(0.0, 0.0), radius=30.0, step=10.0)
    start = start_of(spiral)
    raster = RasterView.of(start["grid"], visit_of(start))
    for pixel, point in zip(raster.visit().tolist(), (p for row in spiral.rows() for p in row), strict=True):
        x, y = raster.centre(pixel)
        wide, high = raster.pitch
        assert abs(x - point.x) <= wide / 2
        assert abs(y - point.y) <= high / 2


@pytest.mark.parametrize("told", ["spiral", {"kind": "sprial"}, {"kind": "points", "points": [[900.0, 0.0]]}, {}])
def test_a_shape_that_cannot_be_read_hides_nothing_of_a_run(told):
    assert planned_mask(start_of(GRID) | {"raster_shape": told}).all()


def test_the_page_waits_for_what_is_planned():
    history = {"time": [], "attempt": []}
    status = np.full((3, 4), "", dtype="<U10")
    feed = SimpleNamespace(uid="u", start=start_of(CHOSEN), stop=None, n_measured=1, status=status, history=history,
                           interruptions=[], within_reach=True, looks=[], calibrations=[])  # fmt: skip
    assert "1 of 4 pixels" in Header(SimpleNamespace(feed=feed)).html(now=0.0)


def run(*pixels, **stop):
    events = {pixel: {"seq_num": 1, "time": 0.0, "data": {"pixel": pixel, "total_counts": 9.0}} for pixel in pixels}
    ended = {"exit_status": "success", "num_events": {"primary": len(pixels)}, **stop}
    return StoredRun(None, start_of(CHOSEN), events, ended, None)


def test_figures_count_what_is_planned_and_the_picture_leaves_the_rest_blank():
    taken = run(0, 5)
    assert sorted(gap_figures(taken, None, None).status) == ["", "", "not-fitted", "not-fitted"]
    status = map_picture(taken).status
    assert (status == "outside").sum() == 8
    assert status.ravel()[[0, 5, 6, 9]].tolist() == ["not-fitted", "not-fitted", "", ""]


def test_a_run_that_measured_all_it_planned_was_not_stopped_before():
    assert stopped_by_operator(run(0, 5, 6, 9, reason="stopped")) is None
    assert stopped_by_operator(run(0, 5, reason="stopped after row 1")) == "stopped after row 1"
