"""The arguments of a `GapFitter`, checked: a wrong one raises with its name, value, unit and limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.line_shape import Array

__all__ = ["FitSettings", "check_axis", "check_number"]

#: How far below the gap a fit may be told to look, meV.
FIT_DEPTHS = (10.0, 300.0)
GAMMA0_POLICIES = ("prior", "zero", "shared")


def check_number(name: str, value: float, unit: str, low: float, high: float, *, open_low: bool = False) -> float:
    """Return `value` as a float when it is a number in [low, high] (or ]low, high]), else raise ValueError."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    inside = (low < number if open_low else low <= number) and number <= high
    if not inside:
        bracket = "]" if open_low else "["
        raise ValueError(f"{name} = {value!r} {unit} is outside {bracket}{low:g}, {high:g}] {unit}".replace("  ", " "))
    return number


def check_axis(energy: ArrayLike) -> Array:
    """Return the energy axis or axes (meV) as float64, or raise ValueError saying what is wrong with them."""
    try:
        axis = np.array(energy, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"energy is not an array of numbers in meV: {error}") from None
    if axis.ndim not in (1, 2) or axis.shape[-1] < 8:
        raise ValueError(
            f"energy has shape {axis.shape}; it must be (n_energy,) or (n_window, n_energy), n_energy >= 8, in meV"
        )
    if not np.isfinite(axis).all():
        raise ValueError("energy holds NaN or infinite values; give channel centres in meV relative to E_F")
    steps = np.diff(axis, axis=-1)
    if not (steps > 0).all():
        raise ValueError(
            f"energy must ascend (meV, occupied states negative); its smallest step is {steps.min():g} meV: "
            "reverse both the axis and the counts"
        )
    return axis


@dataclass(frozen=True)
class FitSettings:
    """Checked arguments of a fitter.

    Attributes
    ----------
    energy : ndarray, shape (n_energy,) or (n_window, n_energy), meV
    resolution : float, meV
        FWHM.
    temperature : float, K
    gain : float, detector units per photoelectron
    gamma0 : float or None, meV
        The value it is fixed at, None when it is free under the prior.
    eps_k : float, meV
    saturation : float or None, detector units per channel
    min_angular_contrast : float
    errors : dict
        One standard deviation of ef (meV), resolution (meV FWHM), temperature (K), eps_k (meV).
    """

    energy: Array
    resolution: float
    temperature: float
    gain: float
    gamma0: float | None
    eps_k: float
    saturation: float | None
    min_angular_contrast: float
    errors: dict[str, float]

    @classmethod
    def checked(
        cls,
        *,
        energy: ArrayLike,
        resolution: float,
        temperature: float,
        gain: float,
        gamma0: str | float,
        eps_k: float,
        saturation: float | None,
        min_angular_contrast: float,
        errors: dict[str, float],
    ) -> FitSettings:
        """Check every argument; the limits are those of photoemission, wide."""
        return cls(
            energy=check_axis(energy),
            resolution=check_number("resolution", resolution, "meV (FWHM)", 0.5, 200.0),
            temperature=check_number("temperature", temperature, "K", 0.5, 1000.0),
            gain=check_number("gain", gain, "detector units per photoelectron", 0.0, 1e9, open_low=True),
            gamma0=_fixed_gamma0(gamma0),
            eps_k=check_number("eps_k", eps_k, "meV", -1000.0, 1000.0),
            saturation=None
            if saturation is None
            else check_number("saturation", saturation, "counts per channel", 0.0, 1e18, open_low=True),
            min_angular_contrast=check_number("min_angular_contrast", min_angular_contrast, "", 0.0, 100.0),
            errors={
                name: check_number(f"{name}_error", value, "K" if name == "temperature" else "meV", 0.0, 1000.0)
                for name, value in errors.items()
            },
        )


def _fixed_gamma0(gamma0: str | float) -> float | None:
    """Value gamma0 is fixed at by its policy, None when it is free under the prior."""
    if not isinstance(gamma0, str):
        return check_number("gamma0", gamma0, "meV", 0.0, 60.0)
    if gamma0 == "shared":
        raise ValueError(
            "gamma0 = 'shared' is a property of a whole map, which a fitter of single EDCs does not see: "
            "give its EDCs to microarpes.analysis.shared_gamma0, then the value it finds in meV"
        )
    if gamma0 not in GAMMA0_POLICIES:
        raise ValueError(f"gamma0 = {gamma0!r}: give 'prior', 'zero' or a value in meV between 0 and 60")
    return None if gamma0 == "prior" else 0.0
