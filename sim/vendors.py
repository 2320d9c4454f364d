"""The analysers this IOC can pretend to be: what each vendor's driver calls things, and where it behaves differently.

Sources: electronAnalyser.template (VG Scienta SES), specsAnalyser.template (SPECS Prodigy), peakAnalyser.template
(Scienta PEAK), and Diamond's device classes for the MBS driver. Everything inside the IOC has the SES driver's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Of the drivers that are not SES: what it alone has.
_SES_ONLY = (
    "STEP_TIME", "FRAMES", "MAX_FRAMES_RBV", "EXTIO", "REGION_NAME", "ALWAYS_DELAY", "STOP_NEXT_ITERATION",
    "IMAGE_LAST", "INT_SPECTRUM_LAST", "NEXPOSURES_LAST_RBV", "LEADING_IN_RBV", "CURRENT_LEAD_POINT_RBV",
    "TOTAL_LEAD_POINTS_RBV", "CURRENT_DATA_POINT_RBV", "TOTAL_DATA_POINTS_RBV", "TOTAL_ACQ_TIME_RBV",
)  # fmt: skip


@dataclass(frozen=True)
class Vendor:
    """A driver.

    Parameters
    ----------
    manufacturer, model : str
        As ``Manufacturer_RBV`` and ``Model_RBV`` say.
    modes : tuple of str
        Of the acquisition mode, in the driver's order.
    fixed, swept : str
        Which of them are simulated.
    energy_modes : tuple of str
        In the driver's order.
    names : mapping of str to str
        The SES driver's name to this driver's; a name that is not here is the same.
    absent : tuple of str
        Names of the SES driver this one does not have, with their readbacks.
    pass_energy_number : bool
        Whether the pass energy is a number, not one of a list.
    needs_definition : bool
        Whether a spectrum must be defined and validated before Acquire.
    slice_edges : bool
        Whether the angle axis is given by the outer edges of its first and last channel, in ``Y_MIN_RBV`` and
        ``Y_MAX_RBV``, and the energy axis by ``TOTAL_POINTS_ITERATION_RBV`` alone.
    deflector : str
        Name of the deflector's angle along kx, deg; empty without one.
    extra : mapping of str to str, int or float
        What is served at this value and does nothing.
    """

    manufacturer: str
    model: str
    modes: tuple[str, ...] = ("Swept", "Fixed")
    fixed: str = "Fixed"
    swept: str = "Swept"
    energy_modes: tuple[str, ...] = ("Binding", "Kinetic")
    names: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    pass_energy_number: bool = False
    needs_definition: bool = False
    slice_edges: bool = False
    deflector: str = ""
    extra: Mapping[str, str | int | float] = field(default_factory=dict)

    def suffix(self, name: str) -> str | None:
        """Return what this driver calls what the SES driver calls `name`; None when it has no such thing."""
        base = name.removesuffix("_RBV")
        if name in self.absent or base in self.absent:
            return None
        if name in self.names:
            return self.names[name]
        return self.names.get(base, base) + name[len(base) :]


VENDORS: dict[str, Vendor] = {
    "ses": Vendor("microarpes", "simulated hemispherical analyser"),
    "specs": Vendor(
        "SPECS",
        "simulated Prodigy",
        modes=("Fixed Transmission", "Snapshot", "Fixed Retarding Ratio", "Fixed Energy"),
        fixed="Snapshot",
        swept="Fixed Transmission",
        names={"CENTRE_ENERGY": "KINETIC_ENERGY", "ELEMENT_SET": "SCAN_RANGE"},
        absent=(*_SES_ONLY, "ENERGY_MODE", "DETECTOR_MODE", "EXCITATION_ENERGY", "X_SCALE", "Y_SCALE", "X_UNITS",
                "ZERO_SUPPLIES"),
        pass_energy_number=True,
        needs_definition=True,
        slice_edges=True,
        extra={"RETARDING_RATIO": 1.0, "SAMPLES": 1, "VALUES": 1, "DATA_DELAY_MAX": 5.0, "SAFE_STATE": 0,
               "SERVER_NAME_RBV": "simulated Prodigy"},
    ),
    "peak": Vendor(
        "Scienta Omicron",
        "simulated PEAK",
        modes=("Fixed", "Sweep Energy", "Sweep ThetaY", "Sweep Energy & ThetaY"),
        swept="Sweep Energy",
        energy_modes=("Kinetic", "Binding"),
        names={"X_SCALE": "ENERGY_SCALE", "Y_SCALE": "SLICE_SCALE", "INT_SPECTRUM": "SPECTRUM",
               "PROGRESS_RBV": "PROGRESS", "TOTAL_POINTS_ITERATION_RBV": "STEPS_RBV",
               "CURRENT_POINT_RBV": "STEPS_COUNTER_RBV", "TOTAL_TIME_LEFT_RBV": "ETA"},
        absent=(*_SES_ONLY, "IMAGE", "ELEMENT_SET", "X_UNITS", "Y_UNITS", "REGION_PROGRESS", "REGION_TIME_LEFT",
                "CURRENT_CHANNEL", "TOTAL_TIME", "PAUSE"),
        deflector="CENTRE_THETA_Y",
        extra={"ELEMENT_SET_RBV": "High Pass", "WORK_FUNCTION": 4.4, "SLIT": "0.3 straight", "CHANNELS": 1000,
               "THETA_Y_STEP_SIZE": 0.1, "WITH_THETA_Y_RBV": 1, "FOCAL_POS_X": 0.0, "FOCAL_POS_Y": 0.0,
               "FOCAL_POS_Z": 0.0},
    ),
    "mbs": Vendor(
        "MBS",
        "simulated A-1",
        modes=("Fixed", "Swept", "Dither"),
        names={"ACQ_MODE": "AcqMode", "LENS_MODE": "LensMode", "PASS_ENERGY": "PassEnergy", "LOW_ENERGY": "StartKE",
               "HIGH_ENERGY": "EndKE", "CENTRE_ENERGY": "CentreKE", "STEP_SIZE": "StepSize", "SLICES": "NumSlice",
               "ELEMENT_SET": "PsuMode", "X_SCALE": "EScale", "Y_SCALE": "LensScale",
               "TOTAL_POINTS_ITERATION_RBV": "NumSteps"},
        absent=(*_SES_ONLY, "ENERGY_MODE", "DETECTOR_MODE", "EXCITATION_ENERGY", "ENERGY_WIDTH", "X_UNITS", "Y_UNITS",
                "ZERO_SUPPLIES"),
        deflector="DeflX",
    ),
}  # fmt: skip
