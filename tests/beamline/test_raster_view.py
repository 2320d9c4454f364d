"""Pixels lie where they were measured, whichever way the raster ran."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.beamline.raster_view import RasterView

DIRECTIONS = [(1, 1), (-1, 1), (1, -1), (-1, -1)]


def view(sign_x=1, sign_y=1, *, snake=True, fast_axis="x"):
    """3 columns 10 um apart, 2 rows 5 um apart."""
    x, y = sign_x * np.array([-10.0, 0.0, 10.0]), sign_y * np.array([0.0, 5.0])
    return RasterView(x, y, snake, fast_axis)


@pytest.mark.parametrize("signs", DIRECTIONS)
def test_the_upright_map_has_x_to_the_right_and_y_upwards(signs):
    raster = view(*signs)
    x, y = np.meshgrid(raster.x, raster.y)
    assert (np.diff(raster.upright(x), axis=1) > 0).all()
    assert (np.diff(raster.upright(y), axis=0) > 0).all()


@pytest.mark.parametrize("signs", DIRECTIONS)
def test_a_pixel_is_found_again_where_it_is_drawn(signs):
    raster = view(*signs)
    plane = np.arange(6.0).reshape(2, 3)
    for pixel in range(6):
        row, column = raster.place(pixel)
        assert raster.upright(plane)[row, column] == pixel
        assert raster.pixel_at(*raster.centre(pixel)) == pixel


def test_the_map_reaches_half_a_pixel_beyond_the_outermost_centres():
    assert view().extent == (-15.0, 15.0, -2.5, 7.5)
    assert view(-1, -1).extent == (-15.0, 15.0, -7.5, 2.5)
    assert view().pixel_at(15.1, 0.0) is None
    assert view().pixel_at(14.9, 7.4) == 5


def test_a_single_row_is_as_high_as_its_pixels_are_wide():
    row = RasterView(np.array([0.0, 4.0, 8.0]), np.array([1.0]), True, "x")
    assert row.pitch == (4.0, 4.0)
    point = RasterView(np.array([3.0]), np.array([1.0]), True, "x")
    assert point.extent == (2.5, 3.5, 0.5, 1.5)


@pytest.mark.parametrize("fast_axis", ["x", "y"])
@pytest.mark.parametrize("snake", [True, False])
def test_the_way_ahead_is_the_one_the_plan_goes(fast_axis, snake):
    from microarpes.plans.grid import RasterGrid

    grid = RasterGrid.centred(4, 3, 10.0, snake=snake, fast_axis=fast_axis)
    raster = RasterView.of(grid.document())
    assert raster.visit().tolist() == [point.pixel for point in grid.points()]


@pytest.mark.parametrize("signs", DIRECTIONS)
def test_stretches_cover_the_pixels_of_a_mask_and_no_other(signs):
    raster = view(*signs)
    mask = np.array([[True, True, False], [True, False, True]])
    found = raster.stretches(mask)
    assert len(found["x"]) == 3  # two neighbours in a row are one
    covered = np.zeros_like(mask)
    for x, y, width, height in zip(*(found[name] for name in ("x", "y", "width", "height")), strict=True):
        across = np.abs(raster.x - x) < width / 2
        along = np.abs(raster.y - y) < height / 2
        covered |= along[:, None] & across[None]
    assert (covered == mask).all()


def test_a_click_where_the_run_does_not_go_chooses_nothing():
    x, y = np.array([-10.0, 0.0, 10.0]), np.array([0.0, 5.0])
    raster = RasterView(x, y, True, "x", planned=np.array([4, 0]))
    assert [raster.pixel_at(*raster.centre(pixel)) for pixel in range(6)] == [0, None, None, None, 4, None]
    assert raster.visited.tolist() == [[True, False, False], [False, True, False]]
