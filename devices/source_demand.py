"""Where settings of the photon source are written, on a beamline that lets them be."""

from __future__ import annotations

from collections.abc import Mapping

from ophyd import Component, Device, EpicsSignal
from ophyd.device import create_device_from_components


def source_demand(pvs: Mapping[str, str]) -> Device | None:
    """Make the device that sets the photon source; None where nothing of it may be set.

    Parameters
    ----------
    pvs : mapping of str to str
        Process variable of ``photon_energy`` (eV) and of ``polarisation`` (text), as far as there are.
    """
    if not pvs:
        return None
    parts = {
        name: Component(EpicsSignal, pv, string=name == "polarisation", auto_monitor=False) for name, pv in pvs.items()
    }
    return create_device_from_components("SourceDemand", **parts)("", name="source_demand")
