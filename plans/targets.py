"""Where the axes have to be for a pixel: where it is planned, and where the sample has drifted to since."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from microarpes.plans.grid import RasterPoint

#: Grain of a shift, um: far below any tolerance, and coarse enough to be read.
GRAIN = 0.01

Target = Callable[[RasterPoint], Mapping[str, float]]


def planned_position(point: RasterPoint) -> Mapping[str, float]:
    """Return where a pixel is planned, axis to um."""
    return {"x": point.x, "y": point.y}


class DriftingTargets:
    """Targets that go with a sample that moves, and the shift that each pixel was taken with.

    Parameters
    ----------
    still : callable
        Target of a pixel on a sample that stays where it is.
    shift : callable
        Returns by how much the sample has moved by now along x and y, um.
    """

    def __init__(self, still: Target, shift: Callable[[], tuple[float, float]]) -> None:
        self._still, self._shift = still, shift
        self._shifts: dict[int, tuple[float, float]] = {}

    def __call__(self, point: RasterPoint) -> dict[str, float]:
        """Return where the axes have to be for a pixel now, axis to um and deg."""
        dx, dy = (GRAIN * round(value / GRAIN) for value in self._shift())
        self._shifts[point.pixel] = dx, dy
        still = self._still(point)
        return {**still, "x": round(still["x"] + dx, 6), "y": round(still["y"] + dy, 6)}

    def shift_of(self, pixel: int) -> tuple[float, float]:
        """Return the shift, um along x and y, that is in the last target of a pixel."""
        return self._shifts.get(pixel, (0.0, 0.0))
