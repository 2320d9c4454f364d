"""The detector's count rate, or a frame, says that it counted more than it may; whoever is first spares it."""

import numpy as np
import pytest
from ophyd.sim import make_fake_device

from microarpes.devices.over_count_guard import OverCountGuard


@pytest.fixture
def guard():
    guard = make_fake_device(OverCountGuard)("COUNT_RATE", limit=1e6, name="guard")
    guard.told = []
    guard.reset(guard.told.append)
    return guard


def test_a_rate_above_the_limit_calls_for_help_once_and_says_both_rates(guard):
    for rate in (1e6, 1.2e6, 3e6):
        guard.rate.sim_put(rate)
    assert guard.told == [1.2e6]
    assert guard.refusal == "the detector counted 1.2e+06 counts/s, its limit is 1e+06 counts/s"


def test_a_rate_that_is_no_number_is_above_the_limit(guard):
    guard.rate.sim_put(np.nan)
    assert guard.refusal != ""


def test_a_frame_above_the_limit_calls_for_help_before_the_rate_is_heard_of(guard):
    # 300 x 400 channels of one count in 0.1 s are 1.2e6 counts/s
    guard.look_at(np.ones((300, 400), dtype=np.uint16), 0.1)
    guard.rate.sim_put(1.3e6)
    assert guard.told == [pytest.approx(1.2e6)]
    assert "1.2e+06" in guard.refusal


def test_it_watches_anew_after_a_reset(guard):
    guard.rate.sim_put(2e6)
    guard.reset(guard.told.append)
    assert guard.refusal == ""
    guard.rate.sim_put(4e6)
    assert guard.told == [2e6, 4e6]


def test_a_frame_at_the_limit_is_well(guard):
    guard.look_at(np.ones((300, 400), dtype=np.uint16), 0.12)
    assert guard.refusal == ""


def test_a_full_sixteen_bit_frame_does_not_wrap_around(guard):
    guard.look_at(np.full((300, 400), 65535, dtype=np.uint16), 1.0)
    assert guard.refusal != ""


@pytest.mark.parametrize(("frame", "seconds"), [(None, 1.0), (np.ones((2, 2)), 0.0), (np.full((2, 2), np.nan), 1e-9)])
def test_what_has_no_rate_is_for_others_to_refuse(guard, frame, seconds):
    guard.look_at(frame, seconds)
    assert guard.refusal == ""
