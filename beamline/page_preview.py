"""The EDC of a pixel and its gap with other k_F windows: summed from the frame, fitted beside the page."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.beamline.moved_windows import (
    WindowError,
    check_windows,
    fermi_edge_sources,
    flat_field_of,
)
from microarpes.beamline.page_frame import edges as edges_of
from microarpes.beamline.page_run import Document, RunFeed
from microarpes.beamline.page_spectrum import PixelSpectrum, fitted_with, record_at, without_fit
from microarpes.devices.flat_field import FlatFieldError, window_factors
from microarpes.devices.region import AngleWindow
from microarpes.devices.spectra import sum_windows

Edges = tuple[float | None, float | None]


def tried_windows(start: Mapping[str, Any], edges: Sequence[Edges]) -> tuple[AngleWindow, ...]:
    """Return the windows of a run with other edges.

    Parameters
    ----------
    start : mapping
        Start document.
    edges : sequence of (low, high)
        One pair for each window of the run, deg; None where a number is missing.

    Raises
    ------
    WindowError
        An edge is missing or beyond the frame, the lower is not below the higher, or no column lies between them.
    """
    angle = np.asarray(start["angle_axis"], dtype=np.float64)
    first, last = edges_of(angle)
    windows = []
    for window, (low, high) in zip(start["windows"], edges, strict=True):
        name = str(window["name"])
        if low is None or high is None or not np.isfinite([low, high]).all():
            raise WindowError(f"window {name}: give both edges, deg")
        if not low < high:
            raise WindowError(f"window {name}: low = {low:g} deg is not below high = {high:g} deg")
        if low < first or high > last:
            raise WindowError(
                f"window {name}: [{low:g}, {high:g}) deg reaches beyond the frame, [{first:g}, {last:g}] deg"
            )
        windows.append(AngleWindow(name=name, angle_low=low, angle_high=high))
    check_windows(start, windows)
    return tuple(windows)


@dataclass(frozen=True)
class Measured:
    """What a preview is made from: one event, its frame, and the calibration record that held for it.

    Attributes
    ----------
    start, event, record : dict
    frame : ndarray of int, shape (n_angle, n_energy), counts
    folder : Path
        Of the run, where its flat field is.
    """

    start: Document
    event: Document
    record: Document
    frame: NDArray[np.int32]
    folder: Path

    @classmethod
    def of_pixel(cls, feed: RunFeed, pixel: int) -> Measured | None:
        """Read what was measured of a pixel; None where there is no frame of it yet."""
        event, frame = feed.event(pixel), feed.frame(pixel)
        if event is None or frame is None or feed.start is None:
            return None
        return cls(feed.start, event, record_at(feed, float(event["time"])), frame, feed.folder)


def preview(fitter: EventFitter, measured: Measured, windows: Sequence[AngleWindow]) -> PixelSpectrum:
    """Return the EDCs of a pixel in other windows with their joint fit, as a refit with these windows gives them.

    Each window has the Fermi edge of that window of the run from which a refit would take it.

    Raises
    ------
    WindowError
        The frame, or the flat field beside it, does not go with the windows.
    ValueError
        The calibration record cannot be used.
    """
    start, record, data = measured.start, measured.record, measured.event["data"]
    angle = np.asarray(start["angle_axis"], dtype=np.float64)
    if measured.frame.shape[0] != angle.size:
        raise WindowError(f"the frame has {measured.frame.shape[0]} columns, the run {angle.size}")
    channels = [window.channels(angle) for window in windows]
    shift = np.asarray(record.get("row_shift", np.zeros(angle.size)), dtype=np.intp)
    edc = sum_windows(measured.frame, channels, shift)
    layout = RunLayout.from_start({**start, "windows": [window.model_dump() for window in windows]})
    calibration = Calibration.from_record(
        moved_record(record, fermi_edge_sources(start, windows), channels, shift, measured), len(windows)
    )
    live_time = float(data.get("live_time", np.nan))
    if layout.linear_range is not None and layout.linear_range.exceeded(edc, live_time, calibration.gain):
        return without_fit(layout, calibration, edc, "saturated: no gap")
    joint = fitter.fitter(layout, calibration, tuple(range(len(windows))))
    if joint is None:
        return without_fit(layout, calibration, edc, "no fit: the energy axis or the calibration cannot be used")
    return fitted_with(joint, layout, calibration, edc, float(data.get("angular_contrast", np.nan)))


def moved_record(
    record: Mapping[str, Any],
    sources: Sequence[int],
    channels: Sequence[NDArray[np.intp]],
    shift: NDArray[np.intp],
    measured: Measured,
) -> Document:
    """Return a calibration record as it would be with other windows."""
    edges = {key: np.atleast_1d(record[key])[list(sources)] for key in ("ef", "ef_error") if key in record}
    if record.get("flat_field") is None:
        return {**record, **edges}
    factors = flat_field_of(measured.folder, measured.start)
    try:
        return {**record, **edges, "flat_field": window_factors(factors, channels, shift).tolist()}
    except (FlatFieldError, IndexError) as error:
        raise WindowError(f"the flat field does not fit the windows: {error}") from None


class PreviewThread:
    """Makes previews one after another in a thread of its own; of those asked for meanwhile, only the last.

    Parameters
    ----------
    ready : threading.Event
        Set when the fit is compiled.
    """

    def __init__(self, ready: threading.Event) -> None:
        self._ready, self._fitter = ready, EventFitter("norman", "prior")
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._running: Future[PixelSpectrum | str] | None = None
        self._next: tuple[Measured, tuple[AngleWindow, ...]] | None = None

    def ask(self, measured: Measured, windows: tuple[AngleWindow, ...]) -> None:
        """Ask for a preview; what was asked for before and is not begun is dropped."""
        self._next = (measured, windows)
        self._begin()

    def drop(self) -> None:
        """Forget what was asked for."""
        self._next = self._running = None

    def latest(self) -> PixelSpectrum | str | None:
        """Return a preview that was made since the last look, or why there is none; None while there is nothing new."""
        found = self._running.result() if self._running is not None and self._running.done() else None
        if found is not None:
            self._running = None
        self._begin()
        return found

    def _begin(self) -> None:
        if self._running is None and self._next is not None and self._ready.is_set():
            self._running, self._next = self._threads.submit(self._made, *self._next), None

    def _made(self, measured: Measured, windows: tuple[AngleWindow, ...]) -> PixelSpectrum | str:
        try:
            return preview(self._fitter, measured, windows)
        except (ValueError, KeyError, TypeError, OSError) as error:
            return str(error)

    def close(self) -> None:
        """Let the thread end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
