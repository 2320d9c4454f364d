r"""Which noise the counts have: Poisson, or Gaussian with a measured gain and readout noise.

What to use when: ``poisson`` for a detector that counts electrons, or whose readout noise can be forgotten beside them;
``gaussian`` for one that integrates a camera image, with its dark level subtracted, so that values may be negative.

The Gaussian likelihood has the variance :math:`g \mu + r^2` for the mean :math:`\mu` (detector units), with gain
:math:`g` and readout noise :math:`r`. Weights come from the model, never from the counts: weights from the counts pull
a gap by up to 0.3 of its error. Its score equation, :math:`\sum (y - \mu)\, \partial\mu / (g \mu + r^2) = 0`, is
that of a Poisson likelihood of :math:`y / g + (r / g)^2` (McCullagh and Nelder, Generalized Linear Models, 2nd ed.,
ch. 9, DOI 10.1007/978-1-4899-3242-6), and so it is computed. The noise must be known for bins as wide as those of the
fit: `microarpes.analysis.gain`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microarpes.analysis.line_shape import Array
from microarpes.analysis.settings import check_number
from microarpes.analysis.verdict import MOST_COUNTS

__all__ = ["LIKELIHOODS", "Likelihood"]

LIKELIHOODS = ("poisson", "gaussian")


@dataclass(frozen=True)
class Likelihood:
    """Noise of an EDC.

    Attributes
    ----------
    name : str
        ``poisson`` or ``gaussian``.
    gain : float, detector units per photoelectron
    read_noise : float, detector units
        Standard deviation of one channel of the EDC without any electron: that of one detector pixel times the square
        root of the number of slices summed.
    """

    name: str
    gain: float
    read_noise: float

    @classmethod
    def checked(cls, name: str, gain: float, read_noise: float) -> Likelihood:
        """Check the arguments; raise ValueError with name, value, unit and limit."""
        if name not in LIKELIHOODS:
            raise ValueError(f"likelihood = {name!r} is not known; choose one of: {', '.join(LIKELIHOODS)}")
        check_number("gain", gain, "detector units per photoelectron", 0.0, 1e9, open_low=True)
        check_number("read_noise", read_noise, "detector units", 0.0, 1e9)
        if name == "poisson" and read_noise > 0:
            raise ValueError(
                f"read_noise = {read_noise!r} detector units, but a Poisson likelihood has none (limit 0); "
                "give likelihood='gaussian'"
            )
        return cls(name, float(gain), float(read_noise))

    @property
    def signed(self) -> bool:
        """Whether negative values are data."""
        return self.name == "gaussian"

    @property
    def least(self) -> float:
        """Smallest value that is data, detector units."""
        return -MOST_COUNTS if self.signed else 0.0

    @property
    def offset(self) -> float:
        """Variance of the readout noise in photoelectrons per channel."""
        return (self.read_noise / self.gain) ** 2

    def photoelectrons(self, counts: Array) -> Array:
        """Detector units as photoelectrons with the readout noise's share of the variance; any shape.

        What is negative even so becomes zero: with a noise of one electron per channel, 16 % of dark channels and 4 %
        of bins of three, which the model's constant absorbs.
        """
        return np.asarray(np.maximum(counts / self.gain + self.offset, 0.0))
