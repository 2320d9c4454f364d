"""The photon shutter, which remembers when it was open."""

from __future__ import annotations

import asyncio
import itertools
import math
import time

from microarpes.sim.signals import Signals, SkipWrite, choice

#: Seconds the shutter takes.
SHUTTER_TRAVEL = 0.02


class Shutter:
    """Photon shutter with two command buttons; it remembers when it was open."""

    def __init__(self, prefix: str) -> None:
        self._edges: list[tuple[float, bool]] = [(-math.inf, False)]
        self._order = 0
        self._open_command = choice(("None", "Open"), "None", on_put=self._put_open)
        self._close_command = choice(("None", "Close"), "None", on_put=self._put_close)
        self.position = choice(("Open", "Not Open"), "Not Open")
        enabled, fine = ("Disabled", "Enabled"), ("False", "True")
        self.signals: Signals = {
            f"{prefix}SHUTTER:Cmd:Opn-Cmd": self._open_command,
            f"{prefix}SHUTTER:Cmd:Cls-Cmd": self._close_command,
            f"{prefix}SHUTTER:Pos-Sts": self.position,
            f"{prefix}SHUTTER:Enbl-Sts": choice(enabled, "Enabled"),
            f"{prefix}SHUTTER:Sts:FailOpn-Sts": choice(fine, "False"),
            f"{prefix}SHUTTER:Sts:FailCls-Sts": choice(fine, "False"),
        }

    @property
    def is_open(self) -> bool:
        """Whether beam reaches the sample now."""
        return self._edges[-1][1]

    async def _put_open(self, value: str) -> str:
        if value == "None":
            raise SkipWrite
        self._order += 1
        order = self._order
        await asyncio.sleep(SHUTTER_TRAVEL)
        if order == self._order and not self.is_open:
            self._edges.append((time.monotonic(), True))
            await self.position.post("Open")
        return "None"

    async def _put_close(self, value: str) -> str:
        if value == "None":
            raise SkipWrite
        self._order += 1
        if self.is_open:
            self._edges.append((time.monotonic(), False))
            await self.position.post("Not Open")
        # The blades cut the beam at once and need this long to come to rest.
        await asyncio.sleep(SHUTTER_TRAVEL)
        return "None"

    def open_intervals(self, begin: float, end: float) -> list[tuple[float, float]]:
        """Return when the shutter was open between two monotonic times, s."""
        edges = [*self._edges, (math.inf, False)]
        found = []
        for (start, is_open), (stop, _) in itertools.pairwise(edges):
            low, high = max(start, begin), min(stop, end)
            if is_open and low < high:
                found.append((low, high))
        return found

    def forget(self, before: float) -> None:
        """Drop what happened before a monotonic time; the state at that time is kept."""
        while len(self._edges) > 1 and self._edges[1][0] < before:
            del self._edges[0]

    async def reopen(self) -> None:
        """Open after a `drop`, at once and without having been told to."""
        self._order += 1
        if not self.is_open:
            self._edges.append((time.monotonic(), True))
            await self.position.post("Open")

    async def drop(self) -> None:
        """Close without having been told to: the beam is cut at once, and a later command opens it again."""
        self._order += 1
        if self.is_open:
            self._edges.append((time.monotonic(), False))
            await self.position.post("Not Open")
