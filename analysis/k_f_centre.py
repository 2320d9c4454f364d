r"""The middle between +k_F and -k_F in one pixel's own frame, and what its error means for the gap.

A cleaved face that waves moves +-k_F along the slit, and a window that stays sees the band elsewhere: at 100 eV by
some 45 meV a deg. The mirror centre of the frame (`mirror_centre`) says where the middle is; windows moved by it stay
on k_F. Emission may be stronger on one side: matrix elements know no mirror.

With :math:`\Delta_\pm` the gaps of windows that lie a step h higher and lower, the gap changes with the centre by
:math:`b\,\delta + a\,\delta^2`, and a centre that errs by :math:`\sigma` moves it, root mean square, by
:math:`\sqrt{b^2\sigma^2 + 3a^2\sigma^4}`. Of the counting noise in :math:`\Delta_\pm` that is some
:math:`\sigma / 2h` of the gap's own error, since the windows mostly overlap.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.k_f_verdict import FOUND
from microarpes.analysis.mirror_centre import mirror_centre

__all__ = ["FAR", "KFCentre", "find_k_f_centre", "gap_error_of_centre"]

#: Further from the middle of the windows than this, deg, a centre is flagged ``far``.
FAR = 0.2
#: The centre is looked for within `REACH` of the middle of the windows, by angles within `HALF_WIDTH` of it, deg; by
#: fewer in a frame that holds less.
REACH, HALF_WIDTH = 1.5, 4.0


class KFCentre(NamedTuple):
    """The middle between +-k_F in one frame.

    Attributes
    ----------
    centre, error : float, deg
        Slit angle and one standard deviation, of counting; NaN where it was not found.
    status : str
        ``ok``; ``far`` where it is more than `FAR` from the middle of the windows; or why it was not found: ``flat``,
        ``lost`` and ``bad-input`` as of `MirrorCentre`, ``outside`` where the frame does not hold the energies about
        E_F or the angles about the windows.
    """

    centre: float
    error: float
    status: str

    @property
    def found(self) -> bool:
        """Whether there is a centre."""
        return self.status in FOUND


def find_k_f_centre(
    frame: ArrayLike,
    energy: ArrayLike,
    angle: ArrayLike,
    fermi_energy: float,
    middle: float,
    *,
    gain: float = 1.0,
    row_shift: ArrayLike | None = None,
    flat_field: ArrayLike | None = None,
) -> KFCentre:
    """Find the middle between +-k_F in a frame of the antinodal cut; nothing raises.

    Parameters
    ----------
    frame : array_like, shape (n_angle, n_energy), counts
    energy, angle : array_like, shape (n_energy,) and (n_angle,), eV kinetic and deg
    fermi_energy : float, eV kinetic
    middle : float, deg
        Of the windows as they were planned.
    gain, row_shift, flat_field
        As of `mirror_centre`.

    Returns
    -------
    KFCentre
    """
    angles = np.asarray(angle, dtype=np.float64)
    room = min(middle - float(angles[0]), float(angles[-1]) - middle)
    reach = min(REACH, room / 4)
    try:
        found = mirror_centre(
            frame, energy, angles, fermi_energy,
            expected=middle, reach=reach, half_width=min(HALF_WIDTH, room - reach), gain=gain, row_shift=row_shift,
            uneven=True, flat_field=flat_field,
        )  # fmt: skip
    except ValueError:
        return KFCentre(math.nan, math.nan, "outside")
    if found.status == "ok" and abs(found.centre - middle) > FAR:
        return KFCentre(found.centre, found.error, "far")
    return KFCentre(found.centre, found.error, found.status)


def gap_error_of_centre(gap: float, lower: float, higher: float, step: float, error: float) -> float:
    """Return by how much a gap moves, root mean square, with the error of the centre its windows follow.

    Parameters
    ----------
    gap, lower, higher : float, meV
        Gaps of the windows as they lie, and of windows moved by a step to lower and to higher angles; NaN where one
        of these two has none.
    step, error : float, deg
        Of the windows moved; one standard deviation of the centre.

    Returns
    -------
    float, meV
        NaN where neither of the windows moved has a gap.

    Examples
    --------
    >>> round(gap_error_of_centre(35.0, 34.0, 36.0, 0.05, 0.01), 3)  # 20 meV a deg
    0.2
    """
    if math.isnan(lower) or math.isnan(higher):
        one = lower if math.isnan(higher) else higher
        return abs(one - gap) / step * error
    slope, bend = (higher - lower) / (2.0 * step), (higher + lower - 2.0 * gap) / (2.0 * step * step)
    return math.hypot(slope * error, math.sqrt(3.0) * bend * error * error)
