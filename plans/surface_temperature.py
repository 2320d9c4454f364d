"""The temperature of a surface beside that of its sensor, as a calibration record says both.

A sensor tells the temperature of its place, not of the spot under the beam. The edge of a metal is as wide as
temperature and resolution make it together, and tells one of the two where the other is known: `edge_assumed` of the
record says which was taken for known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.plans.reference import Reference

#: Surface and sensor differ where they are so many of their errors apart.
APART = 3.0
#: Sigmas of a one-sided 95 % limit.
LIMIT_SIGMA = 1.645


@dataclass(frozen=True)
class SurfaceTemperature:
    """What an edge of known resolution says of the temperature.

    Attributes
    ----------
    temperature, error : float, K
        The error with that of the resolution; NaN where the edge is no wider than the resolution makes it, or is none.
    limit : float, K
        95 %, of an edge that is no wider; NaN otherwise.
    """

    temperature: float
    error: float
    limit: float


#: ``(energy eV [n_energy], edcs [n_window, n_energy], resolution eV FWHM, its error eV, record the run began with)``.
TellSurface = Callable[[NDArray[np.float64], NDArray[np.float64], float, float, Mapping[str, Any]], SurfaceTemperature]


def surface_values(
    reference: Reference, sensor: float, sensor_error: float, found: SurfaceTemperature | None
) -> dict[str, Any]:
    """Return what a record says of temperatures, of the resolution where it is declared, and which was assumed.

    Parameters
    ----------
    reference : Reference
    sensor, sensor_error : float, K
        Of the sensor, and how far the surface may be from it.
    found : SurfaceTemperature or None
        None where nothing was measured yet.
    """
    assumed = {"temperature": sensor, "temperature_error": sensor_error, "edge_assumed": "temperature"}
    if reference.resolution is None:
        return assumed
    nan = float("nan")
    found = found or SurfaceTemperature(nan, nan, nan)
    values = {
        **assumed,
        "edge_assumed": "resolution",
        "resolution": float(reference.resolution),
        "resolution_error": float(reference.resolution_error),
        "sensor_temperature": sensor,
        "sensor_temperature_error": sensor_error,
        "edge_temperature": found.temperature,
        "edge_temperature_error": found.error,
        "edge_temperature_limit": found.limit,
    }
    if reference.fit_temperature == "edge" and math.isfinite(found.temperature):
        values |= {"temperature": found.temperature, "temperature_error": found.error}
    return values


def surface_deviation(record: Mapping[str, Any]) -> float:
    """Return by how many of their errors the surface is warmer than its sensor; NaN where the edge does not tell.

    Of an edge that only gives a limit the temperature is taken as 0, with that limit at 95 %.

    Examples
    --------
    >>> told = {"edge_assumed": "resolution", "sensor_temperature": 10.0, "sensor_temperature_error": 3.0}
    >>> surface_deviation(told | {"edge_temperature": 30.0, "edge_temperature_error": 4.0})
    4.0
    """
    if record.get("edge_assumed") != "resolution":
        return math.nan
    sensor, own = float(record["sensor_temperature"]), float(record["sensor_temperature_error"])
    edge, error = float(record["edge_temperature"]), float(record["edge_temperature_error"])
    if not math.isfinite(edge):
        edge, error = 0.0, float(record["edge_temperature_limit"]) / LIMIT_SIGMA
    together = math.hypot(error, own)
    return (edge - sensor) / together if together > 0.0 else math.nan


def surface_told(record: Mapping[str, Any]) -> str:
    """Say what an edge of declared resolution tells beside the sensor; an empty string where none was assumed.

    Examples
    --------
    >>> told = {"edge_assumed": "resolution", "sensor_temperature": 10.0, "sensor_temperature_error": 0.5,
    ...         "resolution": 0.01, "edge_temperature": 31.0, "edge_temperature_error": 2.5}
    >>> surface_told(told)
    'surface 31.0 ± 2.5 K by its edge at 10.0 meV, sensor 10.0 ± 0.5 K'
    """
    if record.get("edge_assumed") != "resolution":
        return ""
    edge, limit = float(record["edge_temperature"]), float(record.get("edge_temperature_limit", math.nan))
    if math.isfinite(edge):
        surface = f"surface {edge:.1f} ± {float(record['edge_temperature_error']):.1f} K"
    elif math.isfinite(limit):
        surface = f"surface below {limit:.1f} K (95 %)"
    else:
        return "no temperature of the surface by its edge"
    sensor = f"{float(record['sensor_temperature']):.1f} ± {float(record['sensor_temperature_error']):.1f} K"
    return f"{surface} by its edge at {1e3 * float(record['resolution']):.1f} meV, sensor {sensor}"


def surface_alarm(record: Mapping[str, Any]) -> str:
    """Say that surface and sensor differ by more than three of their errors; an empty string where they do not."""
    apart = surface_deviation(record)
    if not abs(apart) > APART:
        return ""
    return (
        f"surface and sensor differ by {abs(apart):.1f} of their errors: {surface_told(record)}; or the resolution is "
        "not what was declared"
    )
