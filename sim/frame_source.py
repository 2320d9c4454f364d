"""What stands behind the analyser: something that turns settings, a pose and a dose into a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.incident_flux import Dose

Array = NDArray[np.float64]

#: Energy channels of the detector.
N_ENERGY = 400
#: In a sweep every energy is counted while it passes this many channels of the detector, one AcquireTime each.
SWEPT_CHANNELS = 20


class FrameRefusedError(Exception):
    """No frame can be taken as asked; the message goes to the operator."""


@dataclass(frozen=True)
class Window:
    """The analyser's settings that decide what a frame is.

    Parameters
    ----------
    centre_energy, step : float, eV
        Kinetic energy of channel ``N_ENERGY // 2``; width of a channel.
    slices : int
        Angle channels.
    angle_span : float
        Full width of the slit, deg; the channels tile it.
    exposure : float
        How long it takes, s: AcquireTime times NumExposures, and in a sweep times its points with the lead-in.
    n_energy : int
        Energy channels of the frame.
    iterations : int
        NumExposures.
    swept : bool
        Whether the energies pass over the detector, see `SWEPT_CHANNELS`.
    angular : bool
        False in a transmission mode: `angle_span` is in mm along the slit, and no slice knows an angle.
    deflection : float, deg
        By how much the deflector shifts the cut along kx.
    """

    centre_energy: float
    step: float
    slices: int
    angle_span: float
    exposure: float
    n_energy: int = N_ENERGY
    iterations: int = 1
    swept: bool = False
    angular: bool = True
    deflection: float = 0.0

    @property
    def points(self) -> int:
        """Energy points of one iteration, with the lead-in; 1 when nothing is swept."""
        return self.n_energy + SWEPT_CHANNELS if self.swept else 1

    @property
    def dwell(self) -> float:
        """Seconds of one point."""
        return self.exposure / (self.points * self.iterations)

    def collected(self, passed: float) -> NDArray[np.float64]:
        """Return which part of each energy channel has been counted after `passed` seconds, shape (n_energy,)."""
        done, within = divmod(min(max(passed, 0.0), self.exposure), self.points * self.dwell)
        if not self.swept:
            return np.full(self.n_energy, (done + within / self.dwell) / self.iterations)
        point = within / self.dwell
        part = np.clip((point - np.arange(self.n_energy)) / SWEPT_CHANNELS, 0.0, 1.0)
        return np.asarray((done + part) / self.iterations)


@dataclass(frozen=True)
class Defaults:
    """Settings of the analyser at boot.

    Parameters
    ----------
    centre_energy, step : float, eV
        Kinetic energy of the middle channel; width of a channel.
    slices : int
    acquire_time : float, s
    lens_modes : mapping
        Name to full angular width, deg.
    lens_mode : str
    pass_energies : tuple of str, eV
    pass_energy : str
    photon_energy : float, eV
    energy_ratios : mapping
        Lens mode to the range of kinetic over pass energy its lens table covers; any where it is not named.
    fixed_axes : bool
        True when the axes are what they are, as in a recording: another window is refused.
    """

    centre_energy: float
    step: float
    slices: int
    acquire_time: float
    lens_modes: Mapping[str, float]
    lens_mode: str
    pass_energies: tuple[str, ...]
    pass_energy: str
    photon_energy: float
    energy_ratios: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed_axes: bool = False


@dataclass(frozen=True)
class Pose:
    """True positions of the manipulator, um and deg, and the x and y it was asked for."""

    x: float
    y: float
    z: float
    polar: float
    tilt: float
    azimuth: float
    x_setpoint: float
    y_setpoint: float


@dataclass(frozen=True)
class Conditions:
    """What the exposure takes place in: photon energy, eV, and sample temperature, K.

    ``edge_shift`` (meV) is by how much E_F has drifted from where the photon energy puts it; the frame holds
    ``brightness`` times the counts it should.
    """

    photon_energy: float
    temperature: float
    edge_shift: float = 0.0
    brightness: float = 1.0


@dataclass(frozen=True)
class Frame:
    """A frame and what is known with it.

    Parameters
    ----------
    counts : ndarray, shape (n_angle, n_energy)
    i0 : float, optional
        Recorded I0 integral, nA s, where the source has one.
    recorded_time : float, optional
        Seconds since 1970, where the source has one.
    """

    counts: NDArray[Any]
    i0: float | None = None
    recorded_time: float | None = None


class FrameSource(Protocol):
    """Called from worker threads, except `axes` and `check`."""

    @property
    def dtype(self) -> str:
        """``"int32"`` or ``"float64"``."""

    @property
    def defaults(self) -> Defaults:
        """Settings at boot."""

    def axes(self, window: Window) -> tuple[Array, Array]:
        """Return channel centres: energy, eV kinetic, and angle, deg; both ascending."""

    def check(self, pose: Pose) -> None:
        """Raise `FrameRefusedError` when no frame can be taken at a pose."""

    def prepare(self, window: Window, conditions: Conditions, pose: Pose) -> None:
        """Do ahead what the next frames will need; returns early once `stop` was called."""

    def frame(self, window: Window, conditions: Conditions, poses: Sequence[Pose], dose: Dose, attempt: int) -> Frame:
        """Return a frame averaged over `poses`; `attempt` counts exposures since the IOC's start."""

    def stop(self) -> None:
        """Make `prepare` return."""
