import numpy as np
import pytest

from microarpes.analysis.instrumental_tests import instrumental_tests

ERROR, SPREAD, SIZE = 0.8, 2.0, 12
ROW, COLUMN = np.mgrid[:SIZE, :SIZE].astype(float)


@pytest.fixture(scope="module")
def gap_map(random_field):
    """Gaps about 35 meV of a field with a spread of 2 meV and errors of 0.8; one in ten is missing."""

    def make(seed, length, power=2.0, drift=0.0):
        rng = np.random.default_rng(seed)
        field = random_field(rng, ROW.shape, length, power) if length else rng.standard_normal(ROW.shape)
        gaps = 35.0 + SPREAD * field + drift * ROW + ERROR * rng.standard_normal(ROW.shape)
        gaps[rng.random(gaps.shape) < 0.1] = np.nan
        return gaps

    return make


def p_values(maps, name, covariates):
    return np.array([instrumental_tests(gaps, ERROR, covariates).tests[name].p_value for gaps in maps])


@pytest.mark.parametrize(
    ("length", "power"),
    [(0.0, 2.0), (3.0, 2.0), (6.0, 2.0), (3.0, 1.0)],
    ids=["white", "smooth", "as wide as half the map", "with edges"],
)
def test_a_real_field_is_seldom_taken_for_a_drift_along_the_rows(gap_map, length, power):
    # of 40 maps 0.4 should pass 1 % and 2 should pass 5 %; three (seven) or more do once in 130 (300) such tests
    p = p_values([gap_map(seed, length, power) for seed in range(100, 140)], "row", {"row": ROW})
    assert (p < 0.01).sum() <= 2
    assert (p < 0.05).sum() <= 6


def test_neighbours_taken_for_independent_would_flag_every_other_map(gap_map):
    # what the tests are for: the plain correlation of a smooth field with the row, and its t with n - 2
    naive, found = [], []
    for seed in range(200, 230):
        one = instrumental_tests(gap_map(seed, 3.0), ERROR, {"row": ROW}).tests["row"]
        naive.append(abs(one.correlation) * np.sqrt((one.n - 2) / (1 - one.correlation**2)) > 2.6)
        found.append(one.flagged)
    assert np.mean(naive) > 0.4
    assert np.sum(found) <= 2


def test_errors_given_too_small_on_a_smooth_field_do_not_make_a_drift_of_it(random_field):
    # scatter of 1.6 meV from pixel to pixel, said to be 0.8: a single length for both would be far too short
    p = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        gaps = 35.0 + SPREAD * random_field(rng, ROW.shape, 5.0) + 2 * ERROR * rng.standard_normal(ROW.shape)
        p.append(p_values([gaps], "row", {"row": ROW})[0])
    assert (np.array(p) < 0.05).sum() <= 6


def test_a_smooth_drift_of_the_instrument_and_a_smooth_sample_are_not_confused(gap_map, random_field):
    p = []
    for seed in range(300, 340):
        ef = random_field(np.random.default_rng(900 + seed), ROW.shape, 4.0)
        p.append(p_values([gap_map(seed, 4.0)], "ef", {"ef": ef})[0])
    assert (np.array(p) < 0.01).sum() <= 2


@pytest.mark.parametrize(
    ("length", "power", "least"),
    [(0.0, 2.0, 0.9), (2.0, 2.0, 0.9), (2.0, 1.0, 0.6)],
    ids=["white", "smooth", "with edges"],
)
def test_a_drift_of_one_error_a_row_is_found_on_top_of_a_field(gap_map, length, power, least):
    # with the field's length and strength known the slope would be 6 of its errors; where the field has edges some
    # drifts may be the field of a map that is one long gradient, and are not flagged
    found = [
        instrumental_tests(gap_map(seed, length, power, drift=ERROR), ERROR, {"row": ROW}) for seed in range(400, 420)
    ]
    assert np.mean([one.flagged == ("row",) for one in found]) > least
    pulls = [(one.tests["row"].slope - ERROR) / one.tests["row"].slope_stderr for one in found]
    assert abs(np.mean(pulls)) < 3 / np.sqrt(20)
    assert np.std(pulls) < 1.5


def test_the_effective_number_is_that_of_pixels_when_white_and_of_patches_when_smooth(gap_map):
    white, smooth = (
        np.median(
            [instrumental_tests(gap_map(seed, length), ERROR, {"r": ROW}).tests["r"].n_effective for seed in range(5)]
        )
        for length in (0.0, 4.0)
    )
    # a patch of correlation 4 covers pi 4^2 = 50 pixels of the 144
    assert white > 60
    assert smooth < 25


def test_what_goes_with_the_map_is_named_and_the_rest_is_not(gap_map):
    rng = np.random.default_rng(1)
    i0, beam = rng.standard_normal((2, *ROW.shape))
    gaps = gap_map(1, 2.0) + 1.5 * i0
    found = instrumental_tests(gaps, ERROR, {"row": ROW, "time": SIZE * ROW + COLUMN, "I0": i0, "beam": beam})
    assert found.flagged == ("I0",)
    assert found.tests["I0"].slope == pytest.approx(1.5, abs=0.5)
    assert not found.tests["beam"].flagged


