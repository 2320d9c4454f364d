"""What a fitted EDC is made of: the superconducting peak, and the background under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microarpes.analysis.line_shape import Array
from microarpes.analysis.results import GapFit
from microarpes.analysis.scoring import N_LINEAR, N_SHAPE, predict

if TYPE_CHECKING:
    from microarpes.analysis.fitter import GapFitter

__all__ = ["components"]


def components(fitter: GapFitter, fit: GapFit) -> tuple[Array, Array]:
    """Split the model of a fit into peak and background.

    The model is linear in the area of the peak and in its background, so both follow from `model_counts` exactly.

    Parameters
    ----------
    fitter : GapFitter
        That made the fit.
    fit : GapFit
        Of one EDC, or the joint one of several windows.

    Returns
    -------
    peak, background : ndarray, of the shape of ``fit.model_counts``, counts
        They add up to it; NaN unless the fit is ``ok``.
    """
    model = np.atleast_2d(fit.model_counts)
    if fit.status != "ok":
        return np.full(fit.model_counts.shape, np.nan), np.full(fit.model_counts.shape, np.nan)
    problem = fitter.windows(model.shape[0]).whole
    theta = np.zeros((1, problem.n_parameters))
    theta[0, :N_SHAPE] = np.nan_to_num([fit.delta, fit.gamma1, fit.gamma0])
    parts = predict(problem, theta)[1][0].reshape(problem.n_parameters, *model.shape)
    peak = np.empty_like(model)
    for i in range(model.shape[0]):
        first = N_SHAPE + N_LINEAR * i
        basis = np.concatenate([parts[first : first + N_LINEAR, i], parts[N_SHAPE + N_LINEAR * model.shape[0] :, i]])
        share = np.linalg.lstsq(basis.T, model[i], rcond=None)[0]
        peak[i] = share[0] * basis[0]
    return peak.reshape(fit.model_counts.shape), (model - peak).reshape(fit.model_counts.shape)
