"""Where the pixels of a raster lie on the page: micrometres, y upwards, half a pixel beyond the outermost centres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RasterView:
    """A raster on the page.

    Attributes
    ----------
    x, y : ndarray, um
        Pixel centres in the order of columns and rows, in either direction.
    snake : bool
    fast_axis : str
    planned : ndarray of int, optional
        The pixels that are visited, in order; by default all, as `snake` and `fast_axis` say.
    """

    x: Floats
    y: Floats
    snake: bool
    fast_axis: str
    planned: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, grid: Mapping[str, Any], planned: NDArray[np.int64] | None = None) -> RasterView:
        """Read the ``grid`` of a start document; `planned` is what `planned_pixels` says of it."""
        x, y = (np.linspace(grid[axis]["start"], grid[axis]["stop"], int(grid[axis]["num"])) for axis in ("x", "y"))
        return cls(x, y, bool(grid["snake"]), str(grid["fast_axis"]), planned)

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance of neighbours along x and y, um; a single row or column is as wide as the other's pitch."""
        steps = [
            abs(float(axis[-1] - axis[0])) / (len(axis) - 1) if len(axis) > 1 else 0.0 for axis in (self.x, self.y)
        ]
        return steps[0] or steps[1] or 1.0, steps[1] or steps[0] or 1.0

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top, um."""
        wide, high = self.pitch
        return (
            float(self.x.min()) - 0.5 * wide, float(self.x.max()) + 0.5 * wide,
            float(self.y.min()) - 0.5 * high, float(self.y.max()) + 0.5 * high,
        )  # fmt: skip

    def upright(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Turn a map [ny, nx] so that x grows with columns and y with rows."""
        rows = slice(None, None, -1) if self.y[0] > self.y[-1] else slice(None)
        columns = slice(None, None, -1) if self.x[0] > self.x[-1] else slice(None)
        return np.ascontiguousarray(plane[rows, columns])

    def place(self, pixel: int) -> tuple[int, int]:
        """Return row and column of a pixel in the upright map."""
        row, column = divmod(pixel, len(self.x))
        if self.y[0] > self.y[-1]:
            row = len(self.y) - 1 - row
        if self.x[0] > self.x[-1]:
            column = len(self.x) - 1 - column
        return row, column

    def centre(self, pixel: int) -> tuple[float, float]:
        """Return the centre of a pixel, um."""
        row, column = divmod(pixel, len(self.x))
        return float(self.x[column]), float(self.y[row])

    def pixel_at(self, x: float, y: float) -> int | None:
        """Return the pixel at a place, um; None outside the map and where the run does not go."""
        left, right, bottom, top = self.extent
        if not (left <= x <= right and bottom <= y <= top):
            return None
        row, column = int(np.argmin(np.abs(self.y - y))), int(np.argmin(np.abs(self.x - x)))
        pixel = row * len(self.x) + column
        return pixel if self.visited.flat[pixel] else None

    @cached_property
    def visited(self) -> NDArray[np.bool_]:
        """Which cells of the map the run visits, shape (ny, nx)."""
        visited = np.zeros((len(self.y), len(self.x)), dtype=bool)
        visited.flat[self._visit] = True
        return visited

    @cached_property
    def _visit(self) -> NDArray[np.intp]:
        if self.planned is not None:
            return self.planned.astype(np.intp)
        pixels = np.arange(len(self.y) * len(self.x)).reshape(len(self.y), len(self.x))
        lines = pixels if self.fast_axis == "x" else pixels.T
        lines = lines.copy()
        if self.snake:
            lines[1::2] = lines[1::2, ::-1]
        return lines.ravel()

    def visit(self) -> NDArray[np.intp]:
        """Return the pixels in the order of the visit."""
        return self._visit

    def stretches(self, mask: NDArray[np.bool_]) -> dict[str, list[float]]:
        """Return centre and size, um, of rectangles that cover the true pixels of a map [ny, nx], a row at a time."""
        wide, high = self.pitch
        found: dict[str, list[float]] = {"x": [], "y": [], "width": [], "height": []}
        for row in np.flatnonzero(mask.any(axis=1)):
            edges = np.flatnonzero(np.diff(np.concatenate(([False], mask[row], [False])).astype(np.int8)))
            for first, beyond in zip(edges[::2], edges[1::2], strict=True):
                found["x"].append(0.5 * float(self.x[first] + self.x[beyond - 1]))
                found["y"].append(float(self.y[row]))
                found["width"].append(wide * float(beyond - first))
                found["height"].append(high)
        return found
