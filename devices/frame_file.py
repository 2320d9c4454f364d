"""One SWMR HDF5 file of frames per run: row i is accepted frame i, its frame_id stored beside it.

A row counts only once its event is in the journal; `discard_after` takes back a row that was written for a point
that was never acknowledged.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

DATASET = "/entry/data/data"
FLAT_FIELD = "entry/detector/flat_field"
MIMETYPE = "application/x-hdf5"


class FrameFile:
    """Write accepted and rejected frames of one run, and the sums of its references.

    Parameters
    ----------
    path : Path
        File to create; it must not exist.
    energy_axis : ndarray, shape (n_energy,), eV kinetic
    angle_axis : ndarray, shape (n_angle,), deg
    dtype : str
        ``"<i4"`` for counts, ``"<f8"`` otherwise.
    flat_field : ndarray, shape (n_angle, n_energy), optional
        Kept beside the frames, which are stored as they were counted.
    """

    def __init__(
        self,
        path: Path,
        energy_axis: NDArray[np.float64],
        angle_axis: NDArray[np.float64],
        dtype: str = "<i4",
        flat_field: NDArray[np.float64] | None = None,
    ) -> None:
        self.path = Path(path)
        self.shape = (len(angle_axis), len(energy_axis))
        self.dtype = dtype
        self._h5 = h5py.File(self.path, "x", libver="latest")
        data = self._h5.create_group("entry/data")
        self._frames = self._table(data, "data", self.shape, dtype)
        self._ids = self._table(data, "frame_id", (), "<i8")
        data["energy"], data["angle"] = energy_axis, angle_axis
        data["energy"].attrs["units"], data["angle"].attrs["units"] = "eV", "deg"
        self._rejected = self._rejected_tables(dtype)
        self._references = self._reference_tables(dtype)
        if flat_field is not None:
            self._h5[FLAT_FIELD] = flat_field
        self._mark_defaults(data)
        self._h5.swmr_mode = True
        self._descriptor = os.open(self.path, os.O_RDONLY)
        self.rows = 0

    def _table(self, group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any) -> h5py.Dataset:
        chunks = (1, *shape) if shape else (1024,)
        return group.create_dataset(name, shape=(0, *shape), maxshape=(None, *shape), chunks=chunks, dtype=dtype)

    def _rejected_tables(self, dtype: str) -> dict[str, h5py.Dataset]:
        group = self._h5.create_group("entry/rejected")
        return {
            "data": self._table(group, "data", self.shape, dtype),
            "frame_id": self._table(group, "frame_id", (), "<i8"),
            "pixel": self._table(group, "pixel", (), "<i8"),
            "reason": self._table(group, "reason", (), "S200"),
        }

    def _reference_tables(self, dtype: str) -> dict[str, h5py.Dataset]:
        # Here, before the first is measured: once readers may follow, no dataset can be added.
        group = self._h5.create_group("entry/reference")
        # A sum of many exposures outgrows the channel of one.
        return {
            "data": self._table(group, "data", self.shape, "<i8" if dtype == "<i4" else dtype),
            "time": self._table(group, "time", (), "<f8"),
            "exposures": self._table(group, "exposures", (), "<i8"),
            "name": self._table(group, "name", (), "S64"),
            "status": self._table(group, "status", (), "S200"),
        }

    def _mark_defaults(self, data: h5py.Group) -> None:
        entry = self._h5["entry"]
        self._h5.attrs["default"] = "entry"
        entry.attrs["NX_class"], entry.attrs["default"] = "NXentry", "data"
        data.attrs["NX_class"], data.attrs["signal"] = "NXdata", "data"
        data.attrs["axes"] = [".", "angle", "energy"]

    def append(self, frame: NDArray[Any], frame_id: int) -> int:
        """Write an accepted frame and sync it to disk; return its row.

        Raises
        ------
        OSError
            The disk refused it; the row does not count.
        """
        row = self.rows
        for table, value in ((self._frames, frame), (self._ids, frame_id)):
            table.resize(row + 1, axis=0)
            table[row] = value
            table.flush()
        os.fdatasync(self._descriptor)
        self.rows = row + 1
        return row

    def discard_after(self, rows: int) -> None:
        """Forget rows beyond the first `rows`: they belong to no acknowledged event."""
        if self.rows > rows:
            for table in (self._frames, self._ids):
                table.resize(rows, axis=0)
                table.flush()
            self.rows = rows

    def reject(self, frame: NDArray[Any] | None, frame_id: int, pixel: int, reason: str) -> None:
        """Keep a frame that was not accepted, apart, with its pixel and the reason.

        A frame of another shape than the file's is recorded without its counts.
        """
        fits = frame is not None and frame.shape == self.shape
        values = {
            "data": frame if fits else 0,
            "frame_id": frame_id,
            "pixel": pixel,
            "reason": reason.encode("utf-8")[:200],
        }
        _append_row(self._rejected, values)

    def keep_reference(self, frame: NDArray[Any], time: float, exposures: int, name: str, status: str) -> None:
        """Keep the summed frame of a reference, whether it gave a calibration record or not; synced to disk.

        Raises
        ------
        OSError
            The disk refused it.
        """
        values = {
            "data": frame,
            "time": time,
            "exposures": exposures,
            "name": name.encode("utf-8")[:64],
            "status": status.encode("utf-8")[:200],
        }
        _append_row(self._references, values)
        os.fdatasync(self._descriptor)

    def stream_resource(self, data_key: str) -> dict[str, Any]:
        """Return the StreamResource document of the accepted frames (without ``run_start``)."""
        return {
            "uid": str(uuid.uuid4()),
            "data_key": data_key,
            "mimetype": MIMETYPE,
            "uri": f"file://localhost{self.path.resolve()}",
            "parameters": {"dataset": DATASET, "chunk_shape": (1, *self.shape)},
            "run_start": "",
        }

    def close(self) -> None:
        """Close the file; a reader no longer needs SWMR."""
        os.close(self._descriptor)
        self._h5.close()


def _append_row(tables: dict[str, h5py.Dataset], values: dict[str, Any]) -> None:
    row = min(len(table) for table in tables.values())
    for name, table in tables.items():
        table.resize(row + 1, axis=0)
        table[row] = values[name]
        table.flush()
