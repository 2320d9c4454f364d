"""How far a run is: one model, drawn by rich on a terminal and as plain lines when piped."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress

from microarpes.analysis.k_f_verdict import verdict_at_k_f
from microarpes.beamline.journal import GAP_JOURNAL, JournalReader


@dataclass
class Progress:
    """Counts and times of a run, from its documents and from those of its derived run.

    Rates are medians over the last 50 intervals of the events' own times, so that a pause does not spoil the ETA.
    """

    total: int = 0
    done: set[int] = field(default_factory=set)
    retaken: int = 0
    fitted: int = 0
    gaps: dict[int, float] = field(default_factory=dict)
    statuses: dict[int, str] = field(default_factory=dict)
    finished: str = ""
    #: Descriptors of streams that are about no pixel of the map, such as looks at control pixels.
    _beside: set[str] = field(default_factory=set)
    _intervals: deque[float] = field(default_factory=lambda: deque(maxlen=50))
    _last: float | None = None

    def raw(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of the raw run."""
        if name == "start":
            self.total = int(doc.get("num_points", 0))
        elif name == "descriptor":
            self._descriptor(doc)
        elif name == "event" and "pixel" in doc["data"] and doc.get("descriptor") not in self._beside:
            self.done.add(doc["data"]["pixel"])
            self.retaken += int(doc["data"]["attempt"]) - 1
            if self._last is not None:
                self._intervals.append(doc["time"] - self._last)
            self._last = doc["time"]
        elif name == "stop":
            self.finished = doc.get("reason") or doc["exit_status"]

    def derived(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of the derived run."""
        if name == "descriptor":
            self._descriptor(doc)
        elif name == "event" and doc.get("descriptor") not in self._beside:
            pixel = doc["data"]["pixel"]
            status = verdict_at_k_f(doc["data"]["joint_status"], doc["data"].get("k_f_status", ""))
            self.statuses[pixel] = status
            if status == "ok":
                self.gaps[pixel] = doc["data"]["joint_delta"]

    def _descriptor(self, doc: dict[str, Any]) -> None:
        if doc.get("name", "primary") != "primary":
            self._beside.add(doc["uid"])

    @property
    def interval(self) -> float:
        """Median time a point takes, s; NaN before the second."""
        return statistics.median(self._intervals) if self._intervals else float("nan")

    @property
    def eta(self) -> float:
        """Estimated time left, s; NaN while unknown."""
        return self.interval * (self.total - len(self.done))

    def line(self) -> str:
        """Return the state as one line of text."""
        done, total = len(self.done), self.total
        share = 100 * done / total if total else 0.0
        parts = [f"{done}/{total} pixels", f"{share:.1f} %"]
        if self.interval > 0:
            parts.append(f"{1 / self.interval:.1f} px/s")
        if self.finished and done < total:
            parts.append(self.finished)
        elif self.interval > 0:
            parts.append(f"ETA {clock(self.eta)}")
        return "  ".join([*parts, *self.gap_parts()])

    def gap_parts(self) -> list[str]:
        """Return what the fits say so far, and how far they are behind."""
        parts = []
        if len(self.gaps) > 1:
            gaps = list(self.gaps.values())
            parts.append(f"gap {statistics.fmean(gaps):.1f}+-{statistics.stdev(gaps):.1f} meV")
        if self.statuses:
            parts.append(f"ok {len(self.gaps)}/{len(self.statuses)}")
            parts.append(f"backlog {len(self.done) - len(self.statuses)}")
        if self.retaken:
            parts.append(f"retaken {self.retaken}")
        return parts


def clock(seconds: float) -> str:
    """Return seconds as HH:MM:SS, or ``--:--:--`` while unknown.

    Examples
    --------
    >>> clock(3725.2)
    '01:02:05'
    """
    if not seconds >= 0 or seconds == float("inf"):
        return "--:--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}"


class ProgressDisplay:
    """Draw the progress of a run from a thread of its own; a watcher of the RunEngine.

    Parameters
    ----------
    directory : Path
        Where runs are kept; the derived run is read from its journal there.
    stream : file
        A terminal gets a bar, anything else one plain line every `every` seconds.
    """

    def __init__(self, directory: Path, stream: TextIO, every: float = 10.0) -> None:
        self.directory = Path(directory)
        self.progress = Progress()
        self._console = Console(file=stream)
        self._stream = stream
        self._every = every
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._derived: JournalReader | None = None

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of the raw run; the thread starts and ends with it."""
        if name == "start":
            self.progress = Progress()
            self._derived = JournalReader(self.directory / doc["uid"] / GAP_JOURNAL)
            self._stop.clear()
            draw = self._bar if self._console.is_terminal else self._lines
            self._thread = threading.Thread(target=draw, name="progress", daemon=True)
            self._thread.start()
        self.progress.raw(name, doc)
        if name == "stop":
            self.close()

    def close(self) -> None:
        """Draw the last state and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)
            self._thread = None

    def _read_derived(self) -> None:
        if self._derived is not None:
            for name, doc in self._derived.new_documents():
                self.progress.derived(name, doc)

    def _lines(self) -> None:
        def draw() -> None:
            self._stream.write(f"{time.strftime('%H:%M:%S')}  {self.progress.line()}\n")
            self._stream.flush()

        self._repeat(self._every, draw)

    def _bar(self) -> None:
        columns = (TextColumn("gap map"), BarColumn(None), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
        with RichProgress(*columns, console=self._console) as bar:
            task = bar.add_task("gap map", total=None, text="")

            def draw() -> None:
                state = self.progress
                speed = f"{1 / state.interval:.1f} px/s  ETA {clock(state.eta)}" if state.interval > 0 else ""
                text = "  ".join([speed, *state.gap_parts()])
                bar.update(task, total=state.total or None, completed=len(state.done), text=text)

            self._repeat(0.2, draw)

    def _repeat(self, every: float, draw: Callable[[], None]) -> None:
        while not self._stop.wait(every):
            self._read_derived()
            draw()
        self._read_derived()
        draw()
