"""Edges under a Gaussian beam: their errors are those of counting, and what is no edge says so."""

import numpy as np
import pytest
from scipy.special import ndtr

from microarpes.analysis.knife_edge import best_focus, knife_edge

PLACES = np.arange(-30.0, 31.0, 3.0)
#: um FWHM per um sigma of a Gaussian.
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


def line(place=2.0, fwhm=10.0, low=8e3, high=2e4, i0=1.0):
    return i0 * (low + (high - low) * ndtr((PLACES - place) / (fwhm / FWHM)))


@pytest.mark.parametrize(("low", "high"), [(8e3, 2e4), (300.0, 20.0)])
def test_place_and_width_are_within_errors_that_are_those_of_counting(low, high):
    rng = np.random.default_rng(1)
    places, widths = [], []
    for _ in range(60):
        i0 = rng.uniform(0.7, 1.3, PLACES.size)
        found = knife_edge(PLACES, rng.poisson(line(low=low, high=high, i0=i0)), i0)
        assert found.status == "ok"
        places.append((found.position - 2.0) / found.position_error)
        widths.append((found.width - 10.0) / found.width_error)
    # 60 pulls: their spread is known to 0.09, their mean to 0.13. chi2 above 1 widens the errors of half of the lines.
    assert np.std(places) == pytest.approx(0.93, abs=0.28)
    assert np.std(widths) == pytest.approx(0.93, abs=0.28)
    assert abs(np.mean(places)) < 0.45
    assert abs(np.mean(widths)) < 0.45


def test_errors_that_are_given_are_used():
    rng = np.random.default_rng(2)
    counts = line() + rng.normal(0.0, 500.0, PLACES.size)
    found, wide = (knife_edge(PLACES, counts, error=np.full(PLACES.size, e)) for e in (500.0, 1000.0))
    assert found.status == "ok"
    assert found.width == pytest.approx(10.0, abs=4 * found.width_error)
    assert wide.position_error > 1.5 * found.position_error


def test_a_line_over_one_thing_has_no_edge():
    rng = np.random.default_rng(3)
    found = [knife_edge(PLACES, rng.poisson(1e4, PLACES.size)) for _ in range(40)]
    assert {one.status for one in found} == {"no-edge"}
    assert np.isnan([one.width for one in found]).all()


def test_a_beam_that_changes_makes_no_edge():
    i0 = np.where(PLACES > 0, 1.0, 0.5)
    assert knife_edge(PLACES, np.random.default_rng(4).poisson(1e4 * i0), i0).status == "no-edge"


def test_a_bump_is_a_misfit_and_an_edge_at_the_end_lies_outside():
    bump = 1e4 + 1e4 * np.exp(-(PLACES**2) / 100)
    assert knife_edge(PLACES, bump).status == "misfit"
    assert knife_edge(PLACES, line(place=28.0)).status == "outside"


def test_a_beam_far_narrower_than_the_step_is_not_resolved():
    found = knife_edge(PLACES, np.where(PLACES > 1.0, 2e4, 8e3))
    assert found.status == "unresolved"
    assert found.position == pytest.approx(1.5, abs=1.5)


def test_what_is_no_count_is_bad_input():
    counts = line()
    for wrong in (np.nan, -1.0):
        counts[3] = wrong
        assert knife_edge(PLACES, counts).status == "bad-input"
    assert knife_edge(PLACES, line(), np.zeros(PLACES.size)).status == "bad-input"
    with pytest.raises(ValueError, match="6 different places"):
        knife_edge(PLACES[:5], line()[:5])


def test_the_focus_is_found_within_its_error():
    rng = np.random.default_rng(5)
    z = np.linspace(-300.0, 300.0, 9)
    width = np.sqrt(100.0 + ((z - 40.0) / 15.0) ** 2)
    pulls = []
    for _ in range(200):
        error = 0.05 * width
        found = best_focus(z, rng.normal(width, error), error)
        assert found.status == "ok"
        pulls.append(((found.position - 40.0) / found.position_error, (found.width - 10.0) / found.width_error))
    # As above: below 1 because chi2 above 1 widens the errors of half of the scans.
    assert np.std(pulls, axis=0) == pytest.approx([0.9, 0.9], abs=0.2)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.45


def test_a_beam_that_is_the_same_everywhere_has_no_focus():
    z = np.linspace(-300.0, 300.0, 7)
    assert best_focus(z, np.full(7, 10.0), np.full(7, 0.3)).status == "no-minimum"
    assert best_focus(z, np.sqrt(100.0 + ((z - 500.0) / 15.0) ** 2), np.full(7, 0.3)).status == "outside"
    unknown = np.array([10.0, 9.0, 10.0, *[np.nan] * 4])
    assert best_focus(z, unknown, np.full(7, 0.3)).status == "too-few"
