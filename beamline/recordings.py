"""Recordings: rasters measured elsewhere, read from the formats of other beamlines and converted for replay.

>>> recording = convert(Path("raster.fits"), Path("raster.h5"))    # doctest: +SKIP
>>> nominal_grid(recording).x                                      # doctest: +SKIP
Line(start=429.8, stop=579.8, num=15)
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from microarpes.beamline.guarded_hdf5 import open_guarded
from microarpes.beamline.nominal_grid import NominalGrid, nominal_grid
from microarpes.beamline.read_bloch import is_bloch, read_bloch
from microarpes.beamline.read_exported import is_exported, read_exported
from microarpes.beamline.read_i05 import is_i05, read_i05
from microarpes.beamline.read_ibw import is_ibw, read_ibw
from microarpes.beamline.read_maestro import SIGNATURE, open_maestro
from microarpes.beamline.read_merlin import is_merlin, read_merlin
from microarpes.beamline.read_npz import SIGNATURE as NPZ_SIGNATURE
from microarpes.beamline.read_npz import read_npz
from microarpes.beamline.read_recording import is_recording, read_stored
from microarpes.beamline.recording_format import (
    CheckedFrames,
    Frames,
    Recording,
    RecordingError,
    one_clear_error,
    write_recording,
)

__all__ = ["NominalGrid", "Recording", "RecordingError", "convert", "nominal_grid", "open_recording"]

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LAYOUTS = (
    (is_recording, read_stored),
    (is_bloch, read_bloch),
    (is_i05, read_i05),
    (is_exported, read_exported),
    (is_merlin, read_merlin),
)
KNOWN = (
    "a MAESTRO raster (FITS), a wave of SES (Igor), a NumPy archive (npz), or in HDF5 a recording, an export of ours "
    "with its frames, or the layout of Bloch, I05 or MERLIN"
)


@contextlib.contextmanager
def open_recording(path: Path) -> Iterator[tuple[Recording, Frames]]:
    """Open a file of any known format; what it is is found from its content, not its name.

    Parameters
    ----------
    path : Path
        See docs/how-to/replay.md for what is read.

    Yields
    ------
    recording : Recording
        Positions in um, axes and settings.
    frames : sequence
        ``frames[i]`` is the frame of point i, ``[n_angle, n_energy]``; valid inside the ``with`` block.

    Raises
    ------
    RecordingError
        Not a file, empty, truncated, of an unknown format, hostile, or without a raster; one line says which.
    """
    path = Path(path)
    head = _first_bytes(path)
    with contextlib.ExitStack() as opened:
        with one_clear_error(path, "a recording"):
            if head.startswith(SIGNATURE):
                recording, frames = opened.enter_context(open_maestro(path))
            elif head.startswith(_HDF5_SIGNATURE):
                recording, frames = _read_hdf5(opened.enter_context(open_guarded(path)), path)
            elif head.startswith(NPZ_SIGNATURE):
                recording, frames = read_npz(path)
            elif is_ibw(head):
                recording, frames = read_ibw(path)
            else:
                raise RecordingError(f"{path} starts with {head[:8]!r}; known are {KNOWN}")
        yield recording, CheckedFrames(frames, path)


def _read_hdf5(file: Any, path: Path) -> tuple[Recording, Frames]:
    for belongs, read in _LAYOUTS:
        if belongs(file):
            return read(file, path)
    found = ", ".join(sorted(file)[:6]) or "nothing"
    raise RecordingError(f"{path} is HDF5 with {found} in it; known are {KNOWN}")


def _first_bytes(path: Path) -> bytes:
    try:
        folder, target = path.parent.resolve(), path.resolve()
        if path.is_symlink() and not target.is_relative_to(folder):
            raise RecordingError(f"{path} is a link to {target}, which is not in its folder; name that file itself")
        status = path.stat()
        # Opening a pipe would wait for its other end for ever.
        if not stat.S_ISREG(status.st_mode):
            raise RecordingError(f"{path} is not a regular file; name {KNOWN}")
        if status.st_size == 0:
            raise RecordingError(f"{path} is empty (0 bytes); copy it again")
        with open(path, "rb") as file:
            return file.read(16)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}; name {KNOWN}") from error
    except RuntimeError as error:  # how Python up to 3.12 says that a link leads to itself
        raise RecordingError(f"{path} cannot be read: {error}; name {KNOWN}") from error


def convert(path: Path, out: Path, *, acquire_time: float | None = None, temperature: float | None = None) -> Recording:
    """Convert a recording of any known format to the recording format that the simulated devices serve.

    Parameters
    ----------
    path : Path
        Source; see `open_recording`.
    out : Path
        File to write; one that exists is replaced. Frames become int32 where every count is a whole number that
        fits, otherwise float64, and are copied one at a time.
    acquire_time : float, optional
        s, where the source does not tell it.
    temperature : float, optional
        K, where the source does not tell it.

    Returns
    -------
    Recording
        What was written.

    Raises
    ------
    RecordingError
        The source cannot be read, or `out` is the source; nothing is written.
    """
    path, out = Path(path), Path(out)
    with open_recording(path) as (recording, frames):
        if out.exists() and out.samefile(path):
            raise RecordingError(f"{out} is the source itself; name another file to write")
        given = {"acquire_time": acquire_time, "temperature": temperature}
        told: dict[str, Any] = {name: float(value) for name, value in given.items() if value is not None}
        unknown = tuple(name for name in recording.assumed if name not in told)
        recording = replace(recording, assumed=unknown, **told)
        write_recording(out, recording, frames)
    return recording
