"""The compiled logarithm is the logarithm."""

from __future__ import annotations

import numpy as np

from microarpes.analysis.compiled_log import logarithms


def logarithms_of(values):
    out = np.empty(values.size)
    logarithms(values, values.size, np.empty((2, values.size), dtype=np.int64), out)
    return out


def test_it_is_that_of_numpy_to_the_last_bits():
    # counts over expected counts: near one in a good fit, anything at a start
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.uniform(0.5, 2.0, 4000), 10.0 ** rng.uniform(-300.0, 300.0, 4000), [1.0, 2.0**0.5]])
    np.testing.assert_allclose(logarithms_of(values), np.log(values), rtol=1e-15, atol=0.0)


def test_next_to_one_it_loses_nothing():
    step = 2.0**-52
    values = 1.0 + step * np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
    np.testing.assert_allclose(logarithms_of(values), np.log(values), rtol=1e-15, atol=0.0)


def test_no_counts_weigh_nothing():
    # the deviance multiplies it with the counts: nothing times a finite number
    (log,) = logarithms_of(np.zeros(1))
    assert np.isfinite(log)
    assert 0.0 * log == 0.0
