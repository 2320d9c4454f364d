"""Cuts, lines and maps that SES, or a program after it, wrote as an Igor binary wave (``.ibw``).

Read are waves of version 5, the one with more than one dimension: real numbers over energy and angle, or over energy,
angle and one or two positions. Which dimension is which is told by its unit, as SES writes it (``Kinetic Energy [eV]``,
``Y-Scale [deg]``, ``X [mm]``) or as Igor does (``eV``); settings stand in the note, a line ``Name=value`` each.
Positions run fastest in the earlier dimension. The header is looked at before igor2 reads the rest: sizes, offsets and
the checksum are those of Igor's Technical Note 003.
"""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.assumed_values import TurnedFrames, ascending, is_told, kinetic, one_point, settings_of
from microarpes.beamline.recording_format import Frames, Recording, RecordingError, check_size, micrometres

_HEADERS = 64 + 320
_SIZES = struct.Struct("4x15i")
#: Bytes of a number, by Igor's code: floats, integers, and integers without sign.
_NUMBERS = {0x02: 4, 0x04: 8, 0x08: 1, 0x10: 2, 0x20: 4, 0x48: 1, 0x50: 2, 0x60: 4}
_ANGLES = ("deg", "degree", "degrees", "°")
_LENGTHS = ("um", "µm", "μm", "mm", "m", "nm")
_SETTINGS = {
    "photon_energy": "Excitation Energy", "pass_energy": "Pass Energy", "lens_mode": "Lens Mode",
    "acquire_time": "Time per Spectrum Channel",
}  # fmt: skip


def is_ibw(head: bytes) -> bool:
    """Return whether a file begins like an Igor binary wave of version 5, in either byte order."""
    return head[:2] in (b"\x05\x00", b"\x00\x05")


def read_ibw(path: Path) -> tuple[Recording, Frames]:
    """Return the recording and its frames, which are in memory, from an Igor binary wave.

    Raises
    ------
    RecordingError
        The file is truncated or damaged, or its dimensions are not energy, angle and positions.
    """
    _check_header(path)
    from igor2 import binarywave

    wave = binarywave.load(str(path))["wave"]
    counts, axes = wave["wData"], _axes(wave)
    order = _order(axes, path)
    energy, turned = ascending(axes[order[-1]][2])
    note = _note(wave["note"])
    told = {name: note.get(key) for name, key in _SETTINGS.items()}
    points, unsure = _points([axes[i] for i in order[:-2]], path)
    name = axes[order[-1]][0].lower()
    binding = "binding" in name or ("kinetic" not in name and "binding" in note.get("Energy Scale", "").lower())
    settings = settings_of(told, path, unsure=unsure + (("energy",) if binding else ()))
    if binding:
        energy, turned = ascending(kinetic(axes[order[-1]][2], settings["photon_energy"]))
    recording = Recording(
        title=" ".join(note[key] for key in ("Sample", "Spectrum Name") if note.get(key)) or path.stem,
        source=path.name,
        points=points,
        energy=energy,
        angle=axes[order[-2]][2],
        **settings,
    )
    return recording, TurnedFrames(counts.transpose(order), turned)


