"""Limits that cannot be met are refused when they are made."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from microarpes.plans.limits import UPDATE_PERIOD, GateLimits


@pytest.mark.parametrize(
    ("limits", "longest"),
    [
        ({}, float("inf")),
        ({"sub_frame": 20.0}, 20.0),
        ({"top_up_interval": 60.0}, 60.0),
        # between two injections of 0.5 s, one of which may be under way, with 0.5 s for the age of the countdown
        ({"top_up_interval": 60.0, "top_up": "gate"}, 58.5),
        ({"top_up_interval": 60.0, "top_up": "discard", "injection_time": 2.0}, 54.0),
        ({"top_up_interval": 60.0, "top_up": "gate", "sub_frame": 20.0}, 20.0),
        # ignored injections may fall into a sub-frame
        ({"top_up_interval": 60.0, "sub_frame": 90.0}, 90.0),
    ],
)
def test_the_longest_exposure_fits_between_injections_where_they_matter(limits, longest):
    assert GateLimits(**limits).longest_exposure == longest


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"top_up": "gate"}, "needs top_up_interval"),
        ({"top_up": "discard"}, "needs top_up_interval"),
        ({"top_up": "gate", "top_up_interval": 1.5, "injection_time": 0.5}, "leaves no room"),
        ({"top_up": "gate", "top_up_interval": 60.0, "sub_frame": 59.0}, "at most 58.5 s"),
        ({"top_up": "wait"}, "'ignore', 'gate' or 'discard'"),
        ({"beam_check": "none"}, "'gated' or 'delayed'"),
        ({"max_age": {"ring": 1.0}}, "unknown signal ring"),
        ({"update_period": {"ring": 1.0}}, "unknown signal ring"),
        ({"max_dose_loss": 1.0}, "less than 1"),
    ],
)
def test_limits_that_contradict_each_other_are_refused_with_the_numbers(limits, reason):
    with pytest.raises(ValidationError, match=reason):
        GateLimits(**limits)


def test_each_slow_signal_has_an_age_limit():
    assert {name: GateLimits().age_limit(name) for name in UPDATE_PERIOD} == {
        "ring_current": 3.0,
        "sample_temperature": 6.0,
        "pressure": 9.0,
        "heartbeat": 3.0,
        "countdown": 3.0,
    }
