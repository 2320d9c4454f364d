"""What the connected analyser can do, and why it cannot do a region; pure, all reasons at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.analyser_pvs import AnalyserPVs
from microarpes.devices.region import Region

#: Units of a region's settings; what is not here has none.
UNITS = {
    "pass_energy": "eV",
    "low_energy": "eV",
    "centre_energy": "eV",
    "high_energy": "eV",
    "energy_step": "eV",
    "acquire_time": "s",
    "deflector_angle": "deg",
    "excitation_energy": "eV",
}
_ALWAYS = ("acquisition_mode", "lens_mode", "pass_energy", "energy_step", "slices", "iterations", "acquire_time")


@dataclass(frozen=True)
class AnalyserLimits:
    """Limits in a region's own names and units.

    Parameters
    ----------
    pvs : AnalyserPVs
        Whose driver it is.
    choices : mapping of str to tuple of str
        Setting to the enum strings the driver offers.
    ranges : mapping of str to (float, float)
        Setting to its control limits, both allowed.
    energy_ratio : mapping of str to (float, float)
        Lens mode to the range of kinetic over pass energy its lens table covers.
    faults : tuple of str
        Why no region can be set now.
    """

    pvs: AnalyserPVs
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    energy_ratio: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def settings(self, region: Region) -> dict[str, Any]:
        """Return a region as settings by name, in the order they are to be written; enums by the driver's string.

        Raises
        ------
        ValueError
            The analyser cannot do the region; the message lists every reason.
        """
        if reasons := self.refusals(region):
            raise ValueError("; ".join(reasons))
        asked = _asked(self.pvs, region)
        return {
            name: value if (chosen := choice_for(value, self.choices.get(name, ()))) is None else chosen
            for name, value in asked.items()
        }

    def refusals(self, region: Region) -> list[str]:
        """Return why the analyser cannot do a region; an empty list: it can."""
        return [*self.faults, *self._settings(region), *self._lens(region)]

    def _settings(self, region: Region) -> Iterator[str]:
        for name in ("deflector_angle", "excitation_energy"):
            if getattr(region, name) and not getattr(self.pvs, name):
                said = _say(name, getattr(region, name))
                yield f"{said}: the {self.pvs.driver} driver has no such setting; leave it out"
        for name, value in _asked(self.pvs, region).items():
            choices, unit = self.choices.get(name, ()), UNITS.get(name, "")
            if choices and choice_for(value, choices) is None:
                has = f"{', '.join(choices)} {unit}".strip()
                yield f"{_say(name, value)} is not offered by the connected analyser; it has {has}"
            low, high = self.ranges.get(name, (float("-inf"), float("inf")))
            if isinstance(value, int | float) and not low <= value <= high:
                yield f"{_say(name, value)} is outside the connected analyser's [{low:g}, {high:g}] {unit}".strip()

    def _lens(self, region: Region) -> Iterator[str]:
        if region.lens_mode not in self.energy_ratio:
            return
        low, high = self.energy_ratio[region.lens_mode]
        for name, energy in region.energies.items():
            if not low <= (ratio := energy / region.pass_energy) <= high:
                yield (
                    f"{_say(name, energy)} is {ratio:.3g} times pass_energy = {region.pass_energy:g} eV; lens mode "
                    f"{region.lens_mode} takes {low:g} to {high:g} times, {low * region.pass_energy:g} to "
                    f"{high * region.pass_energy:g} eV"
                )


def _asked(pvs: AnalyserPVs, region: Region) -> dict[str, Any]:
    """Return the settings of a region this driver has; energies last, for their limits may follow from the others."""
    asked: dict[str, Any] = {name: getattr(region, name) for name in _ALWAYS}
    asked["acquisition_mode"] = pvs.modes[region.acquisition_mode]
    if pvs.energy_mode:
        asked["energy_mode"] = pvs.kinetic
    if pvs.deflector_angle:
        asked["deflector_angle"] = region.deflector_angle
    if region.excitation_energy is not None:  # refused where the driver has no such setting
        asked["excitation_energy"] = region.excitation_energy
    return asked | region.energies


def choice_for(asked: Any, choices: tuple[str, ...]) -> str | None:
    """Find the enum string that says what was asked; numbers are compared as numbers.

    Examples
    --------
    >>> choice_for(10.0, ("5", "10"))
    '10'
    >>> choice_for("Swept", ("Fixed", "Dither")) is None
    True
    """
    for choice in choices:
        if choice == asked:
            return choice
        try:
            if float(choice) == float(asked):
                return choice
        except ValueError:
            continue
    return None


def differences(asked: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return where the analyser differs from what was asked of it, by setting."""
    return [
        f"{_say(name, value)} was asked for, the analyser has {found[name]}"
        for name, value in asked.items()
        if not _same(value, found[name])
    ]


def wrong_sweep(region: Region, energy: NDArray[np.float64]) -> str:
    """Return how the energy axis (eV kinetic) differs from the sweep of a region; empty when it does not."""
    low, high = region.energies["low_energy"], region.energies["high_energy"]
    size, half = round((high - low) / region.energy_step) + 1, region.energy_step / 2
    if energy.size == size and abs(energy[0] - low) < half and abs(energy[-1] - high) < half:
        return ""
    return (
        f"a sweep of {size} energies from {low:g} to {high:g} eV was asked for, the energy axis has {energy.size} from "
        f"{energy[0]:g} to {energy[-1]:g} eV; take a shorter sweep, longer steps or fewer slices"
    )


def _same(asked: Any, found: Any) -> bool:
    if isinstance(asked, str):
        return bool(asked == found)
    return abs(float(asked) - float(found)) <= 1e-9 + 1e-6 * abs(float(asked))


def _say(name: str, value: Any) -> str:
    shown = f"{value:.10g}" if isinstance(value, float) else str(value)
    return f"{name} = {shown} {UNITS.get(name, '')}".strip()
