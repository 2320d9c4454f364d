"""Faults on demand: PVs that switch them, seeded decisions, and what a test may believe about what was done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from microarpes.sim.fault_kinds import KINDS, LASTING, FaultKind
from microarpes.sim.fault_options import FaultRequest
from microarpes.sim.signals import OnPut, Signals, SkipWrite, choice, count, number, text

_OFF_ON = ("Disable", "Enable")


@dataclass(frozen=True)
class Strike:
    """A fault that has been decided on.

    Parameters
    ----------
    amount : float
        AMOUNT at that moment.
    phase : float
        When, as a part of the exposure or of the move, 0 to 1.
    """

    amount: float
    phase: float


class Fault:
    """One kind: its PVs and its random streams.

    A decision is drawn at every occasion while the fault is enabled, one stream a subject (the analyser, or an axis),
    so that the n-th occasion has the same outcome in every run with the same SEED.

    Parameters
    ----------
    prefix : str
    kind : FaultKind
    seed : int
        SEED at boot.
    """

    def __init__(self, prefix: str, kind: FaultKind, seed: int) -> None:
        self.kind = kind
        self._since = 0.0
        self._streams: dict[str, np.random.Generator] = {}
        self._drawn: dict[str, int] = {}
        self.enabled = choice(_OFF_ON, "Disable", on_put=self._put_enable)
        self.start = number(0.0, "s", on_put=_within(0.0, 1e9))
        self.duration = number(0.0, "s", on_put=_within(0.0, 1e9))
        self.probability = number(1.0, on_put=_within(0.0, 1.0))
        self.seed = count(seed & 0x7FFFFFFF, on_put=_within(0, 0x7FFFFFFF))
        low = -kind.highest if kind.signed else 0.0
        self.amount = number(kind.amount, kind.units, on_put=_within(low, kind.highest))
        self.count = count(0)
        p = f"{prefix}FAULT:{kind.name}:"
        self.signals: Signals = {
            f"{p}ENABLE": self.enabled,
            f"{p}START": self.start,
            f"{p}DURATION": self.duration,
            f"{p}PROBABILITY": self.probability,
            f"{p}SEED": self.seed,
            f"{p}COUNT": self.count,
            f"{p}AMOUNT": self.amount,
        }

    def enable(self, age: float = 0.0) -> None:
        """Begin a sequence of decisions, `age` seconds ago."""
        self._since = time.monotonic() - age
        self._streams, self._drawn = {}, {}

    async def _put_enable(self, value: str) -> str:
        if value == "Enable" and not self.on:
            await self.count.post(0)
            self.enable()
        return value

    @property
    def on(self) -> bool:
        """Whether it is enabled."""
        return bool(self.enabled.value == "Enable")

    @property
    def active(self) -> bool:
        """Whether it is enabled and its time has come and not passed."""
        passed = time.monotonic() - self._since - float(self.start.value)
        duration = float(self.duration.value)
        return self.on and passed >= 0.0 and (duration == 0.0 or passed < duration)

    @property
    def lasted(self) -> float:
        """Seconds it has been active since it was enabled; stops to grow at the end of its DURATION."""
        if not self.on:
            return 0.0
        passed = time.monotonic() - self._since - float(self.start.value)
        return max(0.0, min(passed, float(self.duration.value) or passed))

    def decide(self, subject: str) -> Strike | None:
        """Draw whether it strikes `subject` on this occasion."""
        if not self.on:
            return None
        if subject not in self._streams:
            entropy = [int(self.seed.value), crc32(self.kind.name.encode()), crc32(subject.encode())]
            self._streams[subject] = np.random.default_rng(entropy)
        chance, phase = self._streams[subject].random(2)
        self._drawn[subject] = self._drawn.get(subject, 0) + 1
        if not self.active or chance >= float(self.probability.value):
            return None
        return Strike(float(self.amount.value), float(phase))

    def state(self) -> dict[str, Any]:
        """Return what a reboot must not forget, as JSON can hold it."""
        names = ("start", "duration", "probability", "seed", "amount", "count")
        settings = {name: getattr(self, name).value for name in names}
        return {**settings, "enabled": self.enabled.value, "age": time.monotonic() - self._since, "drawn": self._drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; before the server runs."""
        for name in ("start", "duration", "probability", "seed", "amount", "count"):
            getattr(self, name)._data["value"] = state[name]  # noqa: SLF001 - nobody is connected yet
        self.enabled._data["value"] = state["enabled"]  # noqa: SLF001
        self.enable(state["age"])
        for subject, drawn in state["drawn"].items():
            for _ in range(drawn):
                self.decide(subject)


