"""What the environment did between the points of a recording, done again at the same place of the raster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    # Who writes recordings reads this file too, and must not load Channel Access by it.
    from microarpes.sim.frame_source import Pose

#: What may change, and its unit; of the shutter the value is 0, closed.
SIGNALS = {"ring_current": "mA", "temperature": "K", "pressure": "mbar", "shutter": ""}
#: Columns of the table of a signal.
COLUMNS = ("after", "begin", "value", "seconds")
#: Rows that are read, and s that a change may take or be late.
MOST_CHANGES, LONGEST = 10_000, 1e5


@dataclass(frozen=True)
class Change:
    """A signal of the environment shows something else for a while.

    Parameters
    ----------
    signal : str
        One of `SIGNALS`.
    after : int
        Points that were measured before; it belongs to the first exposure at the next.
    begin : float, s
        After that exposure has begun.
    value : float
        What is shown; not a number, too.
    seconds : float
        For how long.
    """

    signal: str
    after: int
    begin: float
    value: float
    seconds: float


def read_changes(signal: str, table: NDArray[Any], n_points: int) -> list[Change]:
    """Return the changes of a signal.

    Parameters
    ----------
    signal : str
    table : ndarray, shape (n, 4)
        Columns as `COLUMNS`.
    n_points : int
        Points of the recording.

    Raises
    ------
    ValueError
        The signal is not known, or a row cannot be.
    """
    if signal not in SIGNALS:
        raise ValueError(f"/environment has {signal!r}; known are {', '.join(SIGNALS)}")
    if table.ndim != 2 or table.shape[1] != len(COLUMNS) or len(table) > MOST_CHANGES:
        raise ValueError(f"/environment/{signal} has shape {table.shape}; need up to {MOST_CHANGES} rows of 4 numbers")
    after, begin, _, seconds = table.T
    whole = (after == np.rint(after)) & (after >= 0) & (after < n_points)
    if not np.all(whole & (begin >= 0) & (begin <= LONGEST) & (seconds > 0) & (seconds <= LONGEST)):
        raise ValueError(
            f"/environment/{signal} has a row that is not a point below {n_points} and times within {LONGEST:g} s"
        )
    return [Change(signal, int(row[0]), *(float(value) for value in row[1:])) for row in table]


class RecordedEnvironment:
    """Makes the changes of a recording, each once: when the first exposure begins at the point before which it was.

    The exposure that a change strikes does not end before the change is over, as a guard that sees it would have it
    void: however fast a recording is served, a guard has time to look.

    Parameters
    ----------
    changes : sequence of Change
    index_at : callable
        ``(x, y)`` in um to the recorded point asked for, or None.
    act : callable
        Awaited with a change, and whether it begins or is over; lets the beamline show it.
    """

    def __init__(
        self,
        changes: Sequence[Change],
        index_at: Callable[[float, float], int | None],
        act: Callable[[Change, bool], Awaitable[None]],
    ) -> None:
        self._index_at, self._act = index_at, act
        self._coming: dict[int, list[Change]] = {}
        for change in changes:
            self._coming.setdefault(change.after, []).append(change)
        self._shown: dict[str, float] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a change of the present point is still to begin or not yet over."""
        return bool(self._under_way)

    def value(self, signal: str) -> float | None:
        """Return what a signal shows because of a change; None where none is made."""
        return self._shown.get(signal)

    async def expose(self, pose: Pose) -> None:
        """Begin the changes that belong to an exposure; those without delay have begun on return."""
        index = self._index_at(pose.x_setpoint, pose.y_setpoint)
        for change in () if index is None else self._coming.pop(index, ()):
            if change.begin == 0.0:
                await self._begin(change)
            task = asyncio.get_running_loop().create_task(self._make(change))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _begin(self, change: Change) -> None:
        self._shown[change.signal] = change.value
        await self._act(change, True)

    async def _make(self, change: Change) -> None:
        if change.begin > 0.0:
            await asyncio.sleep(change.begin)
            await self._begin(change)
        await asyncio.sleep(change.seconds)
        del self._shown[change.signal]
        await self._act(change, False)
