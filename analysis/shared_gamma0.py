r"""One pair-breaking rate for a whole map: what single pixels cannot tell, many together can.

At 100 counts per meV the error of :math:`\Gamma_0` in one EDC is 1 to 3 meV, as large as the rate itself. Shared over
:math:`N` EDCs it falls as :math:`1/\sqrt N`. The value is where the sum of the EDCs' deviances, each at its own best
gap, rate :math:`\Gamma_1`, amplitude and background, is least (profile likelihood); its error is where the sum has
grown by 1. It is then given to ``GapFitter(gamma0=value)``.

An error of the resolution moves it: by 0.6 meV per meV at a gap of 35 meV, by more at smaller ones, whatever the number
of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from microarpes.analysis.fit_core import SURE_DELTA, SURE_SIGMAS, fit_counts
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.fitter import GapFitter
from microarpes.analysis.flat_field import flat_field_on
from microarpes.analysis.forward import Instrument
from microarpes.analysis.line_shape import Array
from microarpes.analysis.models import has_parameter, line_shape

__all__ = ["SharedGamma0", "shared_gamma0"]

#: Largest rate looked for, meV: beyond, the states in the gap are those of a normal metal.
LARGEST = 30.0
#: To this the minimum is found, meV.
TOLERANCE = 0.01
#: First half-width of the parabola through the minimum, meV; it then becomes the error itself.
FIRST_STEP = 0.5


@dataclass(frozen=True)
class SharedGamma0:
    """Pair-breaking rate of a map.

    Attributes
    ----------
    value, error : float, meV
        NaN when no EDC has a gap beyond doubt. Where the value is within its error of zero, value + 1.645 error is a
        95 % upper limit.
    rise_at_zero : float
        By how much the deviance of all EDCs grows without any pair breaking.
    n_used : int
        EDCs that went in: those whose gap is beyond doubt.
    """

    value: float
    error: float
    rise_at_zero: float
    n_used: int


def shared_gamma0(fitter: GapFitter, counts: ArrayLike, at_most: int = 1000) -> SharedGamma0:
    """Find the pair-breaking rate that all EDCs of a map share.

    Parameters
    ----------
    fitter : GapFitter
        Axis, calibration and line shape; its own policy for gamma0 only chooses which EDCs have a gap.
    counts : array_like, shape (n, n_energy) or (n, n_window, n_energy), detector units
        EDCs, or pixels of several windows that share gap and rates.
    at_most : int
        So many EDCs are used, evenly spread over those that can be.

    Raises
    ------
    ValueError
        When the line shape has no pair-breaking rate, or an argument is wrong.
    """
    shape = line_shape(fitter.model)
    if not has_parameter(shape, "gamma0"):
        raise ValueError(f"model {shape.name!r} has no pair-breaking rate gamma0 to be shared; choose model 'norman'")
    if at_most < 1:
        raise ValueError(f"at_most = {at_most!r} EDCs; it must be at least 1")
    rows = np.asarray(counts, dtype=np.float64)
    if rows.ndim not in (2, 3):
        raise ValueError(f"counts have shape {rows.shape}; give (n, n_energy) or (n, n_window, n_energy)")
    fits = fitter.fit_many(rows) if rows.ndim == 2 else fitter.fit_joint_many(rows)
    sure = (fits.status == "ok") & (fits.delta > SURE_DELTA) & (fits.delta > SURE_SIGMAS * fits.delta_stderr)
    used = np.flatnonzero(sure)
    if not used.size:
        return SharedGamma0(np.nan, np.nan, np.nan, 0)
    used = used[np.unique(np.linspace(0, used.size - 1, min(at_most, used.size)).astype(np.intp))]
    return _least(_Profile(fitter, rows[used] if rows.ndim == 3 else rows[used, None]))


class _Profile:
    """Sum of the deviances of all EDCs against gamma0, each value computed once."""

    def __init__(self, fitter: GapFitter, counts: Array) -> None:
        settings = fitter.settings
        flat = flat_field_on(fitter.flat_field, counts.shape[1])
        counts = counts if flat is None else np.where(flat > 0.0, counts, 0.0)
        self.electrons = fitter.likelihood.photoelectrons(counts)
        axes = settings.energy if settings.energy.ndim == 2 else np.repeat(settings.energy[None], counts.shape[1], 0)
        # the finest grid for all values: none may seem better because of its grid
        instrument = Instrument(settings.resolution, settings.temperature, gamma0_floor=0.0)
        shape = line_shape(fitter.model)
        self.windows = FitWindows(axes, instrument, shape, settings.eps_k, np.inf, fitter.background, flat)
        self.known: dict[float, float] = {}

    def __call__(self, gamma0: float) -> float:
        if gamma0 not in self.known:
            self.known[gamma0] = float(fit_counts(self.windows, self.electrons, gamma0).deviance.sum())
        return self.known[gamma0]


def _least(profile: _Profile) -> SharedGamma0:
    """Minimum of the profile, and the distance at which it has grown by 1."""
    found = minimize_scalar(profile, bounds=(0.0, LARGEST), method="bounded", options={"xatol": TOLERANCE})
    value = min((0.0, float(found.x)), key=profile)
    step = FIRST_STEP
    for _ in range(3):  # the width of the parabola is set to what it is to measure
        low, high = max(value - step, 0.0), value + step
        curvature = _curvature(profile, low, value, high)
        error = float(np.sqrt(2.0 / curvature)) if curvature > 0 else float(LARGEST)
        step = min(max(error, 2.0 * TOLERANCE), LARGEST)
    return SharedGamma0(value, error, profile(0.0) - profile(value), int(profile.electrons.shape[0]))


def _curvature(profile: _Profile, low: float, value: float, high: float) -> float:
    """Second derivative of the deviance at the minimum; with nothing below, of the parabola that starts level there."""
    above = (profile(high) - profile(value)) / (high - value)
    if low >= value:
        return 2.0 * above / (high - value)
    below = (profile(value) - profile(low)) / (value - low)
    return 2.0 * (above - below) / (high - low)
