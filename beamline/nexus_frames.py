"""The frames of a map in a NeXus file: linked or copied, and summed over the map, some megabytes at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from microarpes.beamline.map_frames import frame_blocks, frame_row
from microarpes.beamline.moved_windows import DATASET, FRAME_ID, open_frames
from microarpes.beamline.nexus_tree import add_field, add_group


def write_frames(
    detector: Any, dataset: xr.Dataset, files: Sequence[Path], angle: NDArray[np.float64], target: Path, *, copy: bool
) -> NDArray[np.float64]:
    """Write one ``raw_data`` for each run of the map and return the sum of the frames that count.

    Parameters
    ----------
    detector : h5py.Group
        Gets ``raw_data``, ``raw_data_2``, ..., the oldest run first, each with its frames in the order they were taken,
        ``frame_id`` and ``pixel``, -1 for a frame that no pixel counts.
    dataset : xarray.Dataset
        The map, with ``run``, ``frame_row`` and ``frame_id``.
    files : sequence of Path
        Frame file of each run.
    angle : ndarray, shape (n_angle,), deg
    target : Path
        Where the NeXus file will be; links are relative to its folder.
    copy : bool
        Copy the frames; else they are linked.

    Returns
    -------
    ndarray, shape (n_angle, n_energy), counts
    """
    total = np.zeros((angle.size, dataset.sizes["energy"]))
    for number, path in enumerate(files):
        group = add_group(
            detector, f"raw_data_{number + 1}" if number else "raw_data", "NXdata",
            signal="raw", axes=[".", "angular0", "energy"],
        )  # fmt: skip
        pixels = _pixels_of_rows(path, dataset, number)
        add_field(group, "pixel", pixels, long_name="pixel of each frame, row * n_x + column; -1 for none")
        add_field(group, "angular0", angle, "deg", long_name="angle along the slit (deg)")
        add_field(group, "energy", dataset["energy"].values, "eV", type="kinetic", long_name="kinetic energy (eV)")
        total += _link_or_copy(group, path, pixels, target, copy=copy, shape=total.shape)
    return total


def _pixels_of_rows(path: Path, dataset: xr.Dataset, number: int) -> NDArray[np.int64]:
    with open_frames(path) as file:
        ids = file[FRAME_ID][:]
    pixels = np.full(len(ids), -1, dtype=np.int64)
    rows, frame_ids = (dataset[name].values.ravel() for name in ("frame_row", "frame_id"))
    for pixel in np.flatnonzero(dataset["run"].values == number):
        row = frame_row(ids, int(rows[pixel]), int(frame_ids[pixel]))
        if row is not None:
            pixels[row] = pixel
    return pixels


def _link_or_copy(
    group: Any, path: Path, pixels: NDArray[np.int64], target: Path, *, copy: bool, shape: tuple[int, int]
) -> NDArray[np.float64]:
    total, out = np.zeros(shape), None
    with frame_blocks(path) as blocks:
        for first, frames in blocks:
            if copy and out is None:
                out = group.create_dataset(
                    "raw", shape=(len(pixels), *frames.shape[1:]), dtype=frames.dtype, chunks=(1, *frames.shape[1:]),
                    compression="gzip", compression_opts=1, shuffle=True,
                )  # fmt: skip
            if out is not None:
                out[first : first + len(frames)] = frames
            counting = pixels[first : first + len(frames)] >= 0
            if frames.shape[1:] == shape:
                total += frames[counting].sum(axis=0)
    if out is not None:
        out.attrs["units"], out.attrs["long_name"] = "counts", "frames as they were counted"
        with open_frames(path) as file:
            add_field(group, "frame_id", file[FRAME_ID][:])
    else:
        there = os.path.relpath(path.resolve(), Path(target).resolve().parent)
        group["raw"], group["frame_id"] = (h5py.ExternalLink(there, f"/{name}") for name in (DATASET, FRAME_ID))
    return total
