"""What ``microarpes check`` says of what a beamline may have beside its devices: server, guards, reference, landmark.

Each gives a line of what it is where it is well, and findings where it is not. Nothing is moved.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from microarpes.beamline.catalog_folder import CatalogError
from microarpes.beamline.config import Config
from microarpes.beamline.guard_config import guard_reader

if TYPE_CHECKING:
    from ophyd import Device

    from microarpes.devices.end_station import EndStation
    from microarpes.plans.control_pixels import ControlPixels
    from microarpes.plans.guard_limits import GuardLimits
    from microarpes.plans.guards import Guard
    from microarpes.plans.landmark import Landmark
    from microarpes.plans.reference import Reference

#: Is told a line about what is well.
Tell = Callable[[str], object]
#: Seconds in which an update of what a guard watches is waited for, where its age matters, and between two looks.
LONGEST_LISTENING = 30.0
LOOK_AGAIN = 0.2


def look_at_server(config: Config, tell: Tell) -> Iterator[str]:
    """Yield why the Tiled server of a configuration could not be written to."""
    server = config.catalog.server()
    if server is None:
        return
    try:
        with server.opened() as client:
            missing = server.missing_scopes(client)
    except CatalogError as error:
        yield f"catalog: {error}"
    except Exception as error:  # noqa: BLE001 - of the network, of HTTP, of the client: it is what is found
        yield f"catalog: {server.uri} does not answer: {error}; start the server, or correct catalog.uri"
    else:
        if missing:
            may_not = f"the key in {server.key_variable} may not {', '.join(missing)} at {server.uri}"
            yield f"catalog: {may_not}; make one that may, see docs/how-to/tiled-server.md"
        else:
            tell(f"catalog: the Tiled server {server.uri} answers and takes the key in {server.key_variable}")


def look_at_guards(config: Config, watched: Device | None, directory: Path, tell: Tell) -> Iterator[str]:
    """Yield which guards could never let a run go on; one that only would hold it now is told.

    Parameters
    ----------
    config : Config
    watched : ophyd.Device or None
        Of `microarpes.beamline.guard_config.watched_device`; waited for here.
    directory : Path
        An existing folder on the disk where runs are kept.
    tell : callable
    """
    from microarpes.devices.channel_access import connect, read_limits

    if watched is not None:
        with contextlib.suppress(ConnectionError):  # told below, by the name of its guard
            connect([watched])
    for name, guard in _heard(config, watched, directory).items():
        what = f"guards.{name} watches {guard.limits.pv or f'the free space of {directory}, GB'}"
        if _is_dead(guard):
            yield f"{what}: {guard.reason}; every run would be held until that is mended"
            continue
        if guard.limits.value is not None:
            choices = read_limits(getattr(watched, f"guard_{name}")).choices
            if choices and guard.limits.value not in choices:
                shown = ", ".join(map(repr, choices))
                yield f"{what}: it never shows {guard.limits.value!r} but {shown}; correct guards.{name}.value"
                continue
        tell(f"{what}, which answers; a run goes on {_condition(guard.limits)}{_now(guard)}")


def _heard(config: Config, watched: Device | None, directory: Path) -> dict[str, Guard]:
    """Return the guards after they have heard as much as they need to let a run go on, or to hold it."""
    from microarpes.plans.guards import Guard

    read = guard_reader(config.guards, watched, directory)
    guards = {name: Guard(name, limits) for name, limits in config.guards.items()}
    deadline = time.monotonic() + LONGEST_LISTENING
    while True:
        found = read()
        for name, guard in guards.items():
            guard.look(found[name], time.monotonic(), exposing=False)
        if all(guard.clear or guard.reason for guard in guards.values()) or time.monotonic() > deadline:
            return guards
        time.sleep(LOOK_AGAIN)


def _is_dead(guard: Guard) -> bool:
    """Tell whether a guard holds though nothing is out of range: no answer, no update, no number."""
    from microarpes.plans.guard_limits import refused_value

    if not guard.reason:
        return False
    value = refused_value(guard.reason)
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or guard.limits.value is None


def _condition(limits: GuardLimits) -> str:
    if limits.value is not None:
        return f"at {limits.value!r}"
    low, high = limits.range(tripped=False)
    return " and ".join(
        f"{word} {edge:g}" for word, edge in (("from", low), ("up to", high)) if math.isfinite(edge)
    )  # fmt: skip


def _now(guard: Guard) -> str:
    if guard.limits.while_exposing:
        return ", judged during exposures alone"
    if guard.reason:
        return f"; now it would be held: {guard.reason}"
    if not guard.clear:
        return f"; it was not updated within {LONGEST_LISTENING:g} s, and begins no run before it is"
    return ""


def look_at_reference(config: Config, station: EndStation, tell: Tell) -> Iterator[str]:
    """Yield why E_F cannot be measured where a configuration says."""
    if (reference := config.reference) is None:
        return
    problems = reference.out_of_reach(station)
    yield from problems
    if not problems:
        axes = station.manipulator.axes
        place = ", ".join(f"{name} = {at:g} {axes[name].units}" for name, at in reference.position.items())
        answering = ", ".join(axes[name].prefix for name in reference.position)
        tell(f"reference {reference.name} at {place}, {_when(reference)}; {answering} answer and can go there")


def look_at_landmark(config: Config, station: EndStation, tell: Tell) -> Iterator[str]:
    """Yield why the landmark of a configuration cannot be looked at."""
    if (landmark := config.landmark) is None:
        return
    problems = landmark.refusals(station)
    yield from problems
    if not problems:
        axes, side = station.manipulator.axes, landmark.points
        place = f"x = {landmark.x:g} um, y = {landmark.y:g} um, {side} x {side} places {landmark.step:g} um apart"
        answering = f"{axes['x'].prefix}, {axes['y'].prefix} answer and can go there"
        tell(f"landmark {landmark.name} at {place}, {_when(landmark)}; {answering}")


def tell_control_pixels(config: Config, tell: Tell) -> None:
    """Tell what the control pixels are; only a raster can say whether it has them."""
    if (control := config.control_pixels) is not None:
        numbers = ", ".join(map(str, control.pixels))
        which = f"pixels {numbers}" if numbers else f"{control.number} spread over each raster"
        tell(f"control_pixels: {which}, {_when(control)}; a raster without them is refused before it moves")


def _when(looked_at: Reference | Landmark | ControlPixels) -> str:
    """Return when something is measured between the rows."""
    times = ["before the first row"] if getattr(looked_at, "at_start", True) else []
    if looked_at.every_rows is not None:
        times.append("before each row" if looked_at.every_rows == 1 else f"before each {looked_at.every_rows} rows")
    if looked_at.every_minutes is not None:
        times.append(f"each {looked_at.every_minutes:g} min")
    times += ["after the last"] if getattr(looked_at, "at_end", False) else []
    return ", ".join(times)
