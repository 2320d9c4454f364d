"""The moves to one point, which may begin before the attempt they are made for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from microarpes.devices.manipulator import Manipulator
from microarpes.devices.outcome import Outcome


@dataclass
class Approach:
    """Moves under way to a request; positions are um and deg, times s.

    ``started`` is a `time.perf_counter`; ``kinematic`` the least time the longest of the moves takes; ``errors`` says
    which axes did not set out, and why.
    """

    request: dict[str, float]
    moves: dict[str, Outcome] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    kinematic: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def statuses(self) -> list[Outcome]:
        """The moves, to be waited for."""
        return list(self.moves.values())


def set_out(manipulator: Manipulator, request: Mapping[str, float], arrived: dict[str, float]) -> Approach:
    """Let the axes move to a request that are not known to be there; never raises.

    Parameters
    ----------
    manipulator : Manipulator
    request : mapping
        Axis to position, um and deg.
    arrived : dict
        Where axes are known to be; those that set out are taken out of it.
    """
    approach = Approach(dict(request))
    for name, position in request.items():
        if arrived.get(name) == position:
            continue
        axis = getattr(manipulator, name)
        arrived.pop(name, None)
        try:
            approach.moves[name] = axis.set(position)
            approach.kinematic = max(approach.kinematic, axis.kinematic_time(axis.distance))
        except Exception as error:  # noqa: BLE001 - evidence, judged by the gate
            approach.errors.append(f"move of {name}: {error}")
    return approach
