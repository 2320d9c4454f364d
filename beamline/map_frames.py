"""The frames of a map, by pixel and only those that are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from microarpes.beamline.moved_windows import DATASET, FRAME_ID, frame_path, open_frames
from microarpes.beamline.run_chain import read_start


class MapFrames(BackendArray):
    """Frames as an array ``[ny, nx, n_angle, n_energy]`` that is read where it is indexed; NaN where there is none.

    Parameters
    ----------
    files : sequence of Path
        Frame file of each run of the map.
    run, row, frame_id : ndarray of int, shape (ny, nx)
        Which file and row holds the frame of a pixel, and the number that stands beside it there.
    shape : (int, int)
        Angle and energy channels of a frame.

    Raises
    ------
    microarpes.beamline.moved_windows.WindowError
        On indexing: a file cannot be read.
    """

    def __init__(
        self,
        files: Sequence[Path],
        run: NDArray[np.int64],
        row: NDArray[np.int64],
        frame_id: NDArray[np.int64],
        shape: tuple[int, int],
    ) -> None:
        self.files = tuple(files)
        self.run, self.row, self.frame_id = run, row, frame_id
        self.shape = (*run.shape, *shape)
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[np.float64]:
        ys, xs, angles, energies = (np.atleast_1d(np.arange(n)[part]) for n, part in zip(self.shape, key, strict=True))
        found = np.full((len(ys), len(xs), len(angles), len(energies)), np.nan)
        runs = self.run[np.ix_(ys, xs)]
        for number in np.unique(runs[runs >= 0]):
            with open_frames(self.files[number]) as file:
                ids = file[FRAME_ID][:]
                for i, j in np.argwhere(runs == number):
                    place = ys[i], xs[j]
                    row = frame_row(ids, int(self.row[place]), int(self.frame_id[place]))
                    if row is not None and file[DATASET].shape[1:] == self.shape[2:]:
                        found[i, j] = file[DATASET][row][np.ix_(angles, energies)]
        single = tuple(axis for axis, part in enumerate(key) if isinstance(part, int | np.integer))
        return found.squeeze(axis=single)


def frame_row(ids: NDArray[np.int64], row: int, frame_id: int) -> int | None:
    """Return the row of a frame file that holds a frame; None where none does for certain.

    Parameters
    ----------
    ids : ndarray of int, shape (n,)
        The numbers beside the rows of the file.
    row : int
        Where the stream says it is, -1 where it does not.
    frame_id : int
        An analyser that was restarted counts from 1 again: the number must stand in the row, or in one row only.
    """
    if row < 0:
        (places,) = np.nonzero(ids == frame_id)
        return int(places[0]) if places.size == 1 else None
    return row if row < len(ids) and ids[row] == frame_id else None


def frame_files(folders: Sequence[Path]) -> list[Path]:
    """Return the frame file of each run.

    Raises
    ------
    microarpes.beamline.moved_windows.WindowError
        A run has none.
    """
    return [frame_path(folder, read_start(folder)) for folder in folders]


@contextlib.contextmanager
def frame_blocks(path: Path, size: int = 4_000_000) -> Iterator[Any]:
    """Open a frame file and yield an iterator of (first row, ``[n, n_angle, n_energy]``), `size` bytes at a time."""
    with open_frames(path) as file:
        frames = file[DATASET]
        step = max(1, size // max(1, int(np.prod(frames.shape[1:])) * frames.dtype.itemsize))
        yield ((first, frames[first : first + step]) for first in range(0, len(frames), step))
