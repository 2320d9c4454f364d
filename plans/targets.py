"""Where the axes have to be for a pixel: where it is planned, and where its spot has drifted, or was turned, since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from microarpes.devices.sample_geometry import SampleGeometry
from microarpes.plans.grid import RasterPoint

ANGLES = ("polar", "tilt", "azimuth")
#: Grain of a shift, um: far below any tolerance, and coarse enough to be read.
GRAIN = 0.01

Target = Callable[[RasterPoint], Mapping[str, float]]


def planned_position(point: RasterPoint) -> Mapping[str, float]:
    """Return where a pixel is planned, axis to um."""
    return {"x": point.x, "y": point.y}


def angles_there(now: Sequence[float], target: Mapping[str, float]) -> list[float]:
    """Return polar, tilt and azimuth (deg) where a target asks for them; those of now that it leaves as they are.

    Examples
    --------
    >>> angles_there((15.0, 0.0, 0.2), {"x": 10.0, "polar": 9.425})
    [9.425, 0.0, 0.2]
    """
    return [float(target.get(name, angle)) for name, angle in zip(ANGLES, now, strict=True)]


class TurnedTargets:
    """Targets of the same spots of a sample at other angles.

    Parameters
    ----------
    geometry : SampleGeometry
    planned_at : mapping
        ``z`` (um) and ``polar``, ``tilt``, ``azimuth`` (deg) at which the x and y of pixels are meant.
    angles : mapping
        ``polar``, ``tilt``, ``azimuth`` (deg) at which they are measured.
    """

    def __init__(self, geometry: SampleGeometry, planned_at: Mapping[str, float], angles: Mapping[str, float]) -> None:
        self._geometry = geometry
        self.planned_at = {name: float(planned_at[name]) for name in ("z", *ANGLES)}
        self.angles = {name: float(angles[name]) for name in ANGLES}

    def __call__(self, point: RasterPoint) -> dict[str, float]:
        """Return where the axes have to be for a pixel, axis to um and deg."""
        spot = [self.spot(point)[name] for name in "uvw"]
        motors = self._geometry.motors(spot, [self.angles[name] for name in ANGLES])
        x, y, z = (round(float(value), 6) for value in motors)
        return {"x": x, "y": y, "z": z, **self.angles}

    def spot(self, point: RasterPoint) -> dict[str, float]:
        """Return the spot of a pixel, u, v, w in um, and the angles, as a sample frame is asked for them."""
        before = [self.planned_at[name] for name in ANGLES]
        spot = self._geometry.spot([point.x, point.y, self.planned_at["z"]], before)
        return {**dict(zip("uvw", map(float, spot), strict=True)), **self.angles}

    def document(self) -> dict[str, dict[str, float]]:
        """Return the ``turned`` entry of a start document."""
        return {"planned_at": self.planned_at, "angles": self.angles}


class DriftingTargets:
    """Targets that go with a sample that moves, and how far from its plan each pixel was taken.

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
        # Before it is turned: what has moved is the sample.
        moved = self._still(point._replace(x=point.x + dx, y=point.y + dy))
        target = {**moved, "x": round(moved["x"], 6), "y": round(moved["y"], 6)}
        self._shifts[point.pixel] = round(target["x"] - point.x, 6), round(target["y"] - point.y, 6)
        return target

    def shift_of(self, pixel: int) -> tuple[float, float]:
        """Return how far the last target of a pixel is from where it was planned, um along x and y."""
        return self._shifts.get(pixel, (0.0, 0.0))
