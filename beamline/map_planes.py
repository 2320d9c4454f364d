"""A map as one array a quantity: readings of the events that count, and what was fitted to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis import GapMap
from microarpes.beamline.journal import RAW_JOURNAL, read_documents, start_of
from microarpes.beamline.map_terms import AGED, COMBINED, FITTED, FOLLOWED, WHOLE
from microarpes.beamline.pixel_events import PixelEvent, pixel_events
from microarpes.beamline.stored_figures import NOT_FITTED
from microarpes.beamline.stored_run import NoSuchRun, live_fits

Planes = dict[str, NDArray[Any]]

#: Stands for a whole number that is not there.
NO_NUMBER = -1
#: There even where no event says them.
_ALWAYS = ("time", "seq_num", "run", "frame_row", "frame_id", "total_counts")
_SCALAR = str | int | float | np.generic


def reading_planes(
    folders: Sequence[Path], start: Mapping[str, Any], take: Callable[[PixelEvent], None] | None = None
) -> Planes:
    """Return what the events of a map say, an array ``[ny, nx]`` for each number and word.

    Parameters
    ----------
    folders : sequence of Path
        Of the runs the map was taken in, the oldest first; of each pixel the last one counts.
    start : mapping
        Start document of the newest.
    take : callable, optional
        Is given each event as it is read, to do with its EDCs what it likes; an event that comes later on the same
        pixel replaces the one before.

    Returns
    -------
    dict of str to ndarray
        float64 with NaN, int64 with -1, or str with "" where there is nothing; beside the readings ``time`` (s since
        1970), ``seq_num``, ``run`` (place in `folders`), ``frame_row``, and ``ef`` (eV, ``[ny, nx, n_window]``).
    """
    ny, nx = (int(number) for number in start["shape"])
    n_window = len(start["windows"])
    planes: Planes = {key: _empty(key, 0.0, ny * nx) for key in _ALWAYS}
    planes["ef"] = np.full((ny * nx, n_window), np.nan)
    for number, folder in enumerate(folders):
        for event in pixel_events(folder / RAW_JOURNAL):
            if not 0 <= event.pixel < ny * nx:
                continue
            told: dict[str, Any] = {
                key: value for key, value in event.data.items() if key != "pixel" and isinstance(value, _SCALAR)
            }
            told |= {"time": event.time, "seq_num": event.seq_num, "run": number, "frame_row": event.frame_row}
            for key, value in told.items():
                if key not in planes:
                    planes[key] = _empty(key, value, ny * nx)
            told["ef"] = _fermi_edges(event.calibration, n_window)
            for key, plane in planes.items():
                plane[event.pixel] = told.get(key, _nothing(plane))
            if take is not None:
                take(event)
    return {key: np.asarray(_plain(plane)).reshape(ny, nx, *plane.shape[1:]) for key, plane in planes.items()}


def _empty(key: str, value: Any, size: int) -> NDArray[Any]:
    if isinstance(value, str):
        return np.full(size, "", dtype=object)
    if key in WHOLE:
        return np.full(size, NO_NUMBER, dtype=np.int64)
    return np.full(size, np.nan)


def _nothing(plane: NDArray[Any]) -> Any:
    return {"O": "", "i": NO_NUMBER}.get(plane.dtype.kind, np.nan)


def _plain(plane: NDArray[Any]) -> NDArray[Any]:
    return plane.astype(str) if plane.dtype.kind == "O" else plane


def _fermi_edges(record: Mapping[str, Any] | None, n_window: int) -> NDArray[np.float64]:
    edges = np.asarray((record or {}).get("ef", np.nan), dtype=np.float64)
    return edges if edges.shape == (n_window,) else np.full(n_window, np.nan)


def fit_journals(folders: Sequence[Path], fit: str = "live") -> list[Path]:
    """Return the journals of the derived runs that a fit of the map is in.

    Parameters
    ----------
    folders : sequence of Path
        Of the runs of the map.
    fit : str
        ``live``, all there are; or the uid of a refit, or the beginning of it, which is of one run of the map.

    Raises
    ------
    NoSuchRun
        No refit, or more than one, has that uid; the message says which there are.
    """
    if fit == "live":
        return live_fits(folders)
    refits = {path: derived_start([path]) for folder in folders for path in sorted(folder.glob("refit-*.gap.journal"))}
    found = [path for path, start in refits.items() if fit and str(start.get("uid", "")).startswith(fit)]
    if len(found) != 1:
        known = ", ".join(str(start.get("uid"))[:8] for start in refits.values()) or "none"
        raise NoSuchRun(
            f"{len(found)} refits of this run have a uid that starts with {fit!r}; live, or one of: {known}"
        )
    return found


def derived_start(journals: Sequence[Path]) -> dict[str, Any]:
    """Return the start document of a fit, the newest run's; empty where there is none."""
    return start_of(journals[-1]) if journals else {}


def fitted_planes(journals: Sequence[Path], start: Mapping[str, Any], measured: NDArray[np.bool_]) -> Planes:
    """Return what a fit says of a map.

    Parameters
    ----------
    journals : sequence of Path
        Of its derived runs, see `fit_journals`.
    start : mapping
        Start document of the map's newest run.
    measured : ndarray of bool, shape (ny, nx)

    Returns
    -------
    dict of str to ndarray
        By the names of `microarpes.beamline.map_terms.FITTED` and ``status`` the joint fit of all windows,
        ``[ny, nx]``, those of `FOLLOWED` where the windows follow k_F, of `AGED` where gaps are corrected for ageing
        and of `COMBINED` where several runs were fitted together; with ``window_`` before it each window by itself,
        ``[ny, nx, n_window]``. Only ``status``, ``not-fitted`` where something was measured, for a map without a fit.
    """
    if not journals:
        return {"status": np.where(measured, NOT_FITTED, "")}
    gap_map = GapMap.from_documents(itertools.chain.from_iterable(map(read_documents, journals)))
    planes: Planes = {"status": np.where(measured & (gap_map.joint_status == ""), NOT_FITTED, gap_map.joint_status)}
    for theirs, ours, _, _ in FITTED:
        planes[ours] = getattr(gap_map, f"joint_{theirs}")
    if (gap_map.k_f_status != "").any():
        planes |= {name: getattr(gap_map, name) for name in FOLLOWED}
    if np.isfinite(gap_map.ageing_shift).any():
        planes |= {name: getattr(gap_map, name) for name in AGED}
    if np.isfinite(gap_map.runs_combined).any():
        planes |= {name: getattr(gap_map, name) for name in COMBINED}
    if gap_map.windows == tuple(str(window["name"]) for window in start["windows"]):
        planes["window_status"] = np.moveaxis(gap_map.status, 0, -1)
        for theirs, ours, _, _ in FITTED:
            planes[f"window_{ours}"] = np.moveaxis(getattr(gap_map, theirs), 0, -1)
    return planes
