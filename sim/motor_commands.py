"""The buttons of a motor record: STOP, SPMG, tweak, jog, home, relative and raw targets, and its refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from caproto import SkipWrite

from microarpes.sim.motor import Axis
from microarpes.sim.motor_record import not_negative_up_to, positive_up_to


def serve_commands(axis: Axis) -> None:
    """Let the fields of an axis' record do what their names say."""
    record = axis.record

    def highest_speed() -> float:
        return float(record.get("VMAX"))

    for field in ("VELO", "BVEL", "JVEL", "HVEL"):
        record.on_field_put(field, positive_up_to(highest_speed))
    for field in ("ACCL", "BACC", "DLY"):
        record.on_field_put(field, not_negative_up_to(60.0))
    record.on_field_put("RDBD", not_negative_up_to(1e9))
    record.on_field_put("RTRY", not_negative_up_to(32767))
    commands = {
        "STOP": axis.brake,
        "TWF": lambda: axis.go_to(axis.target + float(record.get("TWV"))),
        "TWR": lambda: axis.go_to(axis.target - float(record.get("TWV"))),
        "HOMF": axis.home,
        "HOMR": axis.home,
    }
    for field, command in commands.items():
        record.on_field_put(field, _button(command))
    for field, sign in (("JOGF", 1.0), ("JOGR", -1.0)):
        record.on_field_put(field, _jog(axis, sign))
    record.on_field_put("DVAL", _target(axis, lambda dial: axis.coordinates.user(dial + axis.coordinates.datum)))
    record.on_field_put("RLV", _target(axis, lambda step: axis.target + step))
    record.on_field_put("SPMG", _mode(axis))
    record.on_field_put("EGU", _units(axis))


def _button(command: Callable[[], Awaitable[None]]) -> Callable[[Any], Awaitable[int]]:
    """Return a putter that does something and clears itself, as the record's buttons do."""

    async def put(value: Any) -> int:
        if value:
            await command()
        return 0

    return put


def _jog(axis: Axis, sign: float) -> Callable[[Any], Awaitable[int]]:
    """Return a putter that moves towards the limit at JVEL as long as the button is held."""

    async def put(value: Any) -> int:
        if not value:
            await axis.brake()
            return 0
        record = axis.record
        limit = float(record.get("HLM" if sign * axis.coordinates.sign > 0 else "LLM"))
        leg = (axis.coordinates.motor(limit), float(record.get("JVEL")), float(record.get("ACCL")))
        await record.show("JOGF" if sign > 0 else "JOGR", 1)
        await axis.move(limit, [leg])
        return 0

    return put


def _target(axis: Axis, user: Callable[[float], float]) -> Callable[[float], Awaitable[float]]:
    """Return a putter that moves to ``user(value)``; the field shows what the record makes of it."""

    async def put(value: float) -> float:
        await axis.go_to(user(float(value)))
        raise SkipWrite

    return put


def _mode(axis: Axis) -> Callable[[str], Awaitable[str]]:
    """Return the putter of SPMG: Stop and Pause end a move, Go and Move take up one that was paused."""

    async def put(value: str) -> str:
        await axis.record.show("SPMG", value)
        if value == "Stop":
            await axis.brake()
        elif value == "Pause":
            await axis.pause()
        else:
            # The put completes at once: nobody waits for the rest of a move he did not ask for.
            axis.resuming = asyncio.get_running_loop().create_task(axis.resume())
        raise SkipWrite

    return put


def _units(axis: Axis) -> Callable[[str], Awaitable[str]]:
    """Return the putter of EGU: the metadata of the positions follow."""

    async def put(value: str) -> str:
        record = axis.record
        await record.write_metadata(units=str(value))
        for field in ("RBV", "DVAL", "DRBV", "HLM", "LLM"):
            await record.fields[field].write_metadata(units=str(value))
        return value

    return put
