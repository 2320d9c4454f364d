"""What forbids a raster here and now, found before any motor moves."""

from __future__ import annotations

from microarpes.devices.end_station import EndStation
from microarpes.devices.region import Region
from microarpes.plans.grid import RasterGrid
from microarpes.plans.limits import GateLimits


def check_raster(station: EndStation, grid: RasterGrid) -> list[str]:
    """Return everything that forbids this raster here and now, before any motor moves; an empty list allows it."""
    problems: list[str] = []
    for name, line in (("x", grid.x), ("y", grid.y)):
        axis = getattr(station.manipulator, name)
        for position in {line.start, line.stop}:
            try:
                axis.check_value(position)
            except ValueError as error:
                problems.append(str(error))
        if line.num > 1 and abs(line.step) <= axis.tolerance / 10:
            problems.append(
                f"step of {abs(line.step):g} um along {name} is below a tenth of its tolerance, "
                f"{axis.tolerance:g} um: neighbours could not be told apart"
            )
    for axis in station.manipulator.axes.values():
        try:
            axis.check_units()
        except ValueError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def check_beam(station: EndStation, limits: GateLimits) -> list[str]:
    """Return why the beam cannot be judged as the limits ask; an empty list says that it can."""
    problems = []
    if station.beam.check != limits.beam_check:
        problems.append(
            f"beam_check = {limits.beam_check!r} was asked for, the devices of the beam are for {station.beam.check!r}"
        )
    if limits.top_up != "ignore" and station.top_up is None:
        problems.append(f"top_up = {limits.top_up!r} needs the ring's countdown to the next injection; name its PV")
    return problems


def check_region(station: EndStation, region: Region) -> list[str]:
    """Return everything that forbids measuring gaps with this region; nothing is written."""
    problems = station.analyser.refusals(region)
    if not station.analyser.pvs.angular(region.lens_mode):
        problems.append(
            f"lens_mode = {region.lens_mode} images places along the slit, not angles: there is no window at k_F in "
            "it; take an angular lens mode"
        )
    return problems
