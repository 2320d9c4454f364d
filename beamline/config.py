"""The configuration of a beamline: one TOML file, validated as a whole, unknown keys refused."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from microarpes.beamline.detector import DetectorSection
from microarpes.beamline.guard_config import GuardTable, complete, known_pvs
from microarpes.devices.analyser_pvs import DRIVERS, AnalyserPVs
from microarpes.devices.region import AngleWindow, Finite, Region, antinodal_pair
from microarpes.plans.limits import GateLimits
from microarpes.plans.reference import Reference

#: A process variable or a prefix of one: what EPICS allows, so no blank, newline or shell character.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-+:\[\]<>;.{}]*$", max_length=60)]
Positive = Annotated[Finite, Field(gt=0)]
NotNegative = Annotated[Finite, Field(ge=0)]
Model = TypeVar("Model", bound=BaseModel)


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, key, value and what is allowed, one a line."""


AXES = ("x", "y", "z", "polar", "tilt", "azimuth")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BeamlineSection(_Section):
    """Who and where."""

    name: str
    operator: str = ""
    hardware_interlock: str = ""


class ChannelAccessSection(_Section):
    """How Channel Access finds the IOCs; unset values leave the environment as it is."""

    control_layer: Literal["pyepics", "caproto"] = "pyepics"
    address_list: str | None = None
    auto_address_list: bool = False
    server_port: Annotated[int, Field(ge=1, le=65535)] | None = None


Triple = tuple[Finite, Finite, Finite]
Sense = Literal[1, -1]


class ManipulatorSection(_Section):
    """Six motor records, and how the sample turns: centre in um, angles in deg, senses +1 or -1."""

    prefix: Name
    suffixes: dict[str, Name] = Field(default_factory=dict)
    tolerances: dict[str, Positive] = Field(default_factory=dict)
    rotation_centre: Triple = (0.0, 0.0, 0.0)
    reference_angles: Triple = (0.0, 0.0, 0.0)
    rotation_senses: tuple[Sense, Sense, Sense] = (1, 1, 1)
    spot_tolerance: Positive = 2.0

    @model_validator(mode="after")
    def _known_axes(self) -> ManipulatorSection:
        for table in ("suffixes", "tolerances"):
            unknown = sorted(set(getattr(self, table)) - set(AXES))
            if unknown:
                raise ValueError(f"{table}: unknown axis {', '.join(unknown)}; the axes are {', '.join(AXES)}")
        return self


class AnalyserSection(_Section):
    """The analyser's driver, and the count rate (counts/s on the whole detector) at which its detector is spared.

    ``pvs`` replaces entries of the driver's map where a site's fork has other names or units; ``energy_ratio`` says for
    a lens mode which kinetic energies its lens table covers, over the pass energy. The slit is along the polar axis,
    y, or across it.
    """

    prefix: Name
    driver: Literal["ses", "specs", "peak", "mbs"] = "ses"
    pvs: dict[str, Name] = Field(default_factory=dict)
    energy_ratio: dict[str, tuple[Positive, Positive]] = Field(default_factory=dict)
    slit_axis: Literal["x", "y"] = "y"
    count_rate_pv: Name = ""
    max_count_rate: Positive | None = None
    detector: DetectorSection = DetectorSection()

    @model_validator(mode="after")
    def _a_limit_needs_a_rate(self) -> AnalyserSection:
        if (self.max_count_rate is None) != (not self.count_rate_pv):
            raise ValueError("count_rate_pv and max_count_rate belong together; give both or neither")
        return self

    @model_validator(mode="after")
    def _usable_map(self) -> AnalyserSection:
        for mode, (low, high) in self.energy_ratio.items():
            if not low < high:
                raise ValueError(f"energy_ratio of {mode}: {low:g} is not below {high:g}; give the lower end first")
        if self.pvs:
            DRIVERS[self.driver].renamed(self.pvs)
        return self

    @property
    def pv_map(self) -> AnalyserPVs:
        """The driver's map with this site's names."""
        return DRIVERS[self.driver].renamed(self.pvs)


class BeamSection(_Section):
    """Ring current, gated I0 where there is one, and the seconds to the next injection where they are announced."""

    ring_current_pv: Name
    i0_prefix: Name | None = None
    top_up_countdown_pv: Name | None = None


class PrefixSection(_Section):
    """A device with a prefix."""

    prefix: Name


class ShutterSection(PrefixSection):
    """The beam shutter, and when a run closes it."""

    close_at_end: bool = True
    close_when_paused: bool = False


class CryostatSection(PrefixSection):
    """A Lake Shore 336; `sensor` is the one at the sample."""

    sensor: Literal["IN1", "IN2", "IN3", "IN4"] = "IN1"


class PVSection(_Section):
    """A device of one process variable."""

    pv: Name


class SourceSection(_Section):
    """The photon source, and what no process variable tells of it: incidence in deg, spot FWHM in um."""

    photon_energy_pv: Name
    polarisation_pv: Name
    slit_prefix: Name
    beam_incidence: Finite = 45.0
    spot_size: tuple[Positive, Positive] = (10.0, 12.0)


