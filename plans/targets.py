"""Where the axes have to be for a pixel: where it is planned, and where the sample has drifted to since."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from microarpes.plans.grid import RasterPoint

#: Grain of a shift, um: far below any tolerance, and coarse enough to be read.
GRAIN = 0.01


def no_shift() -> tuple[float, float]:
    """Return the shift of a sample that stays where it is, um."""
    return 0.0, 0.0


class Targets:
    """Targets of the pixels of a raster, and the shift that each of them was taken with.

    Parameters
    ----------
    held : mapping, optional
        Axes that every pixel brings back to a place, um and deg.

    Attributes
    ----------
    held : dict
        What measures between the rows adds the axes that it moves.
    shift : callable
        Returns by how much the sample has moved now along x and y, um; what measures that puts itself here.
    """

    def __init__(self, held: Mapping[str, float] | None = None) -> None:
        self.held = dict(held or {})
        self.shift: Callable[[], tuple[float, float]] = no_shift
        self._shifts: dict[int, tuple[float, float]] = {}

    def __call__(self, point: RasterPoint) -> dict[str, float]:
        """Return where the axes have to be for a pixel now, axis to um and deg."""
        x, y = (GRAIN * round(value / GRAIN) if value else 0.0 for value in self.shift())
        self._shifts[point.pixel] = x, y
        return {**self.held, "x": point.x + x, "y": point.y + y}

    def shift_of(self, pixel: int) -> tuple[float, float]:
        """Return the shift, um along x and y, that is in the last target of a pixel."""
        return self._shifts.get(pixel, (0.0, 0.0))
