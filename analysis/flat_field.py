r"""The detector's flat field as a factor of the model.

A mesh in front of the detector, its grid lines and the gain of its channels make channel :math:`i` count
:math:`\phi_i \mu_i` where :math:`\mu_i` is expected of the spectrum. Counts divided by :math:`\phi_i` are no longer
Poisson's, and carry the noise of the flat field itself; so the counts stay as they are and the factor multiplies the
expectation, dark channels above E_F included. A factor of 0 is a dead channel: whatever it counted says nothing.

The factor of an EDC is the mean of the flat field over the angle channels of its window, which is exact where they are
equally bright.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.line_shape import Array

__all__ = ["check_flat_field", "flat_field_on"]

#: Beyond this a factor is no detector's, whatever it was normalised by.
LARGEST_FACTOR = 100.0


def check_flat_field(flat_field: ArrayLike | None, energy: Array, *, signed: bool = False) -> Array | None:
    """Check the factors of a fitter; None for none.

    Parameters
    ----------
    flat_field : array_like, shape (n_energy,) or (n_window, n_energy), or None
    energy : ndarray, shape (n_energy,) or (n_window, n_energy), meV
    signed : bool
        Whether the counts have readout noise and may be negative.

    Raises
    ------
    ValueError
        When they are not numbers in [0, 100] for every channel, a window has none above 0, or there is readout noise.
    """
    if flat_field is None:
        return None
    if signed:
        raise ValueError("flat_field with likelihood = 'gaussian' is not known: readout noise has no flat field")
    try:
        factor = np.array(flat_field, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"flat_field is not an array of numbers: {error}") from None
    n_energy = energy.shape[-1]
    fits = factor.ndim in (1, 2) and factor.shape[-1] == n_energy
    if not fits or (factor.ndim == energy.ndim == 2 and len(factor) != len(energy)):
        raise ValueError(
            f"flat_field has shape {factor.shape} for an energy axis of shape {energy.shape}; give one factor a "
            f"channel: ({n_energy},), or one such row a window"
        )
    if not ((factor >= 0.0) & (factor <= LARGEST_FACTOR)).all():
        raise ValueError(
            f"flat_field holds factors outside [0, {LARGEST_FACTOR:g}], or NaN; 0 is a dead channel, 1 an ordinary one"
        )
    if not (factor > 0.0).any(axis=-1).all():
        raise ValueError("flat_field is 0 in all channels of a window: nothing can be measured there")
    return factor


def flat_field_on(factor: Array | None, n_window: int) -> Array | None:
    """Give each of so many windows its factors, shape (n_window, n_energy); ValueError when they are of others."""
    if factor is None or (factor.ndim == 2 and len(factor) == n_window):
        return factor
    if factor.ndim == 2:
        raise ValueError(f"flat_field is of {len(factor)} windows, the counts are of {n_window}")
    return np.repeat(factor[None], n_window, axis=0)
