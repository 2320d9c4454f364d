"""The Fermi edges of a reference, fitted for the plan that measures it: plans know no analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.fermi_edge import fit_fermi_edge
from microarpes.plans.reference_edge import EdgeFit

Floats = NDArray[np.float64]


def fit_edges(energy: Floats, edcs: Floats, temperature: float, record: Mapping[str, Any]) -> EdgeFit:
    """Fit the edge of each window; the resolution is their mean, weighted by its errors.

    Parameters
    ----------
    energy : ndarray, shape (n_energy,), eV kinetic
    edcs : ndarray, shape (n_window, n_energy), detector units
        Summed with the run's ``row_shift``.
    temperature : float, K
    record : mapping
        The calibration record the run began with: its ``gain`` and, where there is one, its ``flat_field``.
    """
    factors = record.get("flat_field") or [None] * len(edcs)
    gain = float(record.get("gain", 1.0))
    try:
        fits = [
            fit_fermi_edge(energy, edc, temperature, gain=gain, flat_field=factor)
            for edc, factor in zip(edcs, factors, strict=True)
        ]
    except ValueError as error:  # a temperature that cannot be, for one: no reason to end the run
        nan = float("nan")
        return EdgeFit([nan] * len(edcs), [nan] * len(edcs), nan, nan, nan, nan, problem=str(error))
    problems = [f"window {i} shows no Fermi edge ({fit.status})" for i, fit in enumerate(fits) if fit.status != "ok"]
    weight = np.array([fit.resolution_error for fit in fits]) ** -2.0
    resolution = float((weight * [fit.resolution for fit in fits]).sum() / weight.sum())
    return EdgeFit(
        ef=[fit.ef for fit in fits],
        ef_error=[fit.ef_error for fit in fits],
        resolution=resolution,
        resolution_error=float(weight.sum() ** -0.5),
        deviance=sum(fit.deviance for fit in fits),
        dof=sum(fit.dof for fit in fits),
        problem="; ".join(problems),
    )
