"""One run as the page sees it: read from its two journals while they grow, the same for all viewers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.gap_documents import CONTROL
from microarpes.analysis.k_f_verdict import verdict_at_k_f
from microarpes.beamline.control_fits import look_of
from microarpes.beamline.journal import FRAME_FILE, GAP_JOURNAL, RAW_JOURNAL, JournalError, read_records
from microarpes.beamline.journal_record import MAGIC
from microarpes.beamline.moved_windows import DATASET, FRAME_ID, WindowError, open_frames

Document = dict[str, Any]
Floats = NDArray[np.float64]

#: Of the joint fit, without its prefix.
FITTED = ("delta", "delta_stderr", "delta_systematic", "gamma1", "gamma1_stderr", "upper_limit", "deviance", "dof")
#: Of the fit too, where the windows follow k_F.
FOLLOWED = ("k_f_centre", "window_shift")
#: Of the raw event.
MEASURED = ("total_counts", "manipulator_x", "manipulator_y", "i0", "live_time", "time")
#: What the time line shows of each event.
HISTORY = ("ring_current", "sample_temperature", "pressure", "attempt", "pixel")
#: Verdict of a pixel that was measured and whose fit is not there yet.
WAITING = "waiting"


class JournalTail:
    """What is new in a journal, and where each record begins; from the start again when the file was replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = len(MAGIC)
        self._file: int | None = None

    def replaced(self) -> bool:
        """Tell whether another file has taken the place of the one that was read; then it is read from its start."""
        if not self.path.exists() or (found := self.path.stat().st_ino) == self._file:
            return False
        known, self._file = self._file, found
        self._offset = len(MAGIC)
        return known is not None

    def news(self) -> Iterator[tuple[int, str, Document]]:
        """Yield offset, name and document of each record that was not there at the last look."""
        if not self.path.exists():
            return
        for begin, end, name, doc in read_records(self.path, self._offset):
            self._offset = end
            yield begin, name, doc


