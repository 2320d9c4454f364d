"""User and dial coordinates of a motor record: offset, direction, limits, and redefining where the axis is."""

from __future__ import annotations

from typing import Any

from caproto import SkipWrite

from microarpes.sim.motor_record import MotorRecord


class Coordinates:
    """user = DIR * dial + OFF; dial = motor - datum.

    Parameters
    ----------
    record : MotorRecord
        Its fields OFF, DIR, HLM, LLM, DHLM and DLLM are served by this.
    """

    def __init__(self, record: MotorRecord) -> None:
        self._record = record
        self.datum = 0.0
        record.on_field_put("OFF", self._put_offset)
        record.on_field_put("DIR", self._put_direction)
        for user, dial in (("HLM", "DHLM"), ("LLM", "DLLM")):
            record.on_field_put(user, self._user_limit(user))
            record.on_field_put(dial, self._dial_limit(dial))

    @property
    def sign(self) -> float:
        """+1 for DIR = Pos, -1 for Neg."""
        return -1.0 if self._record.get("DIR") in ("Neg", 1) else 1.0

    @property
    def setting(self) -> bool:
        """Whether SET is Set: a put redefines the position and moves nothing."""
        return self._record.get("SET") in ("Set", 1)

    def user(self, motor: float) -> float:
        """Return the user coordinate of a motor position."""
        return self.sign * (motor - self.datum) + float(self._record.get("OFF"))

    def motor(self, user: float) -> float:
        """Return the motor position of a user coordinate."""
        return self.sign * (user - float(self._record.get("OFF"))) + self.datum

    def within(self, user: float) -> bool:
        """Tell whether a user coordinate is within the soft limits; equal limits are no limits."""
        low, high = float(self._record.get("LLM")), float(self._record.get("HLM"))
        return low <= user <= high or low == high

    async def redefine(self, user: float, motor: float) -> None:
        """Call the place where the motor is `user`: by the offset, or with FOFF = Frozen by the dial."""
        record = self._record
        if record.get("FOFF") in ("Frozen", 1):
            self.datum = motor - self.sign * (user - float(record.get("OFF")))
            await record.show("DVAL", motor - self.datum)
            await record.post(user)
        else:
            await self._set_offset(user - self.sign * (motor - self.datum))
            await record.post(user)

    async def _set_offset(self, offset: float) -> None:
        """Post an offset, and the limits that move with it: the dial's stay."""
        await self._record.show("OFF", offset)
        await self._show_user_limits()

    async def _put_offset(self, value: float) -> float:
        record = self._record
        moved = value - float(record.get("OFF"))
        await self._set_offset(value)
        for field in ("VAL", "RBV"):
            await record.show(field, float(record.get(field)) + moved)
        return value

    async def _put_direction(self, value: Any) -> Any:
        record = self._record
        dial, readback = float(record.get("DVAL")), float(record.get("DRBV"))
        await record.show("DIR", value)
        await self._show_user_limits()
        for field, shown in (("VAL", dial), ("RBV", readback)):
            await record.show(field, self.sign * shown + float(record.get("OFF")))
        return value

    async def _show_user_limits(self) -> None:
        record = self._record
        ends = [self.sign * float(record.get(dial)) + float(record.get("OFF")) for dial in ("DLLM", "DHLM")]
        await record.show("LLM", min(ends))
        await record.show("HLM", max(ends))
        await self._tell_clients()

    async def _tell_clients(self) -> None:
        """Let the metadata of VAL, and LVIO, follow the limits: clients read them there."""
        record = self._record
        low, high = float(record.get("LLM")), float(record.get("HLM"))
        await record.write_metadata(
            lower_ctrl_limit=low, upper_ctrl_limit=high, lower_disp_limit=low, upper_disp_limit=high
        )
        await record.show("LVIO", int(not self.within(float(record.value))))

    async def set_user_limit(self, field: str, value: float) -> None:
        """Post HLM or LLM, the dial limit that belongs to it, and what follows from them."""
        record = self._record
        dial = ("DHLM" if field == "HLM" else "DLLM") if self.sign > 0 else ("DLLM" if field == "HLM" else "DHLM")
        await record.show(field, value)
        await record.show(dial, self.sign * (value - float(record.get("OFF"))))
        await self._tell_clients()

    def _user_limit(self, field: str) -> Any:
        async def put(value: float) -> float:
            await self.set_user_limit(field, float(value))
            raise SkipWrite

        return put

    def _dial_limit(self, field: str) -> Any:
        async def put(value: float) -> float:
            await self._record.show(field, float(value))
            await self._show_user_limits()
            raise SkipWrite

        return put
