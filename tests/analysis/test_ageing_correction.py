"""Gaps of a map brought back to one time by the slope of the control pixels."""

import numpy as np
import pytest

from microarpes.analysis.ageing import ageing_of
from microarpes.analysis.ageing_correction import NothingToCorrectError, ageing_correction, error_in_common

HOUR = 3600.0


def looks(per_hour=0.0, per_minute=0.0, *, pace=(1.0,), noise=0.3, n=8, seed=3):
    """Looks over two hours at one place for each pace, minutes of beam an hour; gaps scatter by their errors, meV."""
    rng = np.random.default_rng(seed)
    for place, minutes in enumerate(pace):
        for hours in np.linspace(0.0, 2.0, n):
            gap = 35.0 + place + per_hour * hours + per_minute * minutes * hours + noise * rng.standard_normal()
            yield {
                "pixel": place, "time": 1.8e9 + hours * HOUR, "dose": 60.0 * minutes * hours, "joint_status": "ok",
                "joint_delta": gap, "joint_delta_stderr": noise, "joint_gamma1": 15.0, "joint_gamma1_stderr": 1.0,
            }  # fmt: skip


def record(gap=34.0):
    return {
        "pixel": 3, "delta": [gap, np.nan], "delta_systematic": [0.3, np.nan], "joint_delta": gap,
        "joint_delta_systematic": 0.4, "joint_delta_stderr": 0.2, "joint_gamma1": 15.0,
    }  # fmt: skip


def test_a_gap_is_given_back_what_it_has_lost_since_the_reference_and_the_slopes_error_with_it():
    found = ageing_correction(ageing_of(looks(-1.0, n=40)), 1.8e9)
    # Forty looks over two hours: their times scatter by 0.59 h, so a slope is known to 0.3 / (0.59 sqrt(40)), or less
    # well where they scatter by chance more than their errors say: those are known to 11 %.
    assert 0.99 < found.error / (0.3 / (0.592 * 40**0.5)) < 1.35
    assert found.slope == pytest.approx(-1.0, abs=3 * found.error)
    after = found.corrected(record(), 1.8e9 + 1.5 * HOUR)
    assert after["ageing_shift"] == pytest.approx(-1.5 * found.slope)
    assert after["joint_delta"] == pytest.approx(34.0 + after["ageing_shift"])
    assert after["joint_delta_systematic"] == pytest.approx(np.hypot(0.4, 1.5 * found.error))
    assert after["delta"][0] == after["joint_delta"]
    assert np.isnan(after["delta"][1])
    assert np.isnan(after["delta_systematic"][1])
    kept = ("pixel", "joint_delta_stderr", "joint_gamma1")
    assert all(after[key] == record()[key] for key in kept)


def test_before_the_reference_it_is_less_and_at_it_nothing():
    found = ageing_correction(ageing_of(looks(-1.0)), 1.8e9 + HOUR)
    assert found.shift(1.8e9 + HOUR) == (0.0, 0.0)
    added, error = found.shift(1.8e9)
    assert added < 0.0 < error


def test_a_slope_that_may_be_none_corrects_nothing():
    refused = 0
    for seed in range(200):
        try:
            ageing_correction(ageing_of(looks(seed=seed)), 1.8e9)
        except NothingToCorrectError as error:
            assert "sigma from none" in str(error)  # noqa: PT017 - either is right, in their shares
            refused += 1
    # 2 sigma come by chance in 4.6 %: of 200, 9 +- 3.
    assert 180 <= refused <= 200
    with pytest.raises(NothingToCorrectError, match="not known"):
        ageing_correction(ageing_of(list(looks(n=1))), 1.8e9)


def test_beam_that_ages_its_spots_at_different_paces_is_not_taken_for_time():
    paces = (0.5, 5.0, 20.0)
    dose = ageing_of(looks(0.0, -0.2, pace=paces))
    assert dose.trends[0].time.alarm  # alone, the time looks like it
    with pytest.raises(NothingToCorrectError, match="beside its change with dose"):
        ageing_correction(dose, 1.8e9)
    both = ageing_correction(ageing_of(looks(-1.0, -0.2, pace=paces)), 1.8e9)
    assert both.beside_dose
    assert both.told_apart
    assert both.slope == pytest.approx(-1.0, abs=3 * both.error)


def test_it_is_said_where_time_and_dose_are_one_and_the_same():
    found = ageing_correction(ageing_of(looks(-1.0, pace=(1.0, 1.0))), 1.8e9)
    assert not found.told_apart
    assert not found.beside_dose


def test_what_all_gaps_of_a_map_err_by_is_the_error_of_the_slope_times_the_time_since():
    ageing = ageing_of(looks(-1.0))
    found = ageing_correction(ageing, 1.8e9)
    times = 1.8e9 + HOUR * np.array([[0.0, 1.0], [2.0, -1.0]])
    common = error_in_common(ageing, found, times, 1.8e9)
    assert common == pytest.approx(found.error * np.array([[0.0, 1.0], [2.0, -1.0]]))


def test_an_ageing_that_was_not_seen_may_be_there_as_far_as_the_looks_leave_it_open():
    ageing = ageing_of(looks(-0.05))
    with pytest.raises(NothingToCorrectError):
        ageing_correction(ageing, 1.8e9)
    (gap,) = (trend.time for trend in ageing.trends if trend.quantity == "gap")
    (common,) = error_in_common(ageing, None, [1.8e9 + HOUR], 1.8e9)
    assert common == pytest.approx(np.hypot(gap.value, gap.error))
    assert error_in_common(ageing_of([]), None, [1.8e9 + HOUR], 1.8e9) == [0.0]
