"""What the shipped fitter makes of spectra that its model does not describe, and that the page says so."""

import re
from pathlib import Path

import numpy as np
import pytest

from microarpes.analysis.misspecification import CASES, GAPS, Sample, as_markdown, bias_table

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "what-can-fool-a-gap-map.md"


@pytest.fixture(scope="module")
def table():
    return {row.case.name: row for row in bias_table()}


COMPARED = [case for case in CASES if case.reference is not None]


@pytest.mark.parametrize("case", COMPARED, ids=[case.name for case in COMPARED])
def test_no_bias_is_worse_than_in_the_narrow_window(table, case):
    # reference: the plain model in [-90, 30] meV, tabulated to 0.01 meV for a hump, a step and a background whose exact
    # shapes it does not give; 0.03 meV for that. With the resolution overrated by 10 % and a gap below it, gamma0 rests
    # at its bound, and the correction that keeps error bars right there costs 0.1 meV, a fifth of the error
    row = table[case.name]
    for gap, bias, limit in zip(GAPS, row.bias, case.reference, strict=True):
        slack = 0.12 if case.name.startswith("resolution") and gap < 12 else 0.03
        assert abs(bias) <= abs(limit) + slack, gap


@pytest.mark.parametrize("name", [case.name for case in CASES if "background" in (case.remedy or {})])
def test_a_background_term_does_better_than_the_narrow_window_and_than_the_plain_fit(table, name):
    row = table[name]
    for gap, told, bias, limit in zip(GAPS, row.remedied, row.bias, row.case.reference, strict=True):
        # what is below 0.03 meV already cannot get better
        assert abs(told) < max(abs(limit), 0.03), gap
        assert abs(told) < max(abs(bias), 0.03), gap


def test_a_fit_that_is_told_of_k_f_resolution_and_temperature_is_right(table):
    for row in table.values():
        if row.remedied is not None and "background" not in row.case.remedy:
            assert np.abs(row.remedied).max() < 0.05, row.case.name


@pytest.mark.parametrize(
    ("name", "bias", "within"),
    [
        # dDelta/dE_F is -0.75 ... -1; -0.6 where the gap is smaller than the resolution
        ("E_F 1 meV too low on the axis", (-1.0, -0.77, -0.6), 0.15),
        # second order in eps: eps^2 / (2 delta) = 0.36 meV at 35, and as much again from the intensity
        ("k_F missed by +5 meV", (0.6, 1.4, 3.0), 0.25),
        # a spread of +-s has the mean square s^2/3
        ("window spreads over +-10 meV", (0.52, 0.94, 1.6), 0.1),
        ("window spreads over +-20 meV", (1.9, 2.95, 3.7), 0.15),
    ],
)
def test_the_size_of_what_cannot_be_mended_is_known(table, name, bias, within):
    np.testing.assert_allclose(table[name].bias, bias, atol=within)


def test_the_spectra_are_those_of_the_brute_force_convolution(edc, energy):
    # two quadratures that share no code; the background of the table is linear in energy
    mine = Sample(eps_k=-7.0, dark=0.01).expected(energy, 22.0, 1000.0)
    theirs = edc(energy, peak=1000.0, delta=22.0, eps_k=-7.0, background=0.1, slope=0.06e-2, dark=0.01)
    np.testing.assert_allclose(mine, theirs, atol=1e-3)


def numbers(markdown):
    return [float(x) for x in re.findall(r"[+-]\d+\.\d+", markdown)]


def test_the_page_shows_what_the_fitter_gives(table):
    page = PAGE.read_text()
    written = page.split("<!-- table -->")[1].split("<!-- end of table -->")[0].strip() + "\n"
    fresh = as_markdown(list(table.values()))
    assert re.sub(r"[+-]\d+\.\d+", "x", written) == re.sub(r"[+-]\d+\.\d+", "x", fresh)
    # engines agree to 1e-6; a last digit may round either way
    np.testing.assert_allclose(numbers(written), numbers(fresh), atol=0.011)
