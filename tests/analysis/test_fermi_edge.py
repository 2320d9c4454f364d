import numpy as np
import pytest

from microarpes.analysis import fit_fermi_edge


def edge(edc, energy, peak=200.0, **truth):
    """A metal: an ungapped, slightly sloping density cut by the Fermi function."""
    return edc(energy, peak=peak, coherent=0.0, background=1.0, slope=0.05e-2, **truth)


@pytest.mark.parametrize("peak", [20.0, 200.0, 2000.0])
def test_edge_and_resolution_come_with_errors_that_mean_what_they_say(energy, edc, peak):
    # the edge is 0.37 meV above 95 eV, off the channel centres; 70 fits know a pull's width to 8.5 %
    rng = np.random.default_rng(12)
    expected = edge(edc, energy - 0.37, peak=peak)
    fits = [fit_fermi_edge(95 + energy / 1000, rng.poisson(expected), 10.0) for _ in range(70)]
    assert all(fit.status == "ok" for fit in fits)
    pulls = np.array(
        [[(f.ef - 95.00037) / f.ef_error, (f.resolution - 0.012) / f.resolution_error] for f in fits]
    )  # fmt: skip
    assert np.abs(pulls.mean(axis=0)).max() < 0.35
    assert pulls.std(axis=0) == pytest.approx(1.0, abs=0.25)


def test_the_error_of_the_edge_is_that_of_theory(energy, edc):
    # sigma(E_F) = 0.31 meV at 100 counts/meV and R = 12 meV
    fit = fit_fermi_edge(95 + energy / 1000, np.random.default_rng(1).poisson(edge(edc, energy, 100.0)), 10.0)
    assert fit.ef_error * 1000 == pytest.approx(0.31, rel=0.25)


def test_a_given_resolution_is_kept(energy, edc):
    counts = edge(edc, energy, 500.0)
    fit = fit_fermi_edge(95 + energy / 1000, counts, 10.0, resolution=0.012)
    assert fit.resolution == pytest.approx(0.012)
    assert fit.resolution_error == 0.0
    assert fit.ef == pytest.approx(95.0, abs=2e-5)


@pytest.mark.parametrize("step", [0.3, 2.0, 6.0])
def test_the_width_of_the_channels_is_not_taken_for_resolution(edc, step):
    # channels integrate: the oracle is averaged over each channel
    energy = np.arange(-320.0, 80.0, step)
    counts = np.mean([edge(edc, energy + step * (i / 10 - 0.45), 4000.0) for i in range(10)], axis=0)
    fit = fit_fermi_edge(40 + energy / 1000, counts, 10.0)
    assert fit.resolution == pytest.approx(0.012, abs=0.15e-3)
    assert fit.ef == pytest.approx(40.0, abs=3e-5)


def test_a_gain_widens_the_errors_by_its_root(energy, edc):
    counts = edge(edc, energy, 300.0)
    plain = fit_fermi_edge(95 + energy / 1000, counts, 10.0)
    gain = fit_fermi_edge(95 + energy / 1000, 9.0 * counts, 10.0, gain=9.0)
    raw = fit_fermi_edge(95 + energy / 1000, 9.0 * counts, 10.0)
    assert gain.ef_error == pytest.approx(plain.ef_error, rel=1e-6)
    assert plain.ef_error == pytest.approx(3 * raw.ef_error, rel=1e-3)


@pytest.mark.parametrize(
    ("status", "make"),
    [
        ("bad-input", lambda e, c: c[:-1]),
        ("bad-input", lambda e, c: np.where(e > 0, np.nan, c)),
        ("bad-input", lambda e, c: -c),
        ("no-edge", lambda e, c: np.zeros(e.size)),
        ("no-edge", lambda e, c: np.full(e.size, 50.0)),
        ("no-edge", lambda e, c: c[::-1]),
        ("no-edge", lambda e, c: 300 * np.exp(-0.5 * ((e + 100) / 60) ** 2)),
    ],
    ids=["short", "NaN", "negative", "empty", "flat", "reversed", "core level"],
)
def test_what_is_no_edge_gives_no_number(energy, edc, status, make):
    counts = make(energy, np.random.default_rng(3).poisson(edge(edc, energy)).astype(float))
    fit = fit_fermi_edge(95 + energy / 1000, counts, 10.0)
    assert fit.status == status
    assert np.isnan([fit.ef, fit.ef_error, fit.resolution, fit.resolution_error]).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"temperature": 0.0}, "temperature = 0.0 K"),
        ({"resolution": 12.0}, "resolution = 12.0 eV"),
        ({"gain": -1.0}, "gain"),
        ({"ef_guess": 5.0}, "ef_guess = 5.0 eV"),
    ],
)
def test_a_wrong_argument_is_named(energy, edc, arguments, says):
    with pytest.raises(ValueError, match=says):
        fit_fermi_edge(95 + energy / 1000, edge(edc, energy), **arguments)


def test_a_falling_axis_is_refused(energy, edc):
    with pytest.raises(ValueError, match="ascend"):
        fit_fermi_edge(95 - energy / 1000, edge(edc, energy))
