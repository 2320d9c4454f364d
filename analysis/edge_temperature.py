r"""The temperature of a surface from the width of its Fermi edge, where the resolution is known.

A sensor tells the temperature of its place, not of the spot that the beam heats. An edge is as wide as temperature and
resolution make it, :math:`\sqrt{R^2 + (3.5\,kT)^2}` FWHM or so, and tells one of them where the other is known; never
both. Here the resolution is known, and its error is an error of the temperature:
:math:`\sigma_T \approx R\,\sigma_R / (12.3\,k^2 T)`, 2 K at 10 K for 0.2 meV of 10 meV. `fit_fermi_edge` tells the
resolution where the temperature is known. Windows of one frame have one temperature and one resolution, each its own
E_F: they are fitted together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from microarpes.analysis.fermi_edge import FermiEdgeFit, fit_fermi_edge

__all__ = ["EdgeTemperature", "fit_edge_temperature"]

#: Temperatures tried, K.
COLDEST, HOTTEST = 1.0, 500.0
#: Growth of the deviance at one standard error, and at the one-sided 95 % limit.
RISE, LIMIT_RISE = 1.0, 2.706


@dataclass(frozen=True)
class EdgeTemperature:
    """What an edge says of the temperature.

    Attributes
    ----------
    temperature : float, K
        NaN where the edge is no wider than the resolution makes it, or is none.
    temperature_stderr : float, K
        By counting, one standard error.
    temperature_systematic : float, K
        By the error of the resolution.
    upper_limit : float, K
        95 %, where no temperature is told; NaN otherwise.
    ef, ef_stderr : float, eV kinetic
        Of several edges their mean.
    deviance, dof : float
    status : str
        ``ok``, ``cold`` (only a limit is told), ``hot`` (beyond 500 K), ``no-edge`` or ``bad-input``.
    """

    temperature: float
    temperature_stderr: float
    temperature_systematic: float
    upper_limit: float
    ef: float
    ef_stderr: float
    deviance: float
    dof: float
    status: str


def fit_edge_temperature(
    energy: ArrayLike,
    counts: ArrayLike,
    resolution: float,
    resolution_error: float = 0.0,
    *,
    gain: float = 1.0,
    flat_field: ArrayLike | None = None,
) -> EdgeTemperature:
    """Fit the temperature of the Fermi edge of a metal, or of several edges of one.

    Parameters
    ----------
    energy : array_like, shape (n_energy,), eV kinetic
    counts : array_like, shape (n_energy,) or (n_edge, n_energy), detector units
        What is not finite counts >= 0 on the axis is ``bad-input``; it never raises.
    resolution, resolution_error : float, eV
        FWHM of a Gaussian, total, and its error: measured at another temperature, or on another line.
    gain : float
        Detector units per photoelectron.
    flat_field : array_like, of the shape of the counts, optional
        As of `fit_fermi_edge`.

    Raises
    ------
    ValueError
        When an argument other than the counts is wrong.
    """
    if not 0.0 <= resolution_error < np.inf:
        raise ValueError(f"resolution_error = {resolution_error!r} eV must be 0 or more")
    edge = _Profile(energy, counts, resolution, gain, flat_field)
    found, best = edge.minimum()
    fits = edge.fits(found)
    fitted = sum(fit.deviance for fit in fits), sum(fit.dof for fit in fits)
    if refused := [fit.status for fit in fits if fit.status != "ok"]:
        nan = float("nan")
        return EdgeTemperature(nan, nan, nan, nan, nan, nan, *fitted, refused[0])
    ef, ef_error = (np.array([getattr(fit, name) for fit in fits]) for name in ("ef", "ef_error"))
    numbers = float(ef.mean()), float(np.hypot.reduce(ef_error)) / len(fits), fitted[0], fitted[1] - 1.0
    if edge.deviance(HOTTEST) < best + RISE:
        return EdgeTemperature(np.nan, np.nan, np.nan, np.nan, *numbers, "hot")
    high = edge.where(best + RISE, found, 2.0 * found if edge.deviance(2.0 * found) > best + RISE else HOTTEST)
    if edge.deviance(COLDEST) < best + RISE:
        limit = edge.where(best + LIMIT_RISE, found, HOTTEST)
        return EdgeTemperature(np.nan, np.nan, np.nan, limit, *numbers, "cold")
    low = edge.where(best + RISE, 0.5 * found if edge.deviance(0.5 * found) > best + RISE else COLDEST, found)
    systematic = 0.0
    if resolution_error > 0:
        nearby = [_Profile(energy, counts, resolution + by, gain, flat_field).near(found)
                  for by in (-0.5 * resolution_error, 0.5 * resolution_error)]  # fmt: skip
        systematic = abs(nearby[1] - nearby[0])
    return EdgeTemperature(found, 0.5 * (high - low), systematic, np.nan, *numbers, "ok")


class _Profile:
    """Deviance of the edges against temperature, everything else fitted."""

    def __init__(
        self, energy: ArrayLike, counts: ArrayLike, resolution: float, gain: float, flat_field: ArrayLike | None
    ) -> None:
        self._energy = energy
        self._edges: list[ArrayLike] = list(np.atleast_2d(np.asarray(counts, dtype=np.float64)))
        self._factors: list[ArrayLike | None] = [None] * len(self._edges)
        if flat_field is not None:
            self._factors = list(np.atleast_2d(np.asarray(flat_field, dtype=np.float64)))
        self._options: dict[str, Any] = {"resolution": resolution, "gain": gain}
        self._known: dict[float, float] = {}
        # Every temperature on the window of one E_F: deviances compare on equal channels only.
        self._guesses: list[float | None] = [None] * len(self._edges)
        self._guesses = [fit.ef if np.isfinite(fit.ef) else None for fit in self.fits(20.0)]

    def fits(self, temperature: float) -> list[FermiEdgeFit]:
        """Fit every edge at a temperature, K."""
        return [
            fit_fermi_edge(self._energy, counts, temperature, ef_guess=guess, flat_field=factor, **self._options)
            for counts, guess, factor in zip(self._edges, self._guesses, self._factors, strict=True)
        ]

    def deviance(self, temperature: float) -> float:
        if temperature not in self._known:
            deviances = [fit.deviance for fit in self.fits(temperature)]
            self._known[temperature] = float(np.nan_to_num(deviances, nan=0.0).sum())
        return self._known[temperature]

    def minimum(self) -> tuple[float, float]:
        """Temperature of the least deviance, K, and that deviance."""
        best = min([self._between(COLDEST, HOTTEST), COLDEST, HOTTEST], key=self.deviance)
        return best, self.deviance(best)

    def near(self, temperature: float) -> float:
        """Temperature of the least deviance near one, K."""
        return self._between(temperature / 1.5, temperature * 1.5)

    def _between(self, low: float, high: float) -> float:
        found = minimize_scalar(
            lambda u: self.deviance(float(np.exp(u))),
            bounds=(np.log(low), np.log(high)),
            method="bounded",
            options={"xatol": 1e-3},
        )
        return float(np.exp(found.x))

    def where(self, wanted: float, low: float, high: float) -> float:
        """Temperature between two at which the deviance has a value, K."""
        return float(brentq(lambda t: self.deviance(float(t)) - wanted, low, high, xtol=1e-3 * high))
