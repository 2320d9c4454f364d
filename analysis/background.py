r"""Background terms beyond the straight line: a hump behind the peak, and a step under it.

Both belong to the sample, not to a pixel's whim: leave them out until a sum over many pixels shows them. Each takes one
more linear parameter >= 0 per window (counts per meV) and stands under the Fermi function and the resolution like the
straight line does. They share electrons with the line and none may be negative, so error bars come out a little too
large rather than too small (pulls 0.8 wide).

- `Hump`: :math:`\exp[-\tfrac12 ((\omega + \Delta + \Omega)/\sigma)^2]`, the incoherent hump or the bonding band that
  follows the peak at a distance :math:`\Omega`, with distance and width given: it lies 100-130 meV below E_F in
  optimally doped Bi2212 (Kordyuk et al., Phys. Rev. Lett. 89, 077003 (2002), DOI 10.1103/PhysRevLett.89.077003).
- `Step`, instead of the line's slope: :math:`\int_\omega^\infty A(\omega') f(\omega') d\omega'`, electrons of the
  peak that lost energy on their way out (Shirley, Phys. Rev. B 5, 4709 (1972), DOI 10.1103/PhysRevB.5.4709), with the
  peak of the fit itself, not of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from microarpes.analysis.line_shape import Array
from microarpes.analysis.settings import check_number
from microarpes.analysis.units import FWHM_PER_SIGMA

__all__ = ["BackgroundTerm", "Hump", "Step", "background_terms"]


@dataclass(frozen=True)
class Hump:
    """A Gaussian that keeps its distance from the peak.

    Attributes
    ----------
    offset : float, meV
        Distance of its centre below -delta.
    width : float, meV
        FWHM.
    """

    offset: float = 70.0
    width: float = 80.0
    instead_of_slope: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_number("hump offset", self.offset, "meV", 0.0, 500.0, open_low=True)
        check_number("hump width", self.width, "meV (FWHM)", 5.0, 500.0)

    def evaluate(self, energy: Array, delta: Array, line: Array, thermal: float) -> Array:
        """Value and derivatives; see `BackgroundTerm`."""
        sigma = self.width / FWHM_PER_SIGMA
        x = (energy + delta + self.offset) / sigma
        value = np.exp(-0.5 * x * x)
        nothing = np.zeros_like(value)
        return np.stack([value, -value * x / sigma, nothing, nothing], axis=2)


@dataclass(frozen=True)
class Step:
    """What the peak's electrons leave behind at lower kinetic energy.

    It stands instead of the straight line's slope, from which no EDC could tell it: the line is level then.
    """

    instead_of_slope: ClassVar[bool] = True

    def evaluate(self, energy: Array, delta: Array, line: Array, thermal: float) -> Array:
        """Value and derivatives; see `BackgroundTerm`."""
        occupied = line * expit(-energy / thermal)[:, :, None, :]
        # trapezoids from the upper end of the grid, where nothing is occupied, down to each energy
        areas = 0.5 * (occupied[..., 1:] + occupied[..., :-1]) * np.diff(energy)[:, :, None, :]
        value = np.zeros_like(occupied)
        value[..., :-1] = np.add.accumulate(areas[..., ::-1], axis=-1)[..., ::-1]
        return value


#: ``evaluate(energy, delta, line, thermal)``: energy (1, n_window, n_fine) and delta (n, 1, 1), meV; line
#: (n, n_window, 4, n_fine), the line shape and its derivatives with respect to delta, gamma1, gamma0; kT in meV. It
#: returns the term and its derivatives with respect to the same three in the same shape.
BackgroundTerm = Hump | Step

#: What users write in ``GapFitter(background=...)``.
NAMED: dict[str, tuple[BackgroundTerm, ...]] = {
    "linear": (),
    "hump": (Hump(),),
    "step": (Step(),),
    "hump+step": (Hump(), Step()),
}


def background_terms(background: str | BackgroundTerm | Sequence[BackgroundTerm]) -> tuple[BackgroundTerm, ...]:
    """Terms beyond the straight line.

    Parameters
    ----------
    background : str, term, or sequence of terms
        ``"linear"``, ``"hump"``, ``"step"``, ``"hump+step"``; or terms with numbers of their own, such as
        ``Hump(offset=60.0, width=70.0)``.

    Raises
    ------
    ValueError
        When it is none of these.
    """
    if isinstance(background, str) and background in NAMED:
        return NAMED[background]
    terms = (background,) if isinstance(background, (Hump, Step)) else background
    if isinstance(terms, str) or not all(isinstance(term, (Hump, Step)) for term in terms):
        raise ValueError(
            f"background = {background!r} is not known; choose one of: {', '.join(NAMED)}, or give Hump and Step terms"
        )
    return tuple(terms)