class Faults:
    """All kinds.

    Parameters
    ----------
    prefix : str
        For example ``SIM:``.
    seed : int
        SEED of every kind at boot.
    """

    def __init__(self, prefix: str, seed: int) -> None:
        self._faults = {kind.name: Fault(prefix, kind, seed) for kind in KINDS}
        self._last = text("")
        self.signals: Signals = {f"{prefix}FAULT:LAST": self._last}
        for fault in self._faults.values():
            self.signals |= fault.signals

    def request(self, asked: FaultRequest) -> None:
        """Enable a fault as the command line asked; before the server runs."""
        fault = self._faults[asked.name]
        settings = {"probability": asked.probability, "start": asked.start, "duration": asked.duration}
        if asked.amount is not None:
            settings["amount"] = asked.amount
        for name, value in settings.items():
            getattr(fault, name)._data["value"] = value  # noqa: SLF001 - nobody is connected yet
        fault.enabled._data["value"] = "Enable"  # noqa: SLF001
        fault.enable()

    async def strike(self, name: str, subject: str) -> Strike | None:
        """Decide whether a fault strikes; if so it is counted and named in ``FAULT:LAST``.

        Parameters
        ----------
        name : str
        subject : str
            The axis, or ``frame`` with the id the frame would have: ``frame 12``.
        """
        fault = self._faults[name]
        strike = fault.decide(subject.split()[0])
        if strike is not None:
            await fault.count.post(int(fault.count.value) + 1)
            await self._last.post(f"{name} {time.time():.3f} {subject}")
        return strike

    async def strikes(self, decided: str, subject: str) -> dict[str, Strike]:
        """Decide on all kinds of an occasion; see `strike`."""
        found = {}
        for name, fault in self._faults.items():
            if fault.kind.decided == decided and fault.on:
                strike = await self.strike(name, subject)
                if strike is not None:
                    found[name] = strike
        return found

    def lasting(self, name: str) -> tuple[float, float]:
        """Return AMOUNT and seconds active, of a fault that lasts; zeros while it is off."""
        fault = self._faults[name]
        return (float(fault.amount.value), fault.lasted) if fault.on else (0.0, 0.0)

    async def update(self) -> None:
        """Count a lasting fault once, when it becomes active."""
        for name, fault in self._faults.items():
            if fault.kind.decided == LASTING and fault.active and int(fault.count.value) == 0:
                await fault.count.post(1)
                await self._last.post(f"{name} {time.time():.3f} beamline")

    def state(self) -> dict[str, Any]:
        """Return what a reboot must not forget."""
        return {"faults": {name: fault.state() for name, fault in self._faults.items()}, "last": self._last.value}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; before the server runs."""
        for name, saved in state["faults"].items():
            self._faults[name].restore(saved)
        self._last._data["value"] = state["last"]  # noqa: SLF001 - nobody is connected yet


def _within(low: float, high: float) -> OnPut:
    """Return an `on_put` that refuses what is outside [low, high]: the put completes, the value stays."""

    async def on_put(value: Any) -> Any:
        if not low <= value <= high:
            raise SkipWrite
        return value

    return on_put
