"""Channel Access with deadlines: connecting with a full list of what is missing, and reads that are never cached."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ophyd
from ophyd.signal import EpicsSignalBase
from ophyd.status import Status
from ophyd.utils import InvalidState

from microarpes.devices.outcome import Outcome

#: Seconds; a read or a connection that takes longer is a fault, not a slow beamline.
READ_TIMEOUT = 2.0
CONNECTION_TIMEOUT = 5.0
WRITE_TIMEOUT = 10.0

INVALID = 3

Reading = dict[str, Any]


class MissingPVs(ConnectionError):
    """Process variables that did not connect; the message lists every one of them."""

    def __init__(self, missing: Mapping[str, str], timeout: float) -> None:
        self.missing = dict(missing)
        lines = "".join(f"\n  {pv}  ({device})" for pv, device in sorted(self.missing.items()))
        super().__init__(
            f"{len(self.missing)} process variables did not connect within {timeout:g} s; "
            f"is the IOC running, and are the prefixes in the config right?{lines}"
        )


def set_deadlines() -> None:
    """Give every EPICS signal made from now on a deadline for connecting, reading and writing.

    Does nothing when signals exist already: ophyd allows defaults only before the first.
    """
    try:
        EpicsSignalBase.set_defaults(
            timeout=READ_TIMEOUT, connection_timeout=CONNECTION_TIMEOUT, write_timeout=WRITE_TIMEOUT
        )
    except RuntimeError:
        return


def epics_signals(device: ophyd.Device) -> Iterator[EpicsSignalBase]:
    """Yield every EPICS signal below a device."""
    for _, _, item in device.walk_signals(include_lazy=True):
        if isinstance(item, EpicsSignalBase):
            yield item


def asked_pvs(device: ophyd.Device) -> list[str]:
    """Return the names of all process variables a device asks for, without any network traffic."""
    names: set[str] = set()
    for signal in epics_signals(device):
        names.add(signal.pvname)
        names.add(getattr(signal, "setpoint_pvname", signal.pvname))
    return sorted(names)


def connect(devices: Iterable[ophyd.Device], timeout: float = CONNECTION_TIMEOUT) -> None:
    """Wait until every signal of the devices is connected.

    Raises
    ------
    MissingPVs
        Some did not connect within `timeout` seconds; all of them are listed.
    """
    pending = [(device.name, signal) for device in devices for signal in epics_signals(device)]
    deadline = time.monotonic() + timeout
    while pending and time.monotonic() < deadline:
        pending = [(name, signal) for name, signal in pending if not signal.connected]
        if pending:
            time.sleep(0.01)
    if pending:
        missing = {}
        for name, signal in pending:
            missing[signal.pvname] = name
            setpoint = getattr(signal, "setpoint_pvname", signal.pvname)
            if not signal.connected:
                missing.setdefault(setpoint, name)
        raise MissingPVs(missing, timeout)


def read_fresh(signals: Mapping[str, EpicsSignalBase]) -> dict[str, Reading]:
    """Read signals by explicit gets, all requests sent before the first answer is awaited; see `ask`."""
    return ask(signals)()


def ask(signals: Mapping[str, EpicsSignalBase]) -> Callable[[], dict[str, Reading]]:
    """Send explicit gets, and return what waits for the answers: a server takes them before whatever is sent after.

    Parameters
    ----------
    signals : mapping of str to EpicsSignalBase
        Key of each reading, and its signal.

    Returns
    -------
    callable
        Returns key to ``{"value", "timestamp" (IOC time, s), "alarm_severity"}``, and raises the ConnectionError of one
        that is away, or the TimeoutError of one that did not answer within its deadline.

    Raises
    ------
    ConnectionError, TimeoutError
        One is known to be away already.
    """
    # Those that are away first: while ophyd waits for them nothing that was read grows old.
    found = {key: _fresh(signal) for key, signal in signals.items() if not _can_be_batched(signal)}
    batch = {key: signal for key, signal in signals.items() if key not in found}
    asked = _asked(batch, READ_TIMEOUT)

    def answers() -> dict[str, Reading]:
        for key, answer in asked().items():
            if isinstance(answer, Exception):
                raise answer
            found[key] = answer
        return {key: found[key] for key in signals}

    return answers


def read_each(signals: Mapping[str, EpicsSignalBase], timeout: float = READ_TIMEOUT) -> dict[str, Reading | Exception]:
    """Read signals by explicit gets, in one round trip where that can be; what cannot be read is its error.

    Nothing is waited for that is known to be away, and one that does not answer keeps none of the others from it.

    Parameters
    ----------
    signals : mapping of str to EpicsSignalBase
    timeout : float
        s for all that go in one round trip.
    """
    found: dict[str, Reading | Exception] = {}
    batch: dict[str, EpicsSignalBase] = {}
    for key, signal in signals.items():
        if not signal.connected:
            found[key] = ConnectionError(f"{signal.pvname} is not connected")
        elif _can_be_batched(signal):
            batch[key] = signal
        else:
            try:
                found[key] = _fresh(signal)
            except Exception as error:  # noqa: BLE001 - of whatever kind, it is what is known of this one
                found[key] = error
    found |= _asked(batch, timeout)()
    return {key: found[key] for key in signals}


def _asked(batch: Mapping[str, EpicsSignalBase], timeout: float) -> Callable[[], dict[str, Reading | Exception]]:
    """Ask signals that libca has connected; the callable waits for what they answer."""
    if not batch:
        return dict
    from microarpes.devices.batched_gets import Asked

    asked = Asked([(signal._read_pv, bool(signal._string)) for signal in batch.values()], timeout)  # noqa: SLF001
    return lambda: dict(zip(batch, asked.answers(), strict=True))


@dataclass(frozen=True)
class PVLimits:
    """What a process variable takes: enum strings, control limits (None when it has none), unit."""

    choices: tuple[str, ...]
    range: tuple[float, float] | None
    unit: str


def read_limits(signal: EpicsSignalBase) -> PVLimits:
    """Read what the setpoint of a signal takes by an explicit get; enum strings may change while connected.

    Raises
    ------
    ConnectionError
        It is away.
    """
    pv = getattr(signal, "_write_pv", signal._read_pv)  # noqa: SLF001 - ophyd keeps what it read at connection
    if not pv.connected:
        raise ConnectionError(f"{pv.pvname} is not connected")
    found = pv.get_all_metadata_blocking(timeout=READ_TIMEOUT)
    strings = tuple(text.decode() if isinstance(text, bytes) else str(text) for text in found.get("enum_strs") or ())
    low, high = found.get("lower_ctrl_limit"), found.get("upper_ctrl_limit")
    # EPICS says "no limits" by two equal ones.
    limits = None if low is None or high is None or not low < high else (float(low), float(high))
    unit = found.get("units") or ""
    return PVLimits(strings, limits, unit.decode("latin-1") if isinstance(unit, bytes) else str(unit))


def _fresh(signal: EpicsSignalBase) -> Reading:
    value = signal.get(use_monitor=False)
    return {"value": value, "timestamp": signal.timestamp, "alarm_severity": int(signal.alarm_severity or 0)}


def _can_be_batched(signal: EpicsSignalBase) -> bool:
    """Tell whether libca can be asked for it now; ophyd waits for one that is away, and says so."""
    return ophyd.cl.name == "pyepics" and bool(signal._read_pv.connected)  # noqa: SLF001 - ophyd has no batches


def finish(status: Status | Outcome, error: Exception | None = None) -> None:
    """End a status, unless its deadline has ended it already."""
    with contextlib.suppress(InvalidState):
        if error is None:
            status.set_finished()
        else:
            status.set_exception(error)
