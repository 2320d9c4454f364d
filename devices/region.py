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


class Region(BaseModel):
    """One analyser region; energies are kinetic, in eV.

    Parameters
    ----------
    name : str
        Label that goes into the run.
    acquisition_mode : {"Fixed", "Swept"}
        Fixed: the detector's whole energy window at once.
    lens_mode : str
        As the analyser names it; it fixes the angular scale.
    pass_energy : float
        eV.
    centre_energy : float
        eV kinetic, centre of the window.
    energy_step : float
        eV per energy channel.
    slices : int
        Angle channels.
    iterations : int
        Exposures summed by the analyser into one frame.
    acquire_time : float
        s, of one exposure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "antinode"
    acquisition_mode: Literal["Fixed", "Swept"] = "Fixed"
    lens_mode: str = "Angular14"
    pass_energy: Annotated[Finite, Field(gt=0.0, le=500.0)] = 10.0
    centre_energy: Annotated[Finite, Field(gt=0.0, le=1.0e4)]
    energy_step: Annotated[Finite, Field(gt=0.0, le=1.0)] = 0.001
    slices: Annotated[int, Field(ge=1, le=1000, strict=True)] = 300
    iterations: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1
    acquire_time: Annotated[Finite, Field(gt=0.0, le=3600.0)]

    @property
    def exposure(self) -> float:
        """Time the detector counts for one frame, s."""
        return self.acquire_time * self.iterations


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
