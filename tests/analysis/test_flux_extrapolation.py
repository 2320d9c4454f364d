"""A shift in proportion to the flux is found within its error, apart from a drift; what is no line gives no number."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis.flux_extrapolation import extrapolate_to_no_flux

#: Of 150 nA: a half, the whole, a quarter, and back, each taking longer the less there is of it.
FLUX = 150.0 * np.array([0.5, 1.0, 0.25, 1.0, 0.5])
TIME = 1.7e9 + np.array([10.0, 25.0, 50.0, 75.0, 90.0])
#: 0.2 meV
ERROR = np.full(5, 0.0002)


def edges(rng, shift, drift=0.0, bend=0.0, error=ERROR):
    part = FLUX / 150.0
    lift = shift * part + bend * part * (1.0 - part) + drift * (TIME - TIME.mean()) / 3600.0
    return 95.6 + lift + error * rng.standard_normal(5)


def test_shift_slope_and_drift_are_recovered_with_errors_that_mean_what_they_say():
    rng = np.random.default_rng(1)
    found = [extrapolate_to_no_flux(FLUX, TIME, edges(rng, 0.004, 0.010), ERROR, 150.0) for _ in range(400)]
    good = [one for one in found if one.status == "ok"]
    # A true line is refused once in a thousand.
    assert len(good) >= 396
    for name, truth in (("shift", 0.004), ("slope", 0.004 / 150.0), ("edge", 95.6), ("drift", 0.010)):
        pulls = np.array([(getattr(one, name) - truth) / getattr(one, f"{name}_error") for one in good])
        # 400 pulls know their mean to 0.05 and their width to 3.5 %.
        assert abs(pulls.mean()) < 0.2, name
        assert pulls.std() == pytest.approx(1.0, abs=0.12), name
    # By hand: the parts have a mean of 0.65 and a sum of squares about it of 0.45, and nothing in common with the time.
    assert good[0].shift_error == pytest.approx(0.0002 / 0.45**0.5)
    assert (good[0].dof, good[0].chi2 < 14.0) == (2, True)


def test_a_drift_that_is_even_in_time_is_none_of_the_flux():
    still = extrapolate_to_no_flux(FLUX, TIME, edges(np.random.default_rng(2), 0.004), ERROR, 150.0)
    # 10 meV in an hour: 0.2 meV over the 80 s; a thousand times that leaves the shift where it is.
    moved = extrapolate_to_no_flux(FLUX, TIME, edges(np.random.default_rng(2), 0.004, 10.0), ERROR, 150.0)
    assert moved.shift == pytest.approx(still.shift, abs=1e-8)


def test_the_shift_is_that_of_the_flux_that_is_worked_with():
    edge = edges(np.random.default_rng(3), 0.004)
    whole, half = (extrapolate_to_no_flux(FLUX, TIME, edge, ERROR, working) for working in (150.0, 75.0))
    assert half.shift == pytest.approx(whole.shift / 2)
    assert half.slope == pytest.approx(whole.slope)
    assert half.edge == pytest.approx(whole.edge)


def test_a_bend_is_told_by_chi2_and_gives_no_shift():
    # Half of the flux is 3 meV, 15 errors of an edge, above the line from none to all of it.
    found = extrapolate_to_no_flux(FLUX, TIME, edges(np.random.default_rng(4), 0.004, bend=0.012), ERROR, 150.0)
    assert found.status == "misfit"
    assert found.chi2 > 13.8  # one in a thousand with two degrees of freedom
    assert np.isnan([found.shift, found.shift_error, found.slope, found.edge, found.drift]).all()


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        ({"keep": [1, 2]}, "too-few"),
        ({"keep": [0, 1, 2]}, "too-few"),
        # two fluxes only, however often: a bend could not be seen
        ({"keep": [0, 1, 3, 4]}, "too-few"),
        ({"flux": 0.0}, "no-beam"),
        ({"working": 0.0}, "no-beam"),
        ({"edge": np.nan}, "bad-input"),
        ({"edge_error": 0.0}, "bad-input"),
    ],
)
def test_what_cannot_be_a_line_gives_no_number(spoil, status):
    keep = spoil.pop("keep", [0, 1, 2, 3, 4])
    given = {"flux": FLUX, "time": TIME, "edge": edges(np.random.default_rng(5), 0.004), "edge_error": ERROR}
    given = {name: values[keep].copy() for name, values in given.items()}
    working = spoil.pop("working", 150.0)
    for name, value in spoil.items():
        given[name][1] = value
    found = extrapolate_to_no_flux(**given, working=working)
    assert found.status == status
    assert np.isnan(found.shift)


def test_times_that_go_with_the_fluxes_cannot_tell_a_drift_from_a_shift():
    edge = edges(np.random.default_rng(6), 0.004)
    assert extrapolate_to_no_flux(FLUX, FLUX, edge, ERROR, 150.0).status == "bad-input"
    # nor can different lengths belong together
    assert extrapolate_to_no_flux(FLUX, TIME[:4], edge, ERROR, 150.0).status == "bad-input"
