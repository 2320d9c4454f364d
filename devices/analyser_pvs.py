"""Where each vendor's driver keeps what an analyser has; data only, one map a driver.

Sources: the electronAnalyser (VG Scienta SES) areaDetector templates. Other vendors are other maps of the same type.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AnalyserPVs:
    """Suffixes below the analyser's prefix.

    ``cam`` and ``image`` are plugin prefixes; the other names are below ``cam``. ``low_energy`` and ``high_energy``
    are read back, ``centre_energy`` is written: kinetic, eV.
    """

    cam: str = "cam1:"
    image: str = "image1:"
    acquisition_mode: str = "ACQ_MODE"
    energy_mode: str = "ENERGY_MODE"
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
    energy_axis: str = "X_SCALE_RBV"
    angle_axis: str = "Y_SCALE_RBV"


SES = AnalyserPVs()
