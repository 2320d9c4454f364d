"""Lake Shore 336 in the synApps style, and the vacuum gauge."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from microarpes.sim.signals import Signals, SkipWrite, choice, number, text
from microarpes.sim.storage_ring import Recorded

#: Seconds of the first-order approach to the setpoint; noise of a sensor, sigma, K.
TIME_CONSTANT, SENSOR_NOISE = 8.0, 0.001
#: Setpoints that can be reached, K; pressure at rest, mbar, and its relative noise (sigma).
COLDEST, WARMEST = 5.0, 320.0
PRESSURE, PRESSURE_NOISE = 5e-11, 0.02


class Cryostat:
    """Sample temperature: inputs 1 (sample), 2 (stage), 3 and 4 (shields), and one loop.

    Parameters
    ----------
    prefix : str
    seed : int
    frozen : bool
        True leaves out noise.
    recorded : callable
        The sample temperature (K) to show instead, where a recording has one.
    warmed : callable
        By how much a fault has warmed the sample, K.
    time_constant : float, s
        Of the first-order approach to the setpoint.
    """

    def __init__(
        self,
        prefix: str,
        *,
        seed: int,
        frozen: bool = False,
        recorded: Recorded = lambda: None,
        warmed: Callable[[], float] = lambda: 0.0,
        time_constant: float = TIME_CONSTANT,
    ) -> None:
        self._time_constant = time_constant
        self._recorded, self._warmed = recorded, warmed
        self._noise = 0.0 if frozen else SENSOR_NOISE
        self._rng = np.random.default_rng([seed, 0x336])
        self._from, self._since, self._setpoint = 10.0, time.monotonic(), 10.0
        self._offsets = (0.0, -0.4, 12.0, 55.0)
        self._inputs = [number(10.0 + offset, "K") for offset in self._offsets]
        self._readback = number(10.0, "K")
        self._heater = number(20.0, "%")
        ranges = ("Off", "Low", "Medium", "High")
        self._range = choice(ranges, "Medium")
        p = f"{prefix}LS336:"
        self.signals: Signals = {f"{p}IN{i}": signal for i, signal in enumerate(self._inputs, start=1)}
        for i in range(1, 5):
            self.signals[f"{p}IN{i}:Units"] = choice(("K", "C", "Sensor"), "K")
            self.signals[f"{p}IN{i}:Units_RBV"] = choice(("K", "C", "Sensor"), "K")
            self.signals[f"{p}IN{i}:Name_RBV"] = text(("SAMPLE", "STAGE", "SHIELD 1", "SHIELD 2")[i - 1], long=False)
        self.signals |= {
            f"{p}OUT1:SP": number(10.0, "K", on_put=self._put_setpoint),
            f"{p}OUT1:SP_RBV": self._readback,
            f"{p}HTR1": self._heater,
            f"{p}HTR1:Range": choice(ranges, "Medium", on_put=self._put_range),
            f"{p}HTR1:Range_RBV": self._range,
        }

    @property
    def temperature(self) -> float:
        """True sample temperature now, K."""
        gone = math.exp(-(time.monotonic() - self._since) / self._time_constant)
        held = self._setpoint + (self._from - self._setpoint) * gone
        return min(WARMEST, max(0.0, held + self._warmed()))

    async def _put_setpoint(self, value: float) -> float:
        if not COLDEST <= value <= WARMEST:
            raise SkipWrite
        self._from, self._since, self._setpoint = self.temperature, time.monotonic(), value
        await self._readback.post(value)
        return value

    async def _put_range(self, value: str) -> str:
        await self._range.post(value)
        return value

    async def update(self) -> None:
        """Post the sensors and the heater."""
        true = self.temperature
        shown = [true + offset + self._noise * float(self._rng.standard_normal()) for offset in self._offsets]
        recorded = self._recorded()
        if recorded is not None:
            shown[0] = recorded
        for signal, value in zip(self._inputs, shown, strict=True):
            await signal.post(value)
        await self._heater.post(min(100.0, max(0.0, 20.0 + 10.0 * (self._setpoint - true))))


class VacuumGauge:
    """Pressure of the analysis chamber, mbar.

    Parameters
    ----------
    prefix : str
    seed : int
    recorded : callable
        The pressure (mbar) to show instead, where a recording has one.
    """

    def __init__(self, prefix: str, *, seed: int, recorded: Recorded = lambda: None) -> None:
        self._recorded = recorded
        self._rng = np.random.default_rng([seed, 0xACC])
        self.pressure = number(PRESSURE, "mbar")
        self.signals: Signals = {f"{prefix}VAC:P-I": self.pressure}

    async def update(self) -> None:
        """Post the pressure."""
        recorded = self._recorded()
        noisy = PRESSURE * (1.0 + PRESSURE_NOISE * float(self._rng.standard_normal()))
        await self.pressure.post(noisy if recorded is None else recorded)
