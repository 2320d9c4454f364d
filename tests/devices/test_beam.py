"""The beam without gated I0: only a value younger than the end of the exposure is news."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from microarpes.devices.beam import Beam, GatedBeam, TopUp
from microarpes.devices.channel_access import INVALID, asked_pvs


class Ring:
    """A ring current whose time stamp goes on by a second at every read, up to the last."""

    pvname, connected, alarm_severity = "TEST:RING", True, 0
    _read_pv = SimpleNamespace(connected=False)

    def __init__(self, last=math.inf, error=None):
        self.timestamp, self.last, self.error = 1000.0, last, error

    def get(self, **_):
        if self.error:
            raise self.error
        self.timestamp = min(self.timestamp + 1.0, self.last)
        return 299.0


def beam_with(ring, patience=2.0):
    class Told(Beam):
        ring_current = ring
        POLL = 0.001

    return Told(ring_pv="", patience=patience, name="beam")


def test_the_ring_current_is_news_when_it_is_younger_than_the_end_of_the_exposure():
    ring = Ring()
    assert beam_with(ring).wait_for_news(1003.0)
    assert ring.timestamp == 1004.0


def test_a_ring_current_that_is_not_updated_is_not_waited_for_for_ever():
    assert not beam_with(Ring(last=1003.0), patience=0.05).wait_for_news(1003.0)


def test_a_countdown_that_cannot_be_read_is_invalid_and_raises_nothing():
    class Told(TopUp):
        countdown = Ring()
        countdown.name = "top_up_countdown"

    top_up = Told("", name="top_up")
    assert top_up.read()["top_up_countdown"] == {"value": 299.0, "timestamp": 1001.0, "alarm_severity": 0}
    for error in (ConnectionError("away"), TimeoutError("no answer")):
        Told.countdown.error = error
        reading = top_up.read()["top_up_countdown"]
        assert reading["alarm_severity"] == INVALID
        assert math.isnan(reading["value"])


@pytest.fixture
def made():
    devices = []
    yield lambda device: devices.append(device) or device
    for device in devices:
        device.destroy()


def test_only_a_gated_beam_asks_for_gated_i0(made):
    delayed = made(Beam(ring_pv="T:RING", name="beam"))
    gated = made(GatedBeam(ring_pv="T:RING", i0_prefix="T:I0:", name="beam"))
    assert asked_pvs(delayed) == ["T:RING"]
    assert set(delayed.signals()) == {"ring_current"}
    assert asked_pvs(gated) == ["T:I0:CURRENT", "T:I0:FRAME_ID", "T:I0:INTEGRAL", "T:I0:OPEN_FRACTION", "T:RING"]
    assert set(gated.signals()) == {"ring_current", "i0_integral", "i0_frame_id", "open_fraction"}
