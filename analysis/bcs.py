r"""Spectral function of a BCS superconductor with quasiparticles of finite lifetime (the minimal model).

.. math::

    A(k, \omega) = \frac{1}{\pi} \left[ \frac{|u_k|^2\, \Gamma}{(\omega - E_k)^2 + \Gamma^2}
                   + \frac{|v_k|^2\, \Gamma}{(\omega + E_k)^2 + \Gamma^2} \right], \qquad
    E_k = \sqrt{\epsilon_k^2 + \Delta^2}, \quad |v_k|^2 = 1 - |u_k|^2 = \tfrac12 (1 - \epsilon_k / E_k)

Source: Matsui et al., Phys. Rev. Lett. 90, 217002 (2003), DOI 10.1103/PhysRevLett.90.217002. The rate that is fitted is
``gamma1`` :math:`= 2\Gamma`, the FWHM of each peak in meV, so that it compares with the reference model's, whose peak
is also ``gamma1`` wide. There is no pair-breaking rate; the tails of the two Lorentzians fill the gap at E_F, where
Norman's form vanishes when nothing breaks pairs.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.line_shape import Array, CheckValues, LineShape

__all__ = ["BCS", "CHECK_VALUES", "bcs", "bcs_gradient"]

#: Keeps 0/0 at delta = eps_k = 0 away; its effect elsewhere is below 1e-12 of the peak. meV.
TINY_ENERGY = 1e-9

#: (omega, delta, gamma1, gamma0, eps_k), meV, and A, 1/meV; sums of two Lorentzians in 30-digit arithmetic.
CHECK_VALUES: CheckValues = (
    ((-35.0, 35.0, 15.0, 0.0, 0.0), 0.021461498841479623),
    ((-60.0, 35.0, 15.0, 0.0, 0.0), 0.0018836069967952961),
    ((0.0, 10.0, 20.0, 0.0, 0.0), 0.015915494309189534),
    ((12.5, 22.0, 8.0, 0.0, 0.0), 0.0065194831915729147),
    ((-41.0, 38.0, 12.0, 0.0, -20.0), 0.035265930478587583),
    ((44.0, 38.0, 12.0, 0.0, -20.0), 0.013928315678076198),
)


def bcs_gradient(
    energy: Array, delta: Array, gamma1: Array, gamma0: Array, eps_k: float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """Spectral function and its derivatives with respect to delta, gamma1 and gamma0.

    Parameters
    ----------
    energy : ndarray, meV
        Energy relative to E_F; occupied states negative.
    delta, gamma1 : ndarray, meV
        Gap and FWHM of the quasiparticle peak; broadcast against `energy`.
    gamma0 : ndarray, meV
        Has no place in this model.
    eps_k : float, meV
        Bare band energy relative to E_F: 0 at k_F.

    Returns
    -------
    value, d_delta, d_gamma1, d_gamma0 : ndarray, 1/meV and 1/meV^2
        The last is zero.
    """
    half = 0.5 * gamma1
    quasiparticle = np.sqrt(eps_k * eps_k + delta * delta + TINY_ENERGY**2)
    slope = delta / quasiparticle
    hole = 0.5 * (1.0 - eps_k / quasiparticle)
    d_hole = 0.5 * eps_k * slope / quasiparticle**2
    value, d_delta, d_half = np.zeros(()), np.zeros(()), np.zeros(())
    # the occupied peak at -E carries |v|^2, the empty one at +E |u|^2
    for sign, weight, d_weight in ((1.0, hole, d_hole), (-1.0, 1.0 - hole, -d_hole)):
        x = energy + sign * quasiparticle
        scale = 1.0 / (x * x + half * half)
        line = (half / np.pi) * scale
        value = value + weight * line
        d_delta = d_delta + d_weight * line - weight * line * (2.0 * sign * slope) * x * scale
        d_half = d_half + weight * (x * x - half * half) * scale * scale / np.pi
    return np.asarray(value), np.asarray(d_delta), np.asarray(0.5 * d_half), np.zeros_like(value + 0.0 * gamma0)


def bcs(energy: ArrayLike, delta: ArrayLike, gamma1: ArrayLike, eps_k: float = 0.0) -> Array:
    """Spectral function A(k, omega), normalised to one electron.

    Parameters
    ----------
    energy : array_like, meV
        Energy relative to E_F; occupied states negative.
    delta, gamma1 : array_like, meV
        Gap and FWHM of the quasiparticle peak; broadcast against `energy`.
    eps_k : float, meV
        Bare band energy relative to E_F: 0 at k_F.

    Returns
    -------
    ndarray, 1/meV

    Examples
    --------
    At k_F half of the weight lies below E_F; a peak of FWHM 2 meV far from E_F is 1 / (2 pi) high:

    >>> round(float(bcs(-500.0, delta=500.0, gamma1=2.0) * 2.0 * 3.141592653589793), 5)
    1.0
    """
    w, d, g1 = (np.asarray(x, dtype=np.float64) for x in (energy, delta, gamma1))
    return bcs_gradient(w, d, g1, np.zeros(()), eps_k)[0]


BCS = LineShape(
    name="bcs",
    equation="A = u^2 L(w - E) + v^2 L(w + E), E = sqrt(eps_k^2 + delta^2), L Lorentzian of FWHM gamma1, area 1",
    doi="10.1103/PhysRevLett.90.217002",
    evaluate=bcs_gradient,
    bank=np.array(
        list(
            product(
                (1.5, 4.0, 7.0, 10.0, 14.0, 18.0, 22.0, 27.0, 32.0, 37.0, 43.0, 50.0, 60.0, 72.0),
                (5.0, 10.0, 18.0, 30.0, 55.0),
                (0.0,),
            )
        )
    ),
    # half of gamma1 is the distance of the poles from the real axis; 1 meV is what the grid of the convolution resolves
    lower=(0.0, 2.0, 0.0),
    upper=(90.0, 150.0, 0.0),
    parameters=("delta", "gamma1"),
    check_values=CHECK_VALUES,
)
