"""Units of the room, and the only place where they are converted.

Devices and documents speak eV of kinetic energy; every fit speaks meV relative to the Fermi energy, occupied states
negative. Widths are FWHM unless a name says sigma.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BOLTZMANN",
    "FWHM_PER_SIGMA",
    "MEV_PER_EV",
    "energy_from_kinetic",
    "ev_from_mev",
    "kinetic_from_energy",
    "mev_from_ev",
]

#: Boltzmann constant, meV/K (CODATA 2018, exact to the digits given).
BOLTZMANN = 0.08617333262
#: FWHM of a Gaussian over its standard deviation, 2 sqrt(2 ln 2).
FWHM_PER_SIGMA = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
#: meV in one eV.
MEV_PER_EV = 1000.0


def mev_from_ev(value: ArrayLike) -> NDArray[np.float64]:
    """Convert an energy, a width or an error from eV to meV.

    Parameters
    ----------
    value : array_like, any shape, eV

    Returns
    -------
    ndarray, same shape, meV
    """
    return np.asarray(value, dtype=np.float64) * MEV_PER_EV


def ev_from_mev(value: ArrayLike) -> NDArray[np.float64]:
    """Convert an energy, a width or an error from meV to eV; any shape."""
    return np.asarray(value, dtype=np.float64) / MEV_PER_EV


def energy_from_kinetic(kinetic: ArrayLike, ef: float) -> NDArray[np.float64]:
    """Energy relative to the Fermi energy from kinetic energy.

    Parameters
    ----------
    kinetic : array_like, any shape, eV
        Kinetic energy.
    ef : float, eV
        Kinetic energy of the Fermi edge.

    Returns
    -------
    ndarray, same shape, meV
        Negative for occupied states.

    Examples
    --------
    >>> energy_from_kinetic([9.5, 10.0], ef=10.0).tolist()
    [-500.0, 0.0]
    """
    return (np.asarray(kinetic, dtype=np.float64) - float(ef)) * MEV_PER_EV


def kinetic_from_energy(energy: ArrayLike, ef: float) -> NDArray[np.float64]:
    """Kinetic energy from energy relative to the Fermi energy.

    Parameters
    ----------
    energy : array_like, any shape, meV
        Energy relative to the Fermi energy.
    ef : float, eV
        Kinetic energy of the Fermi edge.

    Returns
    -------
    ndarray, same shape, eV
    """
    return np.asarray(energy, dtype=np.float64) / MEV_PER_EV + float(ef)
