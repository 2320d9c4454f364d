"""The grid a raster was meant to visit is found from readbacks alone, or said not to be there."""

import numpy as np
import pytest

from microarpes.beamline.nominal_grid import nominal_grid
from microarpes.beamline.recording_format import Recording, RecordingError


def grid_of(x, y):
    return nominal_grid(
        Recording(
            title="t",
            source="positions",
            photon_energy=100.0,
            pass_energy=10.0,
            lens_mode="A30",
            acquire_time=1.0,
            temperature=10.0,
            points={"x": np.asarray(x, dtype=float), "y": np.asarray(y, dtype=float)},
            energy=np.array([1.0, 2.0]),
            angle=np.zeros(1),
        )
    )


def test_a_snake_is_told_from_a_raster_that_flies_back():
    y = np.repeat([0, 4, 8], 3)
    snake = grid_of([0, 5, 10, 10, 5, 0, 0, 5, 10], y)
    assert (snake.snake, snake.fast_axis, snake.x.num, snake.y.stop) == (True, "x", 3, pytest.approx(8))
    assert not grid_of([0, 5, 10] * 3, y).snake


def test_two_lines_of_many_points_are_not_taken_for_many_lines_of_two():
    x, y = np.tile(np.arange(8) * 5.0, 2), np.repeat([0.0, 5.0], 8)
    assert (grid_of(x, y).x.num, grid_of(x, y).fast_axis) == (8, "x")
    assert (grid_of(y, x).y.num, grid_of(y, x).fast_axis) == (8, "y")


def test_a_single_line_and_a_single_point_are_rasters():
    down = grid_of([0, 0, 0, 0], [30, 20, 10, 0])
    assert (down.x.num, down.y.num, down.y.start, down.y.stop) == (1, 4, pytest.approx(30), pytest.approx(0, abs=1e-9))
    point = grid_of([3], [4])
    assert (point.x.num, point.y.num, point.deviation) == (1, 1, 0.0)


@pytest.mark.parametrize("jitter", [0.02, 0.5])
def test_the_deviation_is_the_largest_distance_from_the_grid(jitter):
    # Uniform jitter of 400 readbacks: the largest of 800 lies within 1 % of its bound, the fit moves by jitter / 20.
    line, column = np.divmod(np.arange(400), 20)
    noise = np.random.default_rng(8).uniform(-jitter, jitter, (2, 400))
    grid = grid_of(5.0 * column + noise[0], 5.0 * line + noise[1])
    assert (grid.x.num, grid.y.num) == (20, 20)
    assert 0.95 * jitter < grid.deviation < 1.15 * jitter


@pytest.mark.parametrize(
    ("x", "y"),
    [([0, 1, 2, 0, 1], [0, 0, 0, 1, 1]), ([0, 9, 4, 1, 7, 2], [3, 1, 4, 1, 5, 9]), ([5, 5, 5, 5], [1, 1, 1, 1])],
    ids=["last line not full", "scattered", "all in one place"],
)
def test_points_on_no_grid_are_no_raster(x, y):
    with pytest.raises(RecordingError, match=rf"the {len(x)} positions in positions .* holds no raster"):
        grid_of(x, y)
