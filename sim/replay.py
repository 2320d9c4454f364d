"""A recording behind the simulated devices: recorded frames and readbacks, moves and exposures in real time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.frame_source import Conditions, Defaults, Frame, FrameRefusedError, Pose, Window
from microarpes.sim.incident_flux import Dose
from microarpes.sim.recording import Recording
from microarpes.sim.signals import Signals, count, number, text

Array = NDArray[np.float64]
Position = Callable[[], tuple[float, float]]


class ReplaySource:
    """Frames of a recording, served where they were recorded.

    Parameters
    ----------
    recording : Recording
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._reach = recording.reach

    @property
    def dtype(self) -> str:
        """``"int32"`` when the recording is, else ``"float64"``."""
        return self.recording.dtype

    @property
    def defaults(self) -> Defaults:
        """The recording's settings."""
        r = self.recording
        middle = float(r.energy[r.energy.size // 2])
        step = float(np.median(np.diff(r.energy))) if r.energy.size > 1 else 1e-3
        return Defaults(
            centre_energy=middle,
            step=step,
            slices=r.angle.size,
            acquire_time=min(max(r.acquire_time, 1e-3), 3600.0),
            lens_modes={r.lens_mode[:25]: 0.0},
            lens_mode=r.lens_mode[:25],
            pass_energies=(f"{r.pass_energy:g}",),
            pass_energy=f"{r.pass_energy:g}",
            photon_energy=r.photon_energy,
            fixed_axes=True,
        )

    def axes(self, window: Window) -> tuple[Array, Array]:
        """Return the recorded axes: energy, eV kinetic, and angle, deg."""
        return self.recording.energy, self.recording.angle

    def index_at(self, x: float, y: float) -> int | None:
        """Return the recorded point of a requested position (um), or None where there is none."""
        index, distance = self.recording.nearest(x, y)
        return index if distance <= self._reach else None

    def check(self, pose: Pose) -> None:
        """Raise `FrameRefusedError` away from recorded points and while the manipulator moves."""
        x, y = pose.x_setpoint, pose.y_setpoint
        if self.index_at(x, y) is None:
            index, distance = self.recording.nearest(x, y)
            near = self.recording.requested[index]
            raise FrameRefusedError(
                f"no recorded point at ({x:g}, {y:g}) um; the nearest is ({near[0]:g}, {near[1]:g}) um, "
                f"{distance:.3g} um away (limit {self._reach:.3g} um)"
            )
        if max(abs(pose.x - x), abs(pose.y - y)) > 1e-6:
            raise FrameRefusedError(f"the manipulator is not at ({x:g}, {y:g}) um; wait for DMOV = 1")

    def prepare(self, window: Window, conditions: Conditions, pose: Pose) -> None:
        """Do nothing: a frame is read when it is asked for."""

    def stop(self) -> None:
        """Close the recording."""
        self.recording.close()

    def frame(self, window: Window, conditions: Conditions, poses: Sequence[Pose], dose: Dose, attempt: int) -> Frame:
        """Return the recorded frame; an empty one when no beam came in."""
        index = self.index_at(poses[-1].x_setpoint, poses[-1].y_setpoint)
        if index is None:
            raise FrameRefusedError("the manipulator left the recorded point during the exposure")
        counts = self.recording.frame(index)
        if dose.charge <= 0.0:
            return Frame(np.zeros_like(counts), i0=0.0)
        return Frame(counts, *(self.value(name, index) for name in ("i0", "time")))

    def value(self, name: str, index: int) -> float | None:
        """Return a recorded quantity at a point, or None when it was not recorded there."""
        values = self.recording.points.get(name)
        return float(values[index]) if values is not None and np.isfinite(values[index]) else None


class Replay:
    """What a recording adds to the beamline: limits of travel, recorded readbacks, PVs of its own.

    Without a recording the PVs are served all the same and say so.

    Parameters
    ----------
    prefix : str
    source : ReplaySource or None
    requested : callable
        Where x and y were asked to go, um.
    """

    def __init__(self, prefix: str, source: ReplaySource | None, requested: Position) -> None:
        self._source, self._requested = source, requested
        self._first = self._start()
        recording = source.recording if source else None
        self._message = text("" if recording else "no recording is replayed")
        self._time = number(0.0, "s")
        self.signals: Signals = {
            f"{prefix}REPLAY:MESSAGE": self._message,
            f"{prefix}REPLAY:RECORDED_TIME": self._time,
            f"{prefix}REPLAY:TITLE": text(recording.title[:250] if recording else ""),
            f"{prefix}REPLAY:POINTS": count(recording.n_points if recording else 0),
        }

    def here(self, name: str) -> float | None:
        """Return a recorded quantity at the requested position; None where there is none."""
        if self._source is None:
            return None
        index = self._source.index_at(*self._requested())
        return None if index is None else self._source.value(name, index)

    async def permit(self, axis: str, value: float) -> bool:
        """Say whether ``x`` or ``y`` may go to `value`, um: within the recorded raster and half a step around it."""
        if self._source is None:
            return True
        recorded = self._source.recording.requested[:, "xy".index(axis)]
        reach = self._source.recording.reach
        low, high = float(recorded.min()) - reach, float(recorded.max()) + reach
        if low <= value <= high:
            await self._message.post("")
            return True
        await self._message.post(
            f"{axis} = {value:g} um refused: the recording covers [{recorded.min():g}, {recorded.max():g}] um"
        )
        return False

    async def post_time(self, recorded: float) -> None:
        """Post the recorded time of a frame, seconds since 1970."""
        await self._time.post(recorded)

    def start(self) -> dict[str, float]:
        """Return where the axes start: at the first recorded point; empty without a recording."""
        return self._first

    def _start(self) -> dict[str, float]:
        if self._source is None:
            return {}
        r = self._source.recording
        first = {"x": float(r.requested[0, 0]), "y": float(r.requested[0, 1])}
        angles = ("z", "polar", "tilt", "azimuth")
        return first | {name: value for name in angles if (value := self._source.value(name, 0)) is not None}
