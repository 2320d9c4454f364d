"""``microarpes replay FILE``: a recording behind the simulated devices, the same plan and callbacks in front."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from microarpes.analysis import fit_fermi_edge
from microarpes.analysis.fermi_edge import FermiEdgeFit
from microarpes.beamline.config import Config, ConfigError, simulated_config
from microarpes.beamline.nominal_grid import NominalGrid
from microarpes.beamline.recordings import Recording, convert, nominal_grid, open_recording
from microarpes.plans.grid import Line, RasterGrid
from microarpes.sim.process import running_ioc

#: eV; used where nothing better is known than the photon energy.
WORK_FUNCTION = 4.4
#: Slack on the recorded jitter of the readbacks, so that rounding refuses nothing.
SLACK = 1.05


def run_replay(path: Path, *, speed: float, directory: Path, fermi_energy: float | None, summary: Path | None) -> None:
    """Convert a recording, serve it, raster it, fit it, store it.

    Parameters
    ----------
    path : Path
        A recording of any known format.
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
        recording = convert(path, served)
        grid = nominal_grid(recording)
        edge = summed_edge(served) if fermi_energy is None else None
        config = replay_config(recording, grid, speed=speed, fermi_energy=fermi_energy, edge=edge)
        _announce(path, recording, grid, config, edge)
        with running_ioc(arguments=["--recording", str(served)]) as ioc:
            from microarpes.beamline.demo import confined

            config = confined(config, ioc)
            from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

            station = connect_end_station(config)
            from microarpes.beamline.raster_run import run_raster

            try:
                origin = {
                    "recording": {"file": path.name, "title": recording.title, "assumed": list(recording.assumed)}
                }
                outcome = run_raster(config, station, raster_of(grid), directory, stream=sys.stdout, md=origin)
            finally:
                disconnect_end_station(station)
    from microarpes.beamline.finish import finish_run

    finish_run(directory, outcome, summary=summary)


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
    grid: NominalGrid,
    *,
    speed: float,
    fermi_energy: float | None,
    edge: FermiEdgeFit | None = None,
) -> Config:
    """Return the simulated beamline's configuration with everything the recording says put in its place.

    The whole angular range is one window: where k_F lies is not known of a foreign recording. I0 is not gated: it is
    as it was recorded, and what a point had then cannot be taken again.
    """
    n_angle, _ = recording.shape
    step = float(np.diff(recording.energy).mean())
    tolerance = max(grid.deviation * SLACK, 1.0)
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
        "acquire_time": recording.acquire_time / speed,
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
    from microarpes.beamline.config import parse_config

    return parse_config(data, str(recording.source))


def _origin(path: Path, recording: Recording) -> dict[str, Any]:
    return {"recording": {"file": path.name, "title": recording.title, "assumed": list(recording.assumed)}}


def _announce(path: Path, recording: Recording, grid: NominalGrid, config: Config, edge: FermiEdgeFit | None) -> None:
    origin = "as asked for"
    if edge is not None:
        origin = "the edge of the summed spectrum" if edge.status == "ok" else "the photon energy less 4.4 eV: no edge"
    sys.stdout.write(
        f"{path.name}: {recording.title}\n"
        f"{grid.x.num} x {grid.y.num} recorded points, {recording.shape[0]} angles x {recording.shape[1]} energies, "
        f"{recording.energy[0]:.3f} to {recording.energy[-1]:.3f} eV; "
        f"E_F taken at {config.calibration.fermi_energy:.4f} eV ({origin})\n"
    )
    for name in recording.assumed:
        sys.stdout.write(f"the recording does not say its {name}; {getattr(recording, name)} is assumed\n")
    sys.stdout.flush()
