"""How far a refit is: a bar on a terminal, a plain line now and then when piped."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Seconds between two lines when piped.
EVERY = 10.0


class RefitDisplay:
    """Draw the progress of a refit.

    Parameters
    ----------
    stream : file
        A terminal gets a bar, anything else lines.
    total : int
        Events that are expected.
    every : float
        Seconds between two lines.
    """

    def __init__(self, stream: TextIO, total: int, every: float = EVERY) -> None:
        self._stream = stream
        self._every = every
        self.total = total
        self.done = 0
        self._began = self._told = time.monotonic()
        console = Console(file=stream)
        columns = (TextColumn("refit"), BarColumn(None), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console) if console.is_terminal else None
        self._task = self._bar.add_task("refit", total=total, speed="") if self._bar is not None else None

    def __enter__(self) -> RefitDisplay:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def rate(self) -> float:
        """Events per second since the beginning."""
        return self.done / max(time.monotonic() - self._began, 1e-9)

    def advance(self, events: int) -> None:
        """Count events that are done."""
        self.done += events
        self.total = max(self.total, self.done)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, total=self.total, speed=f"{self.rate:.0f} events/s")
        elif time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            clock = time.strftime("%H:%M:%S")
            self._stream.write(f"{clock}  {self.done}/{self.total} events  {self.rate:.1f} events/s\n")
            self._stream.flush()
