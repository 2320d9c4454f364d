"""``microarpes replay``: a recording, or a run of our own, behind the simulated devices, the same plan in front."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microarpes.analysis import fit_fermi_edge
from microarpes.analysis.fermi_edge import FermiEdgeFit
from microarpes.beamline.assumed_values import WORK_FUNCTION
from microarpes.beamline.config import Config, ConfigError, parse_config, simulated_config
from microarpes.beamline.nominal_grid import NominalGrid
from microarpes.beamline.read_run import open_recorded_run
from microarpes.beamline.recorded_interruptions import repetition
from microarpes.beamline.recording_format import write_recording
from microarpes.beamline.recordings import Recording, convert, nominal_grid, open_recording
from microarpes.plans.grid import Line, RasterGrid
from microarpes.plans.shapes import Shape
from microarpes.sim.process import running_ioc

if TYPE_CHECKING:
    from microarpes.beamline.raster_run import RasterOutcome

#: Slack on the recorded jitter of the readbacks, so that rounding refuses nothing.
SLACK = 1.05
#: s; no faster than the simulated analyser exposes, whatever the speed.
SHORTEST = 1e-3


def run_replay(path: Path, *, speed: float, directory: Path, fermi_energy: float | None, summary: Path | None) -> None:
    """Convert a recording, serve it, raster it, fit it, store it.

    Parameters
    ----------
    path : Path
        A recording of any known format, or the folder of a run.
    speed : float
        How many times faster than recorded.
    directory : Path
        Where runs are kept.
    fermi_energy : float, optional
        eV kinetic; by default the edge of the summed spectrum, or the photon energy less 4.4 eV where it has none.
    summary : Path, optional
        JSON file to write.

    Raises
    ------
    microarpes.beamline.recordings.RecordingError
        The file cannot be replayed.
    microarpes.beamline.map.RunFailed
        The run did not end as it should.
    """
    if not (np.isfinite(speed) and 0 < speed <= 1e4):
        raise ConfigError(f"--speed {speed:g} is outside (0, 10000]; 1 is the recording's own pace")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="microarpes-") as folder:
        served = Path(folder) / "recording.h5"
        prepare = _own_run if path.is_dir() else _foreign
        replayed = prepare(path, served, speed, fermi_energy)
        sys.stdout.write(replayed.told + "\n")
        sys.stdout.flush()
        outcome = _raster(replayed, served, directory)
    from microarpes.beamline.finish import finish_run

    finish_run(directory, outcome, summary=summary)


@dataclass(frozen=True)
class _Replayed:
    """What is replayed, how, and what the user is told."""

    config: Config
    raster: Shape
    origin: dict[str, Any]
    told: str
    #: Pixels of the raster that were not recorded.
    missing: frozenset[int] = frozenset()
    #: The calibration record it begins with, where the configuration does not say it.
    calibration: dict[str, Any] | None = None


def _foreign(path: Path, served: Path, speed: float, fermi_energy: float | None) -> _Replayed:
    recording = convert(path, served)
    grid = nominal_grid(recording)
    edge = summed_edge(served) if fermi_energy is None else None
    config = replay_config(recording, grid.deviation, speed=speed, fermi_energy=fermi_energy, edge=edge)
    told = _announcement(path, recording, grid, config, edge)
    return _Replayed(config, raster_of(grid), _origin(path, recording), told)


def _own_run(folder: Path, served: Path, speed: float, fermi_energy: float | None) -> _Replayed:
    """Have a run of our own measured again: its plan, windows and calibration, and what fitted it live."""
    with open_recorded_run(folder) as recorded:
        start = recorded.start
        again = repetition(recorded.held, start.get("guards") or {}, recorded.recording.points, speed)
        recording = replace(recorded.recording, changes=again.changes)
        write_recording(served, recording, recorded.frames)
    off = [np.abs(recording.points[axis] - recording.points[f"{axis}_setpoint"]).max() for axis in "xy"]
    data = replay_config(recording, float(max(off)), speed=speed, fermi_energy=fermi_energy).model_dump()
    data |= {"windows": start["windows"], "sample": start.get("sample") or {}, "guards": again.guards}
    data["analysis"] |= {"follow_k_f": bool(start.get("follow_k_f")), "fit_depth": start.get("fit_depth")}
    calibration = {**start["calibration"], "time": time.time()}
    if fermi_energy is not None:
        calibration["ef"] = fermi_energy
    left = f" of {recording.n_points + len(recorded.missing)} planned" if recorded.missing else ""
    told = [f"{recording.title}: {recording.n_points}{left} pixels, measured again at {speed:g} times its pace"]
    told += again.told()
    origin = _origin(folder, recording)
    if again.left_out:
        origin["interruptions_not_replayed"] = again.left_out
    config = parse_config(data, folder.name)
    return _Replayed(config, recorded.shape, origin, "\n".join(told), recorded.missing, calibration)


def _raster(replayed: _Replayed, served: Path, directory: Path) -> RasterOutcome:
    with running_ioc(arguments=["--recording", str(served)]) as ioc:
        from microarpes.beamline.demo import confined

        config = confined(replayed.config, ioc)
        from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

        station = connect_end_station(config)
        from microarpes.beamline.raster_run import run_raster

        try:
            return run_raster(
                config, station, replayed.raster, directory,
                stream=sys.stdout, md=replayed.origin, done=replayed.missing, calibration=replayed.calibration,
            )  # fmt: skip
        finally:
            disconnect_end_station(station)


def summed_edge(path: Path) -> FermiEdgeFit:
    """Fit the Fermi edge of all spectra of a recording together; its status says whether there is one."""
    with open_recording(path) as (recording, frames):
        total = np.zeros(len(recording.energy))
        for index in range(recording.n_points):
            total += np.asarray(frames[index], dtype=np.float64).sum(axis=0)
    return fit_fermi_edge(recording.energy, total, temperature=recording.temperature)


def raster_of(grid: NominalGrid) -> RasterGrid:
    """Return the raster the plan runs over a recording."""
    lines = {
        name: Line(start=line.start, stop=line.stop, num=line.num) for name, line in (("x", grid.x), ("y", grid.y))
    }
    return RasterGrid(x=lines["x"], y=lines["y"], snake=grid.snake, fast_axis="y" if grid.fast_axis == "y" else "x")


def replay_config(
    recording: Recording,
    deviation: float,
    *,
    speed: float,
    fermi_energy: float | None,
    edge: FermiEdgeFit | None = None,
) -> Config:
    """Return the simulated beamline's configuration with everything the recording says put in its place.

    A readback may be off by `deviation`, um, and some slack.

    The whole angular range is one window: where k_F lies is not known of a foreign recording. I0 is not gated: it is
    as it was recorded, and what a point had then cannot be taken again.
    """
    n_angle, _ = recording.shape
    step = float(np.diff(recording.energy).mean())
    tolerance = max(deviation * SLACK, 1.0)
    half = 0.5 * float(np.diff(recording.angle).max()) if n_angle > 1 else 0.5
    window = {
        "name": "all angles",
        "angle_low": float(recording.angle.min()) - half,
        "angle_high": float(recording.angle.max()) + half,
    }
    data = simulated_config().model_dump()
    data["manipulator"]["tolerances"] |= {"x": tolerance, "y": tolerance}
    data["region"] = {
        "name": recording.title[:40] or "recording",
        "acquisition_mode": "Fixed",
        "lens_mode": recording.lens_mode,
        "pass_energy": recording.pass_energy,
        "centre_energy": float(recording.energy.mean()),
        "energy_step": step,
        "slices": n_angle,
        "iterations": 1,
        "acquire_time": max(recording.acquire_time / speed, SHORTEST),
    }
    data["windows"] = [window]
    data["calibration"] |= {"temperature": recording.temperature}
    data["calibration"] |= {
        "fermi_energy": recording.photon_energy - WORK_FUNCTION if fermi_energy is None else fermi_energy
    }
    if edge is not None and edge.status == "ok":
        data["calibration"] |= {
            "fermi_energy": edge.ef,
            "fermi_energy_error": edge.ef_error,
            "resolution": edge.resolution,
            "resolution_error": edge.resolution_error,
        }
    data["sample"] = {"id": recording.title}
    data["gate"] |= {"i0_low": 0.0, "i0_high": 1e6}
    # A recording served faster than it was taken counts faster, and harms no detector.
    data["analyser"] |= {"count_rate_pv": "", "max_count_rate": None, "energy_ratio": {}}
    return parse_config(data, str(recording.source))


def _origin(path: Path, recording: Recording) -> dict[str, Any]:
    return {"recording": {"file": path.name, "title": recording.title, "assumed": list(recording.assumed)}}


def _announcement(
    path: Path, recording: Recording, grid: NominalGrid, config: Config, edge: FermiEdgeFit | None
) -> str:
    origin = "as asked for"
    if edge is not None:
        origin = "the edge of the summed spectrum" if edge.status == "ok" else "the photon energy less 4.4 eV: no edge"
    lines = [
        f"{path.name}: {recording.title}",
        f"{grid.x.num} x {grid.y.num} recorded points, {recording.shape[0]} angles x {recording.shape[1]} energies, "
        f"{recording.energy[0]:.3f} to {recording.energy[-1]:.3f} eV; "
        f"E_F taken at {config.calibration.fermi_energy:.4f} eV ({origin})",
    ]
    lines += [
        f"the recording does not say its {name}; {_assumed(recording, name)} is assumed" for name in recording.assumed
    ]
    return "\n".join(lines)


def _assumed(recording: Recording, name: str) -> str:
    if name == "energy":
        return f"kinetic energy = photon energy - {WORK_FUNCTION} eV - binding energy"
    if name in ("x", "y"):
        return "the order of its axes" if np.ptp(recording.points[name]) > 0 else f"{recording.points[name][0]:g} um"
    return str(getattr(recording, name))
