"""``microarpes demo``: the main job, end to end, on the simulated beamline."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from microarpes.beamline.config import Config, simulated_config
from microarpes.beamline.map import make_grid
from microarpes.beamline.page_process import shown_page
from microarpes.sim.process import RunningIOC, running_ioc

#: Photoelectrons per second a hemispherical analyser's detector counts on a real micro-ARPES beamline.
REAL_RATE = 2e5
#: Seconds from which it is told that the fit had to be compiled.
SLOW_START = 3.0
#: More than any run of the simulated detector can hold in an int32 channel or a laptop can draw.
MAX_RATE = 1e8


def run_demo(
    nx: int,
    ny: int,
    *,
    step: float,
    seed: int,
    directory: Path,
    exposure: float | None,
    rate: float,
    summary: Path | None,
    page: bool = False,
    control: bool = False,
    undulation: float = 0.0,
    follow_k_f: bool = False,
    fit_depth: float | None = None,
    truth: str = "standard",
) -> None:
    """Start the simulated beamline, raster it, fit live, store, compare with the truth.

    Raises
    ------
    microarpes.beamline.config.ConfigError
        A parameter makes no raster; nothing was started.
    microarpes.beamline.map.RunFailed
        The run did not end as it should.
    """
    grid = make_grid(nx, ny, step, (0.0, 0.0), snake=True)
    config = simulated_config()
    if exposure is not None:
        config = config.changed(region={"acquire_time": exposure})
    if follow_k_f:
        config = config.changed(analysis={"follow_k_f": True})
    if fit_depth is not None:
        config = config.changed(analysis={"fit_depth": 1e-3 * fit_depth})
    if not 0 < rate <= MAX_RATE:
        from microarpes.beamline.config import ConfigError

        raise ConfigError(f"--rate {rate:g} counts/s is outside (0, {MAX_RATE:g}] counts/s; 2e5 is a real beamline's")
    _check_truth(truth)
    directory.mkdir(parents=True, exist_ok=True)
    _announce(nx, ny, step, rate, seed)
    _compile_fit()
    asked, plain = {"undulation": undulation, "truth": truth}, {"undulation": 0.0, "truth": "standard"}
    special = {name: value for name, value in asked.items() if value != plain[name]}
    sample = [f"--{name}={value}" for name, value in {"seed": seed, "rate": rate, **special}.items()]
    with running_ioc(arguments=sample) as ioc:
        up = time.monotonic()
        config = confined(config, ioc)
        from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

        station = connect_end_station(config)
        from microarpes.beamline.raster_run import run_raster

        try:
            with shown_page(directory, page, control=control):
                md = {"seed": seed, "rate": rate, **special}
                outcome = run_raster(
                    config, station, grid, directory, stream=sys.stdout, md=md, wait_for_control=control
                )
        finally:
            disconnect_end_station(station)
    from microarpes.beamline.finish import finish_run

    finish_run(directory, outcome, summary=summary, seed=seed)
    sys.stdout.write(f"{time.monotonic() - up:.1f} s since the simulated beamline was up\n")


def _check_truth(truth: str) -> None:
    from microarpes.sim.truth import parse_truth

    try:
        parse_truth(truth)
    except ValueError as error:
        from microarpes.beamline.config import ConfigError

        raise ConfigError(f"--truth {error}") from error


def _announce(nx: int, ny: int, step: float, rate: float, seed: int) -> None:
    sys.stdout.write(
        f"simulated micro-ARPES beamline, seed {seed}: {nx} x {ny} pixels, {step:g} um apart\n"
        f"the detector counts {rate:.3g} photoelectrons/s, {rate / REAL_RATE:.3g} times as fast as a real beamline's\n"
    )
    sys.stdout.flush()


def _compile_fit() -> None:
    """Compile the fit before the beamline is up, or see that it was; the follower then loads it in half a second."""
    from microarpes.analysis.warm_up import warm_up

    began = time.monotonic()
    warm_up()
    if (took := time.monotonic() - began) > SLOW_START:
        sys.stdout.write(f"the fit was compiled in {took:.0f} s; from now on it is loaded\n")
        sys.stdout.flush()


def confined(config: Config, ioc: RunningIOC) -> Config:
    """Confine Channel Access to the IOC that was just started, whatever the environment said before."""
    os.environ.update(ioc.environment)
    return config.changed(
        channel_access={
            "address_list": ioc.environment["EPICS_CA_ADDR_LIST"],
            "server_port": int(ioc.environment["EPICS_CA_SERVER_PORT"]),
        }
    )
