"""Recordings as a NumPy archive (``.npz``), the plainest way to bring measured spectra here from elsewhere.

Arrays ``frames`` [n, angle, energy] (or [angle, energy], a single cut), ``energy`` (eV kinetic), ``angle`` (deg), ``x``
and ``y`` [n] (um), further columns as in `POINT_UNITS`; numbers ``photon_energy`` and, where they are known,
``pass_energy`` (eV), ``acquire_time`` (s), ``temperature`` (K); texts ``lens_mode``, ``title`` and ``licence``. The
headers of all arrays are looked at before one is read, and nothing that is pickled is.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from microarpes.beamline.assumed_values import TurnedFrames, ascending, one_point, settings_of
from microarpes.beamline.recording_format import POINT_UNITS, Frames, Recording, RecordingError, check_size

SIGNATURE = b"PK\x03\x04"
_AXES = ("frames", "energy", "angle")
_NUMBERS = ("photon_energy", "pass_energy", "acquire_time", "temperature")
_TEXTS = ("lens_mode", "title", "licence")
#: All is read into memory; what is larger belongs into the recording format.
_MAX_BYTES = 2**30


def read_npz(path: Path) -> tuple[Recording, Frames]:
    """Return the recording and its frames, which are in memory, from a NumPy archive.

    Raises
    ------
    RecordingError
        The archive is damaged, claims more than it can hold, holds pickled objects or names that are not known, or its
        arrays do not belong together.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of headers that Python 2 wrote and reads them
        _check_archive(path)
        with np.load(path, allow_pickle=False) as archive:
            parts = {name: archive[name] for name in archive.files}
    if missing := [name for name in _AXES if name not in parts]:
        raise RecordingError(f"{path} has no array {', '.join(missing)}; frames, energy and angle are needed")
    frames = parts["frames"][np.newaxis] if parts["frames"].ndim == 2 else parts["frames"]
    angle, (energy, turned) = np.atleast_1d(parts["angle"]).astype(float), ascending(parts["energy"].astype(float))
    columns = {name: np.atleast_1d(parts[name]).astype(float) for name in POINT_UNITS if _is_column(name, parts)}
    unsure: tuple[str, ...] = ()
    if "x" not in columns and "y" not in columns and len(frames) == 1:
        columns, unsure = {**columns, **one_point()}, ("x", "y")
    told = {name: parts[name].item() for name in (*_NUMBERS, *_TEXTS) if name in parts and not parts[name].ndim}
    title, licence = str(told.pop("title", path.stem)), str(told.pop("licence", ""))
    recording = Recording(
        title=title, licence=licence, source=path.name, points=columns, energy=energy, angle=angle,
        **settings_of(told, path, unsure=unsure),
    )  # fmt: skip
    if frames.shape != (recording.n_points, *recording.shape):
        raise RecordingError(
            f"frames in {path} have shape {frames.shape}; points and axes say {(recording.n_points, *recording.shape)}"
        )
    return recording, TurnedFrames(frames, turned)


def _is_column(name: str, parts: dict[str, Any]) -> bool:
    """Return whether `name` is there as a column: the temperature may be one number or one for each point."""
    return name in parts and (name not in _NUMBERS or parts[name].ndim == 1)


def _check_archive(path: Path) -> None:
    known = {*_AXES, *_NUMBERS, *_TEXTS, *POINT_UNITS}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        if odd := [name for name in names if name not in known or names.count(name) > 1]:
            raise RecordingError(f"{path} holds {odd[0][:40]!r}, perhaps twice; known are {', '.join(sorted(known))}")
        declared = sum(member.file_size for member in members)
        check_size("the archive", declared, path)
        if declared > _MAX_BYTES:
            raise RecordingError(
                f"{path} holds {declared / 2**20:.0f} MiB; archives up to {_MAX_BYTES // 2**20} MiB are read, write a "
                "recording (HDF5) instead"
            )
        for member, name in zip(members, names, strict=True):
            _check_member(archive, member, name, path)


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, path: Path) -> None:
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in read_header:
            raise RecordingError(f"{name!r} in {path} is an array of format {version}; 1.0 and 2.0 are read")
        shape, _, kind = read_header[version](file)
        begin = file.tell()
    if kind.hasobject:
        raise RecordingError(f"{name!r} in {path} holds pickled objects, which are not read; save numbers")
    if kind.kind not in ("U" if name in _TEXTS else "iuf"):
        raise RecordingError(f"{name!r} in {path} is {kind}; {'a text' if name in _TEXTS else 'real numbers'} needed")
    if begin + math.prod(shape) * kind.itemsize != member.file_size or min(shape, default=0) < 0:
        raise RecordingError(f"{name!r} in {path} claims shape {shape} in {member.file_size} bytes; save it again")
