import numpy as np
import pytest

from microarpes.analysis import constant_chi2, intrinsic_spread

N, ERROR, SPREAD = 300, 0.8, 2.0


def spreads(seeds, intrinsic, errors=ERROR, n=N):
    """Estimates over seeded maps of gaps about 35 meV."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        stderr = np.broadcast_to(errors, n) if np.ndim(errors) == 0 else rng.uniform(*errors, n)
        gaps = 35.0 + intrinsic * rng.standard_normal(n) + stderr * rng.standard_normal(n)
        found.append(intrinsic_spread(gaps, stderr))
    return found


@pytest.mark.parametrize("errors", [ERROR, (0.4, 3.0)], ids=["equal errors", "errors from 0.4 to 3 meV"])
def test_the_spread_without_the_errors_is_found_and_its_error_means_what_it_says(errors):
    # 200 maps: the mean pull is known to 0.07, its width to 5 %
    found = spreads(200, SPREAD, errors)
    pulls = np.array([(one.intrinsic - SPREAD) / one.intrinsic_stderr for one in found])
    assert abs(pulls.mean()) < 0.25
    assert pulls.std() == pytest.approx(1.0, abs=0.15)
    assert all(one.resolved for one in found)
    # what is seen is wider: sqrt(2^2 + 0.8^2) = 2.15 with equal errors
    assert np.mean([one.observed for one in found]) > np.mean([one.intrinsic for one in found]) + 0.1


def test_the_error_of_the_mean_holds_spread_and_errors():
    found = spreads(200, SPREAD, (0.4, 3.0))
    pulls = np.array([(one.mean - 35.0) / one.mean_stderr for one in found])
    assert abs(pulls.mean()) < 3 / np.sqrt(200)
    assert pulls.std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("n", [4, 30, 300])
def test_the_upper_limit_covers_in_95_maps_of_100_however_few_the_pixels(n):
    # of 1000 maps 950 +- 7 should; here the spread is plain, and the limit just what its name says
    covered = np.mean([one.upper_limit >= SPREAD for one in spreads(1000, SPREAD, (0.1, 0.4), n)])
    assert covered == pytest.approx(0.95, abs=0.021)


@pytest.mark.parametrize("intrinsic", [0.0, 0.2])
def test_a_limit_near_nothing_covers_and_never_excludes_what_could_not_be_seen(intrinsic):
    # 30 pixels of about 0.8 meV scatter by 13 % more or less: a spread of 0.2 meV adds 3 % and is never seen
    limits = np.array([one.upper_limit for one in spreads(400, intrinsic, (0.4, 1.2), 30)])
    assert np.mean(limits > intrinsic) >= 0.93
    assert limits.min() > 0.2
    assert np.median(limits) < 0.7


def test_no_spread_is_called_one_in_5_maps_of_100():
    found = spreads(400, 0.0)
    assert 0.02 < np.mean([one.resolved for one in found]) < 0.09
    # 300 pixels know the variance of 0.64 to 0.052: what adds twice that, a spread of 0.32, is excluded
    assert np.median([one.upper_limit for one in found]) == pytest.approx(0.32, abs=0.06)


def test_pixels_without_a_number_or_an_error_count_for_nothing():
    gaps, stderr = np.array([[33.0, 35.0, np.nan, 50.0], [37.0, 39.0, 10.0, 41.0]]), np.ones((2, 4))
    stderr[0, 3], stderr[1, 2] = np.nan, 0.0
    assert intrinsic_spread(gaps, stderr) == intrinsic_spread([33.0, 35.0, 37.0, 39.0, 41.0], 1.0)
    assert constant_chi2(gaps, stderr) == constant_chi2([33.0, 35.0, 37.0, 39.0, 41.0], 1.0)


def test_two_values_have_a_spread_one_has_none_and_nothing_has_nothing():
    two, one, none = intrinsic_spread([34.0, 36.0], 0.5), intrinsic_spread([34.0], 0.5), intrinsic_spread([], 1.0)
    # half the squared difference is 2 = 0.25 + spread^2
    assert two.intrinsic == pytest.approx(np.sqrt(1.75))
    assert (one.mean, one.n, one.resolved) == (34.0, 1, False)
    assert np.isnan([one.mean_stderr, one.observed, one.intrinsic, one.upper_limit]).all()
    assert np.isnan(none[:6]).all()
    assert np.isnan(intrinsic_spread([34.0, 34.0], 0.5).upper_limit)
    assert intrinsic_spread([34.0, 34.0], 0.5).intrinsic == 0.0
    assert none.n == 0
    assert np.isnan(intrinsic_spread(np.full((3, 3), np.nan), np.full((3, 3), np.nan)).mean)


def test_one_gap_for_all_is_refused_as_often_as_the_p_value_says():
    rng = np.random.default_rng(3)
    stderr = rng.uniform(0.4, 2.0, (400, 50))
    same = 35.0 + stderr * rng.standard_normal(stderr.shape)
    p = np.array([constant_chi2(x, s).p_value for x, s in zip(same, stderr, strict=True)])
    assert np.mean(p) == pytest.approx(0.5, abs=3 * 0.289 / 20)
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.035)


def test_chi2_of_three_gaps_by_hand():
    # weights 1, 1, 1/4: the constant is (30 + 32 + 36 / 4) / 2.25, chi2 its weighted squares
    found = constant_chi2([30.0, 32.0, 36.0], [1.0, 1.0, 2.0])
    constant = 71.0 / 2.25
    assert found.constant == pytest.approx(constant)
    assert found.constant_stderr == pytest.approx(1 / 1.5)
    assert found.chi2 == pytest.approx((30 - constant) ** 2 + (32 - constant) ** 2 + (36 - constant) ** 2 / 4)
    assert found.dof == 2
    assert found.p_value == pytest.approx(np.exp(-found.chi2 / 2))  # two degrees of freedom


def test_one_gap_or_none_tests_nothing():
    one, none = constant_chi2([34.0], 0.5), constant_chi2([np.nan], 0.5)
    assert (one.constant, one.constant_stderr, one.dof) == (34.0, 0.5, 0)
    assert np.isnan([one.chi2, one.p_value, none.constant, none.p_value]).all()
    assert none.dof == 0


def drifting(seeds, intrinsic, common, n=60):
    """Maps whose gaps all go with time by a slope of known error, 0.6 meV from the first to the last."""
    time = np.linspace(0.0, 0.6, n)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        stderr = rng.uniform(0.2, 0.4, n)
        gaps = 35.0 + rng.standard_normal() * time + intrinsic * rng.standard_normal(n)
        yield gaps + stderr * rng.standard_normal(n), stderr, time if common else 0.0


@pytest.mark.parametrize("common", [True, False])
def test_an_error_that_all_gaps_share_is_no_spread_when_it_is_told(common):
    # It adds 0.17 meV where 60 gaps of 0.3 meV show a spread of 0.2: untold, a fifth of homogeneous maps have one.
    found = [intrinsic_spread(*one).resolved for one in drifting(400, 0.0, common)]
    p_values = [constant_chi2(*one).p_value for one in drifting(400, 0.0, common)]
    if common:
        assert np.mean(found) == pytest.approx(0.05, abs=0.033)
        assert np.mean(p_values) == pytest.approx(0.5, abs=3 * 0.289 / 20)
    else:
        assert np.mean(found) > 0.15


def test_beside_a_shared_error_spread_and_mean_are_found_with_honest_errors():
    found = [intrinsic_spread(*one) for one in drifting(300, 0.5, True)]
    for pulls in (
        np.array([(one.intrinsic - 0.5) / one.intrinsic_stderr for one in found]),
        np.array([(one.mean - 35.0) / one.mean_stderr for one in found]),
    ):
        assert abs(pulls.mean()) < 0.3
        assert pulls.std() == pytest.approx(1.0, abs=0.15)


def test_with_a_shared_error_chi2_is_that_of_the_inverse_matrix():
    x, s, v = np.array([30.0, 32.0, 36.0, 31.0]), np.array([1.0, 1.0, 2.0, 0.7]), np.array([0.0, 0.5, 1.0, 2.0])
    inverse, one = np.linalg.inv(np.diag(s**2) + np.outer(v, v)), np.ones(4)
    mean = (one @ inverse @ x) / (one @ inverse @ one)
    found = constant_chi2(x, s, v)
    assert found.constant == pytest.approx(mean)
    assert found.constant_stderr == pytest.approx((one @ inverse @ one) ** -0.5)
    assert found.chi2 == pytest.approx((x - mean) @ inverse @ (x - mean))


@pytest.mark.parametrize("function", [intrinsic_spread, constant_chi2])
def test_errors_of_another_shape_are_refused(function):
    with pytest.raises(ValueError, match=r"common has shape \(2,\), values have \(4,\)"):
        function(np.ones(4), 1.0, np.ones(2))
    with pytest.raises(ValueError, match=r"stderr has shape \(3,\), values have \(4,\)"):
        function(np.ones(4), np.ones(3))
