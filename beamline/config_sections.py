"""The sections of a beamline's configuration."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from microarpes.beamline.catalog_server import CatalogServer
from microarpes.beamline.detector import DetectorSection
from microarpes.devices.analyser_pvs import DRIVERS, AnalyserPVs
from microarpes.devices.region import AngleWindow, Finite

#: A process variable or a prefix of one: what EPICS allows, so no blank, newline or shell character.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-+:\[\]<>;.{}]*$", max_length=60)]
Positive = Annotated[Finite, Field(gt=0)]
NotNegative = Annotated[Finite, Field(ge=0)]


AXES = ("x", "y", "z", "polar", "tilt", "azimuth")


class Section(BaseModel):
    """A table of the file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BeamlineSection(Section):
    """Who and where."""

    name: str
    operator: str = ""
    hardware_interlock: str = ""
    beamtime_ends: datetime | None = None

    def time_left(self) -> float:
        """Return what is left of the beamtime, s; infinite where its end is not told."""
        return math.inf if self.beamtime_ends is None else self.beamtime_ends.timestamp() - time.time()


class CatalogSection(Section):
    """A Tiled server that gets every run too, beside the catalog in the folder of the runs; see how-to/tiled-server."""

    uri: Annotated[str, StringConstraints(pattern=r"^https?://[^\s@?#]+$", max_length=200)] | None = None
    api_key_variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "TILED_API_KEY"

    def server(self) -> CatalogServer | None:
        """Return the server; None where none is named."""
        return None if self.uri is None else CatalogServer(self.uri, self.api_key_variable)


class RetentionSection(Section):
    """Whose frames `microarpes retain` may remove: none, unless it is told how many days they are kept."""

    keep_days: Positive | None = None
    keep_runs: Annotated[int, Field(ge=0)] = 0


class ChannelAccessSection(Section):
    """How Channel Access finds the IOCs; unset values leave the environment as it is."""

    control_layer: Literal["pyepics", "caproto"] = "pyepics"
    address_list: str | None = None
    auto_address_list: bool = False
    server_port: Annotated[int, Field(ge=1, le=65535)] | None = None


Triple = tuple[Finite, Finite, Finite]
Sense = Literal[1, -1]


class ManipulatorSection(Section):
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


class AnalyserSection(Section):
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


class BeamSection(Section):
    """Ring current, gated I0 where there is one, and the seconds to the next injection where they are announced."""

    ring_current_pv: Name
    i0_prefix: Name | None = None
    top_up_countdown_pv: Name | None = None


class PrefixSection(Section):
    """A device with a prefix."""

    prefix: Name


class ShutterSection(PrefixSection):
    """The beam shutter, and when a run closes it."""

    close_at_end: bool = True
    close_when_paused: bool = False


class CryostatSection(PrefixSection):
    """A Lake Shore 336; `sensor` is the one at the sample."""

    sensor: Literal["IN1", "IN2", "IN3", "IN4"] = "IN1"


class PVSection(Section):
    """A device of one process variable."""

    pv: Name


class SourceSection(Section):
    """The photon source, and what no process variable tells of it: incidence in deg, spot FWHM in um.

    ``transmission_pv`` sets what part of the beam an attenuator lets through, where there is one.
    """

    photon_energy_pv: Name
    polarisation_pv: Name
    slit_prefix: Name
    transmission_pv: Name | None = None
    transmission_readback_pv: Name | None = None
    beam_incidence: Finite = 45.0
    spot_size: tuple[Positive, Positive] = (10.0, 12.0)

    @model_validator(mode="after")
    def _a_readback_of_something(self) -> SourceSection:
        if self.transmission_readback_pv and not self.transmission_pv:
            raise ValueError(
                "transmission_readback_pv needs transmission_pv; where nothing sets it, give both the same"
            )
        return self


class CalibrationSection(Section):
    """The calibration record a run starts with: E_F in eV kinetic, FWHM in eV, temperatures in K.

    ``temperature_error`` is by how much the surface under the beam may differ from what the sensor says.
    ``flux_shift`` (eV) is by how much the flux of the beam moves the edge, as `flux_check` found it.
    """

    fermi_energy: Positive
    fermi_energy_error: NotNegative = 0.0
    resolution: Positive
    resolution_error: NotNegative = 0.0
    temperature: Positive
    temperature_error: NotNegative = 0.0
    gain: Positive = 1.0
    flux_shift: Finite = 0.0
    flux_shift_error: NotNegative = 0.0


class SampleSection(Section):
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


class AnalysisSection(Section):
    """How the fit treats each pixel.

    ``follow_k_f`` moves the windows by the mirror centre of the pixel's own frame; ``fit_depth`` (eV) is how far below
    the gap the fit looks, by default as `GapFitter` has it.
    """

    follow_k_f: bool = False
    fit_depth: Annotated[float, Field(ge=0.01, le=0.3)] | None = None


#: By how much, deg, the middles of pairs of windows may differ for the pairs to be about one angle.
ONE_ANGLE = 0.05


def about_one_angle(windows: tuple[AngleWindow, ...]) -> bool:
    """Tell whether windows lie in pairs to either side of one angle, as +-k_F do about the mirror centre."""
    middles = sorted((window.angle_low + window.angle_high) / 2 for window in windows)
    pairs = [(low + high) / 2 for low, high in zip(middles, reversed(middles), strict=True)]
    return len(windows) > 1 and max(pairs) - min(pairs) <= ONE_ANGLE


def _some_and_distinct(windows: tuple[AngleWindow, ...]) -> tuple[AngleWindow, ...]:
    if not windows:
        raise ValueError("there is none; give one to 64 of them")
    names = [window.name for window in windows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"windows have the same name: {', '.join(twice)}; give each its own")
    return windows


Windows = Annotated[tuple[AngleWindow, ...], Field(max_length=64), AfterValidator(_some_and_distinct)]
