"""Where the centres of a frame's channels come from: an array the driver serves, or two ends and a count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ServedAxis:
    """A process variable that holds the centre of every channel."""

    centres_pv: str

    @property
    def pvs(self) -> tuple[str, ...]:
        """Suffixes to read, in the order `centres` takes their values."""
        return (self.centres_pv,)

    def centres(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Return the centres from what was read."""
        return np.atleast_1d(np.asarray(values[0], dtype=np.float64))


@dataclass(frozen=True)
class SpannedAxis:
    """Two ends and a number of channels.

    Parameters
    ----------
    low, high : str
        Suffixes of the ends.
    size : str
        Suffix of the number of channels.
    outer_edges : bool
        Whether the ends are the outer edges of the first and the last channel, not their centres.
    """

    low: str
    high: str
    size: str
    outer_edges: bool = False

    @property
    def pvs(self) -> tuple[str, ...]:
        """Suffixes to read, in the order `centres` takes their values."""
        return (self.low, self.high, self.size)

    def centres(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Return the centres from what was read.

        Examples
        --------
        >>> SpannedAxis("LOW", "HIGH", "N").centres([-1.0, 1.0, 5]).tolist()
        [-1.0, -0.5, 0.0, 0.5, 1.0]
        >>> SpannedAxis("MIN", "MAX", "N", outer_edges=True).centres([-1.0, 1.0, 4]).tolist()
        [-0.75, -0.25, 0.25, 0.75]
        """
        low, high, size = float(values[0]), float(values[1]), max(int(values[2]), 0)
        if self.outer_edges:
            half = (high - low) / (2 * max(size, 1))
            low, high = low + half, high - half
        return np.linspace(low, high, size, dtype=np.float64)


ChannelAxis = ServedAxis | SpannedAxis
