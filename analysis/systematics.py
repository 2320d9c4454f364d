"""How far the gap would move if E_F, k_F, the resolution or the temperature were other than assumed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.fit_core import Fitted
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.line_shape import Array
from microarpes.analysis.scoring import fisher_information, predict
from microarpes.analysis.settings import FitSettings

__all__ = ["delta_systematic"]

#: Changes used for the difference quotients: meV, meV FWHM, K; eps_k is changed by its whole error, being quadratic.
PROBES = {"ef": 0.2, "resolution": 0.2, "temperature": 0.2}


def delta_systematic(windows: FitWindows, fitted: Fitted, chosen: NDArray[np.bool_], settings: FitSettings) -> Array:
    """Error of the gap from the errors of the calibration, added in quadrature.

    The response is that of the maximum of the likelihood, to first order: F^-1 J^T (1/mu) dmu, with dmu the change of
    the expected counts when the assumption is changed.

    Parameters
    ----------
    windows : FitWindows
    fitted : Fitted
    chosen : ndarray of bool, shape (n,)
    settings : FitSettings

    Returns
    -------
    ndarray, shape (n_chosen,), meV
        Zero when all errors are zero.
    """
    rows = np.flatnonzero(chosen)
    square = np.zeros(rows.size)
    errors = {name: error for name, error in settings.errors.items() if error > 0}
    if not errors:
        return square
    for lower in np.unique(fitted.lower[rows]):
        group = np.flatnonzero(fitted.lower[rows] == lower)
        theta = fitted.theta[rows[group]]
        problem = windows.problem(float(lower)).problem
        expected, jacobian = predict(problem, theta)
        fisher = fisher_information(problem, expected, jacobian)
        free = np.isfinite(fitted.stderr[rows[group]][0])
        answer = np.linalg.solve(_regular(fisher[:, free][:, :, free]), (jacobian[:, free] / expected[:, None, :]))[
            :, 0
        ]
        for name, error in errors.items():
            probe = PROBES.get(name, error)
            changed = predict(windows.perturbed(float(lower), **{name: probe}), theta)[0]
            shift = (answer * (changed - expected)).sum(axis=-1)
            square[group] += (shift * (error / probe)) ** 2
    return np.sqrt(square)


def _regular(fisher: Array) -> Array:
    """Information matrix with a trace of the diagonal added, so that an unmeasurable parameter does no harm."""
    index = np.arange(fisher.shape[1])
    out = fisher.copy()
    out[:, index, index] = out[:, index, index] * (1.0 + 1e-12) + 1e-30
    return out
