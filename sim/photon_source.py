"""Photon energy, polarisation and slits."""

from __future__ import annotations

from microarpes.sim.signals import Signals, SkipWrite, choice, number


class PhotonSource:
    """Photon energy, polarisation and slits, set at once.

    Parameters
    ----------
    prefix : str
    photon_energy : float, eV
        At boot.
    """

    def __init__(self, prefix: str, photon_energy: float) -> None:
        self.energy = number(photon_energy, "eV")
        self._demand = number(photon_energy, "eV", on_put=self._put_energy)
        polarisations = ("LH", "LV", "CR", "CL")
        self.signals: Signals = {
            f"{prefix}MONO:ENERGY": self._demand,
            f"{prefix}MONO:ENERGY_RBV": self.energy,
            f"{prefix}UND:POLARISATION": choice(polarisations, "LH", writable=True),
            f"{prefix}SLIT:ENTRANCE": number(20.0, "um", writable=True),
            f"{prefix}SLIT:EXIT": number(20.0, "um", writable=True),
        }

    @property
    def photon_energy(self) -> float:
        """Photon energy, eV."""
        return float(self.energy.value)

    async def _put_energy(self, value: float) -> float:
        if not 20.0 <= value <= 300.0:
            raise SkipWrite
        await self.energy.post(value)
        return value
