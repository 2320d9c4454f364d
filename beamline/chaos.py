"""``microarpes chaos``: make the simulated beamline fail in every way it knows, and count what got through."""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microarpes.beamline.chaos_judge import Strike, bad_points
from microarpes.beamline.config import Config, ConfigError, simulated_config
from microarpes.sim.fault_kinds import KINDS, LASTING
from microarpes.sim.process import RunningIOC, running_ioc

if TYPE_CHECKING:
    from microarpes.devices.end_station import EndStation

#: Kinds that spoil single points; drifts last and are a matter of calibration, not of the gate.
SPOILING = tuple(kind.name for kind in KINDS if kind.decided != LASTING)
#: Chance of a fault at each occasion: high enough to be quick, low enough that a retake mostly succeeds.
PROBABILITY = 0.25
POINTS, STEP = 5, 2.5
#: AMOUNT where the IOC's own would pass before it could do harm: a dead PV must outlast the age the gate accepts.
AMOUNTS = {"DEAD_BEAM_PV": 10.0}
#: Accepted ages, s, short enough for a raster of a few seconds: the simulated signals are updated at 5 Hz.
MAX_AGE = {"ring_current": 1.0, "sample_temperature": 5.0, "pressure": 10.0, "heartbeat": 2.0}
#: Rasters in a row without a strike after which a kind is given up.
MAX_IDLE_RASTERS = 10


@dataclass
class Tally:
    """What one kind of fault did."""

    kind: str
    injected: int = 0
    retaken: int = 0
    operator_needed: int = 0
    points: int = 0
    points_lost: int = 0
    bad_as_good: int = 0
    detection_s: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Return the line of the table."""
        spread = "-"
        if self.detection_s:
            spread = f"{statistics.median(self.detection_s):.2f} / {max(self.detection_s):.2f}"
        return (
            f"{self.kind:<22}{self.injected:>9}{self.retaken:>9}{self.operator_needed:>10}{spread:>16}"
            f"{self.points:>8}{self.bad_as_good:>13}{self.points_lost:>6}\n"
        )


HEADING = (
    f"{'fault':<22}{'injected':>9}{'retaken':>9}{'operator':>10}{'detected, s':>16}{'points':>8}{'bad as good':>13}"
    f"{'lost':>6}\n"
)


class Refusals(logging.Handler):
    """Hear when the plan refuses an attempt, and why."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep time and reason."""
        if "not accepted" in record.getMessage():
            self.heard.append((record.created, record.getMessage()))


def run_chaos(kinds: Sequence[str], injections: int, seed: int, summary: Path | None) -> int:
    """Run every kind until it has struck often enough; print a table; return 0 if nothing bad was kept or lost.

    Parameters
    ----------
    kinds : sequence of str
        Empty for all.
    injections : int
        Strikes a kind.
    seed : int
        Of the simulated beamline.
    summary : Path, optional
        JSON file to write.

    Raises
    ------
    ConfigError
        A kind is unknown.
    """
    unknown = sorted(set(kinds) - set(SPOILING))
    if unknown:
        raise ConfigError(f"--kind {', '.join(unknown)} is unknown; the kinds are {', '.join(SPOILING)}")
    tallies = []
    sys.stdout.write(HEADING)
    with running_ioc(arguments=["--seed", str(seed), "--rate", "3e6"]) as ioc:
        from microarpes.beamline.demo import confined
        from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

        config = confined(simulated_config().changed(region={"acquire_time": 0.02}, gate={"max_age": MAX_AGE}), ioc)
        station = connect_end_station(config)
        try:
            for kind in kinds or SPOILING:
                tallies.append(_Chaos(config, station, ioc, kind).run(injections))
                sys.stdout.write(tallies[-1].row())
                sys.stdout.flush()
        finally:
            disconnect_end_station(station)
    return _conclude(tallies, seed, summary)


def _conclude(tallies: Sequence[Tally], seed: int, summary: Path | None) -> int:
    bad, lost = sum(t.bad_as_good for t in tallies), sum(t.points_lost for t in tallies)
    few = [t.kind for t in tallies if t.injected == 0]
    for tally in tallies:
        for finding in tally.findings[:5]:
            sys.stdout.write(f"{tally.kind}: {finding}\n")
    total = sum(t.injected for t in tallies)
    sys.stdout.write(f"{total} faults injected, {bad} bad points kept as good, {lost} points lost\n")
    if few:
        sys.stdout.write(f"never struck: {', '.join(few)}\n")
    if summary is not None:
        text = json.dumps({"seed": seed, "load": os.getloadavg(), "kinds": [asdict(t) for t in tallies]}, indent=2)
        summary.write_text(text + "\n", encoding="utf-8")
    return 0 if bad == lost == len(few) == 0 else 1


