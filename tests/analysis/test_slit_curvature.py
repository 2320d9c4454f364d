import numpy as np
import pytest
from scipy.special import expit

from microarpes.analysis import fit_fermi_edge
from microarpes.analysis.slit_curvature import row_shifts

EF, RESOLUTION, TEMPERATURE = 95.5, 0.010, 10.0
ANGLE = np.linspace(-9.0, 9.0, 181)
ENERGY = 95.3 + 0.001 * np.arange(320)


def curved_metal(curvature, tilt=0.0, peak=40.0, seed=1, angle=ANGLE, energy=ENERGY):
    """Image of a metal; curvature in meV/deg^2, tilt in meV/deg."""
    edge = EF + 1e-3 * (curvature * angle**2 + tilt * angle)
    u = np.linspace(-5, 5, 61)
    share = np.exp(-0.5 * u**2) / np.exp(-0.5 * u**2).sum()
    at = energy[None, :, None] - edge[:, None, None] - RESOLUTION / 2.3548 * u
    expected = peak * (expit(-at / (8.617e-5 * TEMPERATURE)) * share).sum(axis=2) + 0.02 * peak
    return np.random.default_rng(seed).poisson(expected), edge


def straightened(image, shifts):
    """Rows moved by whole channels, zero fill: what the device does while summing."""
    out = np.zeros_like(image)
    for row, shift in enumerate(shifts):
        source = np.arange(image.shape[1])
        inside = (source + shift >= 0) & (source + shift < image.shape[1])
        out[row, source[inside] + shift] = image[row, inside]
    return out


@pytest.mark.parametrize(("curvature", "tilt"), [(0.018, 0.0), (0.2, 0.0), (-0.3, 0.9)])
def test_a_curved_edge_becomes_straight_to_half_a_channel(curvature, tilt):
    image, edge = curved_metal(curvature, tilt)
    found = row_shifts(image, ENERGY, ANGLE, TEMPERATURE)
    # 6 rows of 40 counts per meV: sigma(E_F) = 0.3 meV / sqrt(2.4) a group, a parabola through 30 of them about 0.1
    assert found.curve[2] * 1e3 == pytest.approx(curvature, abs=0.006)
    assert np.abs(found.residual).max() <= 0.0005 + 1e-9
    np.testing.assert_allclose(found.ef + found.residual - found.row_shift * 0.001, edge, atol=0.0004)
    assert found.scatter < 0.0006
    # science: 0.018 meV/deg^2 is 1.5 meV at 9 deg, one or two channels; 0.2 is sixteen
    spread = found.row_shift.max() - found.row_shift.min()
    assert spread == pytest.approx(1e3 * np.ptp(edge), abs=1.01)


def test_shifted_rows_give_the_edge_and_the_resolution_that_the_record_promises():
    image, _ = curved_metal(0.2, 0.5, peak=80.0)
    found = row_shifts(image, ENERGY, ANGLE, TEMPERATURE)
    frame = straightened(image, found.row_shift)
    for low, high in [(-9.0, -6.0), (-1.0, 2.0), (5.0, 9.1)]:
        rows = (ANGLE >= low) & (ANGLE < high)
        fit = fit_fermi_edge(ENERGY[20:-20], frame[rows].sum(axis=0)[20:-20], TEMPERATURE)
        ef, spread = found.window(low, high)
        # E_F of a window is known to the curve's error, about 0.1 meV, and to its own
        assert fit.ef == pytest.approx(ef, abs=4 * np.hypot(fit.ef_error, 0.0001))
        assert fit.resolution == pytest.approx(np.hypot(RESOLUTION, spread), abs=4 * fit.resolution_error)
        assert spread < 0.001


def test_without_straightening_the_resolution_would_be_lost():
    image, _ = curved_metal(0.2, peak=80.0)
    crooked = fit_fermi_edge(ENERGY, image.sum(axis=0), TEMPERATURE)
    found = row_shifts(image, ENERGY, ANGLE, TEMPERATURE)
    straight = fit_fermi_edge(ENERGY[20:-20], straightened(image, found.row_shift).sum(axis=0)[20:-20], TEMPERATURE)
    assert crooked.resolution > 1.3 * RESOLUTION
    assert straight.resolution == pytest.approx(RESOLUTION, rel=0.03)


def test_no_count_is_divided():
    image, _ = curved_metal(0.2)
    found = row_shifts(image, ENERGY, ANGLE, TEMPERATURE)
    frame = straightened(image, found.row_shift)
    assert found.row_shift.dtype.kind == "i"
    assert frame.dtype == image.dtype
    kept = [row[max(0, -s) : row.size - max(0, s)].sum() for row, s in zip(image, found.row_shift, strict=True)]
    assert frame.sum() == sum(kept)


def test_a_dead_stretch_and_a_group_with_another_edge_do_not_bend_the_curve():
    image, _ = curved_metal(0.1)
    image[60:66] = np.roll(image[60:66], 15, axis=1)
    image[120:140] = 0
    found = row_shifts(image, ENERGY, ANGLE, TEMPERATURE)
    assert found.curve[2] * 1e3 == pytest.approx(0.1, abs=0.008)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a | {"frame": a["frame"][:-1]}, "shape"),
        (lambda a: a | {"frame": a["frame"] * 0}, "show a Fermi edge"),
        (lambda a: a | {"energy": a["energy"][::-1]}, "ascend"),
        (lambda a: a | {"energy": a["energy"] + 1e-4 * np.sin(np.arange(320))}, "steps"),
        (lambda a: a | {"angle": a["angle"] * np.nan}, "angle holds NaN"),
        (lambda a: a | {"degree": 9}, "degree = 9"),
        (lambda a: a | {"frame": np.where(np.arange(181)[:, None] > 60, 0, a["frame"])}, "over half"),
    ],
)
def test_what_cannot_be_straightened_is_refused(change, says):
    image, _ = curved_metal(0.1)
    with pytest.raises(ValueError, match=says):
        row_shifts(**change({"frame": image, "energy": ENERGY, "angle": ANGLE, "temperature": TEMPERATURE}))


def test_a_window_without_channels_is_refused():
    image, _ = curved_metal(0.1)
    with pytest.raises(ValueError, match="holds no angle channel"):
        row_shifts(image, ENERGY, ANGLE, TEMPERATURE).window(20.0, 22.0)
