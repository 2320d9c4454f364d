import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from microarpes.analysis import GapFitter
from microarpes.analysis.gain import measure_gain

ANGLES, GAIN, SPREAD = 144, 4.0, 1.5


def adc_frames(rng, spectrum, n, gain=GAIN, read_noise=0.0, drift=0.0):
    """A camera that integrates: every electron lights up a spot of sigma 1.5 channels, gain units in all."""
    level = 1.0 + drift * np.sin(np.arange(n))
    electrons = rng.poisson(level[:, None, None] * np.broadcast_to(spectrum, (n, ANGLES, spectrum.size)))
    blurred = np.stack([gaussian_filter(gain * frame.astype(float), SPREAD, mode="wrap") for frame in electrons])
    return blurred + rng.normal(0.0, read_noise, blurred.shape)


def test_a_fit_with_the_measured_gain_has_honest_error_bars(edc, energy):
    # 20 slices summed; 150 EDCs: the width of the pulls is known to 6 %, the gain to 3-7 %
    rng = np.random.default_rng(6)
    per_pixel = edc(energy, peak=5.0, delta=30.0)
    measured = measure_gain(adc_frames(rng, per_pixel, 24), bins=(12, 20))
    frames = adc_frames(rng, per_pixel, 22, read_noise=1.0)
    edcs = frames[:, : ANGLES // 20 * 20].reshape(22, -1, 20, energy.size).sum(axis=2).reshape(-1, energy.size)
    noise = 1.0 * np.sqrt(20)
    honest = GapFitter(energy, gain=measured.gain, likelihood="gaussian", read_noise=noise).fit_many(edcs)
    credulous = GapFitter(energy).fit_many(np.maximum(edcs, 0.0))

    def width(fits):
        return np.std(((fits.delta - 30.0) / fits.delta_stderr)[np.isfinite(fits.delta)])

    assert (honest.status == "ok").mean() > 0.98
    assert width(honest) == pytest.approx(1.0, abs=0.17)
    # sqrt(gain) = 2 when detector units pass for electrons; slices at the rim of a sum share their electrons
    assert width(credulous) > 1.7


def test_negative_values_are_data_only_with_readout_noise(edc, energy):
    rng = np.random.default_rng(8)
    expected = edc(energy, peak=60.0, delta=30.0)
    rows = rng.poisson(expected, (150, energy.size)) * 3.0 + rng.normal(0.0, 9.0, (150, energy.size))
    assert (rows < 0).any(axis=1).all()
    fits = GapFitter(energy, gain=3.0, likelihood="gaussian", read_noise=9.0).fit_many(rows)
    pulls = ((fits.delta - 30.0) / fits.delta_stderr)[fits.status == "ok"]
    assert (fits.status == "ok").mean() > 0.98
    assert np.std(pulls) == pytest.approx(1.0, abs=0.17)
    assert abs(np.mean(pulls)) < 0.25
    # the model comes back on the input's level, not on that of the likelihood
    above = energy > 40
    assert fits.model_counts[:, above].mean() == pytest.approx(rows[:, above].mean(), abs=0.5)
    assert (GapFitter(energy, gain=3.0).fit_many(rows).status == "bad-input").all()


def test_without_readout_noise_both_likelihoods_are_one(edc, energy):
    counts = np.random.default_rng(9).poisson(edc(energy, peak=80.0)).astype(float)
    poisson, gaussian = (
        GapFitter(energy, engine="numpy-2").fit(counts),
        GapFitter(energy, likelihood="gaussian").fit(counts),
    )
    assert (poisson.delta, poisson.delta_stderr, poisson.deviance) == (
        gaussian.delta, gaussian.delta_stderr, gaussian.deviance
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"likelihood": "cauchy"}, "choose one of"),
        ({"read_noise": 2.0}, "gaussian"),
        ({"likelihood": "gaussian", "read_noise": -1.0}, "read_noise = -1.0 detector units"),
    ],
)
def test_a_wrong_noise_is_refused(energy, arguments, says):
    with pytest.raises(ValueError, match=says):
        GapFitter(energy, **arguments)
