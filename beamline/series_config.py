"""What a series of maps may change, where that is written, and when it has settled: a section of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from microarpes.beamline.config_sections import Name, NotNegative, Positive, Section

Range = tuple[Positive, Positive]


class SeriesSection(Section):
    """What may be set; what is left out is refused in a series.

    Parameters
    ----------
    temperatures : (float, float), K, optional
        Lowest and highest setpoint of the cryostat.
    temperature_tolerance : float, K
        Largest distance of the sample's sensor from the setpoint.
    settle_time, settle_deadline : float, s
        For how long it must be so, and within what time that must have been reached.
    photon_energy_pv : str, optional
        Where the photon energy is set, eV; `photon_energies` are the lowest and the highest.
    photon_energy_error : float, eV
        By how much another photon energy may differ from what is shown: it goes into the error of E_F.
    polarisation_pv : str, optional
        Where the polarisation is set, to one of `polarisations`.
    source_settle_time, source_deadline : float, s
        As of the temperature.
    """

    temperatures: Range | None = None
    temperature_tolerance: Positive = 0.5
    settle_time: NotNegative = 60.0
    settle_deadline: Positive = 7200.0
    photon_energy_pv: Name = ""
    photon_energies: Range | None = None
    photon_energy_error: NotNegative = 0.005
    polarisation_pv: Name = ""
    polarisations: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    source_settle_time: NotNegative = 5.0
    source_deadline: Positive = 600.0

    @model_validator(mode="after")
    def _whole(self) -> SeriesSection:
        for name in ("temperatures", "photon_energies"):
            found = getattr(self, name)
            if found is not None and not found[0] < found[1]:
                raise ValueError(f"{name} = {found[0]:g}, {found[1]:g}: give the lower one first")
        if bool(self.photon_energy_pv) != (self.photon_energies is not None):
            raise ValueError("photon_energy_pv and photon_energies belong together; give both or neither")
        if bool(self.polarisation_pv) != bool(self.polarisations):
            raise ValueError("polarisation_pv and polarisations belong together; give both or neither")
        return self

    @property
    def pvs(self) -> dict[str, str]:
        """Process variables that are written, by the name of the setting."""
        named = {"photon_energy": self.photon_energy_pv, "polarisation": self.polarisation_pv}
        return {name: pv for name, pv in named.items() if pv}
