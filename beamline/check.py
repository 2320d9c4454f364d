"""``microarpes check``: look at everything a night depends on, and list all that is wrong, not the first."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from microarpes.beamline.check_sections import (
    Tell,
    look_at_guards,
    look_at_landmark,
    look_at_reference,
    look_at_server,
    tell_control_pixels,
)
from microarpes.beamline.config import Config, load_config
from microarpes.beamline.detector import DetectorError, make_detector
from microarpes.beamline.instrument import begin_end_station

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation

#: Bytes that must be free before a run may begin, and the skew of clocks that spoils time stamps, s.
MIN_FREE = 2 * 2**30
MAX_SKEW = 1.0


def run_check(config_file: Path, directory: Path) -> int:
    """Print one line a finding; return 0 when there is none, 1 otherwise.

    Raises
    ------
    microarpes.beamline.config.ConfigError
        The configuration itself is wrong.
    """
    config = load_config(config_file)
    findings = list(findings_of(config, directory, lambda line: sys.stdout.write(f"{line}\n")))
    for finding in findings:
        sys.stderr.write(f"microarpes: {finding}\n")
    if findings:
        sys.stderr.write(f"microarpes: {len(findings)} findings; see to them before beamtime\n")
        return 1
    sys.stdout.write(f"{config.beamline.name}: all process variables answer, limits, units, disk and clock are right\n")
    return 0


def findings_of(config: Config, directory: Path, tell: Tell) -> Iterator[str]:
    """Yield all that is wrong; `tell` is told of what a beamline may have or not, and is well."""
    yield from _disk(directory)
    if not config.beamline.hardware_interlock:
        yield "beamline.hardware_interlock is empty; name what protects the detector when this program does not"
    if config.analyser.max_count_rate is None:
        yield "analyser.max_count_rate is not set: nothing stops an exposure that counts too fast but the interlock"
    yield from _detector(config)
    yield from look_at_server(config, tell)
    tell_control_pixels(config, tell)
    yield from _devices(config, directory, tell)


def _devices(config: Config, directory: Path, tell: Tell) -> Iterator[str]:
    station = begin_end_station(config)
    from microarpes.devices.channel_access import connect

    looks: dict[str, Iterator[str]] = {}
    try:
        # Without what guards watch: one of them that is away hides nothing of the others.
        connect([device for device in station.devices if device is not station.watched])
    except ConnectionError as error:
        yield str(error)
    else:
        every_night = (_axes, _analyser, _windows, _clock, _beam)
        looks = {look.__name__.strip("_"): look(config, station) for look in every_night}
        looks["reference"] = look_at_reference(config, station, tell)
        looks["landmark"] = look_at_landmark(config, station, tell)
    looks["guards"] = look_at_guards(config, station.watched, _existing(directory), tell)
    for name, look in looks.items():
        try:
            yield from look
        except Exception as error:  # noqa: BLE001 - a look that fails is a finding, the others go on
            yield f"{name}: {error}"


def _existing(directory: Path) -> Path:
    """Return the folder of the runs, or the one it will be made in."""
    return next(folder for folder in (directory.resolve(), *directory.resolve().parents) if folder.exists())


def _disk(directory: Path) -> Iterator[str]:
    existing = _existing(directory)
    free = shutil.disk_usage(existing).free
    if free < MIN_FREE:
        yield f"{existing} has {free / 2**30:.1f} GiB free; at least {MIN_FREE / 2**30:.0f} GiB are needed"
    if not os.access(existing, os.W_OK):
        yield f"{existing} cannot be written; choose another --directory"


def _detector(config: Config) -> Iterator[str]:
    try:
        detector = make_detector(config.analyser.detector)
    except DetectorError as error:
        yield str(error)
    else:
        yield from detector.findings()


def _axes(config: Config, station: EndStation) -> Iterator[str]:
    for name, axis in station.manipulator.axes.items():
        try:
            axis.check_units()
        except ValueError as error:
            yield str(error)
        low, high = axis.limits
        if not low < high:
            yield f"{axis.prefix} has soft limits [{low:g}, {high:g}] {axis.units}, which EPICS takes for no limits"
        elif not low <= axis.position <= high:
            yield f"{axis.prefix} is at {axis.position:g} {axis.units}, outside its soft limits [{low:g}, {high:g}]"
        if axis.tolerance <= 0:
            yield f"manipulator.tolerances.{name} must be above 0"


def _analyser(config: Config, station: EndStation) -> Iterator[str]:
    from microarpes.plans.preflight import check_region
    from microarpes.plans.prepared import REGION_TIMEOUT

    if reasons := check_region(station, config.region):
        yield from (f"region {config.region.name!r}: {reason}" for reason in reasons)
        return
    status = station.analyser.set(config.region)
    try:
        status.wait(REGION_TIMEOUT)
    except Exception as error:  # noqa: BLE001 - the driver's refusal is the finding
        yield f"region {config.region.name!r}: {error}"
        return
    energy, angle = station.analyser.axes
    edge = config.calibration.fermi_energy
    if not energy[0] <= edge <= energy[-1]:
        yield (
            f"calibration.fermi_energy = {edge:g} eV is outside the region's window "
            f"[{energy[0]:.3f}, {energy[-1]:.3f}] eV: no gap could be fitted"
        )
    with contextlib.suppress(DetectorError):  # a finding already
        flat_field = make_detector(config.analyser.detector).flat_field
        if flat_field is not None and not config.region.swept:
            yield from flat_field.refusals((len(angle), len(energy)))


def _windows(config: Config, station: EndStation) -> Iterator[str]:
    _, angle = station.analyser.axes
    for window in config.windows:
        try:
            window.channels(angle)
        except ValueError as error:
            yield str(error)


def _clock(config: Config, station: EndStation) -> Iterator[str]:
    beat = station.heartbeat.beat
    beat.get(use_monitor=False)
    skew = time.time() - float(beat.timestamp)
    if abs(skew) > MAX_SKEW:
        yield f"{beat.pvname} is stamped {skew:.1f} s before this host's clock: dead heartbeat, or clocks apart"


def _beam(config: Config, station: EndStation) -> Iterator[str]:
    for signal, unit in ((station.beam.ring_current, "mA"), (station.cryostat.temperature, "K")):
        value = float(signal.get(use_monitor=False))
        if not value > 0:
            yield f"{signal.pvname} = {value:g} {unit} is not above 0"
