"""Rasters are values: what they visit, in which order, and what they refuse."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from microarpes.plans.grid import Line, RasterGrid


def test_pixels_are_counted_row_by_row_whatever_the_order_of_the_visit():
    grid = RasterGrid.centred(3, 2, 10.0)
    assert [tuple(point) for point in grid.points()] == [
        (0, -10.0, -5.0),
        (1, 0.0, -5.0),
        (2, 10.0, -5.0),
        # the second row is walked backwards
        (5, 10.0, 5.0),
        (4, 0.0, 5.0),
        (3, -10.0, 5.0),
    ]


def test_without_snake_every_row_begins_at_the_same_side():
    grid = RasterGrid.centred(2, 2, 1.0, snake=False)
    assert [point.pixel for point in grid.points()] == [0, 1, 2, 3]


def test_a_fast_y_axis_walks_columns_but_numbers_rows():
    grid = RasterGrid.centred(2, 3, 1.0, fast_axis="y")
    assert [point.pixel for point in grid.points()] == [0, 2, 4, 5, 3, 1]


def test_a_descending_line_is_walked_from_its_start():
    grid = RasterGrid(x=Line(start=5.0, stop=-5.0, num=3), y=Line(start=0.0, stop=0.0, num=1))
    assert [(point.pixel, point.x) for point in grid.points()] == [(0, 5.0), (1, 0.0), (2, -5.0)]


@pytest.mark.parametrize(("nx", "ny"), [(1, 1), (1, 7), (7, 1), (31, 17)])
def test_every_pixel_is_visited_once(nx, ny):
    pixels = [point.pixel for point in RasterGrid.centred(nx, ny, 3.3, centre=(12.3, -7.7)).points()]
    assert sorted(pixels) == list(range(nx * ny))


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf"), True, "3", [1.0]])
def test_a_step_that_is_no_distance_is_refused(step):
    with pytest.raises(ValueError, match="step"):
        RasterGrid.centred(3, 3, step)


@pytest.mark.parametrize("num", [0, -1, 2.5, True, "3"])
def test_a_number_of_pixels_must_be_a_whole_number_above_zero(num):
    with pytest.raises(ValidationError, match="num"):
        Line(start=0.0, stop=1.0, num=num)


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), None, "a"])
def test_bounds_must_be_finite_numbers(bound):
    with pytest.raises(ValidationError):
        Line(start=bound, stop=1.0, num=2)


def test_many_points_at_one_place_are_refused():
    with pytest.raises(ValidationError, match="same place"):
        Line(start=1.0, stop=1.0, num=2)


def test_a_map_beyond_any_beamtime_is_refused_before_it_is_expanded():
    with pytest.raises(ValidationError, match="at most"):
        RasterGrid.centred(100_000, 100_000, 1.0)
