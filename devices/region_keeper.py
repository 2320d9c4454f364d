"""The region of an analyser that was away: set again, and refused where it no longer gives the same axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from microarpes.devices.analyser import Analyser


class RegionKeeper:
    """Sets the region of an analyser again, as often as it takes, and compares with the axes of before the loss.

    Parameters
    ----------
    analyser : Analyser
    """

    def __init__(self, analyser: Analyser) -> None:
        self._analyser = analyser
        #: Axes that must be had again, and those that the last attempt left: these are nothing to compare with.
        self._before: Any = None
        self._left: Any = None

    def set_again(self, timeout: float) -> None:
        """Set the region that was set last, if one was, within `timeout` s.

        Raises
        ------
        ValueError
            The axes are not those the run began with.
        """
        region, axes = self._analyser.region, self._analyser.axes
        if axes is not self._left:
            self._before = axes
        try:
            if region is not None:
                self._analyser.set(region).wait(timeout)
        finally:
            self._left = self._analyser.axes
        if not all(np.array_equal(*pair) for pair in zip(self._before, self._left, strict=True)):
            raise ValueError("the analyser's axes are not those the run began with")
