"""The simulated beamline as one IOC: which PVs there are, what drives them, and the server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from microarpes.sim.ageing import Ageing, AgeingSample
from microarpes.sim.analyser import Analyser
from microarpes.sim.attenuator import Attenuator
from microarpes.sim.band import antinodal_polar
from microarpes.sim.cryostat import TIME_CONSTANT, Cryostat, VacuumGauge
from microarpes.sim.exposure import Incident, Surroundings
from microarpes.sim.fault_options import FaultRequest
from microarpes.sim.faults import Faults
from microarpes.sim.frame_source import Conditions, FrameSource, Pose
from microarpes.sim.incident_flux import IncidentFlux
from microarpes.sim.mechanics import Mechanics
from microarpes.sim.motor import Axis, Readback
from microarpes.sim.motor_commands import serve_commands
from microarpes.sim.motor_faults import MoveFaults
from microarpes.sim.motor_record import AxisSettings
from microarpes.sim.photon_source import PhotonSource
from microarpes.sim.process_faults import at_once, freeze, reboot, resume_faults
from microarpes.sim.recorded_environment import Change, RecordedEnvironment
from microarpes.sim.replay import Replay, ReplaySource
from microarpes.sim.sample import Sample
from microarpes.sim.sample_position import SamplePosition
from microarpes.sim.sample_source import SampleSource
from microarpes.sim.shutter import Shutter
from microarpes.sim.signals import Signals, count
from microarpes.sim.storage_ring import Ring
from microarpes.sim.truth import STANDARD, Truth
from microarpes.sim.vendors import VENDORS

_STAGE = AxisSettings("um", 5000.0, 2000.0, 0.01, 0.005, 0.05, 0.5, 3)
_ANGLE = AxisSettings("deg", 90.0, 10.0, 0.05, 0.005, 1e-4, 0.005, 4)
#: Axis name to what it has at boot; POLAR starts at the antinode.
AXES: dict[str, AxisSettings] = {
    "X": _STAGE,
    "Y": _STAGE,
    "Z": _STAGE,
    "POLAR": AxisSettings("deg", 90.0, 10.0, 0.05, 0.005, 1e-4, 0.005, 4, round(antinodal_polar(100.0), 3)),
    "TILT": _ANGLE,
    "AZIMUTH": _ANGLE,
}


@dataclass(frozen=True)
class Options:
    """How the simulated beamline is made.

    Parameters
    ----------
    prefix : str
        Of every PV.
    seed : int
        Of the sample and of all noise.
    rate : float
        Detector counts per second on live flake.
    noise : {"frame", "pixel"}
        ``pixel`` makes a frame a function of position and region alone and freezes what depends on time.
    faults : tuple of FaultRequest
        Enabled at boot.
    analyser : str
        One of `VENDORS`.
    rotation_centre : tuple of float, um
        x, y, z at which the point that no rotation moves is in the beam.
    mesh : float
        Depth of the shadow of a mesh on the detector.
    space_charge : float
        By how much all energies are too high at full ring current without attenuation, meV.
    cryostat_time : float, s
        Time constant of the sample's temperature.
    undulation : float, deg
        By how much the cleaved face waves along the slit.
    ageing : Ageing
        By how much the gap shrinks; left out where what depends on time is.
    truth : Truth
        What photoemission and detector have that no fit knows of.
    """

    prefix: str = "SIM:"
    seed: int = 7
    rate: float = 2e5
    noise: str = "frame"
    faults: tuple[FaultRequest, ...] = ()
    analyser: str = "ses"
    rotation_centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mesh: float = 0.0
    space_charge: float = 0.0
    cryostat_time: float = TIME_CONSTANT
    undulation: float = 0.0
    ageing: Ageing = field(default_factory=Ageing)
    truth: Truth = STANDARD

    @property
    def frozen(self) -> bool:
        """Whether time-dependent effects are left out."""
        return self.noise == "pixel"


def encoder(seed: int, number: int, sigma: float, *, frozen: bool) -> Readback:
    """Return a readback with Gaussian noise (sigma, units of the axis).

    Frozen, the noise at rest is a function of the position, so that a visit can be repeated exactly.
    """
    stream = np.random.default_rng([seed, 0xE0, number])

    def read(position: float, at_rest: bool) -> float:
        rng = stream
        if frozen and at_rest:
            rng = np.random.default_rng([seed, 0xE1, number, round(1e3 * position) & 0xFFFFFFFF])
        return position + sigma * float(rng.standard_normal())

    return read


class Beamline:
    """All devices of the simulated beamline.

    Parameters
    ----------
    options : Options
    source : FrameSource, optional
        By default the simulated sample.
    """

    def __init__(self, options: Options, source: FrameSource | None = None) -> None:
        p, seed, frozen = options.prefix, options.seed, options.frozen
        replayed = source if isinstance(source, ReplaySource) else None
        self.faults = Faults(p, seed)
        for request in options.faults:
            self.faults.request(request)
        resume_faults(self.faults)
        self.axes: dict[str, Axis] = {}
        self.replay = Replay(p, replayed, self._requested)
        for i, name in enumerate(AXES):
            self.axes[name] = self._axis(options, i, name)
        polar, tilt, azimuth = (AXES[name].position for name in ("POLAR", "TILT", "AZIMUTH"))
        self.sample_position = SamplePosition(p, options.rotation_centre, (polar, tilt, azimuth))
        changes, index_at = (replayed.recording.changes, replayed.index_at) if replayed else ((), lambda _x, _y: None)
        self.recorded = RecordedEnvironment(changes, index_at, self._changed)
        recorded = self._shown
        self.ring = Ring(p, frozen=frozen, recorded=lambda: recorded("ring_current"))
        self.shutter = Shutter(p)
        self.attenuator = Attenuator(p)
        self.flux = IncidentFlux(p, self.ring, self.shutter, self.attenuator, seed=seed, frozen=frozen)
        self.cryostat = Cryostat(
            p,
            seed=seed,
            frozen=frozen,
            recorded=lambda: recorded("temperature"),
            warmed=self._warmed,
            time_constant=options.cryostat_time,
        )
        self.gauge = VacuumGauge(p, seed=seed, recorded=lambda: recorded("pressure"))
        self.heartbeat = count(0)
        if source is None:
            source = SampleSource(
                AgeingSample(seed, options.ageing, undulation=options.undulation)
                if options.ageing.acts and not frozen
                else Sample(seed, undulation=options.undulation),
                seed=seed,
                rate=options.rate,
                noise=options.noise,
                mesh=options.mesh,
                space_charge=options.space_charge,
                truth=options.truth,
            )
        self.photons = PhotonSource(p, source.defaults.photon_energy)
        self._replaying = replayed is not None
        told = self.replay.post_time, self._incidents()
        around = Surroundings(self.pose, self.conditions, self.flux, self.faults, self.recorded, *told)
        self.analyser = Analyser(f"{p}ARPES:", source, around, VENDORS[options.analyser])
        self.pvdb: Signals = self._collect(p)

    def _axis(self, options: Options, number: int, name: str) -> Axis:
        """Make an axis; in a replay it starts at the first recorded point and shows what was recorded."""
        settings, key = AXES[name], name.lower()
        noisy = encoder(options.seed, number, settings.encoder_noise, frozen=options.frozen)
        start = self.replay.start()
        if key in start:
            limit = max(settings.limit, 2.0 * abs(start[key]))
            # What is shown is what was recorded: no retry can change it.
            settings = replace(settings, position=start[key], limit=limit, retries=0)

        def read(position: float, at_rest: bool) -> float:
            shown = self.replay.here(key) if at_rest else None
            return noisy(position, at_rest) if shown is None else shown

        async def permit(value: float) -> bool:
            return key not in ("x", "y") or await self.replay.permit(key, value)

        pvname = f"{options.prefix}MANIP:{name}"
        mechanics = Mechanics(pvname, settings.units, settings.position, [options.seed, 0x3EC, number])
        faults = MoveFaults(name, self.faults)
        axis = Axis(pvname, settings, mechanics, faults, read, permit, self._arrived if start else None)
        serve_commands(axis)
        return axis

    def _requested(self) -> tuple[float, float]:
        """Return where x and y were asked to go, um; while the axes are being made, where they will start."""
        start = self.replay.start()
        x, y = (self.axes[n].target if n in self.axes else start.get(n.lower(), 0.0) for n in ("X", "Y"))
        return x, y

    def _shown(self, signal: str) -> float | None:
        """Return what a recording has a sensor show here and now; None where it says nothing."""
        changed = self.recorded.value(signal)
        return self.replay.here(signal) if changed is None else changed

    async def _changed(self, change: Change, begins: bool) -> None:
        """Let the beamline do what it did between two points of a recording."""
        if change.signal == "shutter":
            await (self.shutter.drop() if begins else self.shutter.reopen())
        elif change.signal == "ring_current" and begins and change.value <= 0.0:
            self.ring.dump(change.seconds)
        await self._update_sensors()

    async def _arrived(self) -> None:
        """Show the recorded values of the point that was just reached, on every axis and sensor."""
        for axis in self.axes.values():
            await axis.refresh()
        await self._update_sensors()

    async def _update_sensors(self) -> None:
        for device in (self.ring, self.cryostat, self.gauge):
            await device.update()

    def _collect(self, prefix: str) -> Signals:
        pvdb: Signals = {f"{prefix}HEARTBEAT": self.heartbeat}
        pvdb |= {f"{prefix}MANIP:{name}": axis.record for name, axis in self.axes.items()}
        for axis in self.axes.values():
            pvdb |= axis.mechanics.signals
        for device in (
            self.faults,
            self.analyser,
            self.ring,
            self.shutter,
            self.attenuator,
            self.flux,
            self.cryostat,
            self.gauge,
            self.photons,
            self.replay,
            self.sample_position,
        ):
            pvdb |= device.signals
        return pvdb

    def pose(self) -> Pose:
        """Return true positions now; x and y are where on the sample the beam is."""
        here = {name.lower(): axis.position() for name, axis in self.axes.items()}
        pose = Pose(**here, x_setpoint=self.axes["X"].target, y_setpoint=self.axes["Y"].target)
        if self._replaying:
            return pose
        # The sample has moved on by the drift: the beam is behind, in its coordinates.
        drifted = replace(pose, x=pose.x - round(self._drift("SAMPLE_DRIFT"), 2))
        return self.sample_position.in_beam(drifted)

    def conditions(self) -> Conditions:
        """Return photon energy and sample temperature now."""
        return Conditions(self.photons.photon_energy, self.cryostat.temperature, self._drift("EF_DRIFT"))

    def _drift(self, name: str) -> float:
        """Return how far a drift has come, in its AMOUNT's unit without the hour."""
        per_hour, seconds = self.faults.lasting(name)
        return per_hour * seconds / 3600.0

    def _warmed(self) -> float:
        per_minute, seconds = self.faults.lasting("CRYOSTAT_RAMP")
        return per_minute * seconds / 60.0

    def _incidents(self) -> dict[str, Incident]:
        """Return what the faults do that strike the beamline while the analyser exposes."""
        return {
            "BEAM_DUMP": at_once(self.ring.dump),
            "TOPUP_GLITCH": at_once(self.flux.glitch),
            "SHUTTER_DROP": lambda _amount: self.shutter.drop(),
            "DEAD_BEAM_PV": at_once(self.ring.die),
            "BEAM_INVALID": self.ring.invalidate,
            "FROZEN_IOC": at_once(freeze),
            "REBOOT": at_once(lambda seconds: reboot(self.faults, seconds)),
        }

    async def update(self) -> None:
        """Post what drifts, and the heartbeat last."""
        for device in (self.faults, self.ring, self.flux, self.cryostat, self.gauge):
            await device.update()
        await self.sample_position.update(self.pose())
        await self.heartbeat.post(int(self.heartbeat.value) + 1)


def list_pvs(prefix: str = "SIM:", analyser: str = "ses") -> list[str]:
    """Return the names of all PVs, sorted; motor records without their fields. Nothing is served."""
    return sorted(Beamline(Options(prefix, analyser=analyser)).pvdb)
