"""Whether repeat maps have one gap a pixel: chance alone is not refused, what is no chance is."""

import numpy as np
import pytest
from scipy.stats import kstest

from microarpes.analysis.repeat_consistency import ERRORS_RIGHT_TO, repeat_consistency


def maps(rng, n_run=3, n_pixel=200, missing=0.1):
    """Gaps that are the same in all runs, with errors between 0.3 and 0.8 meV and a tenth of the pixels missing."""
    errors = rng.uniform(0.3, 0.8, (n_run, n_pixel))
    gaps = rng.uniform(20.0, 40.0, n_pixel) + errors * rng.standard_normal(errors.shape)
    gaps[rng.random(gaps.shape) < missing] = np.nan
    return gaps, errors


def test_runs_of_one_gap_agree_as_often_as_chance_says():
    rng = np.random.default_rng(4)
    scale = 1.0 / (1.0 + ERRORS_RIGHT_TO)  # takes the margin back, so that p is that of the noise
    found = [repeat_consistency(gaps, scale * errors, np.zeros(3)) for gaps, errors in (maps(rng) for _ in range(300))]
    assert kstest([each.p_pixels for each in found], "uniform").pvalue > 0.01
    assert kstest([each.p_offsets for each in found], "uniform").pvalue > 0.01
    # two offsets, and 200 gaps but for those of a pixel that fewer than two runs have
    assert {each.dof_offsets for each in found} == {2}
    assert np.mean([each.dof_pixels for each in found]) == pytest.approx(3 * 180 - 200 - 2, abs=5)


def test_offsets_come_back_with_true_errors_and_e_f_may_explain_them():
    gaps, errors = maps(np.random.default_rng(5))
    gaps[1] += 0.8
    found = repeat_consistency(gaps, errors, np.zeros(3))
    assert found.offset[1] == pytest.approx(0.8, abs=4 * found.offset_error[1])
    assert found.p_pixels > 1e-3
    assert not found.agree
    # Known to 0.5 meV each, E_F of two runs may be 0.8 meV apart: a chance of one in four.
    assert repeat_consistency(gaps, errors, [0.5, 0.5, 0.5]).p_offsets > 0.1


def test_pixels_that_differ_are_no_offset():
    gaps, errors = maps(np.random.default_rng(6))
    gaps[2, :20] += 4.0
    found = repeat_consistency(gaps, errors, [5.0, 5.0, 5.0])
    assert found.p_pixels < 1e-6
    assert found.p_offsets > 1e-3


def test_errors_that_are_wrong_by_less_than_they_are_known_to_refuse_no_map_however_large():
    # Pulls 1.03 wide in 20 000 pixels: without a margin p would be 1e-9.
    rng = np.random.default_rng(7)
    errors = np.full((2, 20_000), 0.5)
    found = repeat_consistency(30.0 + 1.03 * errors * rng.standard_normal(errors.shape), errors, [0.0, 0.0])
    assert found.agree
    assert found.p_pixels > 0.5


def test_runs_of_the_same_counts_agree_better_than_measurements_can():
    gaps, errors = maps(np.random.default_rng(8), n_run=2)
    assert repeat_consistency(gaps, errors, [0.0, 0.0]).p_alike > 0.01
    # Another calibration record moves all gaps, and another temperature each a little: it is one noise all the same.
    replayed = repeat_consistency([gaps[0], gaps[0] + 0.2], [errors[0], errors[0]], [0.3, 0.3])
    assert replayed.same_counts
    assert not replayed.agree


def test_runs_without_a_pixel_in_common_have_nothing_to_disagree_about():
    gaps = np.array([[30.0, 31.0, np.nan, np.nan], [np.nan, np.nan, 30.0, 31.0], [np.nan, np.nan, 30.2, 31.3]])
    found = repeat_consistency(gaps, np.full(gaps.shape, 0.3), np.zeros(3))
    assert found.agree
    assert (found.number, found.dof_offsets, np.isnan(found.offset).tolist()) == (2, 0, [True, True, True])
    nothing = repeat_consistency(np.full((2, 3), np.nan), np.ones((2, 3)), np.zeros(2))
    assert (nothing.agree, nothing.number) == (True, 0)


def test_shapes_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="one row a run"):
        repeat_consistency([[30.0]], [[0.3, 0.3]], [0.0])
