"""The micro-focus manipulator: six motor records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ophyd import Device
from ophyd import FormattedComponent as FCpt

from microarpes.devices.axis import Axis
from microarpes.devices.channel_access import read_fresh

AXES = ("x", "y", "z", "polar", "tilt", "azimuth")
#: Default tolerances: the readback's distance from the request, um and deg.
TOLERANCES: Mapping[str, float] = {"x": 1.0, "y": 1.0, "z": 2.0, "polar": 0.02, "tilt": 0.02, "azimuth": 0.02}


def _axis(name: str, units: str) -> FCpt:
    return FCpt(Axis, f"{{pvs[{name}]}}", tolerance=TOLERANCES[name], units=units)


class Manipulator(Device):
    """Six axes: x, y, z in um; polar, tilt, azimuth in deg.

    Parameters
    ----------
    prefix : str
        Prefix of the motor records.
    suffixes : mapping, optional
        Axis to record name below the prefix; by default the axis' name in capitals.
    tolerances : mapping, optional
        Axis to the largest accepted distance between readback and request, um or deg.
    """

    x = _axis("x", "um")
    y = _axis("y", "um")
    z = _axis("z", "um")
    polar = _axis("polar", "deg")
    tilt = _axis("tilt", "deg")
    azimuth = _axis("azimuth", "deg")

    def __init__(
        self,
        prefix: str,
        *,
        suffixes: Mapping[str, str] | None = None,
        tolerances: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        self.pvs = {name: prefix + (suffixes or {}).get(name, name.upper()) for name in AXES}
        super().__init__(prefix, **kwargs)
        for name, tolerance in (tolerances or {}).items():
            getattr(self, name).tolerance = tolerance

    @property
    def axes(self) -> dict[str, Axis]:
        """The axes by name."""
        return {name: getattr(self, name) for name in AXES}

    def angles(self) -> list[float]:
        """Polar, tilt and azimuth by explicit get, deg."""
        found = read_fresh({name: getattr(self, name).readback for name in AXES[3:]})
        return [float(found[name]["value"]) for name in AXES[3:]]

    def describe_axes(self) -> dict[str, dict[str, Any]]:
        """Return where each axis is and what its coordinates mean, for the start document; um or deg."""
        settings = {name: axis.settings for name, axis in self.axes.items()}
        return {
            name: {
                "position": float(reading["readback"]["value"]),
                "units": settings[name].units,
                "offset": settings[name].offset,
                "direction": settings[name].direction,
                "low_limit": settings[name].low_limit,
                "high_limit": settings[name].high_limit,
                "tolerance": self.axes[name].tolerance,
            }
            for name, reading in self.positions().items()
        }

    def positions(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Read all axes at once by explicit get: axis to ``{"readback", "done"}`` readings."""
        signals = {}
        for name, axis in self.axes.items():
            signals[f"{name} readback"] = axis.readback
            signals[f"{name} done"] = axis.done
        found = read_fresh(signals)
        return {name: {"readback": found[f"{name} readback"], "done": found[f"{name} done"]} for name in AXES}
