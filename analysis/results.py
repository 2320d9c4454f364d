"""What a gap fit says, one EDC at a time (`GapFit`) or many (`GapFits`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.line_shape import Array

__all__ = ["FLOAT_FIELDS", "STATUS_NAMES", "GapFit", "GapFits", "Status"]


class Status(IntEnum):
    """Verdicts on an EDC in order of precedence: the smallest that applies is given."""

    BAD_INPUT = 0
    SATURATED = 1
    NO_EDGE = 2
    OFF_SAMPLE = 3
    EMPTY = 4
    LOW_COUNTS = 5
    BAD_FIT = 6
    NO_GAP = 7
    OK = 8

    @property
    def label(self) -> str:
        """As documents and users write it, for example ``no-gap``."""
        return self.name.lower().replace("_", "-")


STATUS_NAMES: tuple[str, ...] = tuple(status.label for status in Status)


class GapFit(NamedTuple):
    """The fit of one EDC; energies in meV.

    `delta`, `gamma1`, `gamma0` and their errors are NaN unless `status` is ``ok``; `upper_limit` (95 %) is NaN unless
    it is ``no-gap``. `deviance`, `dof` and `model_counts` are there whenever a fit ran; for ``no-gap`` they are those
    of the fit without a gap.

    Attributes
    ----------
    delta, delta_stderr : float, meV
        Gap and its statistical error (one standard deviation, Fisher information, never rescaled).
    delta_systematic : float, meV
        Error of the gap from the errors of E_F, k_F, resolution and temperature; not part of `delta_stderr`.
    gamma1, gamma1_stderr, gamma0, gamma0_stderr : float, meV
        Single-particle scattering rate and pair-breaking rate.
    amplitude : float, photoelectrons
        Area of the spectral function.
    deviance, dof : float
        Poisson deviance of the binned EDC and its degrees of freedom.
    likelihood_ratio : float
        By how much the deviance grows without a gap; NaN where the gap is beyond doubt.
    upper_limit : float, meV
        95 % upper limit of the gap; the largest gap searched for means that nothing could be excluded.
    status : str
    model_counts : ndarray, shape (n_energy,) or (n_window, n_energy), counts
        On the axis of the input, in its units; outside the fit window an extrapolation.
    """

    delta: float
    delta_stderr: float
    delta_systematic: float
    gamma1: float
    gamma1_stderr: float
    gamma0: float
    gamma0_stderr: float
    amplitude: float
    deviance: float
    dof: float
    likelihood_ratio: float
    upper_limit: float
    status: str
    model_counts: Array


FLOAT_FIELDS: tuple[str, ...] = tuple(name for name in GapFit._fields if name not in ("status", "model_counts"))


@dataclass(frozen=True)
class GapFits:
    """The fits of many EDCs: the fields of `GapFit` as arrays of shape (n,); `model_counts` (n, ...)."""

    delta: Array
    delta_stderr: Array
    delta_systematic: Array
    gamma1: Array
    gamma1_stderr: Array
    gamma0: Array
    gamma0_stderr: Array
    amplitude: Array
    deviance: Array
    dof: Array
    likelihood_ratio: Array
    upper_limit: Array
    status: NDArray[np.str_]
    model_counts: Array

    def __len__(self) -> int:
        return int(self.delta.shape[0])

    def __getitem__(self, index: int) -> GapFit:
        values = {name: float(getattr(self, name)[index]) for name in FLOAT_FIELDS}
        return GapFit(**values, status=str(self.status[index]), model_counts=self.model_counts[index])

    @classmethod
    def unfitted(cls, status: NDArray[np.intp], counts_shape: tuple[int, ...]) -> GapFits:
        """Results with a verdict and no number, to be filled in."""
        n = status.size
        values = {name: np.full(n, np.nan) for name in FLOAT_FIELDS}
        names = np.array(STATUS_NAMES)[status]
        return cls(**values, status=names, model_counts=np.full((n, *counts_shape), np.nan))
