"""What clients this project did not write do with a beamline: ``python stock_clients.py WHAT PREFIX``, one a process.

Each loads a Channel Access library of its own choice; two in one process disturb each other when it ends.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest


@contextmanager
def stock_motor(prefix):
    from ophyd import EpicsMotor

    motor = EpicsMotor(f"{prefix}MANIP:Z", name="z")
    motor.wait_for_connection(all_signals=True, timeout=20)
    yield motor
    motor.move(0.0, timeout=20)
    motor.destroy()


def ophyd_motor_moves_and_knows_limits_units_and_offset(prefix):
    with stock_motor(prefix) as motor:
        assert motor.egu == "um"
        assert motor.limits == (-5000.0, 5000.0)
        assert motor.precision == 3
        assert motor.move(30.0, wait=True, timeout=20).success
        assert motor.position == pytest.approx(30.0, abs=0.6)
        # Over no distance at all: ophyd waits for DMOV to fall and rise.
        assert motor.move(30.0, wait=True, timeout=20).success
        with pytest.raises(ValueError, match="outside of range"):
            motor.move(6000.0)
        motor.set_current_position(0.0)
        assert motor.user_offset.get() == pytest.approx(-30.0)
        assert motor.high_limit_travel.get() == pytest.approx(4970.0)
        motor.user_offset.put(0.0, wait=True)


def ophyd_motor_stops(prefix):
    with stock_motor(prefix) as motor:
        began = threading.Event()
        motor.motor_is_moving.subscribe(lambda value, **_: value and began.set())
        status = motor.move(4000.0, wait=False)
        assert began.wait(20)
        motor.stop(success=False)
        # ophyd calls this a success (ophyd issue 734): only the readback says that it is not.
        status.wait(20)
        assert motor.user_readback.get() < 3990.0


def ophyd_area_detector_takes_an_image(prefix):
    from ophyd import CamBase, Component, EpicsSignal, ImagePlugin, SingleTrigger
    from ophyd.areadetector import DetectorBase

    class Analyser(SingleTrigger, DetectorBase):
        cam = Component(CamBase, "cam1:")
        image = Component(ImagePlugin, "image1:")

    EpicsSignal(f"{prefix}SHUTTER:Cmd:Opn-Cmd", name="shutter", put_complete=True).set(1).wait(20)
    detector = Analyser(f"{prefix}ARPES:", name="analyser")
    detector.wait_for_connection(all_signals=True, timeout=30)
    detector.cam.acquire_time.set(0.05).wait(20)
    detector.stage()
    before = detector.cam.array_counter.get()
    detector.trigger().wait(20)
    assert detector.cam.array_counter.get(use_monitor=False) == before + 1
    assert detector.image.unique_id.get(use_monitor=False) == before + 1
    # Not `image.image`: ophyd multiplies by the depth, which is 0 in every two-dimensional areaDetector.
    size = detector.image.array_size.get()
    image = detector.image.array_data.get().reshape(size.height, size.width)
    detector.unstage()
    assert image.shape == (300, 400)
    assert image.dtype.kind == "i"
    # 2e5 counts/s for 50 ms on the flake at the origin.
    assert image.sum() == pytest.approx(1e4, rel=0.2)
    assert detector.image.source_plugin is detector.cam
    detector.destroy()


def pyepics_reads_and_monitors_every_pv(prefix):
    import epics

    from microarpes.sim.ioc import list_pvs

    names = list_pvs(prefix)
    assert len(names) > 400
    heard = set()
    complete = threading.Event()

    def on_change(pvname, **_):
        heard.add(pvname)
        if len(heard) == len(names):
            complete.set()

    pvs = [epics.PV(name, auto_monitor=True, callback=on_change) for name in names]
    assert [pv.pvname for pv in pvs if not pv.wait_for_connection(20)] == []
    assert [pv.pvname for pv in pvs if pv.get(use_monitor=False, timeout=20) is None] == []
    complete.wait(30)
    assert set(names) - heard == set()
    for pv in pvs:
        pv.disconnect()


def pyepics_gets_and_puts_enums_strings_and_metadata(prefix):
    import epics

    assert epics.caget(prefix + "MANIP:X.EGU", as_string=True) == "um"
    assert epics.caget(prefix + "ARPES:cam1:ACQ_MODE", as_string=True) == "Fixed"
    assert epics.caput(prefix + "ARPES:cam1:LENS_MODE", "Angular30", wait=True, timeout=20) == 1
    assert epics.caget(prefix + "ARPES:cam1:LENS_MODE_RBV", as_string=True) == "Angular30"
    assert np.ptp(epics.caget(prefix + "ARPES:cam1:Y_SCALE_RBV")) == pytest.approx(30.0, abs=0.2)
    info = epics.PV(prefix + "MANIP:X", form="ctrl")
    assert info.wait_for_connection(20)
    info.get()
    assert (info.lower_ctrl_limit, info.upper_ctrl_limit, info.units) == (-5000.0, 5000.0, "um")


def ophyd_async_motor_moves_and_stops(prefix):
    from ophyd_async.core import observe_value
    from ophyd_async.epics.motor import Motor

    async def use():
        motor = Motor(f"{prefix}MANIP:Z", name="z")
        await motor.connect(timeout=20)
        await motor.set(25.0, timeout=20)
        assert (await motor.read())["z"]["value"] == pytest.approx(25.0, abs=0.6)
        assert await motor.motor_egu.get_value() == "um"
        status = motor.set(4000.0, timeout=20)
        async for position in observe_value(motor.user_readback, timeout=20):
            if position > 100.0:
                break
        await motor.stop(success=False)
        with pytest.raises(RuntimeError, match="stopped"):
            await status
        assert await motor.user_readback.get_value() < 3990.0

    asyncio.run(use())


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
    print("done")
