"""A region of a map becomes the line of a session that rasters these pixels and no others."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.beamline.page_plan import plan_line
from microarpes.beamline.raster_view import RasterView
from microarpes.plans import shapes
from microarpes.plans.grid import RasterGrid

GRID = RasterGrid.centred(5, 4, 10.0, centre=(20.0, -10.0))


def rastered(line):
    """What the line hands to the RunEngine's plan: names of a session, and nothing else."""

    def raster(first, *size, step=0.0, centre=(0.0, 0.0)):
        return first if not size else RasterGrid.centred(first, *size, step, centre)

    assert line.startswith("RE(raster(")
    return eval(line[3:-1], {"__builtins__": {}, "raster": raster, "Mask": shapes.Mask})


def points(shape):
    return [point for row in shape.rows() for point in row]


def places(shape):
    return sorted((round(point.x, 9), round(point.y, 9)) for point in points(shape))


def line_of(mask, grid=GRID):
    return plan_line({"grid": grid.document()}, RasterView.of(grid.document()), mask)


def region(*pixels, grid=GRID):
    mask = np.zeros((grid.y.num, grid.x.num), dtype=bool)
    mask.flat[list(pixels)] = True
    return mask


@pytest.mark.parametrize(
    "pixels",
    [(7,), (6, 7, 11, 12), (5, 6, 7, 8, 9), (0, 6, 12), (2, 6, 7, 8), range(20)],
    ids=["one", "box", "row", "diagonal", "lasso", "all"],
)
def test_the_line_rasters_the_centres_of_the_region_and_no_others(pixels):
    mask = region(*pixels)
    centres = {point.pixel: (point.x, point.y) for point in GRID.points()}
    assert places(rastered(line_of(mask))) == sorted(centres[pixel] for pixel in pixels)


def test_a_box_of_square_pixels_is_a_short_line():
    assert line_of(region(6, 7, 11, 12)) == "RE(raster(2, 2, step=10, centre=(15, -10)))"


def test_a_box_of_pixels_that_are_not_square_keeps_both_steps():
    # step= is one for both axes: a grid of 10 x 5 um would be another raster
    grid = RasterGrid(x={"start": 0.0, "stop": 30.0, "num": 4}, y={"start": 0.0, "stop": 10.0, "num": 3})
    found = rastered(line_of(region(0, 1, 4, 5, grid=grid), grid))
    assert places(found) == [(0.0, 0.0), (0.0, 5.0), (10.0, 0.0), (10.0, 5.0)]


def test_pixels_keep_their_numbers_in_a_second_look():
    assert sorted(point.pixel for point in points(rastered(line_of(region(0, 6, 12))))) == [0, 6, 12]


def test_without_a_region_there_is_no_line():
    assert line_of(None) == ""
    assert line_of(region()) == ""
