"""What to measure at each point: the analyser's region and the angle windows summed into EDCs.

Both are values: validated when made, settable as a whole, readable back, stored in the run's start document.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Finite = Annotated[float, Field(allow_inf_nan=False)]
Energy = Annotated[Finite, Field(gt=0.0, le=1.0e4)]
#: Parts of a step by which a sweep may miss a whole number of them: rounding, nothing that moves a channel.
WHOLE_STEP = 0.01


def is_number(value: object) -> bool:
    """Tell whether a value is a finite real number; a bool is not (ophyd would move to 1.0 on True)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class Region(BaseModel):
    """One analyser region; energies are kinetic, in eV.

    Parameters
    ----------
    name : str
        Label that goes into the run.
    acquisition_mode : {"Fixed", "Swept"}
        Fixed: the detector's whole energy window at once, about ``centre_energy``. Swept: from ``low_energy`` to
        ``high_energy``, every energy counted while it passes over the detector.
    lens_mode : str
        As the analyser names it; it fixes the angular scale.
    pass_energy : float
        eV.
    low_energy, centre_energy, high_energy : float, optional
        eV kinetic: the centre alone in Fixed mode, the two ends alone in Swept mode; the others follow.
    energy_step : float
        eV per energy channel.
    slices : int
        Angle channels.
    iterations : int
        Exposures, or sweeps, summed by the analyser into one frame.
    acquire_time : float
        s, of one exposure, or of one energy point of a sweep.
    deflector_angle : float
        deg along kx, 0 for straight on.
    excitation_energy : float, optional
        eV; None leaves the analyser's as it is. It changes nothing that is measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "antinode"
    acquisition_mode: Literal["Fixed", "Swept"] = "Fixed"
    lens_mode: str = "Angular14"
    pass_energy: Annotated[Finite, Field(gt=0.0, le=1000.0)] = 10.0
    low_energy: Energy | None = None
    centre_energy: Energy | None = None
    high_energy: Energy | None = None
    energy_step: Annotated[Finite, Field(gt=0.0, le=1.0)] = 0.001
    slices: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 300
    iterations: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1
    acquire_time: Annotated[Finite, Field(gt=0.0, le=3600.0)]
    deflector_angle: Annotated[Finite, Field(ge=-90.0, le=90.0)] = 0.0
    excitation_energy: Energy | None = None

    @model_validator(mode="after")
    def _energies_of_the_mode(self) -> Region:
        needed = ("low_energy", "high_energy") if self.swept else ("centre_energy",)
        for name in ("low_energy", "centre_energy", "high_energy"):
            value = getattr(self, name)
            if name in needed and value is None:
                raise ValueError(f"{name} is missing; a region in {self.acquisition_mode} mode is given by it")
            if name not in needed and value is not None:
                raise ValueError(
                    f"{name} = {value:g} eV follows from {' and '.join(needed)} in {self.acquisition_mode} mode; "
                    "leave it out"
                )
        if self.low_energy is not None and self.high_energy is not None:
            _check_sweep(self.low_energy, self.high_energy, self.energy_step)
        return self

    @property
    def swept(self) -> bool:
        """Whether the energies pass over the detector."""
        return self.acquisition_mode == "Swept"

    @property
    def energies(self) -> dict[str, float]:
        """The energies that give this region, by name, eV kinetic."""
        named = {name: getattr(self, name) for name in ("low_energy", "centre_energy", "high_energy")}
        return {name: float(value) for name, value in named.items() if value is not None}

    @property
    def point_time(self) -> float:
        """Time of one energy point over all iterations, s; in Fixed mode that of the exposure."""
        return self.acquire_time * self.iterations


def _check_sweep(low: float, high: float, step: float) -> None:
    if not low < high:
        raise ValueError(f"low_energy = {low:g} eV is not below high_energy = {high:g} eV")
    steps = (high - low) / step
    if abs(steps - round(steps)) > WHOLE_STEP:
        raise ValueError(
            f"from low_energy = {low:g} eV to high_energy = {high:g} eV are {steps:.3f} of energy_step = {step:g} eV, "
            f"not a whole number; {low + round(steps) * step:.6g} eV would be"
        )


class AngleWindow(BaseModel):
    """Angle channels summed into one EDC: half-open [angle_low, angle_high) on channel centres, deg."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    angle_low: Finite
    angle_high: Finite

    @model_validator(mode="after")
    def _ascending(self) -> AngleWindow:
        if not self.angle_low < self.angle_high:
            raise ValueError(
                f"window {self.name!r}: angle_low = {self.angle_low} deg is not below "
                f"angle_high = {self.angle_high} deg; give the lower edge first"
            )
        return self

    def channels(self, angle_axis: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the indices of the angle channels whose centre lies in the window.

        Parameters
        ----------
        angle_axis : ndarray, shape (n_angle,), deg
            Channel centres.

        Raises
        ------
        ValueError
            No channel lies in the window.
        """
        inside = np.flatnonzero((angle_axis >= self.angle_low) & (angle_axis < self.angle_high))
        if inside.size == 0:
            raise ValueError(
                f"window {self.name!r} = [{self.angle_low}, {self.angle_high}) deg holds no angle channel of "
                f"[{angle_axis.min():.3f}, {angle_axis.max():.3f}] deg; move or widen it"
            )
        return inside


def antinodal_pair(k_f: float = 1.69, width: float = 0.2) -> tuple[AngleWindow, AngleWindow]:
    """Return the windows at +-k_F of a cut through (pi, 0).

    Parameters
    ----------
    k_f : float
        Slit angle of k_F, deg; 1.69 deg for Bi2212 at 100 eV.
    width : float
        Full width of each window, deg.
    """
    if not (math.isfinite(k_f) and math.isfinite(width) and 0 < width):
        raise ValueError(f"k_f = {k_f} deg and width = {width} deg must be finite, the width above 0")
    half = width / 2
    return (
        AngleWindow(name="-k_F", angle_low=-k_f - half, angle_high=-k_f + half),
        AngleWindow(name="+k_F", angle_low=k_f - half, angle_high=k_f + half),
    )
