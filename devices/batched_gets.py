"""A batch of explicit Channel Access gets through libca: all requests in one piece, one wait for all answers.

ophyd and pyepics wait for one signal after another and poll for each; 36 signals cost 20 ms that way, and an answer
that comes after its deadline is handed to the next reader. Here every read is a request of its own.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from epics import ca, dbr

#: numpy's type of each native field type but strings, which are 40 bytes each.
_TYPES = {
    dbr.SHORT: "<i2",
    dbr.FLOAT: "<f4",
    dbr.ENUM: "<u2",
    dbr.CHAR: "<u1",
    dbr.LONG: "<i4",
    dbr.DOUBLE: "<f8",
}
_STRING_SIZE = 40
#: One value of each, and severity and time stamp as they come two bytes into an answer.
_SCALARS = {native: struct.Struct(f"<{np.dtype(name).char}") for native, name in _TYPES.items()}
_HEAD = struct.Struct("<hII")
#: From a native field type to the same with time stamp and alarm.
_WITH_TIME = dbr.TIME_STRING - dbr.STRING


@dataclass(eq=False)
class _Batch:
    """Answers that are still missing."""

    missing: int
    timeout: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    complete: threading.Event = field(default_factory=threading.Event)

    def one_less(self) -> None:
        with self.lock:
            self.missing -= 1
            if self.missing <= 0:
                self.complete.set()


@dataclass
class _Request:
    """One get: which channel, as what, and the answer once it is there."""

    pvname: str
    field_type: int
    as_text: bool
    scalar: bool
    batch: _Batch
    status: int | None = None
    count: int = 0
    raw: bytes = b""

    def reading(self) -> dict[str, Any]:
        """Return value, time stamp and severity.

        Raises
        ------
        TimeoutError
            There was no answer.
        ConnectionError
            The connection was lost, or the IOC refused.
        """
        if self.status is None:
            raise TimeoutError(f"{self.pvname} did not answer within {self.batch.timeout:g} s")
        if self.status != dbr.ECA_NORMAL:
            reason = ca.message(self.status)
            raise ConnectionError(f"{self.pvname} was not read: {reason}")
        severity, seconds, nanoseconds = _HEAD.unpack_from(self.raw, 2)
        # As pyepics makes them: stamps of gets and of monitors are compared.
        stamp = dbr.EPICS2UNIX_EPOCH + seconds + 1.0e-6 * int(1.0e-3 * nanoseconds)
        return {"value": self._value(), "timestamp": stamp, "alarm_severity": severity}

    def _value(self) -> Any:
        native, offset = self.field_type - _WITH_TIME, dbr.value_offset[self.field_type]
        if native == dbr.STRING:
            data = self.raw[offset:]
            found = [_text(data[at : at + _STRING_SIZE]) for at in range(0, len(data), _STRING_SIZE)]
            return found[0] if self.scalar else found
        if self.scalar and not (self.as_text and native == dbr.CHAR):
            return _SCALARS[native].unpack_from(self.raw, offset)[0]
        values = np.frombuffer(self.raw, _TYPES[native], self.count, offset)
        # Not copied: it is of this answer alone, and cannot be written to.
        return _text(values.tobytes()) if self.as_text and native == dbr.CHAR else values


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")


#: Requests on their way, by number: libca holds the number only, and may answer when nobody waits any more.
_under_way: dict[int, _Request] = {}
_numbers = itertools.count(1)
#: Batches that are waited for.
_waited_for: weakref.WeakSet[_Batch] = weakref.WeakSet()


def _on_answer(args: Any) -> None:
    """Take an answer, in libca's thread; nothing is decoded here."""
    request = _under_way.pop(args.usr, None)
    if request is None:
        return
    if args.status == dbr.ECA_NORMAL:
        native = args.type - _WITH_TIME
        size = _STRING_SIZE if native == dbr.STRING else np.dtype(_TYPES[native]).itemsize
        request.count = args.count
        request.raw = ctypes.string_at(args.raw_dbr, dbr.value_offset[args.type] + size * args.count)
    request.status = args.status
    request.batch.one_less()


_ANSWER = dbr.make_callback(_on_answer, dbr.event_handler_args)


class Asked:
    """Channels that were asked by explicit gets, in one piece; the answers are waited for when they are wanted.

    Parameters
    ----------
    pvs : sequence of (epics.PV, bool)
        Connected; True reads an enum or an array of characters as text.
    timeout : float
        Seconds for all of them, from now.
    """

    def __init__(self, pvs: Sequence[tuple[Any, bool]], timeout: float) -> None:
        self._batch = _Batch(len(pvs), timeout)
        self._requests: list[_Request | Exception] = []
        self._deadline = time.monotonic() + timeout
        if not pvs:
            self._batch.complete.set()
            return
        if ca.current_context() is None:
            ca.attach_context(pvs[0][0].context)
        for pv, as_text in pvs:
            try:
                self._requests.append(_send(pv, as_text, self._batch))
            except ConnectionError as error:
                self._requests.append(error)
                self._batch.one_less()
        ca.flush_io()
        _waited_for.add(self._batch)

    def answers(self) -> list[dict[str, Any] | Exception]:
        """Wait for all answers and return them in the order asked.

        Returns
        -------
        list of dict or Exception
            ``value``, ``timestamp`` (IOC time, s), ``alarm_severity``; a TimeoutError for what did not answer in time,
            a ConnectionError for what was lost or could not be read.
        """
        self._batch.complete.wait(max(self._deadline - time.monotonic(), 0.0))
        _waited_for.discard(self._batch)
        return [request if isinstance(request, Exception) else _reading(request) for request in self._requests]


def abandon_gets() -> None:
    """End every wait for answers now, as if its time were over: what has not been answered will not be needed."""
    for batch in list(_waited_for):
        batch.complete.set()


def _reading(request: _Request) -> dict[str, Any] | Exception:
    try:
        return request.reading()
    except (TimeoutError, ConnectionError) as error:
        return error


def _send(pv: Any, as_text: bool, batch: _Batch) -> _Request:
    libca, chid = ca.libca, pv.chid if isinstance(pv.chid, dbr.chid_t) else dbr.chid_t(pv.chid)
    native = libca.ca_field_type(chid)
    if native not in (dbr.STRING, *_TYPES):
        raise ConnectionError(f"{pv.pvname} is not connected")
    # The IOC names the state: the strings that were read at connection may have changed.
    field_type = (dbr.STRING if as_text and native == dbr.ENUM else native) + _WITH_TIME
    request = _Request(pv.pvname, field_type, as_text, libca.ca_element_count(chid) <= 1, batch)
    number = next(_numbers)
    _under_way[number] = request
    # Of an array as many elements as it has now.
    count = 1 if request.scalar else 0
    status = libca.ca_array_get_callback(field_type, count, chid, _ANSWER, ctypes.py_object(number))
    if status != dbr.ECA_NORMAL:
        del _under_way[number]
        raise ConnectionError(f"{pv.pvname} was not asked: {ca.message(status)}")
    return request
