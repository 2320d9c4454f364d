"""A run as its journals tell it: the events that count, and the gap map of the derived run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis import GapMap
from microarpes.beamline.config import simulated_config
from microarpes.beamline.journal import GAP_JOURNAL, RAW_JOURNAL, read_documents, start_of
from microarpes.plans.interruptions import STREAM as INTERRUPTIONS

Document = dict[str, Any]


class NoSuchRun(Exception):
    """No run of that name is kept there; the message says what is."""


@dataclass(frozen=True)
class StoredRun:
    """What the journals of one run hold.

    Attributes
    ----------
    folder : Path
    start : dict
    events : dict of int to dict
        Pixel to the event that counts: where two name the same seq_num or pixel, the later one.
    stop : dict or None
        None for a run that was cut off.
    gap_map : GapMap or None
        None where nothing was fitted.
    interruptions : list of dict
        What held the run up, in the order it was over: ``reason``, ``guard``, ``began`` (s epoch), ``duration`` (s).
    """

    folder: Path
    start: Document
    events: dict[int, Document]
    stop: Document | None
    gap_map: GapMap | None
    interruptions: list[Document] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (ny, nx)."""
        ny, nx = self.start["shape"]
        return int(ny), int(nx)

    def plane(self, key: str) -> NDArray[np.float64]:
        """Return one scalar of the events as a map, NaN where nothing was measured.

        Returns
        -------
        ndarray, shape (ny, nx)
        """
        values = np.full(self.shape, np.nan)
        for pixel, event in self.events.items():
            values.flat[pixel] = event["data"][key]
        return values

    def held_up(self) -> float:
        """Return for how long the run was held up in all, s; what overlaps counts once."""
        total, end = 0.0, float("-inf")
        for began, until in sorted((each["began"], each["began"] + each["duration"]) for each in self.interruptions):
            total += max(0.0, until - max(began, end))
            end = max(end, until)
        return total

    def intervals(self) -> NDArray[np.float64]:
        """Return the time from each event to the next, s, in the order of the measurement."""
        return np.diff(sorted(event["time"] for event in self.events.values()))


def read_run(folder: Path, *, lean: bool = False) -> StoredRun:
    """Read the journals of a run.

    Parameters
    ----------
    folder : Path
        Of the raw run.
    lean : bool
        Leave out the EDCs and the time stamps of the readings, which are most of a large run, and the derived run.

    Raises
    ------
    NoSuchRun
        There is no journal in the folder, or no start document in it.
    """
    folder = Path(folder)
    raw = folder / RAW_JOURNAL
    if not raw.exists():
        raise NoSuchRun(f"{folder} holds no {RAW_JOURNAL}; name the folder of a run")
    start: Document | None = None
    stop: Document | None = None
    primary: set[str] = set()
    held_up: set[str] = set()
    interruptions: dict[int, Document] = {}
    by_seq_num: dict[int, Document] = {}
    for name, doc in read_documents(raw):
        if name == "start":
            start = doc
        elif name == "descriptor" and doc["name"] == "primary":
            primary.add(doc["uid"])
        elif name == "descriptor" and doc["name"] == INTERRUPTIONS:
            held_up.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in held_up:
            interruptions[doc["seq_num"]] = doc["data"]
        elif name == "event" and doc["descriptor"] in primary:
            by_seq_num[doc["seq_num"]] = _lean(doc) if lean else doc
        elif name == "stop":
            stop = doc
    if start is None:
        raise NoSuchRun(f"{raw} holds no start document: nothing was measured")
    events = {int(by_seq_num[number]["data"]["pixel"]): by_seq_num[number] for number in sorted(by_seq_num)}
    fits = [] if lean else live_fits([folder])
    gap_map = GapMap.from_documents(read_documents(fits[0])) if fits else None
    return StoredRun(folder, start, events, stop, gap_map, [interruptions[number] for number in sorted(interruptions)])


def live_fits(folders: Iterable[Path]) -> list[Path]:
    """Return the journals of the live fits of runs.

    One without a start document is left out: its follower has only just made the file, or was ended there.
    """
    journals = (Path(folder) / GAP_JOURNAL for folder in folders)
    return [path for path in journals if path.exists() and start_of(path)]


def _lean(event: Document) -> Document:
    data = {key: value for key, value in event["data"].items() if key != "edc"}
    return {"uid": event["uid"], "seq_num": event["seq_num"], "time": event["time"], "data": data}


def simulated_seed(start: Document) -> int | None:
    """Return the seed of the simulated sample a run was taken from; None for a real sample or a recording."""
    if start.get("beamline") != simulated_config().beamline.name or "recording" in start:
        return None
    seed = start.get("seed")
    return seed if isinstance(seed, int) else None


def simulated_undulation(start: Document) -> float:
    """Return by how much (deg) the face of the simulated sample waves; 0 where a run does not say it."""
    undulation = start.get("undulation", 0.0)
    return float(undulation) if isinstance(undulation, int | float) else 0.0
