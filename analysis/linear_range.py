"""Whether a pixel stays within the rates at which the detector was found to be linear.

A detector that is not linear cannot be put right in its counts without losing what makes them counts. So a run declares
up to which rate of one detector channel its table of rates is straight, and a spectrum that goes beyond is
``saturated``: no gap is given rather than a wrong one (Reber et al., arXiv:1505.02171, on what it does to gaps).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from microarpes.analysis.line_shape import Array

__all__ = ["LinearRange"]

#: Energy channels averaged, so that the rate is the spectrum's and not that of a fluctuation.
AVERAGED = 5
#: Counting errors by which the rate must be beyond the limit.
SIGMAS = 2.0


@dataclass(frozen=True)
class LinearRange:
    """Rates at which a detector is linear.

    Attributes
    ----------
    highest : float, photoelectrons/s in one detector channel
    angle_channels : tuple of int
        Number of them in each window.
    """

    highest: float
    angle_channels: tuple[int, ...]

    @classmethod
    def from_start(cls, doc: Mapping[str, Any]) -> LinearRange | None:
        """Read a start document; None where it declares no range.

        Raises
        ------
        KeyError, TypeError, ValueError
            It declares one and cannot be understood.
        """
        declared = (doc.get("detector") or {}).get("linearity")
        if declared is None:
            return None
        angle = np.asarray(doc["angle_axis"], dtype=np.float64)
        numbers = tuple(
            int(((angle >= float(window["angle_low"])) & (angle < float(window["angle_high"]))).sum())
            for window in doc["windows"]
        )
        highest = float(declared["linear_up_to"])
        if not (highest >= 0.0 and min(numbers) > 0):
            raise ValueError(
                f"linear_up_to = {highest:g} 1/s, {numbers} angle channels in the windows: no linear range"
            )
        return cls(highest, numbers)

    def exceeded(self, edc: Array, live_time: float, gain: float) -> bool:
        """Tell whether some window counted faster than the detector is linear, beyond counting noise.

        Parameters
        ----------
        edc : ndarray, shape (n_window, n_energy), detector units
        live_time : float, s
            NaN is unknown, which is beyond.
        gain : float, detector units per photoelectron
        """
        if not live_time > 0.0:
            return True
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is another verdict's
            total = np.add.accumulate(np.pad(edc / gain, ((0, 0), (1, 0))), axis=1)
            brightest = (total[:, AVERAGED:] - total[:, :-AVERAGED]).max(axis=1)
        allowed = self.highest * live_time * AVERAGED * np.array(self.angle_channels, dtype=np.float64)
        return bool((brightest - SIGMAS * np.sqrt(np.maximum(brightest, 0.0)) > allowed).any())
