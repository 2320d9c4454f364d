"""A look at the global heaps of an HDF5 file, where texts of variable length are kept, before HDF5 walks them.

HDF5 goes from object to object by the sizes that stand there, and where a damaged file makes one of free space 0 it
stays at that place for ever (seen with HDF5 2.0.0). Layout: HDF5 File Format Specification 3.0, III.E.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: Signature, version and the reserved bytes, which make one in measured counts as good as impossible.
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_OBJECT = struct.Struct("<HH4xQ")
_BLOCK = 2**22


class DamagedHeapError(ValueError):
    """A global heap leads nowhere; the message names file and place."""


def check_heaps(path: Path) -> None:
    """Raise `DamagedHeapError` where an object of a global heap of `path` leads nowhere."""
    with open(path, "rb") as file:
        for place in list(_places(file)):
            file.seek(place + len(_SIGNATURE))
            size = int.from_bytes(file.read(8), "little")
            if size > 2**24:  # HDF5 makes them of 4 KiB, or as long as their longest text
                raise DamagedHeapError(f"{path} has a global heap of {size} bytes at {place}; copy the file again")
            file.seek(place)
            if not _ends(file.read(size)):
                raise DamagedHeapError(f"{path} has a damaged global heap at byte {place}; copy the file again")


def _places(file: BinaryIO) -> Iterator[int]:
    """Yield where each heap begins; the file is read some megabytes at a time."""
    start, kept = 0, b""
    while block := file.read(_BLOCK):
        text = kept + block
        found = text.find(_SIGNATURE)
        while found >= 0:
            yield start + found
            found = text.find(_SIGNATURE, found + 1)
        kept = text[-len(_SIGNATURE) + 1 :]
        start += len(text) - len(kept)


def _ends(heap: bytes) -> bool:
    """Return whether going from object to object comes to the end of a heap."""
    place = 16
    while place + _OBJECT.size <= len(heap):
        index, _, size = _OBJECT.unpack_from(heap, place)
        step = size if index == 0 else _OBJECT.size + -(-size // 8) * 8
        if step == 0 or place + step > len(heap):
            return False
        place += step
    return True
