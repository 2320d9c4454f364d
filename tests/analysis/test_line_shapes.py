"""One runner for all line shapes: each brings its check values, and is held to oracles that share no code with it."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import wofz

from microarpes.analysis.forward import Instrument, channel_kernel
from microarpes.analysis.line_shape import SHAPE_PARAMETERS
from microarpes.analysis.models import LINE_SHAPES, line_shape, refuse_foreign_arguments

EVERY = pytest.mark.parametrize("shape", LINE_SHAPES.values(), ids=LINE_SHAPES.keys())


def complex_self_energy(w, delta, gamma1, gamma0, eps_k):
    sigma = -1j * gamma1 + delta**2 / (w + eps_k + 1j * gamma0)
    return -(1.0 / (w - eps_k - sigma)).imag / np.pi


def coherence_factors(w, delta, gamma1, gamma0, eps_k):
    """From the 2x2 Green's function with the bare energy on the diagonal and delta beside it: no |u|^2, no |v|^2."""
    matrix = np.zeros((*np.shape(w), 2, 2), dtype=complex)
    z = np.asarray(w) + 0.5j * gamma1
    matrix[..., 0, 0], matrix[..., 1, 1] = z - eps_k, z + eps_k
    matrix[..., 0, 1] = matrix[..., 1, 0] = -delta
    return -np.linalg.inv(matrix)[..., 0, 0].imag / np.pi


def momentum_integral(w, delta, gamma1, gamma0, eps_k):
    """Density of states as the integral of the 2x2 Green's function's trace over all bare energies."""
    z = complex(w, gamma1)
    return quad(lambda e: -(2 * z / (z * z - e * e - delta**2)).imag / np.pi, 0, np.inf, limit=400)[0]


ORACLES = {"norman": complex_self_energy, "bcs": coherence_factors, "dynes": momentum_integral}
TRUTHS = [(35.0, 15.0, 2.0), (10.0, 20.0, 5.0), (60.0, 5.0, 0.5), (3.0, 8.0, 1.0)]


def evaluate(shape, w, delta, gamma1, gamma0, eps_k=0.0):
    arguments = (np.asarray(x, dtype=float) for x in (w, delta, gamma1, gamma0))
    return shape.evaluate(*arguments, eps_k)


@EVERY
def test_a_line_shape_gives_its_check_values(shape):
    assert len(shape.check_values) >= 5
    for arguments, expected in shape.check_values:
        # norman adds 1e-9 meV to gamma0 against 0/0: 1e-8 of the value
        assert float(evaluate(shape, *arguments)[0]) == pytest.approx(expected, rel=2e-8), arguments


@EVERY
@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("eps_k", [0.0, -17.0])
def test_a_line_shape_agrees_with_its_physics_written_another_way(shape, truth, eps_k):
    if eps_k and not shape.k_resolved:
        eps_k = 0.0
    w = np.linspace(-140.0, 70.0, 43) + 0.13
    oracle = np.array([float(ORACLES[shape.name](at, *truth, eps_k)) for at in w])
    np.testing.assert_allclose(evaluate(shape, w, *truth, eps_k)[0], oracle, rtol=1e-6, atol=1e-12)


@EVERY
@pytest.mark.parametrize("eps_k", [0.0, -15.0])
def test_the_derivatives_are_those_of_the_function(shape, eps_k):
    w = np.linspace(-150.0, 60.0, 71)
    at = np.array([28.0, 14.0, 3.0])
    gradient = evaluate(shape, w, *at, eps_k)[1:]
    for i, analytic in enumerate(gradient):
        step = np.zeros(3)
        step[i] = 1e-4
        numeric = (evaluate(shape, w, *(at + step), eps_k)[0] - evaluate(shape, w, *(at - step), eps_k)[0]) / 2e-4
        np.testing.assert_allclose(analytic, numeric, rtol=3e-6, atol=1e-10)
        assert analytic.any() == (SHAPE_PARAMETERS[i] in shape.parameters)


@EVERY
def test_zero_gap_is_a_stationary_point_and_no_zero_over_zero(shape):
    value, d_delta, *_ = evaluate(shape, np.linspace(-50.0, 50.0, 101), 0.0, 8.0, 0.5)
    assert np.isfinite(value).all()
    assert (value >= 0).all()
    np.testing.assert_array_equal(d_delta, 0.0)


def voigt(energy, centre, half_width, sigma):
    return wofz((energy - centre + 1j * half_width) / (np.sqrt(2) * sigma)).real / (sigma * np.sqrt(2 * np.pi))


