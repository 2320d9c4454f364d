"""`fs_map`: one frame at each polar angle on one spot of the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from microarpes.devices.end_station import EndStation
from microarpes.devices.region import AngleWindow, Region
from microarpes.plans.antinode import Turn
from microarpes.plans.point_run import Request, point_run
from microarpes.plans.take_point import MsgGenerator, PointTaker, take_point

#: Fewest polar angles: with fewer there is no symmetry to be seen.
LEAST_ANGLES = 3


def fs_map(
    station: EndStation,
    polars: Sequence[float],
    turn: Turn,
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    *,
    row_stop: Callable[[], bool] = lambda: False,
    md: Mapping[str, Any] | None = None,
    **surroundings: Any,
) -> MsgGenerator:
    """Take a frame at each polar angle; the events are those of a raster, ``pixel`` numbers the angles.

    Parameters
    ----------
    station : EndStation
    polars : sequence of float, deg
        In the order of the visit, none twice.
    turn : callable
        Returns where all axes go so that the spot stays at an angle.
    region, windows, calibration, row_stop, md, **surroundings
        As of `gap_raster`; `row_stop` ends the map after an angle.

    Returns
    -------
    tuple of str and int
        The run's uid, and how many angles were taken.

    Raises
    ------
    ValueError
        It cannot be done; the message lists every reason and no motor has moved.
    """
    angles = np.asarray(polars, dtype=np.float64)
    if angles.ndim != 1 or angles.size < LEAST_ANGLES or not np.isfinite(angles).all():
        raise ValueError(f"polars = {polars!r} must be {LEAST_ANGLES} angles or more, deg")
    if np.diff(np.sort(angles)).min() <= station.manipulator.polar.tolerance:
        raise ValueError(
            f"two polar angles are nearer than the tolerance, {station.manipulator.polar.tolerance:g} deg: they cannot "
            "be told apart"
        )
    requests = [turn({"polar": float(angle)}) for angle in angles]

    def body(taker: PointTaker) -> MsgGenerator:
        return (yield from _take(taker, requests, row_stop))

    described = {
        "plan_name": "fs_map",
        "polar": angles.tolist(),
        "num_points": len(requests),
        "motors": ["manipulator_polar"],
    }
    return (
        yield from point_run(station, body, requests, region, windows, calibration, described, md=md, **surroundings)
    )


def _take(taker: PointTaker, requests: Sequence[Request], row_stop: Callable[[], bool]) -> MsgGenerator:
    for number, request in enumerate(requests):
        if number and row_stop():
            return number
        # No axis sets out ahead: polar must not turn under a spot whose x, y, z are still on their way.
        yield from take_point(taker, number, request)
    return len(requests)
