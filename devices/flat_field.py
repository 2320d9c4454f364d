"""How evenly a detector counts: a factor for each of its channels, from a file, and what it makes of the EDCs.

A mesh, grid lines, the gain of the channels. Frames are stored as they were counted; the factors go into the
calibration record, where the fit multiplies its expectation by them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microarpes.devices.spectra import sum_windows

#: Dataset of an HDF5 file that holds a flat field.
DATASET = "flat_field"
#: How far the mean of the live channels may be from 1: further off it is a frame that nobody has normalised.
MEAN_TOLERANCE = 0.1
#: Larger than any detector; such a file is not read.
MAX_BYTES = 2**28


class FlatFieldError(ValueError):
    """A flat field cannot be used; the message says which file, what was found and what it must be."""


@dataclass(frozen=True)
class FlatField:
    """Factors of a detector in Fixed mode.

    Attributes
    ----------
    factors : ndarray, shape (n_angle, n_energy)
        What each channel counts of what it is given, 1 on the mean of the live ones; 0 is a dead channel.
    path : str
        File they were read from.
    sha256 : str
        Checksum of that file.
    """

    factors: NDArray[np.float64]
    path: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> FlatField:
        """Read a flat field from ``.npy``, or from dataset ``flat_field`` of an HDF5 file.

        Raises
        ------
        FlatFieldError
            No such file, none of these formats, not ``[n_angle, n_energy]``, negative, NaN, or not normalised.
        """
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise FlatFieldError(f"flat field {path} is larger than {MAX_BYTES / 2**20:.0f} MiB; it is not read")
            content = path.read_bytes()
        except OSError as error:
            raise FlatFieldError(f"flat field {path} cannot be read: {error.strerror or error}") from None
        try:
            found = _array(content)
        except (ValueError, OSError, KeyError, TypeError, EOFError) as error:
            raise FlatFieldError(
                f"flat field {path} is neither .npy nor HDF5 with a dataset {DATASET} of numbers: {error}"
            ) from None
        return cls(check_factors(found, str(path)), str(path), hashlib.sha256(content).hexdigest())

    def refusals(self, shape: tuple[int, int]) -> list[str]:
        """Return why this is no flat field of frames of a shape (n_angle, n_energy); an empty list allows it."""
        if self.factors.shape == shape:
            return []
        return [
            f"flat field {self.path} is of {self.factors.shape[0]} x {self.factors.shape[1]} channels (angle x "
            f"energy), the region's frames have {shape[0]} x {shape[1]}; measure it with this region, or leave it out"
        ]

    def document(self) -> dict[str, Any]:
        """Return what the start document says of it."""
        return {"path": self.path, "sha256": self.sha256, "shape": list(self.factors.shape)}


def check_factors(found: NDArray[Any], origin: str) -> NDArray[np.float64]:
    """Return factors as float64.

    Raises
    ------
    FlatFieldError
        They are not ``[n_angle, n_energy]``, negative, not finite, or their mean is far from 1.
    """
    if found.ndim != 2 or found.dtype.kind not in "fiu" or not found.size:
        raise FlatFieldError(
            f"flat field {origin} has shape {found.shape} of {found.dtype}; it must be numbers [n_angle, n_energy]"
        )
    factors = np.ascontiguousarray(found, dtype=np.float64)
    if not np.isfinite(factors).all():
        raise FlatFieldError(
            f"flat field {origin} holds {int((~np.isfinite(factors)).sum())} values that are NaN or infinite; a dead "
            "channel is 0"
        )
    if factors.min() < 0.0:
        raise FlatFieldError(f"flat field {origin} goes down to {factors.min():g}; a factor is 0 (dead) or above")
    live = factors[factors > 0.0]
    if not live.size or abs(live.mean() - 1.0) > MEAN_TOLERANCE:
        mean = live.mean() if live.size else 0.0
        raise FlatFieldError(
            f"flat field {origin} has a mean of {mean:g} over its live channels; divide it by that: the mean must be "
            f"1 within {MEAN_TOLERANCE:g}"
        )
    return factors


def window_factors(
    factors: NDArray[np.float64], channels: Sequence[NDArray[np.intp]], row_shift: NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    """Return the factor of each energy channel of each window's EDC.

    The mean over the window's angle channels, shifted as the counts are; what is shifted in from outside counts
    nothing. Exact where the angle channels of a window are equally bright.

    Parameters
    ----------
    factors : ndarray, shape (n_angle, n_energy)
    channels : sequence of ndarray of int
        Angle channels of each window.
    row_shift : ndarray of int, shape (n_angle,), optional

    Returns
    -------
    ndarray, shape (n_window, n_energy)

    Raises
    ------
    FlatFieldError
        All channels of a window are dead.
    """
    numbers = np.array([len(rows) for rows in channels], dtype=np.float64)
    means = sum_windows(factors, channels, row_shift) / numbers[:, None]
    for i, mean in enumerate(means):
        if not mean.any():
            raise FlatFieldError(f"flat field: all detector channels of window {i} are dead; move the window")
    return np.asarray(means)


def _array(content: bytes) -> NDArray[Any]:
    """Read the array in a file's content; nothing in it is executed, and no link is followed."""
    if content.startswith(b"\x93NUMPY"):
        loaded: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
        return loaded
    with h5py.File(io.BytesIO(content), "r") as file:
        return read_dataset(file, DATASET)


def read_dataset(file: h5py.File, name: str) -> NDArray[Any]:
    """Read a dataset that is in the file itself; ValueError when it is a link or keeps its data elsewhere."""
    parts = name.split("/")
    for depth in range(len(parts)):
        if not isinstance(file.get("/".join(parts[: depth + 1]), getlink=True), h5py.HardLink):
            raise ValueError(f"no {name} of its own; links are not followed")
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise ValueError(f"{name} keeps its data in other files, or is no dataset; they are not followed")
    values: NDArray[Any] = data[()]
    return np.asarray(values)
