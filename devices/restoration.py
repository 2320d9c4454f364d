"""Bring a beamline back after a lost connection, and refuse one that came back with other axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from microarpes.devices.channel_access import connect

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation


class Restoration:
    """What a lost beamline must have again, over all attempts to restore it.

    Parameters
    ----------
    station : EndStation
    """

    def __init__(self, station: EndStation) -> None:
        self._station = station
        #: Axes that must be there again, and those that the last attempt left.
        self._before: Any = None
        self._left: Any = None

    def restore(self, timeout: float) -> None:
        """Wait for every process variable, set the region again, check axes and units, open the shutter.

        Raises
        ------
        ValueError
            Axes or units are not those the run began with.
        Exception
            Whatever a device that is not back raises.
        """
        station = self._station
        connect(station.devices, timeout)
        station.forget_arrivals()
        self._set_region_again(timeout)
        for axis in station.manipulator.axes.values():
            axis.check_units()
        station.shutter.set("open").wait(timeout)

    def _set_region_again(self, timeout: float) -> None:
        """Set the region again and refuse other axes; what a refused attempt before left is nothing to compare with."""
        analyser = self._station.analyser
        region, axes = analyser.region, analyser.axes
        if axes is not self._left:
            self._before = axes
        try:
            if region is not None:
                analyser.set(region).wait(timeout)
        finally:
            self._left = analyser.axes
        if not all(np.array_equal(*pair) for pair in zip(self._before, self._left, strict=True)):
            raise ValueError("the analyser's axes are not those the run began with")
