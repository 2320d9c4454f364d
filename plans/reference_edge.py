"""The Fermi edges of a metal: exposures at its place until E_F is known, and whether that is an edge to believe."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky.utils import Msg
from numpy.typing import ArrayLike, NDArray

from microarpes.devices.spectra import angular_contrast, sum_windows
from microarpes.plans.reference import Reference
from microarpes.plans.reference_sum import ReferenceSum
from microarpes.plans.take_point import NO_PIXEL, PointTaker, take_exposures

#: Spare exposures, as a part, beyond those that counting statistics ask for.
SPARE = 0.05


@dataclass(frozen=True)
class EdgeFit:
    """The Fermi edges of all windows.

    Attributes
    ----------
    ef, ef_error : sequence of float, eV kinetic
        One a window.
    resolution, resolution_error : float, eV FWHM
    deviance, dof : float
        Over all windows.
    problem : str
        Why these are no edges; empty when they are.
    """

    ef: Sequence[float]
    ef_error: Sequence[float]
    resolution: float
    resolution_error: float
    deviance: float
    dof: float
    problem: str = ""


#: ``(energy eV [n_energy], edcs [n_window, n_energy], temperature K, record the run began with) -> EdgeFit``.
FitEdges = Callable[[NDArray[np.float64], NDArray[np.float64], float, Mapping[str, Any]], EdgeFit]


def measure_edge(
    taker: PointTaker,
    reference: Reference,
    channels: Sequence[NDArray[np.intp]],
    record: Mapping[str, Any],
    fit: FitEdges,
) -> Generator[Msg, Any, tuple[ReferenceSum, EdgeFit]]:
    """Go to the metal and add exposures until E_F is known well enough, or there are too many.

    To be run where the RunEngine may not rewind.

    Parameters
    ----------
    taker : PointTaker
    reference : Reference
    channels : sequence of ndarray
        Angle channels of each window.
    record : mapping
        The calibration record the run began with: its ``row_shift`` is applied.
    fit : callable
        See `FitEdges`.
    """
    summed, most = ReferenceSum(), reference.max_exposures
    energy = taker.station.analyser.axes[0]
    shift = np.asarray(record["row_shift"], dtype=np.intp)
    wanted = 1
    while True:
        evidence, _ = yield from take_exposures(taker, NO_PIXEL, reference.position)
        summed.add(evidence)
        # Not after every exposure: a fit takes as long as many of them.
        if summed.exposures < min(wanted, most):
            continue
        edcs = sum_windows(summed.frame, channels, shift)
        found = fit(energy, edcs, summed.temperature, record)
        if is_precise(found, reference) or summed.exposures >= most:
            return summed, found
        wanted = summed.exposures + max(1, math.ceil(summed.exposures * _missing(found, reference)))


def edge_values(summed: ReferenceSum, fit: EdgeFit, status: str) -> dict[str, Any]:
    """Return what an event says of a measured edge; its ``ef_error`` is that of counting."""
    return {
        "time": summed.time,
        "ef": [float(value) for value in fit.ef],
        "ef_error": [float(value) for value in fit.ef_error],
        "resolution": float(fit.resolution),
        "resolution_error": float(fit.resolution_error),
        "temperature": summed.temperature,
        "photon_energy": summed.photon_energy,
        "ring_current": summed.ring_current,
        "exposures": summed.exposures,
        "deviance": float(fit.deviance),
        "dof": float(fit.dof),
        "status": status,
    }


def is_precise(fit: EdgeFit, reference: Reference) -> bool:
    """Tell whether E_F of every window is known as well as was asked for."""
    return not fit.problem and max(fit.ef_error) <= reference.target_error


def _missing(fit: EdgeFit, reference: Reference) -> float:
    """Return how many times what was counted is still to be counted; as much again where no edge is seen yet."""
    if fit.problem:
        return 1.0
    return float((max(fit.ef_error) / reference.target_error) ** 2 * (1.0 + SPARE) - 1.0)


def edge_problem(
    reference: Reference, energy: NDArray[np.float64], summed: ReferenceSum, fit: EdgeFit, near: ArrayLike
) -> str:
    """Return why this is no edge of a metal, or an empty string; `near` is where the edges should be, eV kinetic."""
    contrast = angular_contrast(summed.frame, energy, float(np.mean(np.asarray(near, dtype=np.float64))))
    if contrast > reference.max_contrast:
        return (
            f"the angular contrast is {contrast:.2f}, of a metal at most {reference.max_contrast:g} is believed: this "
            "is a crystal; a nodal cut is a check, not a reference"
        )
    if fit.problem:
        return fit.problem
    if not fit.deviance <= reference.max_deviance * fit.dof:
        return (
            f"this is no edge of a metal: deviance {fit.deviance:.0f} for {fit.dof:.0f} degrees of freedom, "
            f"at most {reference.max_deviance:g} for each is believed"
        )
    return ""
