"""The motor record as caproto serves it, and what an axis has when the IOC boots."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from caproto import AlarmSeverity, AlarmStatus, ChannelDouble, SkipWrite
from caproto.server.records import MotorFields

from microarpes.sim.signals import Posted, drop_monitor, refuse_unstorable

#: Bits of MSTA.
DIRECTION, DONE, PLUS_LIMIT, PRESENT, PROBLEM, MOVING, LOST, MINUS_LIMIT, HOMED = (
    1 << bit for bit in (0, 1, 2, 8, 9, 10, 12, 13, 14)
)
#: Fields in the axis' unit: they carry its EGU and PREC.
_LENGTHS = (
    "RBV",
    "DRBV",
    "DVAL",
    "HLM",
    "LLM",
    "DHLM",
    "DLLM",
    "OFF",
    "RDBD",
    "BDST",
    "TWV",
    "RLV",
    "VELO",
    "BVEL",
    "DIFF",
)

Putter = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True)
class AxisSettings:
    """What an axis has when the IOC boots; positions in `units`.

    Parameters
    ----------
    units : str
    limit : float
        Soft limits are plus and minus this.
    velocity : float
        units/s.
    acceleration_time, settle_time : float, s
    encoder_noise : float
        Sigma of the readback.
    deadband : float
        RDBD.
    precision : int
        Decimals shown.
    position : float
        Where the axis starts.
    retries : int
        RTRY.
    """

    units: str
    limit: float
    velocity: float
    acceleration_time: float
    settle_time: float
    encoder_noise: float
    deadband: float
    precision: int
    position: float = 0.0
    retries: int = 10


class MotorRecord(Posted, ChannelDouble):
    """The VAL of a motor record, with its fields."""

    def __init__(self, pvname: str, **kwargs: Any) -> None:
        super().__init__(reported_record_type="motor", **kwargs)
        self.pvname = pvname
        self.name = pvname
        self.log = logging.getLogger(f"{__name__}.record")
        self.field_inst = MotorFields(prefix="", parent=self, name=f"{pvname}.fields")
        self.fields = self.field_inst.pvdb

    async def verify_value(self, value: Any) -> Any:
        """Hand a client's put to the axis.

        caproto would answer a value beyond the control limits with an error; a motor record completes the put and
        raises LVIO.
        """
        refuse_unstorable(self, value)
        return value if self.on_put is None else await self.on_put(value)

    def get_field(self, field: str) -> Any:
        """Return a field by its name; `KeyError` for one a motor record does not have."""
        return self if field in ("", "VAL") else self.fields[field]

    def get(self, field: str) -> Any:
        """Return the value of a field."""
        return self.get_field(field).value

    async def show(self, field: str, value: Any) -> None:
        """Post a field; no putter is called."""
        await self.get_field(field).write(value, verify_value=False, update_fields=False)

    def show_unsaid(self, field: str, value: Any) -> None:
        """Change a field without telling who monitors it."""
        drop_monitor(self.fields[field], value)

    def on_field_put(self, field: str, putter: Putter) -> None:
        """Call `putter` with what a client puts to a field; it returns what to store, or raises `SkipWrite`."""

        async def put(_channel: Any, value: Any) -> Any:
            refuse_unstorable(self.fields[field], value)
            return await putter(value)

        self.fields[field].putter = put

    async def alarm_state(self, status: AlarmStatus, severity: AlarmSeverity) -> None:
        """Post an alarm on VAL and RBV; both carry the record's one state."""
        for field in ("VAL", "RBV"):
            channel = self.get_field(field)
            if channel.alarm.severity != severity:
                await channel.alarm.write(status=status, severity=severity)


def motor_record(pvname: str, settings: AxisSettings, shown: float) -> MotorRecord:
    """Make the record of an axis at rest whose encoder shows `shown`."""
    low, high = -settings.limit, settings.limit
    record = MotorRecord(
        pvname,
        value=settings.position,
        units=settings.units,
        precision=settings.precision,
        lower_ctrl_limit=low,
        upper_ctrl_limit=high,
        lower_disp_limit=low,
        upper_disp_limit=high,
    )
    s = settings
    boot = {
        "VELO": s.velocity, "VMAX": 5 * s.velocity, "VBAS": 0.0, "ACCL": s.acceleration_time, "DLY": s.settle_time,
        "BVEL": s.velocity, "BACC": s.acceleration_time, "BDST": 0.0, "JVEL": s.velocity / 10, "HVEL": s.velocity,
        "HLM": high, "LLM": low, "DHLM": high, "DLLM": low, "HOPR": high, "LOPR": low, "EGU": s.units,
        "RDBD": s.deadband, "RTRY": s.retries, "MRES": 10.0**-s.precision, "ERES": 10.0**-s.precision, "DMOV": 1,
        "LVIO": 0, "RBV": shown, "DRBV": shown, "DVAL": s.position, "TWV": 1.0, "MSTA": DONE | PRESENT,
        "SPMG": "Go", "CNEN": "Enable", "OUT": "@sim", "DESC": pvname.rpartition(":")[2].lower(), "UEIP": "Yes",
    }  # fmt: skip
    for name, value in boot.items():
        record.fields[name]._data["value"] = value  # noqa: SLF001 - before the server runs nobody can be told
    for name in _LENGTHS:
        record.fields[name]._data |= {"units": s.units, "precision": s.precision}  # noqa: SLF001
    record.fields["PREC"].getter = None
    record.fields["PREC"]._data["value"] = s.precision  # noqa: SLF001
    return record


def positive_up_to(highest: Callable[[], float]) -> Putter:
    """Return a putter that refuses what is not above 0 and up to `highest()`."""

    async def put(value: float) -> float:
        if not 0.0 < value <= highest():
            raise SkipWrite
        return value

    return put


def not_negative_up_to(highest: float) -> Putter:
    """Return a putter that refuses what is not from 0 to `highest`."""

    async def put(value: float) -> float:
        if not 0.0 <= value <= highest:
            raise SkipWrite
        return value

    return put
