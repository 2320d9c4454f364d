"""Slopes of control pixels: found with honest errors, quiet where nothing changes, and not taken for one another."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis.ageing import ageing_of, ageing_trend

#: Three places looked at eleven times in five hours; each look is a second of beam, and their maps add some between.
HOURS = np.linspace(0.0, 5.0, 11)
PLACE = np.tile([44, 12, 70], 11)
TIME = 1.8e9 + 3600.0 * np.repeat(HOURS, 3)
LEVEL = {44: 36.0, 12: 31.0, 70: 39.0}
PACE = {44: 6.0, 12: 20.0, 70: 40.0}  # s of beam an hour
DOSE = np.array([PACE[p] * h for p, h in zip(PLACE, np.repeat(HOURS, 3), strict=True)])
ERROR = np.full(PLACE.size, 0.4)


def values(seed, per_hour=0.0, per_minute=0.0, error=ERROR):
    rng = np.random.default_rng([seed, 0xA6E])
    level = np.array([LEVEL[p] for p in PLACE])
    return level + per_hour * (TIME - 1.8e9) / 3600.0 + per_minute * DOSE / 60.0 + rng.normal(0.0, error, PLACE.size)


def trend(value, error=ERROR, dose=DOSE, **options):
    return ageing_trend("gap", PLACE, TIME, dose, value, error, unit="meV", **options)


def test_slopes_are_the_true_ones_within_their_errors_and_the_errors_are_those_of_a_straight_line():
    found = trend(values(1, per_hour=-0.4))
    # Three places share the slope, each with a level of its own: sigma / sqrt(3 sum (t - mean)^2).
    assert found.time.error == pytest.approx(0.4 / np.sqrt(3 * ((HOURS - 2.5) ** 2).sum()), rel=0.35)
    assert found.time.value == pytest.approx(-0.4, abs=4 * found.time.error)
    assert found.alarm
    assert (found.n, found.places, found.dof) == (33, 3, 29)
    pulls = [(t := trend(values(seed, per_hour=-0.4))).time.value + 0.4 for seed in range(200)]
    # Errors of the fits, never made smaller: the scatter of 200 slopes tells theirs to 5 %.
    assert np.std(pulls) == pytest.approx(0.4 / np.sqrt(3 * ((HOURS - 2.5) ** 2).sum()), rel=0.15)
    assert t.unit == "meV"


def test_time_and_dose_are_told_apart_where_the_spots_had_beam_at_different_paces():
    by_time, by_dose = (
        [trend(values(seed, **what)) for seed in range(100)] for what in ({"per_hour": -0.4}, {"per_minute": -4.0})
    )
    for found, right, wrong in (
        (by_time, "time_with_dose", "dose_with_time"),
        (by_dose, "dose_with_time", "time_with_dose"),
    ):
        assert all(one.told_apart for one in found)
        # 7 sigma and more beside the other; the one that does nothing is an alarm in its 4.6 % of the cases.
        assert sum(getattr(one, right).alarm for one in found) == 100
        assert sum(getattr(one, wrong).alarm for one in found) <= 12


def test_one_pace_for_all_spots_is_said_to_be_no_way_to_tell_dose_from_time():
    pace = (TIME - 1.8e9) / 360.0
    found = trend(values(3, per_hour=-0.4), dose=pace)
    assert found.time.alarm
    assert found.dose.alarm
    assert not found.told_apart
    assert np.isnan(found.dose_with_time.error)
    # Nearly one pace: two slopes there are, of no use to anybody.
    nearly = trend(values(3, per_hour=-0.4), dose=pace + np.random.default_rng(1).normal(0.0, 1.0, pace.size))
    assert abs(nearly.correlation) > 0.9
    assert not nearly.told_apart


def test_a_sample_that_does_not_change_raises_the_alarm_as_often_as_two_sigma_say():
    quiet = [trend(values(seed)) for seed in range(600)]
    # 4.55 % of 600 are 27 +- 5; errors that are enlarged where looks scatter more make them fewer.
    assert 8 <= sum(one.time.alarm for one in quiet) <= 42
    assert 8 <= sum(one.dose.alarm for one in quiet) <= 42
    # Time or dose: two trials, which go together.
    assert sum(one.alarm for one in quiet) <= 60


def test_errors_from_the_scatter_make_no_more_false_alarms_though_there_are_few_looks():
    few = PLACE.size // 3
    kept = slice(0, few)

    def one(seed):
        value = values(seed, error=0.4)
        return ageing_trend("intensity", PLACE[kept], TIME[kept], DOSE[kept], value[kept], ERROR[kept] / 10.0,
                            errors_known=False)  # fmt: skip

    found = [one(seed) for seed in range(600)]
    assert found[0].dof == 7
    assert 8 <= sum(each.time.alarm for each in found) <= 45


def test_looks_that_scatter_more_than_their_errors_are_not_believed_to_be_better_than_they_are():
    found = [trend(values(seed, error=1.2)) for seed in range(300)]
    assert np.median([one.chi2 / one.dof for one in found]) == pytest.approx(9.0, rel=0.2)
    assert sum(one.time.alarm for one in found) <= 30


def test_a_place_that_was_seen_once_and_looks_without_a_number_change_nothing():
    value = values(5, per_hour=-0.4)
    whole = trend(value)
    more = ageing_trend("gap", [*PLACE, 99, 44], [*TIME, TIME[-1], TIME[-1]], [*DOSE, 0.0, 1.0], [*value, 5.0, np.nan],
                        [*ERROR, 0.1, 0.1])  # fmt: skip
    assert (more.time, more.dose, more.places, more.n) == (whole.time, whole.dose, 3, 33)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_looks_give_no_slope_and_no_alarm(n):
    found = ageing_trend("rate", [1] * n, 3600.0 * np.arange(n), 60.0 * np.arange(n), [15.0] * n, [1.0] * n,
                         errors_known=False)  # fmt: skip
    assert np.isnan(found.time.error)
    assert not found.alarm


def looks(seed, per_hour=0.0, fade=0.0):
    gap, rng = values(seed, per_hour), np.random.default_rng([seed, 2])
    light = 1.0 + fade * (TIME - 1.8e9) / 3600.0
    counts = 1e6 * light * rng.normal(1.0, 0.004, PLACE.size)  # I0 is good to 0.4 %, counting to 0.1 %
    rate, centre = (rng.normal(mean, error, PLACE.size) for mean, error in ((15.0, 1.5), (0.1, 0.004)))
    errors = {"joint_delta_stderr": 0.4, "joint_gamma1_stderr": 1.5, "k_f_centre_error": 0.004}
    columns = {"pixel": PLACE, "time": TIME, "dose": DOSE, "joint_delta": gap, "joint_gamma1": rate,
               "k_f_centre": centre, "total_counts": counts}  # fmt: skip
    told = {"joint_status": "ok", "beam": 10.0, **errors}
    return [{**told, **dict(zip(columns, row, strict=True))} for row in zip(*columns.values(), strict=True)]


def test_gap_rate_and_intensity_are_followed_and_the_one_that_changes_is_named():
    found = ageing_of(looks(3, per_hour=-0.5))
    assert [each.quantity for each in found.trends] == ["gap", "rate", "intensity", "k_F centre"]
    sigmas = [each.time.sigmas for each in found.trends]
    # 0.5 meV/h, known to 0.05; what does not change stays below 3 sigma in 99.7 % of the cases.
    assert sigmas[0] > 6.0
    assert max(sigmas[1:]) < 3.0
    assert found.p_any < 1e-6
    fading = ageing_of(looks(3, fade=-0.01))
    assert fading.trends[2].time.sigmas > 6.0
    assert fading.trends[0].time.sigmas < 3.0
    assert fading.trends[2].time.value == pytest.approx(-1.0, abs=0.2)


def test_eight_trials_make_a_false_alarm_more_likely_and_its_chance_says_so():
    found = [ageing_of(looks(seed)) for seed in range(200)]
    alarmed = np.mean([bool(one.alarms) for one in found])
    # Four quantities, each 5 to 9 %.
    assert 0.04 < alarmed < 0.30
    # The chance of any is corrected for eight trials, as if none went with another: on the safe side.
    assert np.mean([one.p_any < 0.0455 for one in found]) <= 0.0455 + 3 * np.sqrt(0.0455 / 200)


def test_what_is_no_sample_counts_for_nothing():
    off = [{**look, "joint_status": "off-sample", "joint_delta": np.nan} for look in looks(3, per_hour=-0.5, fade=-0.1)]
    found = ageing_of(off)
    assert [each.n for each in found.trends] == [0, 0, 0, 0]
    assert not found.alarms
    assert not ageing_of([]).alarms
