"""Windows that follow k_F: in each pixel moved by the mirror centre of its own frame, and the EDCs summed again.

The same for the live fit, a replay of the journal and a refit: all of it is a function of start document, calibration
records and frame.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.k_f_centre import KFCentre, find_k_f_centre
from microarpes.analysis.k_f_verdict import UNKNOWN
from microarpes.beamline.moved_windows import Document, MovedWindows, WindowError, frame_path
from microarpes.devices.flat_field import FlatFieldError, window_factors
from microarpes.devices.region import AngleWindow
from microarpes.devices.spectra import sum_windows

Channels = list[NDArray[np.intp]]


def own_windows(start: Mapping[str, Any]) -> tuple[AngleWindow, ...]:
    """Return the windows of a run as its start document has them."""
    keys = ("name", "angle_low", "angle_high")
    return tuple(AngleWindow(**{key: window[key] for key in keys}) for window in start["windows"])


def where_they_lay(start: Mapping[str, Any], shift: float) -> Channels:
    """Return the angle channels of a run's windows moved by `shift`, deg."""
    angle = np.asarray(start["angle_axis"], dtype=np.float64)
    moved = round(shift / float(angle[1] - angle[0]))
    return [window.channels(angle) + moved for window in own_windows(start)]


class FollowedWindows(MovedWindows):
    """Turn the documents of a run into those of windows that follow k_F.

    An event gets ``k_f_centre`` and ``k_f_centre_error`` (deg), ``k_f_status``, ``window_shift`` (deg, by which its
    windows lie higher, whole angle channels) and ``edc_beside`` [2, n_window, n_energy]: the EDCs of windows that lie
    ``beside_step`` (deg) lower and higher still. Without a centre the windows stay as planned, and these are `UNKNOWN`
    away. With a flat field there are ``flat_field`` [n_window, n_energy] and ``flat_field_beside``: what the rows that
    were summed count of what they are given.

    Parameters
    ----------
    folder : Path
        Of the run. Its frame file is opened when the first event asks for it: a run that begins has none yet.
    windows : sequence of AngleWindow, optional
        Those that replace the run's.

    Raises
    ------
    WindowError
        `windows` are given and the frame file cannot be read.
    """

    def __init__(self, folder: Path, windows: Sequence[AngleWindow] = ()) -> None:
        super().__init__(windows)
        self._folder, self._replaced = folder, bool(windows)
        self._start_document: Document = {}
        self._known: list[tuple[float, float, bool]] = []
        self._energy, self._angle = np.empty(0), np.empty(0)
        self._middle = math.nan

    def _start(self, doc: Document) -> Document:
        if not self._replaced:
            self.windows = own_windows(doc)
        self._start_document = doc
        self._energy, self._angle = (np.asarray(doc[name], dtype=np.float64) for name in ("energy_axis", "angle_axis"))
        if self._replaced:
            self.open(frame_path(self._folder, doc))
        moved = super()._start(doc)
        self._middle = float(np.mean([self._angle[channels].mean() for channels in self._channels]))
        return {**moved, "follow_k_f": True}

    def _calibration(self, since: float, record: Any) -> Any:
        # What the mirror needs of each record, in the order of `_times`.
        ef, gain, flat = math.nan, 1.0, False
        if isinstance(record, Mapping):
            try:
                ef, gain = float(np.mean(record["ef"])), float(record.get("gain", 1.0))
            except (KeyError, TypeError, ValueError):
                ef = math.nan
            flat = record.get("flat_field") is not None
        self._known.insert(bisect.bisect_right(self._times, since), (ef, gain, flat))
        if flat and not self._replaced:  # the flat field of the run's own windows is in the record
            kept = record["flat_field"]
            return {**super()._calibration(since, {**record, "flat_field": None}), "flat_field": kept}
        return super()._calibration(since, record)

    def _event(self, doc: Document) -> Document:
        place = bisect.bisect_right(self._times, float(doc["time"])) - 1
        frame, shift = self._frame(doc), self._shifts[place]
        if frame is None or shift is None:
            self.without_frame += self._replaced and frame is None
            edc = {"edc": None} if self._replaced else {}
            return _with(doc, KFCentre(math.nan, math.nan, "no-frame"), 0.0, edc)
        ef, gain, flat = self._known[place]
        if flat and self._flat_field is None:  # what windows that move would count is not known
            return _with(doc, KFCentre(math.nan, math.nan, "flat-field"), 0.0, {})
        factors = self._flat_field if flat else None
        centre = self._centre(frame, shift, ef, gain, factors)
        step = float(self._angle[1] - self._angle[0])
        channels = round((centre.centre - self._middle) / step) if centre.found else 0
        summed = self._summed(frame, shift, factors, channels)
        if summed is None:
            centre, channels = KFCentre(centre.centre, centre.error, "outside"), 0
            summed = self._summed(frame, shift, factors, channels) or {}
        away = max(1, math.ceil(centre.error / step) if centre.found else round(UNKNOWN / step))
        beside = [self._summed(frame, shift, factors, channels + by) for by in (-away, away)]
        lower, higher = beside
        if lower is not None and higher is not None:
            summed |= {f"{name}_beside": np.stack([lower[name], higher[name]]) for name in lower}
            summed["beside_step"] = away * step
        return _with(doc, centre, channels * step, summed)

    def _summed(
        self, frame: NDArray[Any], shift: NDArray[np.intp], factors: NDArray[np.float64] | None, channels: int
    ) -> dict[str, Any] | None:
        """Return the EDCs of the windows moved by so many channels, and the flat field of these rows.

        None where a window lies beyond the frame, or on dead rows alone.
        """
        if not self._holds(channels):
            return None
        rows = [own + channels for own in self._channels]
        summed: dict[str, Any] = {"edc": sum_windows(frame, rows, shift)}
        if factors is not None:
            try:
                summed["flat_field"] = window_factors(factors, rows, shift)
            except (FlatFieldError, IndexError):
                return None
        return summed

    def _look(self, doc: Document) -> Document:
        # Without a frame there is nothing to follow, but it is the same place each time: the run's own windows do.
        return super()._look(doc) if self._replaced else doc

    def _centre(
        self, frame: NDArray[Any], shift: NDArray[np.intp], ef: float, gain: float, factors: NDArray[np.float64] | None
    ) -> KFCentre:
        if not (math.isfinite(ef) and gain > 0):
            return KFCentre(math.nan, math.nan, "bad-input")
        return find_k_f_centre(
            frame, self._energy, self._angle, ef, self._middle, gain=gain, row_shift=shift, flat_field=factors
        )

    def _holds(self, channels: int) -> bool:
        """Tell whether all windows, moved by so many channels, lie in the frame."""
        lowest, highest = (int(end([end(own) for own in self._channels])) for end in (min, max))
        return lowest + channels >= 0 and highest + channels < self._n_angle

    def _frame(self, doc: Document) -> NDArray[Any] | None:
        if self._file is None:
            try:
                self.open(frame_path(self._folder, self._start_document))
            except WindowError:  # the run is fitted without; each event says so
                return None
        return super()._frame(doc)


def _with(doc: Document, centre: KFCentre, shift: float, summed: Mapping[str, Any]) -> Document:
    """Return an event with what was found in its frame."""
    told = {
        "k_f_centre": centre.centre,
        "k_f_centre_error": centre.error,
        "k_f_status": centre.status,
        "window_shift": shift,
    }
    return {**doc, "data": {**doc["data"], **told, **summed}}
