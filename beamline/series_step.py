"""The steps of a series of maps as values, and the configuration each of them is measured with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field

from microarpes.beamline.config import ConfigError, validated
from microarpes.beamline.config_sections import Positive, Section, Windows
from microarpes.beamline.repeats import series_of
from microarpes.devices.region import Finite, Region
from microarpes.plans.targets import ANGLES

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.plans.guard_limits import GuardLimits

#: Energies of a region that go with the photon energy.
ENERGIES = ("low_energy", "centre_energy", "high_energy")
#: Photon energies that are no further apart are one to the monochromator, eV.
SAME_ENERGY = 0.01
EDGES = ("low", "high", "resume_low", "resume_high")


class SeriesStep(Section):
    """What one map of a series is measured with; what a step does not name stays as the step before had it.

    Parameters
    ----------
    temperature : float, K, optional
        Setpoint of the cryostat.
    photon_energy : float, eV, optional
    polarisation : str, optional
    polar, tilt, azimuth : float, deg, optional
        Angles of the sample; pixels stay the same spots of it.
    region : mapping
        Fields of `microarpes.devices.region.Region` and their values.
    windows : sequence of AngleWindow, optional
        Summed into EDCs instead of those of the configuration.
    """

    temperature: Positive | None = None
    photon_energy: Positive | None = None
    polarisation: str | None = None
    polar: Finite | None = None
    tilt: Finite | None = None
    azimuth: Finite | None = None
    region: dict[str, Any] = Field(default_factory=dict)
    windows: Windows | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What it names of the beamline, without region and windows."""
        named = {name: getattr(self, name) for name in ("temperature", "photon_energy", "polarisation", *ANGLES)}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def moves_the_spot(self) -> bool:
        """Whether it names what moves the sample, or the beam on it."""
        return bool(self.settings)


@dataclass(frozen=True)
class PlannedStep:
    """A step, all that holds during its map, and the configuration of it."""

    step: SeriesStep
    settings: Mapping[str, Any]
    config: Config
    problems: list[str] = field(default_factory=list)


def read_steps(steps: Sequence[Any]) -> list[SeriesStep]:
    """Return steps from what a user wrote: `SeriesStep`, or mappings of its fields.

    Raises
    ------
    ValueError
        There is none, or one is no step; the message names it.
    """
    if isinstance(steps, Mapping | str) or not steps:
        raise ValueError(f"steps = {steps!r}: give a list of settings, such as [{{'temperature': 10.0}}, ...]")
    found = []
    for number, step in enumerate(steps, 1):
        if isinstance(step, SeriesStep):
            found.append(step)
            continue
        if not isinstance(step, Mapping):
            raise ValueError(f"step {number} = {step!r} is no settings, such as {{'temperature': 10.0}}")
        try:
            found.append(validated(SeriesStep, dict(step), f"step {number}"))
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return found


def plan_steps(config: Config, steps: Sequence[SeriesStep], photon_energy: float) -> list[PlannedStep]:
    """Return of each step the settings that hold and the configuration of its map.

    Parameters
    ----------
    config : Config
        Of the beamline as it is, `calibration` and `region` for the photon energy that it has.
    steps : sequence of SeriesStep
    photon_energy : float, eV
        Of the beamline as it is.
    """
    planned, settings, region, windows = [], dict[str, Any](), dict[str, Any](), config.windows
    for number, step in enumerate(steps, 1):
        settings, region = {**settings, **step.settings}, {**region, **step.region}
        windows = step.windows or windows
        problems = [f"step {number}: {line}" for line in _unreachable(config, step)]
        at = config.model_copy(update={"windows": windows})
        try:
            if "photon_energy" in settings:
                at = at_photon_energy(at, settings["photon_energy"] - photon_energy)
            if "temperature" in settings:
                at = at_temperature(at, settings["temperature"])
            described = {**at.region.model_dump(), **region}
            at = at.model_copy(update={"region": validated(Region, described, f"step {number}: region")})
            problems += [f"step {number}: {line}" for line in _other_resolution(config, at)]
        except (ConfigError, ValueError) as error:
            problems.append(str(error) if isinstance(error, ConfigError) else f"step {number}: {error}")
        planned.append(PlannedStep(step, settings, at, problems))
    return planned


