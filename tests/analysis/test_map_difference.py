"""Two maps of one place: what differs by noise alone is told from a shift, and a shift from pixels that changed."""

import numpy as np
import pytest

from microarpes.analysis.map_difference import gap_difference


def two_maps(seed, shift=0.0, changed=0):
    """Two measurements of one map of 30 to 40 meV, 400 pixels, errors of 0.3 and 0.5 meV."""
    rng = np.random.default_rng(seed)
    truth, errors = rng.uniform(30, 40, (20, 20)), (np.full((20, 20), 0.3), np.full((20, 20), 0.5))
    first, second = (truth + rng.normal(0, error) for error in errors)
    second = second + shift
    second.flat[:changed] += 3.0
    return first, errors[0], second, errors[1]


def test_maps_of_one_sample_differ_by_their_errors_alone():
    found = [gap_difference(*two_maps(seed)) for seed in range(100)]
    # p of a true hypothesis is uniform: its mean over 100 maps is 0.5 with an error of 0.029, 4 of which are allowed.
    assert np.mean([each.p_equal for each in found]) == pytest.approx(0.5, abs=0.12)
    # The mean of 400 differences of 0.583 meV is known to 0.0292.
    assert np.std([each.mean for each in found]) == pytest.approx(0.0292, rel=0.3)
    assert found[0].mean_error == pytest.approx(0.02915, rel=1e-3)


def test_a_shift_of_the_whole_map_is_told_from_pixels_that_changed():
    # 0.3 meV everywhere is 10 errors of the mean; 8 pixels of 400 off by 3 meV, 5 sigma each, add 200 to a chi2 of 400.
    shifted, changed = gap_difference(*two_maps(1, shift=0.3)), gap_difference(*two_maps(1, changed=8))
    assert shifted.p_equal < 1e-4 < 0.001 < shifted.p_shifted
    assert changed.p_shifted < 1e-6
    assert shifted.mean == pytest.approx(0.3, abs=4 * shifted.mean_error)
    assert np.argmax(changed.sigmas) < 8


def test_fits_of_the_same_counts_have_no_chi2():
    found = gap_difference(*two_maps(1), same_counts=True)
    assert np.isnan([found.p_equal, found.p_shifted, found.mean_error]).all()
    assert found.error.max() == 0.5


def test_pixels_without_a_gap_are_not_compared():
    first, error, second, other = two_maps(1)
    first[0, 0], other[0, 1], error[0, 2] = np.nan, np.inf, 0.0
    found = gap_difference(first, error, second, other)
    assert found.number == 397
    assert np.isnan(found.sigmas[0, :3]).all()
    nothing = gap_difference(first * np.nan, error, second, other)
    assert (nothing.number, np.isnan(nothing.mean)) == (0, True)


def test_maps_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(20, 20\) and \(3,\)"):
        gap_difference(*two_maps(1)[:2], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
