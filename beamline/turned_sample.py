"""Where the spots of a map are while the sample is turned: as a step of a series asks, or a start document tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from microarpes.beamline.instrument import sample_geometry
from microarpes.plans.targets import ANGLES, TurnedTargets

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.devices.end_station import EndStation


def where_planned(station: EndStation) -> dict[str, float]:
    """Return z (um) and the angles (deg) of now, at which the pixels of a series are meant."""
    return {name: float(getattr(station.manipulator, name).position) for name in ("z", *ANGLES)}


def turns(settings: Mapping[str, Any]) -> bool:
    """Tell whether settings of a step name an angle."""
    return bool(set(ANGLES) & set(settings))


def turned_by(config: Config, settings: Mapping[str, Any], here: Mapping[str, float]) -> TurnedTargets | None:
    """Return where the spots of a map are at the angles of a step; None while no step has turned the sample."""
    if not turns(settings):
        return None
    return TurnedTargets(sample_geometry(config), here, {name: settings.get(name, here[name]) for name in ANGLES})


def turned_as(config: Config, start: Mapping[str, Any]) -> TurnedTargets | None:
    """Return where the spots of a run are that was measured turned; None where its pixels are places as planned."""
    told = start.get("turned")
    return None if told is None else TurnedTargets(sample_geometry(config), told["planned_at"], told["angles"])
