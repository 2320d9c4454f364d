"""A gap that closes above T_c, one that stays, and what the errors do not tell: on spectra of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis import GapFitter
from microarpes.analysis.gap_closing import CLOSES, STAYS, UNDECIDED, gap_closing

#: Below and above a T_c of 92 K; FWHM meV; scattering rates as at the antinode of Bi2212.
COLD, WARM, RESOLUTION = 10.0, 110.0, 12.0
RATES = {COLD: 15.0, WARM: 30.0}
NAN = float("nan")


@pytest.fixture(scope="module")
def measured(energy, edc):
    """Fit spectra of some gaps at a temperature, each so often, with so many counts per meV at the peak."""

    def fits(gaps, number, temperature, peak, seed):
        means = [edc(energy, peak=peak, delta=gap, gamma1=RATES[temperature], resolution=RESOLUTION,
                     temperature=temperature) for gap in gaps]  # fmt: skip
        counts = np.random.default_rng(seed).poisson(np.repeat(means, number, axis=0)).astype(float)
        fitter = GapFitter(energy, RESOLUTION, temperature, temperature_error=0.5, resolution_error=0.3, ef_error=0.2)
        return fitter.fit_many(counts)

    return fits


def closing(cold, warm):
    error = [np.hypot(fits.delta_stderr, fits.delta_systematic) for fits in (cold, warm)]
    return gap_closing(
        cold.delta, error[0], cold.status, warm.delta, error[1], warm.upper_limit, warm.status
    )  # fmt: skip


@pytest.mark.parametrize("peak", [150.0, 600.0])
def test_gaps_that_close_are_told_from_pseudogaps_that_stay(measured, peak):
    number = 100
    cold = measured([35.0, 35.0], number, COLD, peak, 1)
    warm = measured([0.0, 35.0], number, WARM, peak, 2)
    found = closing(cold, warm)
    closes, stays = found.verdict[:number], found.verdict[number:]
    # not one pseudogap passes for closed, and next to no closed one for a pseudogap
    assert (stays == CLOSES).sum() == 0
    assert (closes == STAYS).sum() <= 0.05 * number
    assert (closes == CLOSES).mean() > 0.9
    assert (stays == STAYS).mean() > 0.9
    kept = found.verdict == STAYS
    kept[:number] = False
    pulls = (found.left[kept] - 1.0) / found.left_error[kept]
    # the systematic error is in it, so that it may be narrower than 1
    assert abs(pulls.mean()) < 0.5
    assert 0.4 < pulls.std() < 1.3


def test_of_pseudogaps_half_as_large_at_most_one_in_twenty_passes_for_closed(measured):
    number = 200
    cold = measured([35.0], number, COLD, 150.0, 3)
    # so few counts that zero is not refused in many of them
    warm = measured([17.5], number, WARM, 4.0, 4)
    assert (warm.status == "no-gap").sum() > 40
    # the limit is one of 95 %: 10 expected of 200 at the most, sigma 3
    assert closing(cold, warm).number(CLOSES) <= 19


def test_too_few_counts_above_leave_it_undecided(measured):
    cold = measured([20.0], 50, COLD, 200.0, 5)
    warm = measured([0.0], 50, WARM, 6.0, 6)
    found = closing(cold, warm)
    assert found.number(UNDECIDED) > 25
    assert found.number(STAYS) <= 3


@pytest.mark.parametrize(
    ("cold", "warm", "verdict"),
    [
        ((35.0, 0.5, "ok"), (NAN, NAN, 17.0, "no-gap"), CLOSES),
        # half of 35 less 1.645 x 0.5 is 17.1
        ((35.0, 0.5, "ok"), (NAN, NAN, 17.2, "no-gap"), UNDECIDED),
        ((35.0, 0.5, "ok"), (6.1, 2.0, NAN, "ok"), STAYS),
        ((35.0, 0.5, "ok"), (5.9, 2.0, NAN, "ok"), UNDECIDED),
        ((2.0, 1.0, "ok"), (NAN, NAN, 0.1, "no-gap"), UNDECIDED),
        ((NAN, NAN, "no-gap"), (20.0, 1.0, NAN, "ok"), UNDECIDED),
        ((35.0, 0.5, "ok"), (NAN, NAN, NAN, "off-sample"), UNDECIDED),
        ((35.0, 0.5, "ok"), (NAN, NAN, NAN, ""), ""),
    ],
)
def test_the_rule_of_each_verdict(cold, warm, verdict):
    found = gap_closing(*(np.array([value]) for value in (*cold, *warm)))
    assert found.verdict.tolist() == [verdict]


def test_maps_of_two_shapes_are_refused():
    one, two = np.ones(1), np.ones(2)
    with pytest.raises(ValueError, match="give one shape"):
        gap_closing(one, one, ["ok"], two, one, one, ["ok"])