def _check_header(path: Path) -> None:
    """Refuse a header that is damaged, that no file of this size can have, or of a wave that is no spectrum."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(_HEADERS)
    if len(head) < _HEADERS:
        raise RecordingError(f"{path} is truncated: it has {size} bytes, the header of an Igor wave {_HEADERS}")
    sign = "<" if head[0] else ">"
    if int(np.frombuffer(head, sign + "i2").sum(dtype=np.int64)) % 2**16:
        raise RecordingError(f"{path} begins like an Igor wave, but its checksum is wrong; copy it again")
    sizes = struct.unpack_from(sign + _SIZES.format, head)
    points, kind = struct.unpack_from(sign + "ih", head, 76)
    shape = struct.unpack_from(sign + "4i", head, 132)
    used = [n for n in shape if n]
    if min(sizes) < 0 or min(shape) < 0 or list(shape[: len(used)]) != used:
        raise RecordingError(f"the header of {path} claims sizes {sizes} and dimensions {shape}; copy it again")
    if kind not in _NUMBERS:
        raise RecordingError(f"{path} holds numbers of Igor's type {kind}; real numbers are read, no text, no complex")
    if not 2 <= len(used) <= 4:
        raise RecordingError(
            f"{path} is a wave of {len(used)} dimensions; energy, angle and up to two positions are read"
        )
    data = math.prod(used) * _NUMBERS[kind]
    check_size("the wave", data, path)
    if (points, sizes[0]) != (math.prod(used), data + _HEADERS - 64):
        raise RecordingError(f"the header of {path} claims dimensions {shape} and {sizes[0]} bytes; copy it again")
    if 64 + sum(sizes) > size:
        raise RecordingError(f"{path} is truncated: its header claims {64 + sum(sizes)} bytes, it has {size}")


def _axes(wave: Any) -> list[tuple[str, str, NDArray[np.float64]]]:
    """Return name, unit and values of each dimension."""
    header, long, axes = wave["wave_header"], bytes(wave["dimension_units"]), []
    for i, count in enumerate(int(n) for n in header["nDim"] if n > 0):
        size = int(wave["bin_header"]["dimEUnitsSize"][i])
        label, long = _text(long[:size] or b"".join(header["dimUnits"][i])), long[size:]
        name, _, unit = label.rpartition("[")
        values = np.asarray(float(header["sfB"][i]) + float(header["sfA"][i]) * np.arange(count), dtype=np.float64)
        axes.append((name.strip(), unit.removesuffix("]").strip(), values))
    return axes


def _text(raw: bytes) -> str:
    raw = raw.split(b"\0", 1)[0]
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip()


def _note(raw: Any) -> dict[str, str]:
    """Return the lines ``Name=value`` of a note; of two with one name the first, which is the analyser's."""
    found: dict[str, str] = {}
    for line in re.split(r"[\r\n]+", _text(bytes(raw))):
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip())
    return found


def _order(axes: list[tuple[str, str, NDArray[np.float64]]], path: Path) -> list[int]:
    """Return the dimensions as slow position, fast position, angle, energy."""
    units = [unit for _, unit, _ in axes]
    energy = [i for i, unit in enumerate(units) if unit == "eV"]
    angle = [i for i, unit in enumerate(units) if unit in _ANGLES]
    places = [i for i, unit in enumerate(units) if unit in _LENGTHS]
    if len(energy) != 1 or len(angle) != 1 or len(places) != len(axes) - 2:
        found = ", ".join(repr(f"{name} [{unit}]") for name, unit, _ in axes)
        raise RecordingError(
            f"the dimensions of {path} are {found}; one in eV, one in deg, and positions in mm or um are needed"
        )
    return [*reversed(places), *angle, *energy]


def _points(
    axes: list[tuple[str, str, NDArray[np.float64]]], path: Path
) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Return the positions, and which of them are not told, of position axes from slow to fast."""
    if not axes:
        return one_point(), ("x", "y")
    named = [_direction(name) for name, _, _ in axes]
    if len(set(named)) == 1 < len(named) and is_told(named[0]):
        raise RecordingError(f"both position axes of {path} are called {named[0]}; one x and one y are needed")
    # From fast to slow, so that a map whose axes have no direction is fast in x.
    free = [axis for axis in ("x", "y") if axis not in named]
    columns = [axis or free.pop(0) for axis in reversed(named)][::-1]
    values = [micrometres(places, unit, name, str(path)) for name, unit, places in axes]
    grids = np.meshgrid(*values, indexing="ij")
    points = {column: grid.ravel() for column, grid in zip(columns, grids, strict=True)}
    unsure = [column for column, name in zip(columns, named, strict=True) if not name]
    for axis in ("x", "y"):
        if axis not in points:
            points[axis] = np.zeros(grids[0].size)
            unsure.append(axis)
    return points, tuple(sorted(unsure))


def _direction(name: str) -> str:
    found = re.search(r"\b([XYxy])\b|(?<=[a-z])([XY])\b", name)
    return (found[1] or found[2]).lower() if found else ""
