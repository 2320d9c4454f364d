"""Guards as a configuration names them: what the names it knows stand for, and how what they watch is read."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, StringConstraints

from microarpes.plans.guard_limits import GuardLimits
from microarpes.plans.limits import GateLimits

if TYPE_CHECKING:
    from ophyd import Device

    from microarpes.beamline.config import Config
    from microarpes.devices.channel_access import Reading
    from microarpes.plans.guards import Guards

#: The guard of the free space where runs are kept, GB; it watches no process variable.
DISK = "disk"
#: Names in the stream of interruptions that stand for something else.
TAKEN = ("operator", "plan")
#: Guard to the slow signal of the gate whose accepted age it takes over.
AGES = {
    "ring_current": "ring_current",
    "top_up": "countdown",
    "vacuum": "pressure",
    "temperature": "sample_temperature",
}

GuardName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


def _not_taken(guards: dict[str, GuardLimits]) -> dict[str, GuardLimits]:
    if taken := sorted(set(guards) & set(TAKEN)):
        raise ValueError(f"{', '.join(taken)} stands for pauses in the stream of interruptions; choose another name")
    return guards


GuardTable = Annotated[dict[GuardName, GuardLimits], AfterValidator(_not_taken)]


def known_pvs(config: Config) -> dict[str, str | None]:
    """Return by guard name the process variable that the rest of the configuration tells; None where it tells none."""
    return {
        "ring_current": config.beam.ring_current_pv,
        "top_up": config.beam.top_up_countdown_pv,
        "shutter": f"{config.shutter.prefix}Pos-Sts",
        "vacuum": config.vacuum.pv,
        "temperature": f"{config.cryostat.prefix}{config.cryostat.sensor}",
        "count_rate": config.analyser.count_rate_pv or None,
    }


def complete(name: str, limits: GuardLimits, known: Mapping[str, str | None], gate: GateLimits) -> GuardLimits:
    """Return a guard with what its name implies: process variable, largest age, when it is judged.

    Raises
    ------
    ValueError
        It watches nothing, or cannot be what its name says.
    """
    if name == DISK:
        if limits.pv or limits.low is None:
            raise ValueError("guards.disk watches the free space in GB; give low, and no pv")
        return limits
    pv = limits.pv or known.get(name)
    if not pv:
        raise ValueError(f"guards.{name} watches nothing: give pv, or name one of {', '.join((*known, DISK))}")
    if name == "shutter" and limits.close_shutter and pv == known["shutter"]:
        raise ValueError("guards.shutter cannot close the shutter it waits to see open; leave close_shutter out")
    age = limits.max_age
    if age is None and name in AGES:
        age = gate.age_limit(AGES[name])
    return limits.model_copy(
        update={"pv": pv, "max_age": age, "while_exposing": limits.while_exposing or name == "count_rate"}
    )


def watched_device(guards: Mapping[str, GuardLimits]) -> Device | None:
    """Make the device that holds what guards watch; None where they watch no process variable."""
    from ophyd import Component, EpicsSignalRO
    from ophyd.device import create_device_from_components

    # As text: a guard may wait for a state by its name, and of a number the option makes no difference.
    parts = {
        f"guard_{name}": Component(EpicsSignalRO, limits.pv, string=limits.value is not None, auto_monitor=False)
        for name, limits in guards.items()
        if limits.pv
    }
    if not parts:
        return None
    return create_device_from_components("WatchedSignals", **parts)("", name="guards")


def make_guards(
    guards: Mapping[str, GuardLimits], watched: Device | None, directory: Path, held: Callable[[], str]
) -> Guards:
    """Return the guards of a run.

    Parameters
    ----------
    guards : mapping of str to GuardLimits
    watched : ophyd.Device or None
        Of `watched_device`.
    directory : Path
        Whose free space `DISK` watches.
    held : callable
        Returns the text with which an operator holds the run, empty where none does.
    """
    from microarpes.plans.guards import Guards

    return Guards(guards, guard_reader(guards, watched, directory), held)


def guard_reader(
    guards: Mapping[str, GuardLimits], watched: Device | None, directory: Path
) -> Callable[[], dict[str, Reading | Exception]]:
    """Return what reads all that guards watch; see `make_guards` and `microarpes.plans.guards.Readings`."""
    from microarpes.devices.channel_access import read_each

    signals = {name: getattr(watched, f"guard_{name}") for name, limits in guards.items() if limits.pv}

    def read() -> dict[str, Reading | Exception]:
        found = read_each(signals)
        if DISK in guards:
            found[DISK] = _free_space(directory)
        return found

    return read


def _free_space(directory: Path) -> Reading | Exception:
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return error
    return {"value": free / 1e9, "timestamp": time.time(), "alarm_severity": 0}
