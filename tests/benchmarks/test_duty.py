"""Exposure over wall time of a raster, stepped and flown, against bluesky's grid_scan with stock ophyd devices.

Opt-in, because it is a matter of the machine and of what else it does: ``MICROARPES_DUTY=1 pytest
tests/benchmarks/test_duty.py``; ``MICROARPES_DUTY=0.1,0.5`` measures these exposures only. Writes
docs/measured/duty.json, in which each exposure is as it was last measured.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from microarpes.sim.process import running_ioc

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "duty.json"
#: Exposure, s, to pixels along x and y.
POINTS = {0.1: (20, 4), 0.5: (20, 2), 2.0: (10, 2), 5.0: (5, 2), 30.0: (3, 1)}
STEP = 5.0


def asked():
    text = os.environ.get("MICROARPES_DUTY", "1")
    return list(POINTS) if text == "1" else [float(part) for part in text.split(",")]


@pytest.mark.skipif("MICROARPES_DUTY" not in os.environ, reason="set MICROARPES_DUTY=1 to measure")
@pytest.mark.timeout(1800)
def test_duty_of_stepped_and_flown_rasters(ioc_port, tmp_path):
    rows = []
    with running_ioc(arguments=["--seed", "7", "--rate", "2e5"], port=ioc_port):
        for exposure in asked():
            nx, ny = POINTS[exposure]
            row = {"exposure_s": exposure, "points": [nx, ny], "load_average": os.getloadavg()[0]}
            for what, measure in (("step", raster), ("fly", raster), ("grid_scan", grid_scan)):
                wall = measure(tmp_path, exposure, nx, ny, what)
                row[what] = {"wall_s": round(wall, 3), "duty": round(nx * ny * exposure / wall, 4)}
                assert 0.0 < row[what]["duty"] < 1.0
            rows.append(row)
    what = (
        f"exposure over wall time of RE(plan), step {STEP} um, simulated beamline; a flown frame costs the simulation "
    )
    what += "nine images, computed behind the exposure"
    before = json.loads(MEASURED.read_text())["runs"] if MEASURED.exists() else []
    rows += [row for row in before if row["exposure_s"] not in asked()]
    rows.sort(key=lambda row: row["exposure_s"])
    MEASURED.write_text(json.dumps({"what": what, "cores": os.cpu_count(), "runs": rows}, indent=1) + "\n")


def raster(folder, exposure, nx, ny, what):
    from microarpes.beamline.config import simulated_config
    from microarpes.beamline.engine import make_engine
    from microarpes.beamline.instrument import connect_end_station, disconnect_end_station
    from microarpes.beamline.raster_run import configured_raster
    from microarpes.plans.fly import Fly
    from microarpes.plans.grid import RasterGrid

    config = simulated_config().changed(region={"acquire_time": exposure}, channel_access={"address_list": None})
    station = connect_end_station(config, timeout=20.0)
    try:
        engine, journals = make_engine(folder, station)
        fly = Fly() if what == "fly" else None
        began = time.perf_counter()
        engine(configured_raster(config, station, RasterGrid.centred(nx, ny, STEP), journals, fly=fly))
        return time.perf_counter() - began
    finally:
        disconnect_end_station(station)


def grid_scan(folder, exposure, nx, ny, what):
    from bluesky import RunEngine
    from bluesky.plans import grid_scan as stock
    from ophyd import CamBase, Component, EpicsMotor, EpicsSignal, EpicsSignalRO, ImagePlugin, SingleTrigger
    from ophyd.areadetector import DetectorBase

    class Analyser(SingleTrigger, DetectorBase):
        cam = Component(CamBase, "cam1:")
        image = Component(ImagePlugin, "image1:")
        array = Component(EpicsSignalRO, "image1:ArrayData", kind="normal", auto_monitor=False)

    EpicsSignal("SIM:SHUTTER:Cmd:Opn-Cmd", name="shutter", put_complete=True).set(1).wait(20)
    x, y = (EpicsMotor(f"SIM:MANIP:{name.upper()}", name=name) for name in "xy")
    detector = Analyser("SIM:ARPES:", name="analyser")
    for device in (x, y, detector):
        device.wait_for_connection(all_signals=True, timeout=30)
    detector.cam.acquire_time.set(exposure).wait(20)
    engine = RunEngine({}, context_managers=[])
    half_x, half_y = (0.5 * STEP * (n - 1) for n in (nx, ny))
    began = time.perf_counter()
    engine(stock([detector], y, -half_y, half_y, ny, x, -half_x, half_x, nx, True))
    wall = time.perf_counter() - began
    for device in (x, y, detector):
        device.destroy()
    return wall
