"""I0, and what an exposure was given; both exact whatever ring, shutter and attenuator did meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from microarpes.sim.attenuator import Attenuator
from microarpes.sim.shutter import Shutter
from microarpes.sim.signals import Signals, count, number
from microarpes.sim.storage_ring import FULL_CURRENT, MEMORY, Interval, Ring, without

#: I0 per ring current, nA/mA, and its noise (sigma, relative).
I0_PER_CURRENT, I0_NOISE = 0.5, 0.002


@dataclass(frozen=True)
class Dose:
    """What an exposure was given.

    Parameters
    ----------
    exposure : float
        Length, s.
    charge : float
        Integral of the ring current over the time the shutter was open, times the attenuator's transmission, mA s.
    open_fraction : float
        Part of the exposure with beam on the sample, 0 to 1.
    channel_charge : tuple of float
        In a sweep, the same integral over the time each energy channel was counted, mA s; empty when all channels
        are counted all the time.
    """

    exposure: float
    charge: float
    open_fraction: float
    channel_charge: tuple[float, ...] = ()

    @property
    def nominal_seconds(self) -> float:
        """Seconds at full ring current with the same dose."""
        return self.charge / FULL_CURRENT

    @property
    def flux(self) -> float:
        """Mean flux while there was beam on the sample; 1 at full ring current without attenuation."""
        lit = self.exposure * self.open_fraction
        return self.charge / (FULL_CURRENT * lit) if lit > 0.0 else 0.0


class IncidentFlux:
    """I0: the current of the mesh, its integral over the last exposure and what that exposure was given.

    Parameters
    ----------
    prefix : str
    ring : Ring
    shutter : Shutter
    attenuator : Attenuator
    seed : int
    frozen : bool
        True leaves out the noise.
    """

    def __init__(
        self, prefix: str, ring: Ring, shutter: Shutter, attenuator: Attenuator, *, seed: int, frozen: bool = False
    ) -> None:
        self._ring, self._shutter, self._attenuator = ring, shutter, attenuator
        self._noise = 0.0 if frozen else I0_NOISE
        self._rng = np.random.default_rng([seed, 0x10])
        self._glitches: list[Interval] = []
        self.current = number(0.0, "nA")
        self.integral = number(0.0, "nA s")
        self.frame_id = count(0)
        self.open_fraction = number(0.0)
        self.signals: Signals = {
            f"{prefix}I0:CURRENT": self.current,
            f"{prefix}I0:INTEGRAL": self.integral,
            f"{prefix}I0:FRAME_ID": self.frame_id,
            f"{prefix}I0:OPEN_FRACTION": self.open_fraction,
        }

    async def update(self) -> None:
        """Post the present current."""
        now = time.monotonic()
        missed = bool(self._ring.injections(now, now)) or any(begin <= now < end for begin, end in self._glitches)
        beam = self._ring.current_at(now) if self._shutter.is_open and not missed else 0.0
        await self.current.post(I0_PER_CURRENT * beam * self._attenuator.transmission * self._noisy())

    def _noisy(self) -> float:
        return 1.0 + self._noise * float(self._rng.standard_normal())

    def forget(self, before: float) -> None:
        """Drop what shutter and attenuator did before a monotonic time, s."""
        self._shutter.forget(before)
        self._attenuator.forget(before)

    def dose(self, begin: float, end: float) -> Dose:
        """Return what an exposure between two monotonic times is given, if the shutter stays as it is."""
        intervals = self._lit(begin, end)
        length = round(end - begin, 6)
        lit = sum(high - low for low, high in intervals)
        return Dose(length, self._charge(intervals), min(1.0, round(lit / length, 6)))

    def charge(self, begin: float, end: float) -> float:
        """Return the charge of `dose` alone, mA s."""
        return self._charge(self._lit(begin, end))

    def _charge(self, intervals: list[Interval]) -> float:
        # Rounded to well below any noise: the clock's last bits must not make two equal exposures differ.
        pieces = (piece for interval in intervals for piece in self._attenuator.pieces(*interval))
        return round(sum(part * self._ring.charge(low, high) for low, high, part in pieces), 6)

    def _lit(self, begin: float, end: float) -> list[Interval]:
        """Return when there was beam on the sample."""
        gaps = [*self._glitches, *self._ring.injections(begin, end)]
        return without(self._ring.stored(self._shutter.open_intervals(begin, end)), gaps)

    def glitch(self, seconds: float) -> None:
        """Keep the beam off the sample from now on for `seconds`, as an injection does; the ring shows nothing."""
        now = time.monotonic()
        self._glitches = [gap for gap in self._glitches if gap[1] > now - MEMORY] + [(now, now + seconds)]

    async def post_integral(self, dose: Dose, frame_id: int, *, recorded: float | None = None) -> None:
        """Post the gated integral of a frame: measured with noise, or the `recorded` one, nA s."""
        measured = I0_PER_CURRENT * dose.charge * self._noisy() if recorded is None else recorded
        await self.integral.post(measured)
        await self.open_fraction.post(dose.open_fraction)
        await self.frame_id.post(frame_id)
