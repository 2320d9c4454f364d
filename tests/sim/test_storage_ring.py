"""Ring current, shutter and dose."""

import asyncio
import time

import numpy as np
import pytest

from microarpes.sim.attenuator import Attenuator
from microarpes.sim.incident_flux import I0_PER_CURRENT, IncidentFlux
from microarpes.sim.shutter import Shutter
from microarpes.sim.storage_ring import FULL_CURRENT, LOW_CURRENT, Ring


def test_the_ring_saw_tooths_between_300_and_297_ma_every_minute():
    ring = Ring("")
    now = time.monotonic()
    current = np.array([ring.current_at(now + t) for t in np.arange(0.0, 180.0, 0.5)])
    assert current.max() <= FULL_CURRENT
    assert current.min() >= LOW_CURRENT
    assert np.ptp(current) == pytest.approx(3.0, abs=0.05)
    assert (np.diff(current) > 1.0).sum() in (2, 3)


def test_the_charge_is_the_integral_of_the_current_across_top_ups():
    ring = Ring("")
    begin = time.monotonic() + 17.0
    time_axis = np.arange(0.0, 150.0, 0.001) + 0.0005
    summed = sum(ring.current_at(begin + t) for t in time_axis) * 0.001
    assert ring.charge(begin, begin + 150.0) == pytest.approx(summed, rel=1e-6)


def test_a_frozen_ring_stays_at_its_maximum():
    ring = Ring("", frozen=True)
    assert ring.current_at(time.monotonic() + 31.0) == FULL_CURRENT
    assert ring.charge(0.0, 2.0) == 2 * FULL_CURRENT


def open_and_close():
    """Open a shutter, close it, and say between which times it was open."""

    async def run():
        shutter = Shutter("")
        await shutter.signals["SHUTTER:Cmd:Opn-Cmd"].write("Open")
        opened = time.monotonic()
        await shutter.signals["SHUTTER:Cmd:Cls-Cmd"].write("Close")
        return shutter, opened

    return asyncio.run(run())


def test_a_shutter_starts_closed_and_remembers_when_it_was_open():
    before = time.monotonic()
    shutter, opened = open_and_close()
    ((low, high),) = shutter.open_intervals(before, before + 100.0)
    assert before < low <= opened <= high
    assert not shutter.is_open
    assert shutter.open_intervals(before - 10.0, before) == []


def test_the_dose_counts_only_the_time_with_beam():
    before = time.monotonic()
    shutter, _ = open_and_close()
    flux = IncidentFlux("", Ring("", frozen=True), shutter, Attenuator(""), seed=1)
    ((low, high),) = shutter.open_intervals(before, before + 100.0)
    dose = flux.dose(before, before + 10.0)
    assert dose.charge == pytest.approx(FULL_CURRENT * (high - low), abs=1e-5)
    assert dose.open_fraction == pytest.approx((high - low) / 10.0, abs=1e-5)
    assert dose.nominal_seconds == pytest.approx(high - low, abs=1e-6)


def test_the_dose_is_that_of_the_attenuator_as_it_was_at_each_moment():
    ring, shutter, attenuator = Ring("", frozen=True), Shutter(""), Attenuator("")
    flux = IncidentFlux("", ring, shutter, attenuator, seed=1, frozen=True)

    async def attenuate():
        await shutter.signals["SHUTTER:Cmd:Opn-Cmd"].write("Open")
        begin = time.monotonic()
        await attenuator.signals["ATT:TRANSMISSION"].write(0.25)
        await flux.update()
        return begin, time.monotonic()

    begin, end = asyncio.run(attenuate())
    later = flux.dose(end, end + 2.0)
    assert (later.charge, later.flux) == (pytest.approx(0.25 * 2.0 * FULL_CURRENT), pytest.approx(0.25))
    ((_, change, first), (_, _, second)) = attenuator.pieces(begin, end)
    assert (first, second) == (1.0, 0.25)
    both = flux.dose(begin, begin + 4.0)
    whole = FULL_CURRENT * ((change - begin) + 0.25 * (begin + 4.0 - change))
    assert both.charge == pytest.approx(whole, abs=1e-5)
    assert flux.current.value == pytest.approx(0.25 * I0_PER_CURRENT * FULL_CURRENT)
    flux.forget(end)
    assert attenuator.pieces(begin, end) == [(change, end, 0.25)]


def test_i0_measures_the_dose_to_its_noise():
    ring, shutter = Ring("", frozen=True), Shutter("")
    flux = IncidentFlux("", ring, shutter, Attenuator(""), seed=1)

    async def measured():
        await shutter.signals["SHUTTER:Cmd:Opn-Cmd"].write("Open")
        now = time.monotonic()
        found = []
        for frame in range(400):
            await flux.post_integral(flux.dose(now + 1.0, now + 3.0), frame)
            found.append(float(flux.integral.value))
        return np.array(found)

    integral = asyncio.run(measured())
    nominal = I0_PER_CURRENT * FULL_CURRENT * 2.0
    # 0.2 % (sigma) of noise: 400 measurements know the mean to 0.01 % and the spread to 4 %.
    assert integral.mean() == pytest.approx(nominal, rel=5e-4)
    assert integral.std() / nominal == pytest.approx(0.002, rel=0.15)
    assert flux.frame_id.value == 399


async def set_top_up(ring, period, injection_time):
    await ring.signals["RING:TOPUP_PERIOD"].write(period)
    await ring.signals["RING:INJECTION_TIME"].write(injection_time)


def test_injections_keep_the_beam_off_the_sample_once_a_period():
    ring, shutter = Ring(""), Shutter("")
    flux = IncidentFlux("", ring, shutter, Attenuator(""), seed=1)

    async def prepare():
        await set_top_up(ring, 10.0, 0.2)
        await shutter.signals["SHUTTER:Cmd:Opn-Cmd"].write("Open")

    asyncio.run(prepare())
    now = time.monotonic()
    # Set just now: injections begin 10, 20 and 30 s later, none at once.
    starts = [begin for begin, _ in ring.injections(now, now + 35.0)]
    assert starts == pytest.approx([now + 10.0, now + 20.0, now + 30.0], abs=0.5)
    first = starts[0]
    assert ring.injections(first + 0.1, first + 0.1) != []
    assert ring.injections(first + 0.3, first + 9.0) == []
    assert flux.dose(first - 1.0, first + 1.0).open_fraction == pytest.approx(0.9, abs=1e-5)
    assert flux.dose(first + 1.0, first + 3.0).open_fraction == 1.0
    # the current just before the injection is the lowest, just after it the highest
    assert ring.current_at(first - 0.01) == pytest.approx(LOW_CURRENT, abs=0.01)
    assert ring.current_at(first + 0.01) == pytest.approx(FULL_CURRENT, abs=0.01)


def test_injections_that_would_leave_no_beam_are_refused():
    ring = Ring("")
    asyncio.run(set_top_up(ring, 0.01, 60.0))
    assert (ring.period.value, ring.injection_time.value) == (60.0, 0.0)
    assert ring.injections(0.0, 1e6) == []


def test_a_frozen_ring_has_no_injections():
    ring = Ring("", frozen=True)
    asyncio.run(set_top_up(ring, 1.0, 0.5))
    now = time.monotonic()
    assert ring.injections(now, now + 100.0) == []
