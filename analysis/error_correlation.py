r"""How the errors of gap and rate hang together in each fit.

No result carries the covariance of `delta` with `gamma1`, but what a fit says is enough to have it back: line shape and
expected counts at the fitted values give the Fisher information, as the fit itself had it. The shares of amplitude and
background follow from the expected counts, in which they are linear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.fit_core import BATCH
from microarpes.analysis.fit_errors import covariance
from microarpes.analysis.fit_windows import WindowProblem
from microarpes.analysis.fitter import GapFitter
from microarpes.analysis.line_shape import Array
from microarpes.analysis.results import GapFits
from microarpes.analysis.scoring import N_LINEAR, N_SHAPE, Problem, Solution, predict

__all__ = ["error_correlation"]


def error_correlation(fitter: GapFitter, fits: GapFits) -> Array:
    """Correlation of the errors of `delta` and `gamma1`.

    Parameters
    ----------
    fitter : GapFitter
        The one that made the fits.
    fits : GapFits, of length n

    Returns
    -------
    ndarray, shape (n,)
        Between -1 and 1; NaN where the fit is not ``ok``. For Norman's line shape about -0.2 with gamma0 fixed and
        -0.4 with gamma0 free.

    Raises
    ------
    ValueError
        When the fits are not of the fitter's axis.
    """
    model = fits.model_counts[:, None] if fits.model_counts.ndim == 2 else fits.model_counts
    if model.shape[-1] != fitter.energy.shape[-1]:
        raise ValueError(f"fits have {model.shape[-1]} channels, the fitter's axis has {fitter.energy.shape[-1]}")
    windows = fitter.windows(model.shape[1])
    electrons = fitter.likelihood.photoelectrons(model)
    out = np.full(len(fits), np.nan)
    ok = np.flatnonzero(fits.status == "ok")
    # the fit's window reaches below the bank's gap that is next to its own
    steps = np.unique(windows.bank.starts[:, 0])
    nearest = steps[np.abs(fits.delta[ok, None] - steps).argmin(axis=1)]
    for step in np.unique(nearest):
        within = windows.problem(windows.depth(float(step)))
        rows = ok[nearest == step]
        for first in range(0, rows.size, BATCH):
            part = rows[first : first + BATCH]
            shape = np.stack([fits.delta[part], fits.gamma1[part], fits.gamma0[part]], axis=1)
            out[part] = _correlations(within, np.nan_to_num(shape), electrons[part], fitter.settings.gamma0)
    return out


def _correlations(within: WindowProblem, shape: Array, electrons: Array, gamma0: float | None) -> Array:
    """Correlation at the fitted values, shape (n,)."""
    problem, n = within.problem, shape.shape[0]
    expected = within.bin(electrons).reshape(n, -1)
    free = problem.all_free()
    if gamma0 is not None:
        free[2] = False
    theta = _with_shares(problem, shape, expected, free)
    mu, jacobian = predict(problem, theta)
    here = Solution(theta, np.zeros(n), np.zeros(n), mu, jacobian, np.ones(n, dtype=np.bool_))
    inverse = covariance(problem, here, free)
    # what the prior on gamma0 does to the variances (`standard_errors`) it does to the covariance
    prior = problem.gamma0_prior**-2
    weight = prior * (1.0 - np.minimum(prior * theta[:, 2] ** 2, 1.0))
    both = inverse[:, :2, :2] - weight[:, None, None] * inverse[:, :2, 2:3] * inverse[:, 2:3, :2]
    return np.asarray(both[:, 0, 1] / np.sqrt(both[:, 0, 0] * both[:, 1, 1]))


def _with_shares(problem: Problem, shape: Array, expected: Array, free: NDArray[np.bool_]) -> Array:
    """All parameters: the shares are what makes the expected counts from the line shape, by weighted least squares."""
    theta = np.zeros((shape.shape[0], problem.n_parameters))
    theta[:, :N_SHAPE] = shape
    theta[:, N_SHAPE : N_SHAPE + N_LINEAR * problem.n_window : N_LINEAR] = 1.0
    used = np.flatnonzero(free[N_SHAPE:]) + N_SHAPE
    rows = predict(problem, theta)[1][:, used]
    root = 1.0 / np.sqrt(np.maximum(expected, 1e-3))  # a dark bin weighs no more than a thousand times one count
    design = np.swapaxes(rows * root[:, None, :], 1, 2)
    for i in range(shape.shape[0]):
        theta[i, used] = np.linalg.lstsq(design[i], expected[i] * root[i], rcond=None)[0]
    return theta
