"""A frame says itself when the detector counted more than it may."""

from types import SimpleNamespace

import numpy as np
import pytest

from microarpes.devices.over_count_guard import OverCountGuard


def refusal(frame, seconds, limit=1e6):
    return OverCountGuard.refusal(SimpleNamespace(limit=limit), frame, seconds)


def test_a_frame_above_the_limit_is_refused_with_both_rates():
    # 300 x 400 channels of one count in 0.1 s are 1.2e6 counts/s
    reason = refusal(np.ones((300, 400), dtype=np.uint16), 0.1)
    assert "1.2e+06 counts/s" in reason
    assert "limit is 1e+06" in reason


def test_a_frame_at_the_limit_is_not():
    assert refusal(np.ones((300, 400), dtype=np.uint16), 0.12) == ""


def test_a_full_sixteen_bit_frame_does_not_wrap_around():
    assert refusal(np.full((300, 400), 65535, dtype=np.uint16), 1.0) != ""


@pytest.mark.parametrize(("frame", "seconds"), [(None, 1.0), (np.ones((2, 2)), 0.0), (np.full((2, 2), np.nan), 1e-9)])
def test_what_has_no_rate_is_for_others_to_refuse(frame, seconds):
    assert refusal(frame, seconds) == ""
