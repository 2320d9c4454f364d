import numpy as np
import pytest

from microarpes.analysis import corrected_correlation

GAP_ERROR, RATE_ERROR = 0.8, 2.0


def gap_and_rate(seed, intrinsic, errors, n=400, gap_spread=1.0, rate_spread=2.5):
    """Gaps and rates whose population and whose errors have these correlations."""
    rng = np.random.default_rng(seed)
    truth = rng.multivariate_normal([0, 0], [[1, intrinsic], [intrinsic, 1]], n) * (gap_spread, rate_spread)
    error = rng.multivariate_normal([0, 0], [[1, errors], [errors, 1]], n) * (GAP_ERROR, RATE_ERROR)
    return (truth + error + (35.0, 15.0)).T


def correlations(intrinsic, errors, maps=150, **kwargs):
    made = (gap_and_rate(seed, intrinsic, errors, **kwargs) for seed in range(maps))
    return [corrected_correlation(gap, GAP_ERROR, rate, RATE_ERROR, errors) for gap, rate in made]


@pytest.mark.parametrize("errors", [0.5, -0.4])
def test_what_the_errors_alone_make_is_seen_and_taken_out(errors):
    found = correlations(0.0, errors)
    # 0.64 and 4 of the variances 1.64 and 10.25 are errors: r = errors * 1.6 / 4.1, four times its error of 0.05
    plain = np.array([one.observed / one.observed_stderr for one in found])
    assert np.mean([one.observed for one in found]) == pytest.approx(errors * 0.39, abs=0.015)
    assert np.mean(np.abs(plain) > 2) > 0.8
    pulls = np.array([one.corrected / one.corrected_stderr for one in found])
    assert abs(pulls.mean()) < 3 / np.sqrt(150)
    assert pulls.std() == pytest.approx(1.0, abs=0.2)
    assert all(one.from_errors == pytest.approx(errors) for one in found)


@pytest.mark.parametrize("intrinsic", [0.6, -0.6])
def test_a_true_correlation_comes_back_at_its_full_size(intrinsic):
    found = correlations(intrinsic, -0.3)
    pulls = np.array([(one.corrected - intrinsic) / one.corrected_stderr for one in found])
    assert np.mean([one.corrected for one in found]) == pytest.approx(intrinsic, abs=0.03)
    assert pulls.std() == pytest.approx(1.0, abs=0.2)
    # diluted by the errors to 1.5 / 4.1 of itself, and pulled down by theirs
    assert np.mean([one.observed for one in found]) == pytest.approx((intrinsic * 2.5 - 0.48) / 4.1, abs=0.03)


def test_errors_that_differ_from_pixel_to_pixel_are_taken_out_one_by_one():
    pulls = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        a_stderr, b_stderr, rho = rng.uniform(0.3, 1.5, 400), rng.uniform(1, 4, 400), rng.uniform(-0.9, 0.1, 400)
        one, other = rng.standard_normal((2, 400))
        gap = rng.standard_normal(400) + a_stderr * one
        rate = 2.5 * rng.standard_normal(400) + b_stderr * (rho * one + np.sqrt(1 - rho**2) * other)
        found = corrected_correlation(gap, a_stderr, rate, b_stderr, rho)
        pulls.append(found.corrected / found.corrected_stderr)
    assert abs(np.nanmean(pulls)) < 0.25
    assert np.nanstd(pulls) == pytest.approx(1.0, abs=0.2)


def test_where_the_gap_has_no_spread_there_is_no_number_but_a_reason():
    gap, rate = gap_and_rate(1, 0.0, -0.4, gap_spread=0.0)
    found = corrected_correlation(gap, GAP_ERROR, rate, RATE_ERROR, -0.4)
    assert np.isnan([found.corrected, found.corrected_stderr]).all()
    assert found.reason == "the spread of the first quantity is not resolved from its errors"
    assert np.isfinite(found.observed)
    gap, rate = gap_and_rate(1, 0.0, -0.4, rate_spread=0.0)
    assert "second" in corrected_correlation(gap, GAP_ERROR, rate, RATE_ERROR, -0.4).reason


def test_blocks_make_the_error_right_where_neighbours_are_alike():
    # 80 blocks of 5 pixels with one truth are 80 samples: the error is about sqrt(5) times what 400 would have
    pulls = {"pixels": [], "blocks": []}
    blocks = np.repeat(np.arange(80), 5)
    for seed in range(150):
        rng = np.random.default_rng(seed)
        gap, rate = np.repeat(rng.standard_normal((2, 80)), 5, axis=1) + 0.3 * rng.standard_normal((2, 400))
        for name, given in (("pixels", None), ("blocks", blocks)):
            found = corrected_correlation(gap, 0.3, rate, 0.3, 0.0, given)
            pulls[name].append(found.corrected / found.corrected_stderr)
    assert np.std(pulls["pixels"]) > 1.7
    assert np.std(pulls["blocks"]) == pytest.approx(1.0, abs=0.25)


def test_pixels_that_lack_anything_are_left_out_of_all():
    gap, rate = gap_and_rate(2, 0.3, -0.4)
    more_gap, more_rate = np.append(gap, [np.nan, 90.0, 35.0]), np.append(rate, [15.0, np.nan, 90.0])
    rho = np.append(np.full(400, -0.4), [-0.4, -0.4, np.nan])
    found = corrected_correlation(more_gap, GAP_ERROR, more_rate, RATE_ERROR, rho)
    assert found[:6] == pytest.approx(corrected_correlation(gap, GAP_ERROR, rate, RATE_ERROR, -0.4)[:6], rel=1e-12)
    assert found.n == 400


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_a_few_pixels_have_no_correlation(n):
    found = corrected_correlation(np.arange(n), 1.0, np.arange(n), 1.0, 0.0)
    assert np.isnan([found.observed, found.corrected]).all()
    assert found.n == n
    assert found.reason == f"{n} pixels with both values; 8 are needed"


def test_equal_values_are_no_error_and_no_number():
    found = corrected_correlation(np.ones(20), 1.0, np.arange(20.0), 1.0, 0.0)
    assert np.isnan([found.observed, found.corrected]).all()
    assert found.reason


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"b": np.ones(3)}, r"b has shape \(3,\), a has \(10,\)"),
        ({"a_stderr": np.ones(3)}, "a_stderr"),
        ({"error_correlation": 1.5}, r"error_correlation reaches 1.5; it must be in \[-1, 1\]"),
        ({"blocks": np.zeros(3)}, "blocks"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kwargs, message):
    right = {"a": np.ones(10), "a_stderr": 1.0, "b": np.ones(10), "b_stderr": 1.0, "error_correlation": 0.0}
    with pytest.raises(ValueError, match=message):
        corrected_correlation(**{**right, **kwargs})
