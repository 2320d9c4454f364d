"""From fitted parameters to what users read: numbers where they are measurements, limits where they are not."""

from __future__ import annotations

import numpy as np

from microarpes.analysis.fit_core import Fitted
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.line_shape import Array
from microarpes.analysis.results import GapFits, Status
from microarpes.analysis.scoring import N_LINEAR, N_SHAPE, predict
from microarpes.analysis.settings import FitSettings
from microarpes.analysis.systematics import delta_systematic
from microarpes.analysis.upper_limit import upper_limits

__all__ = ["model_on_axis", "report"]


def report(
    fits: GapFits,
    rows: np.ndarray[tuple[int], np.dtype[np.intp]],
    windows: FitWindows,
    fitted: Fitted,
    electrons: Array,
    settings: FitSettings,
) -> None:
    """Write the outcome of the fits of some pixels into the results.

    Parameters
    ----------
    fits : GapFits
        Written in place.
    rows : ndarray of int, shape (n,)
        Where the fitted pixels are in `fits`.
    windows : FitWindows
    fitted : Fitted, of length n
    electrons : ndarray, shape (n, n_window, n_energy), photoelectrons
    settings : FitSettings
    """
    gapless = fitted.good & ~fitted.gap
    measured = fitted.good & fitted.gap
    verdict = np.where(measured, Status.OK, np.where(gapless, Status.NO_GAP, Status.BAD_FIT))
    fits.status[rows] = [Status(v).label for v in verdict]
    theta = np.where(gapless[:, None], fitted.null_theta, fitted.theta)
    fits.deviance[rows] = np.where(gapless, fitted.null_deviance, fitted.deviance)
    fits.dof[rows] = fitted.dof + np.where(gapless, 2 if settings.gamma0 is None else 1, 0)
    fits.likelihood_ratio[rows] = fitted.likelihood_ratio
    model = model_on_axis(windows, theta, fitted.lower) * settings.gain
    fits.model_counts[rows] = model.reshape(rows.size, *fits.model_counts.shape[1:])
    ok = rows[measured]
    for i, name in enumerate(windows.shape.parameters):
        getattr(fits, name)[ok] = fitted.measured[measured, i] if i < 2 else fitted.theta[measured, i]
        getattr(fits, f"{name}_stderr")[ok] = fitted.stderr[measured, i]
    fits.amplitude[ok] = fitted.theta[measured, N_SHAPE : N_SHAPE + N_LINEAR * electrons.shape[1] : N_LINEAR].sum(
        axis=1
    )
    fits.delta_systematic[ok] = delta_systematic(windows, fitted, measured, settings)
    limit = upper_limits(windows, fitted, gapless, electrons, settings.gamma0)
    # a gap may hide behind an error of E_F, which moves it by at most as much (one-sided 95 %)
    limit = np.minimum(limit + 1.645 * settings.errors["ef"], windows.shape.upper[0])
    fits.upper_limit[rows[gapless]] = limit


def model_on_axis(windows: FitWindows, theta: Array, lower: Array) -> Array:
    """Fitted model in photoelectrons per channel on the axes of the input, shape (n, n_window, n_energy)."""
    whole = windows.whole
    moved = theta.copy()
    for i in range(whole.n_window):
        k = N_SHAPE + N_LINEAR * i
        at_ef = theta[:, k + 2]
        # the background's first parameter is its value at the lower end of the fit window; here that end is -1 meV
        moved[:, k + 1] = at_ef + (theta[:, k + 1] - at_ef) / -lower
    n, shape = theta.shape[0], (whole.n_window, whole.kernel.shape[2])
    model = np.empty((n, *shape))
    for i in range(n):  # one at a time: the matrices are large and the result must not depend on the batch
        model[i] = predict(whole, moved[i : i + 1])[0].reshape(shape)
    return model
