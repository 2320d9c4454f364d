"""Pairs of setpoint and readback; a value out of range is refused with a message and leaves both as they were."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from microarpes.sim.signals import Signals, SkipWrite, choice, count, number

Notice = Callable[[str], Awaitable[None]]
#: Why settings must not change now; empty when they may.
Blocked = Callable[[], str]


class SettingPairs:
    """Settings by name.

    Parameters
    ----------
    notice : callable
        Shows a message to the operator.
    blocked : callable
    on_change : callable
        Awaited after a setting has changed, with its name.
    """

    def __init__(self, notice: Notice, blocked: Blocked, on_change: Callable[[str], Awaitable[None]]) -> None:
        self._notice, self._blocked, self._on_change = notice, blocked, on_change
        self.signals: Signals = {}

    def value(self, name: str) -> Any:
        """Return the present value of a setting."""
        return self.signals[name].value

    async def show(self, name: str, value: Any) -> None:
        """Post setpoint and readback."""
        for end in ("", "_RBV"):
            await self.signals[name + end].post(value)

    async def _refuse(self, message: str) -> None:
        await self._notice(message)
        raise SkipWrite

    def _pair(self, name: str, setpoint: Any, readback: Any) -> Callable[[Any], Awaitable[Any]]:
        self.signals[name], self.signals[f"{name}_RBV"] = setpoint, readback
        setpoint.writable = True

        async def accept(value: Any) -> Any:
            changed = value != setpoint.value
            reason = self._blocked()
            if reason and changed:
                await self._refuse(f"{name} stays at {setpoint.value}: {reason}")
            await readback.post(value)
            if changed:
                await setpoint.post(value)
                await self._on_change(name)
            return value

        return accept

    def number(
        self,
        name: str,
        value: float,
        low: float,
        high: float,
        units: str = "",
        *,
        fixed: Callable[[], str] | None = None,
    ) -> None:
        """Serve a number with control limits `low` and `high`; `fixed` says why it must not change, or is empty."""
        setpoint = number(value, units, limits=(low, high))
        accept = self._pair(name, setpoint, number(value, units))

        async def on_put(asked: float) -> Any:
            why = fixed() if fixed is not None else ""
            if why and abs(asked - setpoint.value) > 1e-9:
                await self._refuse(f"{name} = {asked:g} {units} refused: {why}")
            if not low <= asked <= high:
                await self._refuse(
                    f"{name} = {asked:g} {units} is outside [{low:g}, {high:g}]; kept {setpoint.value:g}"
                )
            return await accept(float(asked))

        setpoint.on_put = on_put

    def count(self, name: str, value: int, low: int, high: int) -> None:
        """Serve a whole number from `low` to `high`."""
        setpoint = count(value, limits=(low, high))
        accept = self._pair(name, setpoint, count(value))

        async def on_put(asked: int) -> Any:
            if not low <= asked <= high:
                await self._refuse(f"{name} = {asked} is outside [{low}, {high}]; kept {setpoint.value}")
            return await accept(int(asked))

        setpoint.on_put = on_put

    def choice(self, name: str, strings: tuple[str, ...], value: str, *, only: tuple[str, ...] = ()) -> None:
        """Serve a choice; `only` some of them can be chosen, or all."""
        setpoint = choice(strings, value)
        accept = self._pair(name, setpoint, choice(strings, value))

        async def on_put(asked: str) -> Any:
            if only and asked not in only:
                await self._refuse(f"{name} = {asked} refused: this analyser has {' and '.join(only)} only")
            return await accept(asked)

        setpoint.on_put = on_put
