"""One exposure: what it is made with, what it was given, and along which path the manipulator went meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.faults import Faults, Strike
from microarpes.sim.frame_source import SWEPT_CHANNELS, Conditions, FrameRefusedError, Pose, Window
from microarpes.sim.incident_flux import Dose, IncidentFlux
from microarpes.sim.recorded_environment import RecordedEnvironment

#: Does what a fault does to the beamline; takes its AMOUNT.
Incident = Callable[[float], Awaitable[None]]


class DetectorLostError(FrameRefusedError):
    """The driver has lost the detector, for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the detector is disconnected")
        self.seconds = seconds


@dataclass(frozen=True)
class Surroundings:
    """What the analyser asks at the moment of an exposure.

    Parameters
    ----------
    pose : callable
        Where the manipulator is.
    conditions : callable
        Photon energy, temperature and drift.
    flux : IncidentFlux
        Dose and gated I0.
    faults : Faults
    recorded : RecordedEnvironment
        What the environment does as it was recorded.
    recorded_time : callable, optional
        Told the recorded time of a replayed frame, seconds since 1970.
    incidents : mapping of str to callable
        Faults that strike the beamline at some phase of an exposure, and what they do.
    """

    pose: Callable[[], Pose]
    conditions: Callable[[], Conditions]
    flux: IncidentFlux
    faults: Faults
    recorded: RecordedEnvironment
    recorded_time: Callable[[float], Any] | None = None
    incidents: Mapping[str, Incident] = field(default_factory=dict)


@dataclass
class Exposure:
    """An exposure under way.

    Parameters
    ----------
    window : Window
    conditions : Conditions
    began : float
        Monotonic time, s.
    first_pose : Pose
    attempt : int
        Number of the exposure since the IOC's start.
    struck : mapping of str to Strike
        Faults that were decided on.
    """

    window: Window
    conditions: Conditions
    began: float
    first_pose: Pose
    attempt: int
    struck: Mapping[str, Strike] = field(default_factory=dict)

    @property
    def end(self) -> float:
        """Monotonic time of its end, s."""
        return self.began + self.window.exposure

    def brighten(self, factor: float) -> None:
        """Let the frame hold `factor` times the counts."""
        self.conditions = replace(self.conditions, brightness=factor)

    def rate(self, counts: NDArray[Any]) -> float:
        """Return what the whole detector counted a second, in a frame of this exposure."""
        return float(counts.sum(dtype=np.float64)) / self.window.exposure

    def dose(self, flux: IncidentFlux) -> Dose:
        """Return what it is given if shutter and beam stay as they are; in a sweep channel by channel."""
        dose = flux.dose(self.began, self.end)
        return replace(dose, channel_charge=self._channel_charge(flux, dose)) if self.window.swept else dose

    def _channel_charge(self, flux: IncidentFlux, dose: Dose) -> tuple[float, ...]:
        window = self.window
        if dose.open_fraction in (0.0, 1.0):
            # The saw-tooth of the ring is too slow to be seen within a sweep.
            return (round(dose.charge * SWEPT_CHANNELS / window.points, 6),) * window.n_energy
        points = np.zeros(window.points)
        for iteration in range(window.iterations):
            edges = self.began + (iteration * window.points + np.arange(window.points + 1)) * window.dwell
            points += [flux.charge(*edge) for edge in itertools.pairwise(edges)]
        summed = np.concatenate([[0.0], np.cumsum(points)])
        charge = summed[SWEPT_CHANNELS:][: window.n_energy] - summed[:-SWEPT_CHANNELS][: window.n_energy]
        return tuple(float(value) for value in np.round(charge, 6))

    def path_to(self, last: Pose) -> tuple[Pose, ...]:
        """Return poses for averaging: one when the manipulator held still, else nine along the straight line."""
        begin, end = _axes_of(self.first_pose), _axes_of(last)
        if np.array_equal(begin, end):
            return (last,)
        points = (begin + (end - begin) * t for t in np.linspace(0.0, 1.0, 9))
        names = ("x", "y", "z", "polar", "tilt", "azimuth")
        return tuple(replace(last, **dict(zip(names, map(float, point), strict=True))) for point in points)

    def schedule(self, incidents: Mapping[str, Incident]) -> list[asyncio.TimerHandle]:
        """Let each incident that was decided on happen at its phase; returns what cancels them."""
        loop = asyncio.get_running_loop()
        handles = []
        for name, incident in incidents.items():
            if name in self.struck:
                strike = self.struck[name]
                happen = _Happening(incident, strike.amount)
                handles.append(loop.call_later(strike.phase * self.window.exposure, happen))
        return handles


class _Happening:
    """A call that an event loop can make, which runs a coroutine and keeps it alive."""

    def __init__(self, incident: Incident, amount: float) -> None:
        self._incident, self._amount = incident, amount
        self._task: asyncio.Future[None] | None = None

    def __call__(self) -> None:
        self._task = asyncio.ensure_future(self._incident(self._amount))


def spoiled(counts: NDArray[Any], struck: Mapping[str, Strike], previous: NDArray[Any]) -> NDArray[Any]:
    """Return what the detector makes of a frame, shape (n_angle, n_energy), when faults struck it.

    Parameters
    ----------
    counts : ndarray
    struck : mapping of str to Strike
    previous : ndarray
        The frame before.
    """
    if "DUPLICATED_FRAME" in struck:
        counts = previous
    if "SATURATED_FRAME" in struck:
        full = struck["SATURATED_FRAME"].amount
        counts = np.full_like(counts, min(full, np.iinfo(counts.dtype).max) if counts.dtype.kind == "i" else full)
    if "WRONG_SHAPE" in struck:
        counts = counts[: max(1, counts.shape[0] - round(struck["WRONG_SHAPE"].amount))]
    if "NAN_FRAME" in struck:
        strike = struck["NAN_FRAME"]
        counts = counts.astype(np.float64)
        bad = max(1, round(strike.amount * counts.size))
        order = np.random.default_rng(int(strike.phase * 2**32)).permutation(counts.size)
        counts.flat[order[:bad]] = np.nan
    return counts


def _axes_of(pose: Pose) -> NDArray[np.float64]:
    return np.array([pose.x, pose.y, pose.z, pose.polar, pose.tilt, pose.azimuth])
