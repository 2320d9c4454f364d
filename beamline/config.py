"""The configuration of a beamline: one TOML file, validated as a whole, unknown keys refused."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    model_validator,
)

from microarpes.beamline.config_sections import (
    AnalyserSection,
    AnalysisSection,
    BeamlineSection,
    BeamSection,
    CalibrationSection,
    CatalogSection,
    ChannelAccessSection,
    CryostatSection,
    ManipulatorSection,
    PVSection,
    RetentionSection,
    SampleSection,
    Section,
    ShutterSection,
    SourceSection,
    Windows,
    about_one_angle,
)
from microarpes.beamline.guard_config import GuardTable, complete, known_pvs
from microarpes.beamline.series_config import SeriesSection
from microarpes.devices.region import Region, antinodal_pair
from microarpes.plans.control_pixels import ControlPixels
from microarpes.plans.fly import Fly
from microarpes.plans.landmark import Landmark
from microarpes.plans.limits import GateLimits
from microarpes.plans.reference import Reference

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, key, value and what is allowed, one a line."""


class Config(Section):
    """A whole beamline."""

    beamline: BeamlineSection
    catalog: CatalogSection = CatalogSection()
    retention: RetentionSection = RetentionSection()
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
    analysis: AnalysisSection = AnalysisSection()
    gate: GateLimits = GateLimits()
    fly: Fly = Fly()
    reference: Reference | None = None
    landmark: Landmark | None = None
    control_pixels: ControlPixels | None = None
    series: SeriesSection = SeriesSection()
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
    def _windows_that_can_follow(self) -> Config:
        if not self.analysis.follow_k_f:
            return self
        if not about_one_angle(self.windows):
            raise ValueError(
                "analysis.follow_k_f needs windows in pairs to either side of one angle, as -k_F and +k_F are; "
                "there is no middle between the others"
            )
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
    whole = whole or problem["loc"][:1] == ("catalog",)  # it may hold a key
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
