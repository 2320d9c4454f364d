"""The Fermi edges of a reference, fitted for the plan that measures it: plans know no analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.edge_temperature import fit_edge_temperature
from microarpes.analysis.fermi_edge import FermiEdgeFit, fit_fermi_edge
from microarpes.plans.reference_edge import EdgeFit
from microarpes.plans.surface_temperature import SurfaceTemperature

Floats = NDArray[np.float64]

#: Lowest temperature an edge is fitted with, K.
COLDEST = 0.5


def fit_edges(energy: Floats, edcs: Floats, temperature: float, record: Mapping[str, Any]) -> EdgeFit:
    """Fit the edge of each window; the resolution is their mean, weighted by its errors.

    The temperature is taken for known. What it may be wrong by, ``temperature_error``, is in the error of the
    resolution: that of both temperatures, higher and lower by it.

    Parameters
    ----------
    energy : ndarray, shape (n_energy,), eV kinetic
    edcs : ndarray, shape (n_window, n_energy), detector units
        Summed with the run's ``row_shift``.
    temperature : float, K
    record : mapping
        The calibration record the run began with: its ``gain``, ``temperature_error`` and, where there is one, its
        ``flat_field``.
    """
    try:
        fits = _fit_each(energy, edcs, temperature, record)
    except ValueError as error:  # a temperature that cannot be, for one: no reason to end the run
        nan = float("nan")
        return EdgeFit([nan] * len(edcs), [nan] * len(edcs), nan, nan, nan, nan, problem=str(error))
    problems = [f"window {i} shows no Fermi edge ({fit.status})" for i, fit in enumerate(fits) if fit.status != "ok"]
    resolution, counted = _mean_resolution(fits)
    by_temperature = 0.0
    if (may_be := float(record.get("temperature_error", 0.0))) > 0.0 and not problems:
        first = np.asarray(edcs)[:1]  # the same in all windows
        others = [_fit_each(energy, first, max(temperature + by, COLDEST), record)[0] for by in (-may_be, may_be)]
        by_temperature = _spread(fits[0].resolution, [other.resolution for other in others])
    return EdgeFit(
        ef=[fit.ef for fit in fits],
        ef_error=[fit.ef_error for fit in fits],
        resolution=resolution,
        resolution_error=float(np.hypot(counted, by_temperature)),
        deviance=sum(fit.deviance for fit in fits),
        dof=sum(fit.dof for fit in fits),
        problem="; ".join(problems),
    )


def tell_surface(
    energy: Floats, edcs: Floats, resolution: float, resolution_error: float, record: Mapping[str, Any]
) -> SurfaceTemperature:
    """Fit the temperature of the surface of a metal to the edges of all windows, the resolution taken for known.

    Parameters
    ----------
    energy, edcs, record
        As of `fit_edges`.
    resolution, resolution_error : float, eV FWHM
    """
    found = fit_edge_temperature(
        energy, edcs, resolution, resolution_error, gain=float(record.get("gain", 1.0)),
        flat_field=record.get("flat_field"),
    )  # fmt: skip
    error = float(np.hypot(found.temperature_stderr, found.temperature_systematic))
    return SurfaceTemperature(found.temperature, error, found.upper_limit)


def _fit_each(energy: Floats, edcs: Floats, temperature: float, record: Mapping[str, Any]) -> list[FermiEdgeFit]:
    factors = record.get("flat_field") or [None] * len(edcs)
    gain = float(record.get("gain", 1.0))
    return [
        fit_fermi_edge(energy, edc, temperature, gain=gain, flat_field=factor)
        for edc, factor in zip(edcs, factors, strict=False)
    ]


def _mean_resolution(fits: Sequence[FermiEdgeFit]) -> tuple[float, float]:
    """Return the resolution of all windows and its error by counting, eV; NaN where one has none."""
    weight = np.array([fit.resolution_error for fit in fits]) ** -2.0
    return float((weight * [fit.resolution for fit in fits]).sum() / weight.sum()), float(weight.sum() ** -0.5)


def _spread(resolution: float, others: Sequence[float]) -> float:
    """Return how far the resolution is from those at other temperatures, eV, the mean of both.

    At one at which the edge is narrower than the temperature alone makes it the resolution may be anything down to 0.
    """
    return float(np.mean([abs(resolution - other) if np.isfinite(other) else resolution for other in others]))
