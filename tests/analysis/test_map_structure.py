import numpy as np
import pytest

from microarpes.analysis import correlation_length, correlation_length_scattered

ERROR, SPREAD, PITCH = 0.8, 2.0, 5.0


@pytest.fixture(scope="module")
def gap_map(random_field):
    """Gaps about 35 meV with a spread of 2 and errors of 0.8; 15 % of the pixels have none."""

    def make(seed, length, power=2.0, size=40, error=ERROR):
        rng = np.random.default_rng(seed)
        noise = error * rng.standard_normal((size, size))
        gaps = 35.0 + SPREAD * random_field(rng, (size, size), length, power) + noise
        gaps[rng.random(gaps.shape) < 0.15] = np.nan
        return gaps

    return make


@pytest.mark.parametrize(
    ("power", "shape", "tolerance"), [(2.0, "gaussian", 0.08), (1.0, "exponential", 0.15)], ids=["smooth", "with edges"]
)
def test_the_length_of_a_field_is_found_with_an_error_that_means_what_it_says(gap_map, power, shape, tolerance):
    # 3 pixels of 5 um on a map of 40: about 60 independent places when smooth, and some 0.1 or 0.2 of the length
    found = [correlation_length(gap_map(seed, 3.0, power), ERROR, PITCH, PITCH) for seed in range(60)]
    length = np.array([one.length for one in found])
    assert not any(one.reason for one in found)
    assert np.mean([one.shape == shape for one in found]) > 0.9
    assert np.median(length) == pytest.approx(15.0, rel=tolerance)
    pulls = np.log(length / 15.0) * length / [one.length_stderr for one in found]
    assert pulls.std() == pytest.approx(1.0, abs=0.4)
    assert np.median([one.sill for one in found]) == pytest.approx(SPREAD, rel=0.1)


def test_larger_errors_do_not_shorten_the_length(gap_map):
    # with the errors left in, a quarter of what neighbours share would seem lost, and the length with it
    small, large = (
        [correlation_length(gap_map(seed, 3.0, error=error), error, PITCH, PITCH).length for seed in range(30)]
        for error in (0.2, 2.0)
    )
    assert np.nanmedian(large) == pytest.approx(np.nanmedian(small), rel=0.1)
    assert np.isfinite(large).all()


def test_what_is_drawn_is_one_near_zero_and_the_inverse_of_e_at_the_length(gap_map):
    found = correlation_length(gap_map(1, 4.0), ERROR, PITCH, PITCH)
    at_length = np.interp(found.length, found.lag, found.autocorrelation)
    assert at_length == pytest.approx(np.exp(-1), abs=0.1)
    assert found.autocorrelation[0] > 0.75
    assert (np.diff(found.lag) > 0).all()


def test_pixels_that_are_not_square_are_told_apart_by_their_pitch(gap_map):
    gaps = gap_map(2, 6.0, size=60)
    square, thinned = correlation_length(gaps, ERROR, 5.0, 5.0), correlation_length(gaps[::2], ERROR, 5.0, 10.0)
    assert thinned.length == pytest.approx(square.length, rel=0.15)
    assert correlation_length(gaps, ERROR, -50.0, 50.0).length == pytest.approx(10 * square.length)


def test_points_anywhere_give_what_a_raster_gives(gap_map):
    gaps = gap_map(3, 4.0, size=30)
    y, x = PITCH * np.mgrid[:30, :30]
    raster = correlation_length(gaps, ERROR, PITCH, PITCH)
    # missing pixels make the evenly spread points a little wider apart, and the bins with them
    scattered = correlation_length_scattered(gaps, ERROR, x, y)
    assert scattered.length == pytest.approx(raster.length, rel=0.05)
    assert scattered.length_stderr == pytest.approx(raster.length_stderr, rel=0.5)
    rng = np.random.default_rng(3)
    moved = correlation_length_scattered(gaps, ERROR, x + rng.normal(0, 0.5, x.shape), y + rng.normal(0, 0.5, y.shape))
    assert moved.length == pytest.approx(raster.length, rel=0.1)


def test_a_single_line_of_pixels_has_a_length_too(random_field):
    rng = np.random.default_rng(5)
    line = 35.0 + SPREAD * random_field(rng, (1, 400), 4.0) + ERROR * rng.standard_normal((1, 400))
    found = correlation_length(line, ERROR, PITCH, PITCH)
    assert abs(found.length - 20.0) < 3 * found.length_stderr


def test_without_a_spread_or_structure_there_is_a_reason_and_no_number():
    rng = np.random.default_rng(6)
    noise = rng.standard_normal((30, 30))
    equal, scattered = correlation_length(ERROR * noise, ERROR, 5, 5), correlation_length(2 * noise, ERROR, 5, 5)
    assert (equal.reason, equal.shape) == ("no spread beyond the errors", "")
    assert scattered.reason == "shorter than the distance of neighbours"
    assert np.isnan([equal.length, scattered.length, scattered.length_stderr]).all()


def test_a_gradient_over_the_whole_map_has_no_length():
    rng = np.random.default_rng(7)
    slope = np.linspace(30, 40, 30) + ERROR * rng.standard_normal((30, 30))
    assert correlation_length(slope, ERROR, 5, 5).reason == "longer than half of the map"


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (2, 1), (5, 5)])
def test_small_maps_say_that_they_are_small(shape):
    rng = np.random.default_rng(8)
    found = correlation_length(rng.standard_normal(shape), 0.1, 5, 5)
    assert "30" in found.reason
    assert np.isnan(found.length)
    assert found.n == np.prod(shape)


def test_values_all_in_one_place_have_no_distance():
    found = correlation_length_scattered(np.arange(50.0), 0.1, np.ones(50), np.ones(50))
    assert "not all in one place" in found.reason


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"values have shape \(4,\)"):
        correlation_length(np.ones(4), 1.0, 5, 5)
    with pytest.raises(ValueError, match=r"pitch_x = 0 um"):
        correlation_length(np.ones((4, 4)), 1.0, 0, 5)
    with pytest.raises(ValueError, match=r"stderr has shape \(3,\)"):
        correlation_length(np.ones((4, 4)), np.ones(3), 5, 5)
    with pytest.raises(ValueError, match="give one position a value"):
        correlation_length_scattered(np.ones(4), 1.0, np.ones(3), np.ones(3))
