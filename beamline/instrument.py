"""From a configuration to connected devices."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from microarpes.beamline.config import Config
from microarpes.beamline.config_sections import AnalyserSection, ChannelAccessSection
from microarpes.beamline.guard_config import watched_device
from microarpes.beamline.repeater import serve_repeater

if TYPE_CHECKING:
    from microarpes.devices.analyser import Analyser
    from microarpes.devices.beam import Beam
    from microarpes.devices.end_station import EndStation
    from microarpes.devices.environment import Source
    from microarpes.devices.sample_frame import SampleFrame
    from microarpes.devices.sample_geometry import SampleGeometry


def prepare_channel_access(section: ChannelAccessSection) -> None:
    """Set the environment Channel Access reads; must run before ophyd is imported for the first time."""
    os.environ["OPHYD_CONTROL_LAYER"] = section.control_layer
    if section.address_list is not None:
        os.environ["EPICS_CA_ADDR_LIST"] = section.address_list
        os.environ["EPICS_CA_AUTO_ADDR_LIST"] = "YES" if section.auto_address_list else "NO"
    if section.server_port is not None:
        os.environ["EPICS_CA_SERVER_PORT"] = str(section.server_port)
    if shutil.which("caRepeater") is None:
        serve_repeater()


def make_end_station(config: Config) -> EndStation:
    """Make all devices of a beamline without waiting for any of them."""
    from microarpes.devices.beam import TopUp
    from microarpes.devices.channel_access import set_deadlines
    from microarpes.devices.end_station import EndStation
    from microarpes.devices.environment import Cryostat, Heartbeat, Shutter, VacuumGauge
    from microarpes.devices.manipulator import Manipulator
    from microarpes.devices.over_count_guard import OverCountGuard
    from microarpes.devices.source_demand import source_demand

    set_deadlines()
    limit = config.analyser.max_count_rate
    return EndStation(
        manipulator=Manipulator(
            config.manipulator.prefix,
            suffixes=config.manipulator.suffixes,
            tolerances=config.manipulator.tolerances,
            name="manipulator",
        ),
        analyser=make_analyser(config.analyser),
        beam=_beam(config),
        shutter=Shutter(config.shutter.prefix, name="shutter"),
        cryostat=Cryostat(config.cryostat.prefix, sensor=config.cryostat.sensor, name="cryostat"),
        gauge=VacuumGauge(config.vacuum.pv, name="gauge"),
        source=_source(config),
        heartbeat=Heartbeat(config.heartbeat.pv, name="heartbeat"),
        # Only where injections matter: every point reads it.
        top_up=TopUp(config.beam.top_up_countdown_pv, name="top_up") if config.gate.top_up != "ignore" else None,
        guard=None if limit is None else OverCountGuard(config.analyser.count_rate_pv, limit=limit, name="guard"),
        watched=watched_device(config.guards),
        demand=source_demand(config.series.pvs),
        close_when_paused=config.shutter.close_when_paused,
    )


def _beam(config: Config) -> Beam:
    """Make the beam; a beamline without a gated I0 asks for none of its process variables."""
    from microarpes.devices.beam import Beam, GatedBeam

    ring, prefix, patience = config.beam.ring_current_pv, config.beam.i0_prefix, config.gate.age_limit("ring_current")
    if config.gate.beam_check == "delayed" or prefix is None:
        return Beam(ring_pv=ring, patience=patience, name="beam")
    return GatedBeam(ring_pv=ring, i0_prefix=prefix, patience=patience, name="beam")


def _source(config: Config) -> Source:
    """Make the photon source, with its attenuator where there is one."""
    from microarpes.devices.environment import AttenuatedSource, Source

    section = config.source
    known = {
        "photon_energy_pv": section.photon_energy_pv,
        "polarisation_pv": section.polarisation_pv,
        "slit_prefix": section.slit_prefix,
        "name": "source",
    }
    if section.transmission_pv is None:
        return Source(**known)
    return AttenuatedSource(
        transmission_pv=section.transmission_pv, transmission_readback_pv=section.transmission_readback_pv, **known
    )


def make_sample_frame(config: Config, station: EndStation) -> SampleFrame:
    """Return the sample's own coordinates on the manipulator of a station."""
    from microarpes.devices.sample_frame import SampleFrame

    section = config.manipulator
    return SampleFrame(station.manipulator, sample_geometry(config), tolerance=section.spot_tolerance, name="sample")


def sample_geometry(config: Config) -> SampleGeometry:
    """Return the rotation centre and conventions of a configuration."""
    from microarpes.devices.sample_geometry import SampleGeometry

    section = config.manipulator
    return SampleGeometry(section.rotation_centre, section.reference_angles, section.rotation_senses)


def make_analyser(section: AnalyserSection) -> Analyser:
    """Make the analyser of the driver a configuration names."""
    from microarpes.devices.analyser import analyser_class

    make = analyser_class(section.pv_map)
    return make(section.prefix, energy_ratio=section.energy_ratio, name="analyser")


def connect_end_station(config: Config, timeout: float = 5.0) -> EndStation:
    """Make and connect all devices.

    Raises
    ------
    microarpes.devices.channel_access.MissingPVs
        Some process variables are not there; all of them are listed.
    """
    station = begin_end_station(config)
    from microarpes.devices.channel_access import connect

    connect(station.devices, timeout)
    return station


def begin_end_station(config: Config) -> EndStation:
    """Make all devices of a beamline, with Channel Access as its configuration wants it; wait for none of them."""
    prepare_channel_access(config.channel_access)
    return make_end_station(config)


def disconnect_end_station(station: EndStation) -> None:
    """Let go of every process variable, so that an IOC that ends next is no surprise."""
    from ophyd.utils.errors import ExceptionBundle

    last = station.heartbeat
    for device in station.devices:
        if device is not last:
            with contextlib.suppress(ExceptionBundle):  # a channel that is gone already needs no letting go
                device.destroy()
    with contextlib.suppress(Exception):  # an IOC that is gone has nothing left to be told
        if last.beat.connected:
            # Answered in order: an IOC that ends while it has something to read resets the circuit, and libca says so.
            last.beat.get(use_monitor=False)
    with contextlib.suppress(ExceptionBundle):
        last.destroy()
