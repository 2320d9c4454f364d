"""What each vendor's driver calls what an analyser has, and where it behaves differently; data only, one map a driver.

Sources: electronAnalyser.template (VG Scienta SES), specsAnalyser.template (SPECS Prodigy), peakAnalyser.template
(Scienta PEAK), and Diamond's device classes for the MBS driver. Sites have forks of all of them:
`AnalyserPVs.renamed` gives a map with some entries replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

from microarpes.devices.channel_axes import ChannelAxis, ServedAxis, SpannedAxis

#: eV in the units a driver may have.
EV = MappingProxyType({"eV": 1.0, "keV": 1000.0})
_FIXED_AND_SWEPT = MappingProxyType({"Fixed": "Fixed", "Swept": "Swept"})


@dataclass(frozen=True)
class AnalyserPVs:
    """Suffixes below the analyser's prefix, and the driver's ways; an empty suffix is what a driver does not have.

    ``cam`` and ``image`` are plugin prefixes; the other suffixes are below ``cam``. What is set is read back from
    the suffix with ``_RBV``. Enums are written by string: their order differs between drivers.

    Parameters
    ----------
    driver : str
        As the configuration names it.
    modes : mapping of str to str
        A region's acquisition mode to the driver's.
    energy_mode : str
        Set to ``kinetic``, always: only kinetic energies are written.
    energy_unit, excitation_unit : {"eV", "keV"}
        Of the driver's kinetic energies, steps and energy axis; of its excitation energy.
    energy_axis, angle_axis : ServedAxis or SpannedAxis
    angle_unit : str
        Says what the angle axis is in.
    sweep_points : str
        Energy points of one iteration of a sweep, with the lead-in unless there is ``time_left``.
    time_left : str
        Seconds left once an exposure has begun, of a driver that does not count its lead-in.
    define : tuple of str
        Commands a spectrum needs after every change, in this order.
    connected : str
        Says ``Connected`` when the driver reaches the analyser.
    transmission : tuple of str
        How the names of those lens modes begin that image places, not angles.
    """

    driver: str = "ses"
    cam: str = "cam1:"
    image: str = "image1:"
    acquisition_mode: str = "ACQ_MODE"
    modes: Mapping[str, str] = field(default_factory=lambda: _FIXED_AND_SWEPT)
    energy_mode: str = "ENERGY_MODE"
    kinetic: str = "Kinetic"
    lens_mode: str = "LENS_MODE"
    pass_energy: str = "PASS_ENERGY"
    low_energy: str = "LOW_ENERGY"
    centre_energy: str = "CENTRE_ENERGY"
    high_energy: str = "HIGH_ENERGY"
    energy_step: str = "STEP_SIZE"
    slices: str = "SLICES"
    iterations: str = "NumExposures"
    acquire_time: str = "AcquireTime"
    excitation_energy: str = "EXCITATION_ENERGY"
    deflector_angle: str = ""
    energy_unit: str = "eV"
    excitation_unit: str = "eV"
    energy_axis: ChannelAxis = field(default_factory=lambda: ServedAxis("X_SCALE_RBV"))
    angle_axis: ChannelAxis = field(default_factory=lambda: ServedAxis("Y_SCALE_RBV"))
    angle_unit: str = "Y_UNITS_RBV"
    sweep_points: str = "TOTAL_POINTS_ITERATION_RBV"
    time_left: str = ""
    define: tuple[str, ...] = ()
    connected: str = ""
    transmission: tuple[str, ...] = ("Transmission",)

    def __post_init__(self) -> None:
        for name in ("energy_unit", "excitation_unit"):
            if getattr(self, name) not in EV:
                raise ValueError(f"{name} = {getattr(self, name)!r} of an analyser is neither of {', '.join(EV)}")

    def renamed(self, names: Mapping[str, str]) -> AnalyserPVs:
        """Return a map with some suffixes or units replaced, for a site's fork of the driver.

        Raises
        ------
        ValueError
            There is no such entry, or it is not one that a text can replace.
        """
        allowed = {entry.name for entry in fields(self) if isinstance(getattr(self, entry.name), str)} - {"driver"}
        if unknown := sorted(set(names) - allowed):
            raise ValueError(
                f"{', '.join(unknown)}: the analyser's map has no such entry; it has {', '.join(sorted(allowed))}"
            )
        return replace(self, **dict(names))  # type: ignore[arg-type]  # text entries only, see above

    def unit(self, name: str) -> float:
        """Return how many eV the driver's unit of a setting is; 1 for what is no energy, or always in eV."""
        if name in ("low_energy", "centre_energy", "high_energy", "energy_step"):
            return EV[self.energy_unit]
        return EV[self.excitation_unit] if name == "excitation_energy" else 1.0

    def angular(self, lens_mode: str) -> bool:
        """Tell whether a lens mode images angles along the slit; a transmission mode images places."""
        return not lens_mode.startswith(self.transmission)


SES = AnalyserPVs()

SPECS = AnalyserPVs(
    driver="specs",
    modes=MappingProxyType({"Fixed": "Snapshot", "Swept": "Fixed Transmission"}),
    energy_mode="",
    centre_energy="KINETIC_ENERGY",
    excitation_energy="",
    energy_axis=SpannedAxis("LOW_ENERGY_RBV", "HIGH_ENERGY_RBV", "TOTAL_POINTS_ITERATION_RBV"),
    angle_axis=SpannedAxis("Y_MIN_RBV", "Y_MAX_RBV", "SLICES_RBV", outer_edges=True),
    time_left="TOTAL_TIME_LEFT_RBV",
    define=("DEFINE_SPECTRUM", "VALIDATE_SPECTRUM"),
    connected="CONNECTED_RBV",
    transmission=("Transmission", "LargeArea", "MediumArea", "SmallArea", "LowMagnification", "MediumMagnification",
                  "HighMagnification"),
)  # fmt: skip

PEAK = AnalyserPVs(
    driver="peak",
    modes=MappingProxyType({"Fixed": "Fixed", "Swept": "Sweep Energy"}),
    deflector_angle="CENTRE_THETA_Y",
    energy_axis=ServedAxis("ENERGY_SCALE_RBV"),
    angle_axis=ServedAxis("SLICE_SCALE_RBV"),
    angle_unit="",
    sweep_points="STEPS_RBV",
    transmission=("Transmission", "Spatial"),
)

MBS = AnalyserPVs(
    driver="mbs",
    acquisition_mode="AcqMode",
    energy_mode="",
    lens_mode="LensMode",
    pass_energy="PassEnergy",  # noqa: S106 - an energy
    low_energy="StartKE",
    centre_energy="CentreKE",
    high_energy="EndKE",
    energy_step="StepSize",
    slices="NumSlice",
    excitation_energy="",
    deflector_angle="DeflX",
    energy_axis=ServedAxis("EScale_RBV"),
    angle_axis=ServedAxis("LensScale_RBV"),
    angle_unit="",
    sweep_points="NumSteps",
    transmission=("Transmission", "Spatial"),
)

DRIVERS: Mapping[str, AnalyserPVs] = MappingProxyType({pvs.driver: pvs for pvs in (SES, SPECS, PEAK, MBS)})