def test_the_convolved_bcs_peaks_are_voigt_profiles():
    energy = np.arange(-150.0, 151.0)
    instrument = Instrument(12.0, 10.0)
    fine, kernel, _ = channel_kernel(energy, instrument)
    for delta, gamma1, eps_k in [(35.0, 15.0, 0.0), (8.0, 6.0, -9.0), (40.0, 4.0, 12.0)]:
        quasiparticle = np.hypot(delta, eps_k)
        hole = 0.5 * (1 - eps_k / quasiparticle)
        closed = sum(
            weight * voigt(energy, centre, gamma1 / 2, instrument.sigma)
            for weight, centre in ((hole, -quasiparticle), (1 - hole, quasiparticle))
        )
        shape = LINE_SHAPES["bcs"]
        got = evaluate(shape, fine, delta, gamma1, 0.0, eps_k)[0] @ kernel
        # trapezoid at 1 meV with poles 2 meV from the axis: 2 exp(-2 pi 2) = 7e-6, and the kernel's 6-sigma cut
        np.testing.assert_allclose(got, closed, atol=2e-5 * closed.max())


@EVERY
@pytest.mark.parametrize("truth", [(35.0, 15.0, 2.0), (12.0, 4.0, 1.0)])
def test_the_convolution_with_the_fermi_cut_is_the_brute_force_integral(shape, truth):
    energy = np.arange(-120.0, 60.0, 7.0)
    instrument = Instrument(12.0, 10.0)
    fine, kernel, _ = channel_kernel(np.arange(-120.0, 60.0), instrument)
    got = ((evaluate(shape, fine, *truth)[0] / (np.exp(fine / instrument.thermal) + 1)) @ kernel)[::7]
    w = np.arange(-220.0, 160.0, 0.02)
    line = evaluate(shape, w, *truth)[0] / (np.exp(w / instrument.thermal) + 1)
    gauss = np.exp(-0.5 * ((energy[:, None] - w) / instrument.sigma) ** 2) / (instrument.sigma * np.sqrt(2 * np.pi))
    brute = (gauss * line).sum(axis=1) * 0.02
    np.testing.assert_allclose(got, brute, atol=3e-5 * brute.max())


@EVERY
def test_a_bank_covers_the_gaps_inside_the_bounds_with_equally_many_starts_each(shape):
    assert (shape.bank >= shape.lower).all()
    assert (shape.bank <= shape.upper).all()
    gaps, starts = np.unique(shape.bank[:, 0], return_counts=True)
    assert gaps.min() < 2 < 70 < gaps.max()
    assert len(set(starts)) == 1


@EVERY
def test_every_line_shape_says_where_it_comes_from(shape):
    assert shape.doi.startswith("10.")
    assert "delta" in shape.equation
    assert shape.parameters[0] == "delta"
    assert line_shape(shape.name) is shape


def test_half_of_a_bcs_electron_is_below_the_fermi_energy_and_particle_hole_asymmetry_moves_it():
    w = np.arange(-30000.0, 0.0, 0.25)
    for eps_k, occupied in ((0.0, 0.5), (-20.0, 0.5 * (1 + 20 / np.hypot(20, 35)))):
        value = evaluate(LINE_SHAPES["bcs"], w, 35.0, 1.0, 0.0, eps_k)[0]
        # what the tails put on the wrong side is gamma1 / (2 pi E), a few 1e-3, and cancels at k_F
        assert value.sum() * 0.25 == pytest.approx(occupied, abs=1e-2)


def test_a_density_of_states_conserves_states():
    # the integral of rho - 1 over +-W falls as delta^2 / W
    w = np.arange(-20000.0, 20000.0, 0.5) + 0.25
    value = evaluate(LINE_SHAPES["dynes"], w, 30.0, 5.0, 0.0)[0]
    assert (value - 1).sum() * 0.5 == pytest.approx(-(30.0**2) / 20000.0, rel=0.02)


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("bcs", (3.0, 0.0, 0.0), "no pair-breaking rate"),
        ("bcs", ("shared", 0.0, 0.0), "no pair-breaking rate"),
        ("dynes", ("prior", 5.0, 0.0), "density of states"),
        ("dynes", ("zero", 0.0, 2.0), "density of states"),
    ],
)
def test_what_a_line_shape_does_not_have_cannot_be_asked_of_it(model, arguments, says):
    with pytest.raises(ValueError, match=says):
        refuse_foreign_arguments(LINE_SHAPES[model], *arguments)
    refuse_foreign_arguments(LINE_SHAPES[model], "prior", 0.0, 0.0)
    refuse_foreign_arguments(LINE_SHAPES["norman"], 2.0, 5.0, 1.0)