class CalibrationSection(_Section):
    """The calibration record a run starts with: E_F in eV kinetic, FWHM in eV, temperatures in K."""

    fermi_energy: Positive
    fermi_energy_error: NotNegative = 0.0
    resolution: Positive
    resolution_error: NotNegative = 0.0
    temperature: Positive
    temperature_error: NotNegative = 0.0
    gain: Positive = 1.0


class SampleSection(_Section):
    """What is known of the sample; text, and numbers in K and mbar.

    The lattice constant (Å) of a square lattice, and polar, tilt and azimuth (deg) at which the middle of the slit sees
    normal emission with the lattice's axes along x and y, give windows their momenta.
    """

    id: str = ""
    cleave_time: str = ""
    cleave_temperature: Positive | None = None
    base_pressure: Positive | None = None
    lattice_constant: Positive | None = None
    normal_emission: Triple = (0.0, 0.0, 0.0)


def _some_and_distinct(windows: tuple[AngleWindow, ...]) -> tuple[AngleWindow, ...]:
    if not windows:
        raise ValueError("there is none; give one to 64 of them")
    names = [window.name for window in windows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"windows have the same name: {', '.join(twice)}; give each its own")
    return windows


Windows = Annotated[tuple[AngleWindow, ...], Field(max_length=64), AfterValidator(_some_and_distinct)]


class Config(_Section):
    """A whole beamline."""

    beamline: BeamlineSection
    channel_access: ChannelAccessSection = ChannelAccessSection()
    manipulator: ManipulatorSection
    analyser: AnalyserSection
    beam: BeamSection
    shutter: ShutterSection
    cryostat: CryostatSection
    vacuum: PVSection
    source: SourceSection
    heartbeat: PVSection
    calibration: CalibrationSection
    sample: SampleSection = SampleSection()
    region: Region
    windows: Windows = Field(default_factory=antinodal_pair)
    gate: GateLimits = GateLimits()
    reference: Reference | None = None
    guards: GuardTable = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_gain_where_nothing_counts_pulses(self) -> Config:
        if self.analyser.detector.counting == "adc" and "gain" not in self.calibration.model_fields_set:
            raise ValueError('analyser.detector.counting = "adc" needs calibration.gain; see how-to/measure-the-gain')
        return self

    @model_validator(mode="after")
    def _beam_as_the_gate_needs_it(self) -> Config:
        if self.gate.beam_check == "gated" and self.beam.i0_prefix is None:
            raise ValueError('gate.beam_check = "gated" needs beam.i0_prefix; without a gated I0 choose "delayed"')
        if self.gate.top_up != "ignore" and self.beam.top_up_countdown_pv is None:
            raise ValueError(f'gate.top_up = "{self.gate.top_up}" needs beam.top_up_countdown_pv')
        return self

    @model_validator(mode="after")
    def _guards_that_watch_something(self) -> Config:
        known = known_pvs(self)
        for name, limits in self.guards.items():
            self.guards[name] = complete(name, limits, known, self.gate)
        return self

    def changed(self, **sections: dict[str, Any]) -> Config:
        """Return a copy with some keys of some sections replaced, validated again."""
        data = self.model_dump()
        for section, values in sections.items():
            data[section] = {**(data[section] or {}), **values}
        return parse_config(data, "the command line")


def parse_config(data: dict[str, Any], origin: str, folder: Path | None = None) -> Config:
    """Validate configuration data; files it names are relative to a folder, by default the working directory.

    Raises
    ------
    ConfigError
        Every problem on a line of its own, with the key it concerns.
    """
    return validated(Config, data, origin, folder)


def validated(model: type[Model], data: dict[str, Any], origin: str, folder: Path | None = None) -> Model:
    """Validate data as a model; see `parse_config`."""
    try:
        return model.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        raise ConfigError("\n".join(f"{origin}: {_explain(problem)}" for problem in error.errors())) from None


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key} = {problem['input']!r}; a typing error? remove it or correct its name"
    if problem["type"] == "missing":
        return f"{key} is missing; every beamline has to say it"
    message = problem["msg"].removeprefix("Value error, ")
    whole = isinstance(problem["input"], dict) or problem["loc"] == ("windows",)  # too much for a line
    found = "" if whole else f" (found {problem['input']!r})"
    return f"{key}: {message}{found}"


def load_config(path: Path) -> Config:
    """Read and validate a TOML file.

    Raises
    ------
    ConfigError
        No such file, not TOML, or not a valid configuration.
    """
    return parse_config(read_toml(path, "the configuration"), str(path), Path(path).resolve().parent)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file; `what` it is meant to be is for the message.

    Raises
    ------
    ConfigError
        No such file, or not TOML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{what} {path} cannot be read: {reason}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def simulated_config() -> Config:
    """Return the configuration of the simulated beamline that ships with the program."""
    return parse_config(tomllib.loads(simulated_text()), "simulated.toml")


def simulated_text() -> str:
    """Return the text of ``simulated.toml``, a commented example to start one's own from."""
    return resources.files("microarpes.beamline").joinpath("simulated.toml").read_text(encoding="utf-8")
