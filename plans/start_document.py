"""The start document of a raster: all that replay and publication need (docs/explanation/run-documents.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.end_station import EndStation
from microarpes.devices.region import AngleWindow
from microarpes.plans.limits import GateLimits
from microarpes.plans.shapes import Shape


def ef_error(counted: float, calibration: Mapping[str, Any]) -> float:
    """Return the error of the sample's E_F, eV: that of its measurement, and what the flux of the beam may do.

    A metal shows its edge with its own space charge in it. How much of the same the sample has is not known, for it
    emits differently: all of the shift, or none, or twice as much. So the whole shift, with its error, is an error of
    E_F, and E_F itself is left as measured. To be applied once, to what was measured: records hold the result.

    Parameters
    ----------
    counted : float, eV
        Error of the measurement.
    calibration : mapping
        With ``flux_shift`` and ``flux_shift_error`` (eV) where they are known.
    """
    shift, error = (float(calibration.get(name, 0.0)) for name in ("flux_shift", "flux_shift_error"))
    return math.hypot(counted, shift, error)


def calibration_record(calibration: Mapping[str, Any], n_window: int, n_angle: int) -> dict[str, Any]:
    """Return the record a run begins with: one E_F a window, a whole row shift an angle channel."""
    record = dict(calibration)
    record.setdefault("row_shift", [0] * n_angle)
    for name in ("ef", "ef_error"):
        values = list(np.broadcast_to(np.asarray(record[name], dtype=np.float64), (n_window,)))
        record[name] = [float(value) for value in values]
    record["row_shift"] = [int(shift) for shift in record["row_shift"]]
    return record


def raster_document(shape: Shape) -> dict[str, Any]:
    """Return what a start document says of a raster."""
    grid = shape.lattice()
    return {
        "plan_name": "gap_raster",
        "grid": grid.document(),
        "shape": list(grid.shape),
        "extents": [[grid.y.start, grid.y.stop], [grid.x.start, grid.x.stop]],
        "raster_shape": shape.model_dump(mode="json"),
        "num_points": shape.num_points,
        "motors": ["manipulator_y", "manipulator_x"],
    }


def instrument_document(
    station: EndStation,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    axes: tuple[NDArray[np.float64], NDArray[np.float64]],
    limits: GateLimits,
) -> dict[str, Any]:
    """Return what a start document says of region, windows, calibration, source and gate, whatever is scanned."""
    energy, angle = axes
    source, described = station.source.settings(), station.analyser.describe_region()
    if described["excitation_energy"] is None:
        described["excitation_energy"] = source["photon_energy"]
    return {
        "axes": station.manipulator.describe_axes(),
        "region": described,
        "windows": [window.model_dump() for window in windows],
        "energy_axis": energy.tolist(),
        "angle_axis": angle.tolist(),
        "calibration": dict(calibration),
        "source": source,
        "gate": limits.model_dump(),
        "frame_file": "frames.h5",
    }
