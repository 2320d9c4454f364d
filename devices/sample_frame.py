"""Spots of the sample as a device: go to u, v on its surface, and stay there while the angles turn.

Turning a sample moves the measured spot out of the beam, because the rotation centre does not lie on it; moving x, y
and z together with the angles keeps it there: the tracing acquisition of Iwasawa et al., Sci. Rep. 8, 17431 (2018),
https://doi.org/10.1038/s41598-018-34894-7.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd.status import Status

from microarpes.devices.axis import MoveFailed
from microarpes.devices.channel_access import INVALID, finish
from microarpes.devices.manipulator import AXES, Manipulator
from microarpes.devices.region import is_number
from microarpes.devices.sample_coordinate import SampleCoordinate
from microarpes.devices.sample_geometry import SampleGeometry

LENGTHS, ANGLES = AXES[:3], AXES[3:]
SPOT = ("u", "v", "w")
#: An axis this close to its new place, um or deg, stays where it is: no motor resolves it.
SAME = 1e-6
#: Seconds for reading and judging once all axes are done.
JUDGEMENT_TIME = 10.0

Positions = dict[str, float]


class SampleFrame:
    """The six axes of a manipulator, asked for by spot and angles.

    Parameters
    ----------
    manipulator : Manipulator
        Connected before the first move.
    geometry : SampleGeometry
        Rotation centre and conventions.
    tolerance : float, um
        Largest accepted distance on the surface between the spot in the beam and the one asked for.
    """

    parent = None

    def __init__(
        self, manipulator: Manipulator, geometry: SampleGeometry, *, tolerance: float = 2.0, name: str = "sample_frame"
    ) -> None:
        self.name, self.manipulator, self.geometry, self.tolerance = name, manipulator, geometry, tolerance
        self.u, self.v, self.w = (SampleCoordinate(self, key) for key in SPOT)
        self.polar, self.tilt, self.azimuth = (SampleCoordinate(self, key) for key in ANGLES)
        self._asked: Positions = {}
        self._requests: dict[str, float | None] = {}
        self._moving: Status | None = None

    def set(self, request: Mapping[str, float]) -> Status:
        """Go to a spot, turn, or both, all axes together; what is not named stays as it is.

        ``{"u": 10.0, "v": -5.0}`` moves over the surface at fixed angles; ``{"polar": 5.0}`` turns about the spot that
        is in the beam. The status fails unless every axis ends within tolerance of its request and the spot within
        `tolerance`; once an axis has failed the others are stopped.

        Parameters
        ----------
        request : mapping
            Any of u, v, w (um), polar, tilt, azimuth (deg).

        Raises
        ------
        ValueError
            Unknown or not a number, another move is under way, or an axis cannot go where it would have to; the
            message names axis and limit, and nothing was moved.
        """
        asked, here = self._asked_by(request)
        targets = self._targets(asked)
        self._check(targets)
        moving = {name for name in AXES if here.get(name) is None or abs(targets[name] - here[name]) > SAME}
        self._asked = asked
        moves: dict[str, Status] = {}
        refused: Exception | None = None
        for name in sorted(moving):
            try:
                moves[name] = self.manipulator.axes[name].set(targets[name])
            except Exception as error:  # noqa: BLE001 - the axes that move already must be stopped, and said why
                refused = error
                break
        self._requests = {name: axis.requested for name, axis in self.manipulator.axes.items()}
        allowed = max((self.manipulator.axes[name].allowed for name in moves), default=0.0)
        status = Status(self, timeout=allowed + JUDGEMENT_TIME)
        self._moving = status
        _Together(self, moves, status, functools.partial(self._judge, asked)).begin(refused)
        return status

    def check_value(self, request: Mapping[str, float]) -> None:
        """Raise ValueError if `set` would refuse a request; see there."""
        asked, _ = self._asked_by(request)
        self._check(self._targets(asked))

    def targets(self, request: Mapping[str, float]) -> Positions:
        """Return where the axes would go on a request, um and deg, whether they can or not."""
        return self._targets(self._asked_by(request)[0])

    def _asked_by(self, request: Mapping[str, float]) -> tuple[Positions, Positions]:
        """Return the spot and angles a request means, and where each axis is that is where it should be."""
        known = (*SPOT, *ANGLES)
        wrong = [f"{key} = {value!r}" for key, value in request.items() if key not in known or not is_number(value)]
        if wrong or not request:
            raise ValueError(
                f"{self.name}: {', '.join(wrong) or 'nothing'} cannot be asked for; give numbers for any of "
                f"{', '.join(SPOT)} (um), {', '.join(ANGLES)} (deg); nothing was moved"
            )
        if self._moving is not None and not self._moving.done:
            raise ValueError(f"{self.name} is moving; ask for all coordinates in one request, or wait")
        asked, here = self._present()
        return asked | {key: float(value) for key, value in request.items()}, here

    def _present(self) -> tuple[Positions, Positions]:
        """Return spot and angles as they are to be kept, and the positions of the axes that are at rest there.

        The last request stands, also when its move failed, unless somebody has moved the axes since: then what is in
        the beam now counts. A request rather than a readback, so that noise does not add up from turn to turn.
        """
        found = self.manipulator.positions()
        axes = self.manipulator.axes
        readback = {name: float(found[name]["readback"]["value"]) for name in AXES}
        near = {
            name: axis.requested is not None and abs(readback[name] - axis.requested) <= axis.tolerance
            for name, axis in axes.items()
        }
        here = {name: float(axes[name].requested) if near[name] else readback[name] for name in AXES}  # type: ignore[arg-type]
        mine = bool(self._requests) and all(axes[name].requested == self._requests[name] for name in AXES)
        failed = self._moving is not None and not self._moving.success
        strayed = any(not near[name] for name in AXES if axes[name].requested is not None)
        asked = self._asked if mine and (failed or not strayed) else self._spot_at(here)
        return dict(asked), {name: here[name] for name in AXES if near[name] or axes[name].requested is None}

    def _spot_at(self, positions: Positions) -> Positions:
        angles = [positions[name] for name in ANGLES]
        spot = self.geometry.spot([positions[name] for name in LENGTHS], angles)
        return dict(zip((*SPOT, *ANGLES), (*map(float, spot), *angles), strict=True))

    def _targets(self, asked: Positions) -> Positions:
        angles = [asked[name] for name in ANGLES]
        motors = self.geometry.motors([asked[name] for name in SPOT], angles)
        return dict(zip(AXES, (*map(float, motors), *angles), strict=True))

    def _check(self, targets: Positions) -> None:
        refusals = []
        for name, axis in self.manipulator.axes.items():
            try:
                axis.check_value(targets[name])
            except ValueError as error:
                refusals.append(str(error).removesuffix("; nothing was moved"))
        if refusals:
            raise ValueError(f"{self.name} cannot go there: {'; '.join(refusals)}; nothing was moved")

    def _judge(self, asked: Positions) -> None:
        found = self.manipulator.positions()
        invalid = [name for name in AXES if found[name]["readback"]["alarm_severity"] >= INVALID]
        if invalid:
            raise MoveFailed(f"{self.name}: the readback of {', '.join(invalid)} is INVALID")
        spot = self._spot_at({name: float(found[name]["readback"]["value"]) for name in AXES})
        off: NDArray[np.float64] = np.array([spot[key] - asked[key] for key in ("u", "v")])
        distance = float(np.hypot(*off))
        if not distance <= self.tolerance:
            raise MoveFailed(
                f"{self.name}: asked for u, v = {asked['u']:g}, {asked['v']:g} um, in the beam is "
                f"{spot['u']:g}, {spot['v']:g} um, {distance:.2g} um away, more than {self.tolerance:g} um"
            )

    def stop(self, *, success: bool = False) -> None:
        """Stop all axes; a move under way then fails."""
        for axis in self.manipulator.axes.values():
            axis.stop(success=success)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return spot and angles from fresh readbacks, um and deg, and what was asked for."""
        found = self.manipulator.positions()
        here = self._spot_at({name: float(found[name]["readback"]["value"]) for name in AXES})
        stamp = max(float(found[name]["readback"]["timestamp"]) for name in AXES)
        reading = {}
        for key, value in here.items():
            reading[f"{self.name}_{key}"] = {"value": value, "timestamp": stamp}
            reading[f"{self.name}_{key}_setpoint"] = {"value": self._asked.get(key, value), "timestamp": stamp}
        return reading

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data keys of `read`."""
        keys = {}
        for key in (*SPOT, *ANGLES):
            described = {"dtype": "number", "shape": [], "units": "um" if key in SPOT else "deg"}
            for suffix in ("", "_setpoint"):
                keys[f"{self.name}_{key}{suffix}"] = {**described, "source": f"SAMPLE:{self.name}.{key}{suffix}"}
        return keys

    @property
    def hints(self) -> dict[str, Any]:
        """Fields to plot against."""
        return {"fields": [f"{self.name}_u", f"{self.name}_v"]}


class _Together:
    """Moves of several axes with one end: the first failure stops the others, the last arrival is judged."""

    def __init__(self, frame: SampleFrame, moves: Mapping[str, Status], status: Status, judge: Any) -> None:
        self._frame, self._moves, self._status, self._judge = frame, dict(moves), status, judge
        self._left = len(self._moves) + 1
        self._failure: Exception | None = None
        self._lock = threading.Lock()

    def begin(self, refused: Exception | None) -> None:
        for name, move in self._moves.items():
            move.add_callback(functools.partial(self._ended, name))
        self._count_down(refused)

    def _ended(self, name: str, move: Status) -> None:
        error = move.exception(timeout=0.0) if not move.success else None
        self._count_down(None if error is None else MoveFailed(f"{self._frame.name}: {error}"))

    def _count_down(self, error: Exception | None) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
            first = error is not None and self._failure is None
            if first:
                self._failure = error
        if first:
            self._stop_others()
        if last:
            self._end()

    def _stop_others(self) -> None:
        for name, move in self._moves.items():
            if not move.done:
                with contextlib.suppress(Exception):  # the first failure is what is told; a lost axis cannot be stopped
                    self._frame.manipulator.axes[name].stop()

    def _end(self) -> None:
        try:
            if self._failure is None:
                self._judge()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the spot was not reached
            self._failure = error
        finish(self._status, self._failure)
