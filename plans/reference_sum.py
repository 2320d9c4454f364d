"""What the exposures of a reference are together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.evidence import Evidence
from microarpes.plans.gate import flux


class ReferenceSum:
    """Exposures of a reference added up; slow signals averaged over them.

    Attributes
    ----------
    exposures : int
    frame : ndarray, shape (n_angle, n_energy), counts
        Wider than that of one exposure.
    """

    def __init__(self) -> None:
        self.exposures = 0
        self.frame: NDArray[Any] = np.empty((0, 0))
        self._sums: dict[str, float] = {}

    def add(self, evidence: Evidence) -> None:
        """Add what the gate has accepted."""
        frame = np.asarray(evidence.frame)
        wide = frame.astype(np.float64 if frame.dtype.kind == "f" else np.int64)
        self.frame = wide if not self.exposures else self.frame + wide
        self.exposures += 1
        stamp = float(evidence.readings["frame_id"]["timestamp"])
        seen = {"time": stamp - 0.5 * evidence.acquire_time}
        seen |= {name: evidence.value(name) for name in ("sample_temperature", "photon_energy", "ring_current")}
        seen["flux"] = flux(evidence)
        for name, value in seen.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def _mean(self, name: str) -> float:
        return self._sums.get(name, 0.0) / max(1, self.exposures)

    @property
    def time(self) -> float:
        """Mean of the middles of the exposures, s."""
        return self._mean("time")

    @property
    def temperature(self) -> float:
        """Of the sample, K."""
        return self._mean("sample_temperature")

    @property
    def photon_energy(self) -> float:
        """As read back, eV."""
        return self._mean("photon_energy")

    @property
    def ring_current(self) -> float:
        """In mA."""
        return self._mean("ring_current")

    @property
    def flux(self) -> float:
        """I0 per second, nA, or the ring current, mA, where there is no gated I0."""
        return self._mean("flux")
