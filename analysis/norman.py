r"""Spectral function of a superconductor at k_F after Norman, Randeria, Ding and Campuzano (the reference model).

.. math::

    \Sigma(k, \omega) = -i\Gamma_1 + \frac{\Delta^2}{\omega + \epsilon_k + i\Gamma_0}, \qquad
    A(k, \omega) = -\frac{1}{\pi} \mathrm{Im} \frac{1}{\omega - \epsilon_k - \Sigma(k, \omega)}

Source: Phys. Rev. B 57, R11093 (1998), DOI 10.1103/PhysRevB.57.R11093. With :math:`\Gamma_0 = 0` the peak sits at
:math:`-\Delta` and its FWHM is :math:`\Gamma_1`. The form used below is purely real: with
:math:`u = \omega+\epsilon_k`, :math:`v = \omega-\epsilon_k`, :math:`q = \Gamma_0\Gamma_1 + \Delta^2`,

.. math::

    A = \frac{1}{\pi} \frac{\Gamma_1 u^2 + \Gamma_0 q}{(uv - q)^2 + (\Gamma_0 v + \Gamma_1 u)^2}
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.line_shape import Array, CheckValues, LineShape

__all__ = ["CHECK_VALUES", "NORMAN", "norman", "norman_gradient"]

#: Keeps 0/0 at omega = delta = gamma0 = 0 away; its effect elsewhere is below 1e-9 of the peak. meV.
TINY_RATE = 1e-9

#: (omega, delta, gamma1, gamma0, eps_k), meV, and A, 1/meV; from the complex self-energy in exact rational arithmetic.
CHECK_VALUES: CheckValues = (
    ((-35.0, 35.0, 15.0, 2.0, 0.0), 0.018730441566382948),
    ((-60.0, 35.0, 15.0, 2.0, 0.0), 0.00275065340886179),
    ((0.0, 10.0, 20.0, 1.0, 0.0), 0.002652582384864922),
    ((12.5, 22.0, 8.0, 4.0, 0.0), 0.006943644871216942),
    ((-41.0, 38.0, 12.0, 1.5, -20.0), 0.02421859687154224),
    ((-3.0, 0.0, 25.0, 3.0, 0.0), 0.012551651663398685),
)


def norman_gradient(
    energy: Array, delta: Array, gamma1: Array, gamma0: Array, eps_k: float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """Spectral function and its derivatives with respect to delta, gamma1 and gamma0.

    Parameters
    ----------
    energy : ndarray, meV
        Energy relative to E_F; occupied states negative.
    delta, gamma1, gamma0 : ndarray, meV
        Gap, single-particle scattering rate, pair-breaking rate; broadcast against `energy`.
    eps_k : float, meV
        Bare band energy relative to E_F: 0 at k_F.

    Returns
    -------
    value, d_delta, d_gamma1, d_gamma0 : ndarray, 1/meV and 1/meV^2
    """
    g0 = gamma0 + TINY_RATE
    u = energy + eps_k
    v = energy - eps_k
    q = g0 * gamma1 + delta * delta
    p = u * v - q
    r = g0 * v + gamma1 * u
    u2 = u * u
    scale = (1.0 / np.pi) / (p * p + r * r)
    value = (gamma1 * u2 + g0 * q) * scale
    # quotient rule: d(N/M) = (dN - A pi dM) / (pi M), with N the numerator and M the denominator
    twice = 2.0 * np.pi * value
    d_delta = (2.0 * delta * scale) * (g0 + twice * p)
    d_gamma1 = scale * (u2 + g0 * g0 + twice * (p * g0 - r * u))
    d_gamma0 = scale * (q + g0 * gamma1 + twice * (p * gamma1 - r * v))
    return value, d_delta, d_gamma1, d_gamma0


def norman(
    energy: ArrayLike, delta: ArrayLike, gamma1: ArrayLike, gamma0: ArrayLike = 0.0, eps_k: float = 0.0
) -> Array:
    """Spectral function A(k, omega), normalised to one electron.

    Parameters
    ----------
    energy : array_like, meV
        Energy relative to E_F; occupied states negative.
    delta, gamma1, gamma0 : array_like, meV
        Gap, single-particle scattering rate, pair-breaking rate; broadcast against `energy`.
    eps_k : float, meV
        Bare band energy relative to E_F: 0 at k_F.

    Returns
    -------
    ndarray, 1/meV

    Examples
    --------
    With gamma0 = 0 the peak at -delta is 1 / (pi gamma1) high:

    >>> round(float(norman(-37.0, delta=37.0, gamma1=15.0) * 15.0 * 3.141592653589793), 9)
    1.0
    """
    w, d, g1, g0 = (np.asarray(x, dtype=np.float64) for x in (energy, delta, gamma1, gamma0))
    return norman_gradient(w, d, g1, g0, eps_k)[0]


NORMAN = LineShape(
    name="norman",
    equation="A = -Im[1 / (w - eps_k + i gamma1 - delta^2 / (w + eps_k + i gamma0))] / pi",
    doi="10.1103/PhysRevB.57.R11093",
    evaluate=norman_gradient,
    bank=np.array(
        list(
            product(
                (1.5, 4.0, 7.0, 10.0, 14.0, 18.0, 22.0, 27.0, 32.0, 37.0, 43.0, 50.0, 60.0, 72.0),
                (5.0, 10.0, 18.0, 30.0, 55.0),
                (0.5, 3.0, 10.0),
            )
        )
    ),
    lower=(0.0, 1.0, 0.5),
    upper=(90.0, 150.0, 60.0),
    check_values=CHECK_VALUES,
)
