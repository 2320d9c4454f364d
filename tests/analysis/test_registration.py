"""How far a landmark moved: against known shifts, with honest errors, and told when it cannot be known."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis.registration import register

STEP = 8.0
#: 9 x 9 places about a dead patch of 45 um, seen by a beam of 12 um: counts fall by a quarter.
Y, X = np.mgrid[-32.0:33.0:STEP, -32.0:33.0:STEP]
COUNTS = 6e4


def patch(x0=0.0, y0=0.0):
    return COUNTS * (1.0 - 0.25 / (1.0 + np.exp((np.hypot(X - x0, 1.1 * (Y - y0)) - 22.0) / 4.0)))


def images(shift, rng, brightness=1.0, background=patch):
    before, after = rng.poisson(background()), rng.poisson(brightness * background(*shift))
    return before, after, {"before_error": np.sqrt(before), "after_error": np.sqrt(after)}


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.3, -1.7), (-12.0, 9.0), (20.0, 0.0)])
def test_a_known_shift_is_found_within_its_errors(shift):
    before, after, errors = images(shift, np.random.default_rng(1))
    found = register(before, after, STEP, **errors)
    assert found.status == "ok"
    assert abs(found.x - shift[0]) < 4 * found.x_error
    assert abs(found.y - shift[1]) < 4 * found.y_error
    # 60 000 counts a place on an edge of 15 000 over 12 um: a good deal below a micrometre.
    assert max(found.x_error, found.y_error) < 1.0


def test_the_errors_are_as_wide_as_the_scatter():
    rng = np.random.default_rng(3)
    pulls = []
    for _ in range(60):
        shift = rng.uniform(-6.0, 6.0, 2)
        before, after, errors = images(shift, rng)
        found = register(before, after, STEP, **errors)
        pulls += [(found.x - shift[0]) / found.x_error, (found.y - shift[1]) / found.y_error]
    # The spline's own error is counted in, so that the pull is rather below than above 1.
    assert 0.4 < np.std(pulls) < 1.2
    assert abs(np.mean(pulls)) < 0.35


def test_a_beam_that_became_weaker_moves_nothing():
    before, after, errors = images((4.0, 0.0), np.random.default_rng(5), brightness=0.8)
    found = register(before, after, STEP, **errors)
    assert found.brightness == pytest.approx(0.8, abs=0.01)
    assert abs(found.x - 4.0) < 4 * found.x_error


def test_an_image_with_nothing_in_it_is_flat_and_gives_no_number():
    before, after, errors = images((0.0, 0.0), np.random.default_rng(7), background=lambda *_: np.full(X.shape, COUNTS))
    found = register(before, after, STEP, **errors)
    assert found.status == "flat"
    assert np.isnan(found.x)


def test_an_edge_tells_its_own_direction_only_and_counts_as_flat():
    def edge(x0=0.0, y0=0.0):
        return COUNTS * (1.0 - 0.25 / (1.0 + np.exp((X - x0) / 4.0)))

    before, after, errors = images((3.0, 0.0), np.random.default_rng(9), background=edge)
    assert register(before, after, STEP, **errors).status == "flat"


def test_another_landmark_in_its_place_is_lost_and_gives_no_number():
    rng = np.random.default_rng(11)
    before = rng.poisson(patch())
    after = rng.poisson(COUNTS * (1.0 + 0.4 * np.sin(X / 9.0) * np.cos(Y / 7.0)))
    found = register(before, after, STEP, before_error=np.sqrt(before), after_error=np.sqrt(after))
    assert found.status in ("lost", "flat")
    assert np.isnan(found.x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_count_is_bad_input_and_never_raises(bad):
    before, after, errors = images((0.0, 0.0), np.random.default_rng(13))
    after = after.astype(float)
    after[2, 3] = bad
    assert register(before, after, STEP, **errors).status == "bad-input"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": 0.0}, "step = 0.0 um"),
        ({"step": float("nan")}, "step = nan um"),
        ({"max_error": -1.0}, "max_error = -1.0 um"),
        ({"after": np.ones((3, 9))}, r"shapes \[\(3, 9\), \(9, 9\)\]"),
    ],
)
def test_wrong_arguments_are_refused_with_name_value_and_limit(changes, words):
    ones = np.ones((9, 9))
    arguments = {"before": ones, "after": ones, "step": STEP, "before_error": ones, "after_error": ones} | changes
    with pytest.raises(ValueError, match=words):
        register(**arguments)
