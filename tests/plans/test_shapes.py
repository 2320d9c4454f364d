"""Shapes of a raster: written and read back they are the same, every place is visited once, no two share a cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from microarpes.plans.grid import Line, RasterGrid
from microarpes.plans.placement import SAME_PLACE
from microarpes.plans.shapes import (
    SHAPES,
    LineScan,
    Mask,
    PointList,
    Polygon,
    Spiral,
    Union,
    coarse_then_fine,
    planned_pixels,
    walks_of,
)

#: um, on a lattice of 0.25 um, so that shapes are commensurate more often than not.
coordinates = st.integers(-400, 400).map(lambda number: number / 4)
places = st.tuples(coordinates, coordinates)
steps = st.sampled_from([2.0, 2.5, 5.0, 7.3, 10.0])
axes = st.sampled_from(["x", "y"])


@st.composite
def grids(draw):
    nx, ny = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    grid = RasterGrid.centred(nx, ny, draw(steps), draw(places), snake=draw(st.booleans()), fast_axis=draw(axes))
    if draw(st.booleans()):
        grid = grid.model_copy(update={"x": Line(start=grid.x.stop, stop=grid.x.start, num=nx)})
    return grid


@st.composite
def lines(draw):
    start, stop = draw(st.lists(places, min_size=2, max_size=2, unique=True))
    return LineScan(start=start, stop=stop, num=draw(st.integers(2, max(2, int(math.dist(start, stop))))))


@st.composite
def spirals(draw):
    step = draw(steps)
    return Spiral(centre=draw(places), step=step, radius=step * draw(st.floats(1.0, 5.0)), inwards=draw(st.booleans()))


@st.composite
def polygons(draw):
    # A box with a corner taken out, which is not convex.
    (x, y), step = draw(places), draw(steps)
    wide, high = step * draw(st.integers(2, 8)), step * draw(st.integers(2, 8))
    corner = (x + wide * draw(st.floats(0.2, 0.9)), y + high * draw(st.floats(0.2, 0.9)))
    vertices = ((x, y), (x + wide, y), (x + wide, y + high), corner)
    return Polygon(vertices=vertices, step=step, snake=draw(st.booleans()), fast_axis=draw(axes))


@st.composite
def masks(draw):
    grid = draw(grids())
    pixels = draw(st.lists(st.integers(0, grid.num_points - 1), min_size=1, unique=True))
    return Mask(grid=grid, pixels=pixels)


point_lists = st.builds(PointList, points=st.lists(places, min_size=1, max_size=30, unique=True).map(tuple))
plain = st.one_of(grids(), lines(), spirals(), polygons(), masks(), point_lists)


def has_a_lattice(shape):
    """Places that nearly fall together in a wide field are refused; that is the only reason to have no lattice."""
    try:
        shape.lattice()
    except ValueError as error:
        if "cells to be kept apart" not in str(error):
            raise
        return False
    return True


unions = st.builds(Union, shapes=st.lists(plain, min_size=1, max_size=3).map(tuple))
shapes = st.one_of(plain, unions).filter(has_a_lattice)


@settings(max_examples=150, deadline=None)
@given(shapes)
def test_a_shape_is_the_same_after_json_and_visits_the_same_pixels(shape):
    again = SHAPES.validate_json(SHAPES.dump_json(shape))
    assert again == shape
    assert type(again) is type(shape)
    start = {"grid": shape.lattice().document(), "raster_shape": shape.model_dump(mode="json")}
    assert planned_pixels(start).tolist() == [point.pixel for row in again.rows() for point in row]


@settings(max_examples=250, deadline=None)
@given(shapes)
def test_every_place_is_visited_once_and_no_two_share_a_cell(shape):
    visited = [point for row in shape.rows() for point in row]
    wanted = np.concatenate(walks_of(shape))
    assert [(point.x, point.y) for point in visited] == [tuple(place) for place in wanted.tolist()]
    assert len(visited) == shape.num_points
    assert all(shape.rows())
    lattice = shape.lattice()
    pixels = np.array([point.pixel for point in visited])
    assert len(set(pixels.tolist())) == len(pixels)
    # and the cell is the one the place lies in: at most half a cell from its centre, rounding aside
    cells = pixels % lattice.x.num, pixels // lattice.x.num
    for line, other, index, position in zip(
        (lattice.x, lattice.y), (lattice.y, lattice.x), cells, wanted.T, strict=True
    ):
        assert index.min() >= 0
        assert index.max() < line.num
        away = np.abs(line.start + index * line.step - position)
        # a single row is as high as its cells are wide
        assert away.max() <= abs(line.step or other.step) / 2 + SAME_PLACE


@settings(max_examples=60, deadline=None)
@given(st.lists(plain, min_size=2, max_size=3))
def test_a_union_visits_each_place_of_its_parts_once_and_in_their_order(parts):
    union = Union(shapes=tuple(parts))
    left = [place for part in parts for walk in walks_of(part) for place in walk.tolist()]
    for found in (place for walk in union.walks() for place in walk.tolist()):
        # what stands before it was there already
        while left[0] != found:
            left.pop(0)
        left.pop(0)
    every = np.concatenate([walk for part in parts for walk in walks_of(part)])
    visited = np.concatenate(union.walks())
    assert np.abs(every[:, None] - visited[None]).max(axis=2).min(axis=1).max() <= SAME_PLACE
    apart = np.hypot(*(visited[:, None] - visited[None]).transpose(2, 0, 1))
    assert (apart + np.eye(len(visited))).min() > SAME_PLACE


def test_a_coarse_overview_and_fine_patches_share_one_lattice_and_the_overview_comes_first():
    coarse, patch = RasterGrid.centred(5, 5, 50.0), RasterGrid.centred(5, 5, 10.0, centre=(50.0, 0.0))
    shape = coarse_then_fine(coarse, [patch])
    # 200 um in steps of 10 um; the middle of the patch is a pixel of the overview
    assert shape.lattice().shape == (21, 21)
    assert shape.num_points == 25 + 24
    first = [(point.x, point.y) for row in shape.rows() for point in row][:25]
    assert first == [(point.x, point.y) for point in coarse.points()]


def test_steps_of_which_none_divides_the_other_have_a_common_lattice_all_the_same():
    shape = Union(shapes=(RasterGrid.centred(3, 3, 10.0), RasterGrid.centred(3, 3, 15.0)))
    # at -15, -10, 0, 10, 15 um: 5 um divides both
    assert shape.lattice().shape == (7, 7)
    assert shape.lattice().x.step == pytest.approx(5.0)


def test_a_mask_keeps_the_numbers_its_pixels_have_on_the_grid_they_were_chosen_on():
    grid = RasterGrid.centred(4, 3, 10.0)
    shape = Mask(grid=grid, pixels=(9, 1, 3, 6, 5))
    assert shape.lattice() == grid
    # a row is broken where pixels are left out, and every other one is walked backwards
    assert [[point.pixel for point in row] for row in shape.rows()] == [[1], [3], [6, 5], [9]]


def test_pixels_of_an_earlier_run_are_measured_again_by_the_grid_in_its_start_document():
    spiral = Spiral(centre=(0.0, 0.0), radius=30.0, step=10.0)
    again = Mask(grid=RasterGrid.model_validate(spiral.lattice().document()), pixels=(3, 4))
    assert again.lattice().document() == spiral.lattice().document()


def test_a_copy_with_another_value_is_another_shape():
    spiral = Spiral(centre=(0.0, 0.0), radius=30.0, step=10.0)
    assert spiral.model_copy(update={"step": 5.0}).num_points > 3 * spiral.num_points


def test_a_polygon_is_walked_row_by_row_along_its_fast_axis_and_in_parts_where_it_is_hollow():
    # a U: two arms of 10 um about a hollow, over a base
    vertices = [(0, 0), (30, 0), (30, 30), (20, 30), (20, 10), (10, 10), (10, 30), (0, 30)]
    u = Polygon(vertices=vertices, step=10.0)
    assert [[(point.x, point.y) for point in row] for row in u.rows()] == [
        [(0, 0), (10, 0), (20, 0)],
        [(20, 10)],
        [(0, 10)],
        [(0, 20)],
        [(20, 20)],
    ]
    upright = Polygon(vertices=vertices, step=10.0, fast_axis="y")
    assert [len(row) for row in upright.rows()] == [3, 1, 3]


def test_polygons_that_share_an_edge_share_no_pixel():
    left = Polygon(vertices=[(0, 0), (20, 0), (20, 20), (0, 20)], step=10.0)
    right = Polygon(vertices=[(20, 0), (40, 0), (40, 20), (20, 20)], step=10.0)
    assert Union(shapes=(left, right)).num_points == left.num_points + right.num_points == 8


def test_a_spiral_is_as_dense_as_its_step_says_and_is_walked_turn_by_turn():
    spiral = Spiral(centre=(100.0, -50.0), radius=50.0, step=5.0)
    # an area of step**2 a place
    assert spiral.num_points == pytest.approx(math.pi * 100, abs=1)
    middle = np.array([100.0, -50.0])
    radii = [np.hypot(*(walk - middle).T) for walk in spiral.walks()]
    # turns are a step apart, and 50 um hold ten of them
    assert len(radii) in (10, 11)
    # the last is a whole turn only where the rim is one
    assert np.allclose(np.diff([radius.mean() for radius in radii[:-1]]), 5.0, atol=1.0)
    assert max(radius.max() for radius in radii) <= 50.0
    inwards = spiral.model_copy(update={"inwards": True})
    backwards = [(point.x, point.y) for row in inwards.rows() for point in row]
    assert backwards[::-1] == [(point.x, point.y) for row in spiral.rows() for point in row]


def test_places_without_a_common_step_take_few_cells():
    # one place in a cell of its own, of the 25 places per 24 x 24 um a spiral of 5 um has: four cells a place at most
    spiral = Spiral(centre=(0.0, 0.0), radius=100.0, step=5.0)
    assert spiral.lattice().num_points < 4 * spiral.num_points


def test_points_are_visited_as_they_are_given_so_many_without_a_break():
    points = tuple((float(number * number), 0.0) for number in range(7))
    rows = PointList(points=points, stretch=3).rows()
    assert [[point.x for point in row] for row in rows] == [[0.0, 1.0, 4.0], [9.0, 16.0, 25.0], [36.0]]


def test_places_near_one_another_in_a_wide_field_are_too_many_cells():
    shape = PointList(points=((0.0, 0.0), (0.5, 0.4), (2000.0, 1999.9)))
    with pytest.raises(ValueError, match="rasters of their own"):
        shape.lattice()


SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "sprial"}, "does not match any of the expected tags"),
        ({"kind": "line", "start": [0, float("nan")], "stop": [1, 1], "num": 3}, "finite"),
        ({"kind": "line", "start": [0, 0], "stop": [0, 0], "num": 3}, "same place"),
        ({"kind": "line", "start": [0, 0], "stop": [1, 1], "num": 1}, "greater than or equal to 2"),
        ({"kind": "spiral", "centre": [0, 0], "radius": 5, "step": 6}, "above radius"),
        ({"kind": "spiral", "centre": [0, 0], "radius": 1e6, "step": 1}, "at most 1000000"),
        ({"kind": "polygon", "vertices": SQUARE[:2], "step": 1}, "at least 3"),
        ({"kind": "polygon", "vertices": [[0, 0], [5, 0], [9, 0]], "step": 1}, "on one line"),
        ({"kind": "polygon", "vertices": SQUARE, "step": 11}, "above the size"),
        ({"kind": "polygon", "vertices": SQUARE, "step": 1e-4}, "at most 1000000"),
        ({"kind": "polygon", "vertices": [[0, 5], [9, 0], [9, 1]], "step": 9}, "no point of a lattice"),
        ({"kind": "points", "points": []}, "at least 1"),
        ({"kind": "points", "points": [[0, 0], [1, 1], [0, 0]]}, "given twice, as number 0 and number 2"),
        ({"kind": "points", "points": [[0, 0], [1, 1], [0, 5e-4]]}, "point 2 is nearer than 0.001 um"),
        ({"kind": "union", "shapes": []}, "at least 1"),
        ({"kind": "spiral", "centre": [0, 0], "radius": 50, "step": 5, "units": "mm"}, "should be 'um'"),
        ({"kind": "spiral", "centre": [0, 0], "radius": 50, "step": 5, "speed": 3}, "not permitted"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["kind"],
)
def test_what_is_no_shape_is_refused_before_it_is_expanded(data, words):
    with pytest.raises(ValidationError, match=words):
        SHAPES.validate_python(data)


@pytest.mark.parametrize(
    ("pixels", "words"), [([0, 4], "pixel 4 is none of the 4"), ([1, 1], "pixel 1 is given twice"), ([], "at least 1")]
)
def test_a_mask_holds_pixels_of_its_grid_each_once(pixels, words):
    with pytest.raises(ValidationError, match=words):
        Mask(grid=RasterGrid.centred(2, 2, 10.0), pixels=pixels)


def test_a_run_from_before_there_were_shapes_plans_what_its_grid_says():
    assert planned_pixels({"grid": RasterGrid.centred(2, 2, 1.0).document()}) is None