def _unreachable(config: Config, step: SeriesStep) -> list[str]:
    """Return which settings of a step the beamline cannot have."""
    section, problems = config.series, []
    ranges = {"temperature": (section.temperatures, "K"), "photon_energy": (section.photon_energies, "eV")}
    for name, (limits, unit) in ranges.items():
        value, key = getattr(step, name), {"temperature": "temperatures"}.get(name, "photon_energies")
        if value is None:
            continue
        if limits is None:
            problems.append(f"{name} = {value:g} {unit} cannot be set: the configuration gives no series.{key}")
        elif not limits[0] <= value <= limits[1]:
            problems.append(f"{name} = {value:g} {unit} is outside series.{key}, {limits[0]:g} to {limits[1]:g} {unit}")
    wanted = step.polarisation
    if wanted is not None and wanted not in section.polarisations:
        known = ", ".join(section.polarisations) or "none of which the configuration gives any"
        problems.append(f"polarisation = {wanted!r} is not one of series.polarisations: {known}")
    return problems


def _other_resolution(config: Config, at: Config) -> list[str]:
    """Return what makes the declared resolution of the reference another one; nothing where none is declared."""
    if config.reference is None or config.reference.resolution is None:
        return []
    changed = []
    if at.region.pass_energy != config.region.pass_energy:
        changed.append("the pass energy")
    if abs(at.calibration.fermi_energy - config.calibration.fermi_energy) > SAME_ENERGY:  # it goes with the photons'
        changed.append("the photon energy")
    if not changed:
        return []
    return [
        f"reference.resolution = {config.reference.resolution:g} eV is declared for {' and '.join(changed)} of the "
        "configuration; leave it out, and the edge tells the resolution of each step"
    ]


def at_photon_energy(config: Config, change: float) -> Config:
    """Return a configuration for a photon energy that is higher by so many eV.

    Kinetic energies are counted from the photon energy: E_F and the energies of the region go with it. By how much the
    photon energy itself may be wrong goes into the error of E_F, until a reference has measured it. Angles of windows
    stay.
    """
    calibration = config.calibration
    moved = calibration.model_copy(
        update={
            "fermi_energy": round(calibration.fermi_energy + change, 6),
            "fermi_energy_error": math.hypot(calibration.fermi_energy_error, config.series.photon_energy_error),
        }
    )
    region = config.region
    energies = {name: round(value + change, 6) for name, value in region.energies.items() if name in ENERGIES}
    if region.excitation_energy is not None:
        energies["excitation_energy"] = round(region.excitation_energy + change, 6)
    checked = Region.model_validate({**region.model_dump(), **energies})
    return config.model_copy(update={"calibration": moved, "region": checked})


def at_temperature(config: Config, temperature: float) -> Config:
    """Return a configuration for another temperature of the sample, K: calibration, and guards that watch it.

    A guard is moved by as much as the temperature is from that of the calibration, for which it was written.

    Raises
    ------
    ValueError
        A guard would trip at the temperature itself.
    """
    change = temperature - config.calibration.temperature
    sensor = f"{config.cryostat.prefix}{config.cryostat.sensor}"
    guards = {name: _moved(limits, change) if limits.pv == sensor else limits for name, limits in config.guards.items()}
    for name, limits in guards.items():
        if limits.pv == sensor and (told := limits.refusal(temperature, tripped=True)):
            raise ValueError(
                f"guards.{name}, moved by {change:g} K from calibration.temperature, would hold the run: it {told}"
            )
    calibration = config.calibration.model_copy(update={"temperature": temperature})
    return config.model_copy(update={"calibration": calibration, "guards": guards})


def _moved(limits: GuardLimits, change: float) -> GuardLimits:
    edges = {name: getattr(limits, name) for name in EDGES}
    return limits.model_copy(update={name: edge + change for name, edge in edges.items() if edge is not None})


def at_step_of(config: Config, start: Mapping[str, Any]) -> Config:
    """Return a configuration whose guards hold at the temperature of the step that a run of a series was of."""
    temperature = series_of(start).get("settings", {}).get("temperature")
    return config if temperature is None else at_temperature(config, float(temperature))