class _Chaos:
    """One kind of fault, raster after raster."""

    def __init__(self, config: Config, station: EndStation, ioc: RunningIOC, kind: str) -> None:
        from epics import PV

        self.config, self.station, self.tally = config, station, Tally(kind)
        self.prefix = ioc.prefix
        names = ("ENABLE", "PROBABILITY", "COUNT", "AMOUNT")
        self.fault = {name: PV(f"{ioc.prefix}FAULT:{kind}:{name}") for name in names}
        self.last = PV(f"{ioc.prefix}FAULT:LAST")
        for pv in (*self.fault.values(), self.last):
            if not pv.wait_for_connection(10.0):
                raise ConnectionError(f"{pv.pvname} does not answer; is the IOC of this version?")
        self.strikes: list[Strike] = []
        self.last.add_callback(self._on_last)

    def _on_last(self, char_value: str = "", **_: Any) -> None:
        strike = Strike.parse(char_value)
        if strike is not None and strike.kind == self.tally.kind:
            self.strikes.append(strike)

    def run(self, injections: int) -> Tally:
        self.fault["PROBABILITY"].put(PROBABILITY, wait=True, timeout=10.0)
        if self.tally.kind in AMOUNTS:
            self.fault["AMOUNT"].put(AMOUNTS[self.tally.kind], wait=True, timeout=10.0)
        self.fault["ENABLE"].put("Enable", wait=True, timeout=10.0)
        idle = 0
        while self.tally.injected < injections and idle < MAX_IDLE_RASTERS:
            self._raster()
            struck = int(self.fault["COUNT"].get(use_monitor=False, timeout=10.0) or 0)
            idle = 0 if struck > self.tally.injected else idle + 1
            self.tally.injected = struck
        self.fault["ENABLE"].put("Disable", wait=True, timeout=10.0)
        self._put_right()
        for pv in (*self.fault.values(), self.last):
            pv.disconnect()
        return self.tally

    def _raster(self) -> None:
        from microarpes.beamline.engine import make_engine
        from microarpes.beamline.raster_run import configured_raster, drive
        from microarpes.beamline.stored_run import read_run
        from microarpes.plans.grid import RasterGrid

        refusals = Refusals()
        logger = logging.getLogger("microarpes.plans")
        logger.addHandler(refusals)
        logger.propagate = False
        try:
            with tempfile.TemporaryDirectory(prefix="microarpes-chaos-") as folder:
                engine, journals = make_engine(Path(folder))
                grid = RasterGrid.centred(POINTS, POINTS, STEP)
                plan = configured_raster(self.config, self.station, grid, journals)
                drive(engine, plan, self._operator)
                run = read_run(Path(folder) / journals.run_uid)
                self._count(run, refusals)
        finally:
            logger.removeHandler(refusals)

    def _count(self, run: Any, refusals: Refusals) -> None:
        tally = self.tally
        amount = float(self.fault["AMOUNT"].get(timeout=10.0) or 0.0)
        findings = bad_points(run, self.strikes, amount)
        tally.findings += findings
        tally.bad_as_good += len(findings)
        tally.points += len(run.events)
        tally.points_lost += POINTS * POINTS - len(run.events)
        tally.retaken += len(refusals.heard)
        for strike in self.strikes:
            after = [heard - strike.time for heard, _ in refusals.heard if heard >= strike.time]
            if after:
                tally.detection_s.append(round(min(after), 3))
        self.strikes.clear()

    def _operator(self) -> str:
        """Do what a person would: put right what is wrong, and go on."""
        self.tally.operator_needed += 1
        self._put_right()
        return "resume"

    def _put_right(self) -> None:
        from epics import caput

        for axis in self.station.manipulator.axes.values():
            high, low = (5000.0, -5000.0) if axis.units == "um" else (90.0, -90.0)
            caput(f"{axis.prefix}.HLM", high, wait=True, timeout=10.0)
            caput(f"{axis.prefix}.LLM", low, wait=True, timeout=10.0)
        self.station.shutter.set("open").wait(10.0)
        # A ring whose PV was dead must have come back, or the next kind of fault cannot show.
        ring, deadline = self.station.beam.ring_current, time.monotonic() + 60.0
        while time.monotonic() < deadline:
            ring.get(use_monitor=False)
            if time.time() - ring.timestamp < 1.0:
                return
            time.sleep(0.1)
        raise TimeoutError(f"{ring.pvname} did not come back within 60 s")
