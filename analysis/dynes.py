r"""Density of states of a superconductor with broadened edges after Dynes, Narayanamurti and Garno.

.. math::

    \rho(\omega) = \mathrm{Re} \frac{\omega + i\Gamma}{\sqrt{(\omega + i\Gamma)^2 - \Delta^2}}

Source: Phys. Rev. Lett. 41, 1509 (1978), DOI 10.1103/PhysRevLett.41.1509. **This is a density of states, not a
spectral function**: it describes k-integrated spectra (a cut through k_F summed from end to end, a polycrystal), never
the EDC at one k_F of an antinode. It counts in units of the normal state's density, 1 far from the gap; :math:`\Gamma`
is fitted as ``gamma1`` (meV, half width at half maximum of what broadens the edges). There is no second rate and no
bare band energy.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.line_shape import Array, CheckValues, LineShape

__all__ = ["CHECK_VALUES", "DYNES", "dynes", "dynes_gradient"]

#: Keeps the square-root singularity at omega = +-delta away when there is no broadening, meV.
TINY_RATE = 1e-9

#: (omega, delta, gamma1, gamma0, eps_k), meV, and rho; complex square root in 30-digit arithmetic.
CHECK_VALUES: CheckValues = (
    ((-35.0, 35.0, 5.0, 0.0, 0.0), 1.4686084459324883),
    ((-60.0, 35.0, 5.0, 0.0, 0.0), 1.2214709109169753),
    ((0.0, 4.0, 3.0, 0.0, 0.0), 0.6),
    ((12.5, 22.0, 8.0, 0.0, 0.0), 0.51024305081799931),
    ((-300.0, 20.0, 2.0, 0.0, 0.0), 1.0022293575798019),
    ((-3.0, 0.0, 5.0, 0.0, 0.0), 1.0),
)


def dynes_gradient(
    energy: Array, delta: Array, gamma1: Array, gamma0: Array, eps_k: float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """Density of states and its derivatives with respect to delta, gamma1 and gamma0.

    Parameters
    ----------
    energy : ndarray, meV
        Energy relative to E_F; occupied states negative.
    delta, gamma1 : ndarray, meV
        Gap and broadening (half width at half maximum); broadcast against `energy`.
    gamma0, eps_k : ndarray and float, meV
        Have no place in a density of states.

    Returns
    -------
    value, d_delta, d_gamma1, d_gamma0 : ndarray, dimensionless and 1/meV
        The last is zero.
    """
    z = energy + 1j * (gamma1 + TINY_RATE)
    # the product of the two principal roots is the branch that goes as z: positive density at all energies
    inverse = 1.0 / (np.sqrt(z - delta) * np.sqrt(z + delta))
    cubed = inverse * inverse * inverse
    value = (z * inverse).real
    d_delta = (delta * z * cubed).real
    d_gamma1 = (delta * delta * cubed).imag
    return value, d_delta, d_gamma1, np.zeros_like(value + 0.0 * gamma0)


def dynes(energy: ArrayLike, delta: ArrayLike, gamma1: ArrayLike) -> Array:
    """Density of states in units of that without a gap.

    Parameters
    ----------
    energy : array_like, meV
        Energy relative to E_F; occupied states negative.
    delta, gamma1 : array_like, meV
        Gap and broadening (half width at half maximum); broadcast against `energy`.

    Returns
    -------
    ndarray, dimensionless

    Examples
    --------
    At E_F what is left is gamma1 / sqrt(gamma1^2 + delta^2):

    >>> round(float(dynes(0.0, delta=4.0, gamma1=3.0)), 9)
    0.6
    """
    w, d, g1 = (np.asarray(x, dtype=np.float64) for x in (energy, delta, gamma1))
    return dynes_gradient(w, d, g1, np.zeros(()))[0]


DYNES = LineShape(
    name="dynes",
    equation="rho = Re[(w + i gamma1) / sqrt((w + i gamma1)^2 - delta^2)]",
    doi="10.1103/PhysRevLett.41.1509",
    evaluate=dynes_gradient,
    bank=np.array(
        list(
            product(
                (1.5, 4.0, 7.0, 10.0, 14.0, 18.0, 22.0, 27.0, 32.0, 37.0, 43.0, 50.0, 60.0, 72.0),
                (1.5, 4.0, 8.0, 16.0),
                (0.0,),
            )
        )
    ),
    # gamma1 is the distance of the branch points from the real axis; the grid of the convolution resolves 1 meV
    lower=(0.0, 1.0, 0.0),
    upper=(90.0, 60.0, 0.0),
    parameters=("delta", "gamma1"),
    k_resolved=False,
    check_values=CHECK_VALUES,
)