class RunFeed:
    """A run while it is taken, or afterwards.

    Parameters
    ----------
    folder : Path
        Of the raw run; its journals need not be complete.

    Attributes
    ----------
    start, stop : dict or None
        Of the raw run.
    planes : dict of str to ndarray, shape (ny, nx)
        The names of `FITTED`, `FOLLOWED` and `MEASURED`; NaN where there is nothing.
    status : ndarray of str, shape (ny, nx)
        Verdict of the joint fit; empty where nothing was measured, `WAITING` before the fit.
    changed : list of int
        Pixels in the order in which something new was learnt of them; viewers remember how far they have come.
    history : dict of str to list
        ``time`` (s) and `HISTORY`, in the order of the events.
    calibrations : list of dict
        Calibration records in the order in which they came, each with the ``since`` (s) from which it holds.
    resets : int
        How often the planes were begun anew because a journal was replaced.
    before : RunFeed or None
        The run that this one resumes: its pixels are shown until they are measured again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._raw, self._derived = JournalTail(self.folder / RAW_JOURNAL), JournalTail(self.folder / GAP_JOURNAL)
        self.resets = 0
        self._begin()

    def _begin(self) -> None:
        self.start: Document | None = None
        self.stop: Document | None = None
        self.planes: dict[str, Floats] = {}
        self.status: NDArray[np.str_] = np.empty((0, 0), dtype="<U10")
        self.changed: list[int] = []
        self.history: dict[str, list[float]] = {name: [] for name in ("time", *HISTORY)}
        self.calibrations: list[Document] = []
        self._interruptions: dict[int, Document] = {}
        self._events: dict[int, tuple[int, int]] = {}
        self._streams: dict[str, str] = {}
        self._looks: list[Document] = []
        self.before: RunFeed | None = None

    @property
    def uid(self) -> str:
        """Uid of the raw run, which is the name of its folder."""
        return self.folder.name

    @property
    def within_reach(self) -> bool:
        """Whether the journal of the run is where it was."""
        return self._raw.path.exists()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (ny, nx); (0, 0) before the start document was read."""
        ny, nx = self.status.shape
        return ny, nx

    @property
    def n_measured(self) -> int:
        """Number of pixels measured."""
        return len(self._events)

    @property
    def interruptions(self) -> list[Document]:
        """What interrupted the run, as it ended: ``reason``, ``guard``, ``began`` (s) and ``duration`` (s) of each."""
        return list(self._interruptions.values())

    @property
    def looks(self) -> list[Document]:
        """Fitted looks at control pixels, also of the run before."""
        return (self.before.looks if self.before is not None else []) + self._looks

    @property
    def newest(self) -> int | None:
        """The pixel measured last."""
        return next(reversed(self._events), None)

    def advance(self, budget: float = 0.03) -> bool:
        """Read what is new, for about `budget` seconds at most; return whether there may be more.

        Raises
        ------
        microarpes.beamline.journal.JournalError
            A file in the place of a journal is none.
        """
        deadline = time.monotonic() + budget
        if self._raw.replaced() or self._derived.replaced():
            self._begin()
            self._raw, self._derived = JournalTail(self._raw.path), JournalTail(self._derived.path)
            self.resets += 1
        for tail, take in ((self._raw, self._take_raw), (self._derived, self._take_derived)):
            for offset, name, doc in tail.news():
                take(offset, name, doc)
                if time.monotonic() > deadline:
                    return True
        return False

    def _take_raw(self, offset: int, name: str, doc: Document) -> None:
        if name == "start":
            self._open(doc)
        elif name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
        elif name == "event" and self.start is not None:
            stream = self._streams.get(doc["descriptor"])
            if stream == "primary":
                self._measured(offset, doc)
            elif stream == "calibration":
                self.calibrations.append({**doc["data"], "since": doc["time"]})
            elif stream == "interruptions" and "began" in doc["data"]:  # bluesky's own are words alone
                self._interruptions[int(doc["seq_num"])] = doc["data"]
        elif name == "stop":
            self.stop = doc

    def _open(self, doc: Document) -> None:
        self.start = doc
        ny, nx = (int(length) for length in doc["shape"])
        self.planes = {name: np.full((ny, nx), np.nan) for name in (*FITTED, *FOLLOWED, *MEASURED)}
        self.status = np.full((ny, nx), "", dtype="<U10")
        self.calibrations = [{**doc["calibration"], "since": doc["time"]}]
        if resumed := doc.get("resumes"):
            self._take_over(self.folder.parent / Path(str(resumed)).name)

    def _take_over(self, folder: Path) -> None:
        """Show what the run of before has; one that is not there, or is of another raster, shows nothing."""
        before = RunFeed(folder)
        try:
            while folder != self.folder and before.advance(budget=1.0):
                pass
        except JournalError:
            return
        if before.shape != self.shape:
            return
        self.before, self.planes, self.status = before, before.planes, before.status
        self.changed.extend(np.flatnonzero(self.status.ravel() != "").tolist())

    def _measured(self, offset: int, doc: Document) -> None:
        data, pixel = doc["data"], int(doc["data"]["pixel"])
        if not 0 <= pixel < self.status.size:
            return
        self._events.pop(pixel, None)
        self._events[pixel] = (offset, int(doc["seq_num"]))
        for name in MEASURED:
            self.planes[name].flat[pixel] = doc["time"] if name == "time" else data.get(name, np.nan)
        if self.status.flat[pixel] == "":
            self.status.flat[pixel] = WAITING
        self.history["time"].append(doc["time"])
        for name in HISTORY:
            self.history[name].append(float(data.get(name, np.nan)))
        self.changed.append(pixel)

    def _take_derived(self, _: int, name: str, doc: Document) -> None:
        if name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
        if name != "event" or self.start is None:
            return
        if self._streams.get(doc.get("descriptor", ""), "primary") == CONTROL:
            self._looks.append(look_of(doc))
            return
        data = doc["data"]
        pixel = int(data["pixel"])
        if not 0 <= pixel < self.status.size:
            return
        for key in FITTED:
            self.planes[key].flat[pixel] = data.get(f"joint_{key}", np.nan)
        for key in FOLLOWED:
            self.planes[key].flat[pixel] = data.get(key, np.nan)
        self.status.flat[pixel] = verdict_at_k_f(data["joint_status"], data.get("k_f_status", ""))
        self.changed.append(pixel)

    @property
    def follows_k_f(self) -> bool:
        """Whether the windows of the run follow k_F."""
        return bool((self.start or {}).get("follow_k_f"))

    def event(self, pixel: int) -> Document | None:
        """Return the raw event that counts for a pixel, read again from the journal; None where there is none."""
        found = self._events.get(pixel)  # one look: threads beside the page ask as well
        if found is None:
            return self.before.event(pixel) if self.before is not None else None
        with contextlib.suppress(FileNotFoundError):  # the folder is away for a while
            for _, _, name, doc in read_records(self._raw.path, found[0]):
                return doc if name == "event" else None
        return None

    def folder_of(self, pixel: int) -> Path:
        """Return the folder of the run that took a pixel: of this one, or of the one it resumes."""
        if pixel in self._events or self.before is None:
            return self.folder
        return self.before.folder_of(pixel)

    def frame(self, pixel: int) -> NDArray[np.int32] | None:
        """Return the frame of a pixel, shape (n_angle, n_energy), if the file has it under the event's frame_id."""
        if pixel not in self._events and self.before is not None:
            return self.before.frame(pixel)
        event = self.event(pixel)
        path = self.folder / FRAME_FILE
        if event is None or not path.exists():
            return None
        row = self._events[pixel][1] - 1
        try:
            with open_frames(path) as file:
                ids, frames = file[FRAME_ID], file[DATASET]
                if row >= ids.shape[0] or int(ids[row]) != int(event["data"]["frame_id"]):
                    return None
                frame: NDArray[np.int32] = frames[row]
                return frame
        except (OSError, WindowError):  # being made, or being moved: the next look will tell
            return None

    def plane(self, name: str) -> Floats:
        """Return a fitted quantity where the verdict is ``ok`` and NaN elsewhere; a measured one as it is."""
        values = self.planes[name]
        return values if name in (*FOLLOWED, *MEASURED) else np.where(self.status == "ok", values, np.nan)
