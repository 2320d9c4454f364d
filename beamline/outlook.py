"""What a raster will take is told before it begins, and somebody agrees to what takes very long or most of the disk."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from microarpes.beamline.config import Config, ConfigError

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation
    from microarpes.plans.estimate import Estimate
    from microarpes.plans.shapes import Shape


def look_ahead(config: Config, station: EndStation, shape: Shape, directory: Path, repeat: int = 1) -> Estimate:
    """Set the region, which tells how long an exposure is, and reckon what `repeat` rasters take; no motor moves.

    Raises
    ------
    ValueError
        It cannot be done; the message lists every reason.
    """
    from microarpes.beamline.at_angles import beam
    from microarpes.plans.estimate import estimate
    from microarpes.plans.preflight import check_beam, check_raster, check_region
    from microarpes.plans.prepared import REGION_TIMEOUT

    problems = [
        *check_raster(station, shape),
        *check_region(station, config.region),
        *check_beam(station, config.gate),
    ]
    if problems:
        raise ValueError("; ".join(problems))
    station.analyser.set(config.region).wait(REGION_TIMEOUT)
    on_sample = beam(config, station.manipulator.angles())
    once = estimate(station, shape.rows(), station.exposure, directory, on_sample)
    outlook = replace(
        once,
        points=repeat * once.points,
        motion=repeat * once.motion,
        dose=repeat * once.dose,
        disk=repeat * once.disk,
        left=config.beamline.time_left(),
    )
    if outlook.refusals:
        raise ValueError("; ".join(outlook.refusals))
    return outlook


def agreed(outlook: Estimate, yes: bool) -> None:
    """Return when nobody has to be asked or somebody agrees.

    Raises
    ------
    ConfigError
        Nobody does, or nobody is there.
    """
    if not outlook.doubts or yes:
        return
    doubts = ", and ".join(outlook.doubts)
    if not sys.stdin.isatty():
        raise ConfigError(f"{doubts}; say --yes to have it so, or measure fewer points")
    sys.stdout.write(f"{doubts}; go on? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError(f"{doubts}; nothing was moved")
