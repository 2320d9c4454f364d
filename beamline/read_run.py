"""A run of our own read as a recording: frames, positions and readings of each pixel, in the order they were taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from microarpes.beamline.map_frames import frame_files, frame_row
from microarpes.beamline.moved_windows import DATASET, FRAME_ID, open_frames
from microarpes.beamline.open_run import OpenRun, open_run
from microarpes.beamline.recorded_interruptions import Held, held_up
from microarpes.beamline.recording_format import MAP_NAMES, POINT_UNITS, Frames, Recording, RecordingError
from microarpes.plans.shapes import Shape, shape_of


@dataclass(frozen=True)
class RecordedRun:
    """What a stored run is as a recording.

    Attributes
    ----------
    recording : Recording
        Its requested positions are those of the plan, so that a drift that was followed is in the readbacks alone.
    frames : sequence of ndarray [n_angle, n_energy]
    shape : Shape
        Of the whole raster.
    missing : frozenset of int
        Pixels of the shape that were not measured.
    start : mapping
        Its start document.
    held : list of Held
        What held it up.
    """

    recording: Recording
    frames: Frames
    shape: Shape
    missing: frozenset[int]
    start: dict[str, Any]
    held: list[Held]


@contextlib.contextmanager
def open_recorded_run(folder: Path) -> Iterator[RecordedRun]:
    """Open a run, with those it resumes, as a recording.

    Parameters
    ----------
    folder : Path
        Of the run.

    Yields
    ------
    RecordedRun
        Its frames are valid inside the ``with`` block.

    Raises
    ------
    RecordingError
        A pixel has no frame for certain, the run has no point, or is no raster of a region.
    microarpes.beamline.stored_run.NoSuchRun
        The run has no map.
    microarpes.beamline.moved_windows.WindowError
        A frame file is not there.
    """
    run = open_run(folder)
    if untold := [key for key in ("grid", "region", "source", "windows", "calibration") if key not in run.start]:
        raise RecordingError(f"run {run.uid} is no raster of a region: its start document has no {', '.join(untold)}")
    dataset = run.to_xarray(edcs=False).stack(pixel=("y", "x"))
    measured = np.flatnonzero(dataset["run"].values >= 0)
    if not measured.size:
        raise RecordingError(f"run {run.uid} has no point; there is nothing to replay")
    pixels = measured[np.argsort(dataset["time"].values[measured], kind="stable")]
    shape = shape_of(run.start)
    planned = {point.pixel: (point.x, point.y) for row in shape.rows() for point in row}
    recording = _recording(run, dataset, pixels, np.array([planned[pixel] for pixel in pixels.tolist()]))
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(open_frames(path)) for path in frame_files(run.folders)]
        frames = _FramesOfPixels(files, dataset, pixels)
        missing = frozenset(planned) - frozenset(pixels.tolist())
        held = held_up(run.folders, dataset["time"].values[pixels])
        yield RecordedRun(recording, frames, shape, missing, run.start, held)


def _recording(run: OpenRun, dataset: xr.Dataset, pixels: NDArray[np.intp], planned: NDArray[np.float64]) -> Recording:
    start = run.start
    points = dict(zip(("x_setpoint", "y_setpoint"), planned.T, strict=True))
    for column in POINT_UNITS:
        name = MAP_NAMES.get(column, column)
        if column not in points and name in dataset:
            values = dataset[name].values[pixels]
            if np.all(np.isfinite(values)):
                points[column] = values
    return Recording(
        title=f"run {run.uid}",
        source=run.folder.name,
        photon_energy=float(start["source"]["photon_energy"]),
        pass_energy=float(start["region"]["pass_energy"]),
        lens_mode=str(start["region"]["lens_mode"]),
        acquire_time=float(np.median(dataset["live_time"].values[pixels])),
        temperature=float(start["calibration"]["temperature"]),
        points=points,
        energy=np.asarray(start["energy_axis"], dtype=np.float64),
        angle=np.asarray(start["angle_axis"], dtype=np.float64),
    )


class _FramesOfPixels:
    """The frames of pixels, read one at a time."""

    def __init__(self, files: list[Any], dataset: xr.Dataset, pixels: NDArray[np.intp]) -> None:
        self._files = files
        self._ids = [file[FRAME_ID][:] for file in files]
        names = ("run", "frame_row", "frame_id")
        self._places = np.column_stack([dataset[name].values[pixels].astype(np.int64) for name in names])
        self._pixels = pixels

    def __getitem__(self, index: int) -> NDArray[Any]:
        number, row, frame_id = (int(value) for value in self._places[index])
        found = frame_row(self._ids[number], row, frame_id)
        if found is None:
            raise RecordingError(
                f"pixel {self._pixels[index]} has no frame {frame_id} in {self._files[number].filename}"
            )
        return np.asarray(self._files[number][DATASET][found])
