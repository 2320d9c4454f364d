"""The bytes of a journal: what it begins with, and each record as length, CRC-32 and msgpack of ``[name, doc]``."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np

MAGIC = b"MAJRNL1\n"
HEADER = struct.Struct("<II")
#: A record longer than this is taken for garbage; the largest real one is a few MB of EDCs.
MAX_RECORD = 1 << 28

Document = dict[str, Any]


def packed(value: object) -> bytes:
    """Return plain data and arrays as msgpack; arrays as raw little-endian bytes, each with its type and shape.

    Raises
    ------
    TypeError
        The value holds something else.
    """
    data: bytes = msgpack.packb(value, default=_encode_array, use_bin_type=True)
    return data


def unpacked(data: bytes) -> Any:
    """Return what `packed` was given."""
    return msgpack.unpackb(data, object_hook=_decode_array, raw=False, strict_map_key=False)


def encode_record(name: str, doc: Document) -> bytes:
    """Return one framed record: length, CRC-32, msgpack of ``[name, doc]``."""
    payload = packed([name, doc])
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def whole_records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield ``(end, payload)`` of the whole records that bytes begin with; what follows is torn, or no record.

    Parameters
    ----------
    data : bytes
        Of a journal, from where a record begins.
    """
    begin = 0
    while len(data) - begin >= HEADER.size:
        length, checksum = HEADER.unpack_from(data, begin)
        end = begin + HEADER.size + length
        if not is_length(length) or end > len(data):
            return
        payload = data[begin + HEADER.size : end]
        if zlib.crc32(payload) != checksum:
            return
        yield end, payload
        begin = end


def is_length(length: int) -> bool:
    """Tell whether a record can be so long, in bytes; one of zeros, as a power cut may leave them, is none."""
    return 0 < length <= MAX_RECORD


def _encode_array(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        little = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"), copy=False))
        return {
            "__ndarray__": True,
            "dtype": little.dtype.str,
            "shape": list(value.shape),
            "data": little.tobytes(),
        }
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"a document holds a {type(value).__name__}, which a journal cannot store; use plain data or arrays"
    )


def _decode_array(value: dict[str, Any]) -> Any:
    if value.get("__ndarray__") is not True:
        return value
    array = np.frombuffer(value["data"], dtype=np.dtype(value["dtype"])).reshape(value["shape"])
    return array.copy()