def test_the_correction_for_several_tests_is_holms(gap_map):
    rng = np.random.default_rng(2)
    found = instrumental_tests(gap_map(2, 2.0), ERROR, {str(k): rng.standard_normal(ROW.shape) for k in range(5)})
    p = sorted(one.p_value for one in found.tests.values())
    expected = np.minimum(np.maximum.accumulate(np.array([5, 4, 3, 2, 1]) * p), 1.0)
    assert sorted(one.p_corrected for one in found.tests.values()) == pytest.approx(expected)


def test_a_quantity_in_other_units_is_the_same_quantity(gap_map):
    gaps = gap_map(3, 2.0, drift=0.3)
    plain, seconds = (instrumental_tests(gaps, ERROR, {"t": t}).tests["t"] for t in (ROW, 1.7e9 + 3600.0 * ROW))
    assert seconds.p_value == pytest.approx(plain.p_value, rel=1e-4)
    assert seconds.slope * 3600.0 == pytest.approx(plain.slope, rel=1e-4)


def test_a_quantity_that_is_constant_or_unknown_is_passed_over_with_a_reason(gap_map):
    gaps = gap_map(4, 2.0)
    few = np.where(ROW < 1, COLUMN, np.nan)
    found = instrumental_tests(gaps, ERROR, {"ring": np.full_like(ROW, 450.0), "few": few, "row": ROW})
    assert found.tests["ring"].reason == "constant"
    assert found.tests["few"].reason.endswith("values; 20 are needed")
    assert np.isnan([found.tests["ring"].p_value, found.tests["few"].p_corrected]).all()
    # and counts for no test
    assert found.tests["row"].p_corrected == found.tests["row"].p_value


def test_pixels_where_a_quantity_is_unknown_are_left_out_of_its_test_alone(gap_map):
    gaps = gap_map(5, 2.0)
    holes = np.where(COLUMN == 3, np.nan, ROW)
    found = instrumental_tests(gaps, ERROR, {"row": ROW, "holes": holes}).tests
    assert found["row"].n == np.isfinite(gaps).sum()
    assert found["holes"].n == np.isfinite(gaps[COLUMN != 3]).sum()
    alone = instrumental_tests(np.where(COLUMN == 3, np.nan, gaps), ERROR, {"row": ROW}).tests["row"]
    assert found["holes"].p_value == pytest.approx(alone.p_value)


def test_a_large_map_is_averaged_over_tiles_and_keeps_its_drift(random_field):
    rng = np.random.default_rng(6)
    row, column = np.mgrid[:60, :60].astype(float)
    gaps = 35.0 + SPREAD * random_field(rng, row.shape, 4.0) + 0.3 * row + ERROR * rng.standard_normal(row.shape)
    found = instrumental_tests(gaps, ERROR, {"row": row, "column": column}, at_most=150)
    assert found.flagged == ("row",)
    assert found.tests["row"].slope == pytest.approx(0.3, abs=0.1)
    assert 75 < found.tests["row"].n <= 150


def test_points_anywhere_are_tested_as_a_raster_is(gap_map):
    gaps = gap_map(7, 2.0, drift=0.3)
    order = np.random.default_rng(7).permutation(gaps.size)
    flat = [array.ravel()[order] for array in (gaps, ROW, COLUMN)]
    raster = instrumental_tests(gaps, ERROR, {"row": ROW}).tests["row"]
    scattered = instrumental_tests(flat[0], ERROR, {"row": flat[1]}, 5.0 * flat[2], 5.0 * flat[1]).tests["row"]
    assert scattered.p_value == pytest.approx(raster.p_value, rel=1e-6)


@pytest.mark.parametrize("gaps", [np.full((5, 5), np.nan), np.full((5, 5), 35.0), np.ones((1, 1))])
def test_maps_without_anything_to_say_flag_nothing(gaps):
    assert instrumental_tests(gaps, ERROR, {"row": np.indices(gaps.shape)[0]}).flagged == ()


def test_values_all_in_one_place_are_tested_as_independent():
    rng = np.random.default_rng(8)
    time = np.arange(60.0)
    gaps = 35.0 + 0.1 * time + ERROR * rng.standard_normal(60)
    found = instrumental_tests(gaps, ERROR, {"time": time}, np.zeros(60), np.zeros(60))
    assert found.flagged == ("time",)
    # 60 values: 0.8 meV / (17.3 sqrt(60))
    assert found.tests["time"].slope_stderr == pytest.approx(0.006, rel=0.3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"row has shape \(3,\), values have \(4, 4\)"):
        instrumental_tests(np.ones((4, 4)), 1.0, {"row": np.ones(3)})
    with pytest.raises(ValueError, match="or x and y"):
        instrumental_tests(np.ones(4), 1.0, {"row": np.ones(4)})
    with pytest.raises(ValueError, match=r"at_most = 3 values"):
        instrumental_tests(np.ones((4, 4)), 1.0, {"row": np.ones((4, 4))}, at_most=3)
