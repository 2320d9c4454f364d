import os
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import savgol_coeffs, savgol_filter

from microarpes.analysis.gain import measure_gain

REALDATA = Path(os.environ.get("MICROARPES_REALDATA", "/nonexistent"))
ANGLES, GAIN, SPREAD = 144, 4.0, 1.5


def adc_frames(rng, spectrum, n, gain=GAIN, read_noise=0.0, drift=0.0):
    """A camera that integrates: every electron lights up a spot of sigma 1.5 channels, gain units in all."""
    level = 1.0 + drift * np.sin(np.arange(n))
    electrons = rng.poisson(level[:, None, None] * np.broadcast_to(spectrum, (n, ANGLES, spectrum.size)))
    blurred = np.stack([gaussian_filter(gain * frame.astype(float), SPREAD, mode="wrap") for frame in electrons])
    return blurred + rng.normal(0.0, read_noise, blurred.shape)


@pytest.fixture(scope="module")
def spectrum(edc, energy):
    """Electrons per pixel and frame: a k_F spectrum with E_F inside."""
    return edc(energy, peak=0.8, background=0.4, dark=0.02)


@pytest.mark.parametrize(("read_noise", "drift"), [(0.0, 0.0), (0.0, 0.05), (1.0, 0.0)])
def test_the_gain_of_an_integrating_detector_is_found(spectrum, read_noise, drift):
    # 60 wide cells, 29 differences: about 2 sqrt(2 / (60 * 29 * 2/3)) = 8 % from the wide ones alone, a little less
    # with the narrow ones; the truth must lie within 3 errors, and the error must be worth something
    frames = adc_frames(np.random.default_rng(3), spectrum, 30, read_noise=read_noise, drift=drift)
    measured = measure_gain(frames, bins=(12, 20))
    assert abs(measured.gain - GAIN) < 3 * measured.gain_error
    assert 0.005 * GAIN < measured.gain_error < 0.15 * GAIN
    assert measured.read_noise == pytest.approx(read_noise, abs=max(3 * measured.read_noise_error, 0.02))
    assert measured.n_frames == 30
    assert measured.n_cells == (ANGLES // 24) * (spectrum.size // 40)


def test_narrow_bins_would_miss_most_of_the_noise(spectrum):
    # within a spot of sigma s the variance per channel is lower by 4 pi s^2 = 28
    frames = adc_frames(np.random.default_rng(4), spectrum, 12)
    by_channel = np.diff(frames, axis=0).var() / 2 / frames.mean()
    assert by_channel == pytest.approx(GAIN / (4 * np.pi * SPREAD**2), rel=0.05)
    measured = measure_gain(frames, bins=(12, 20))
    # rims lose 2 s / (sqrt(pi) b) per direction: 14 % of 12 channels, 8.5 % of 20
    expected = GAIN * (1 - 2 * SPREAD / np.sqrt(np.pi) / 12) * (1 - 2 * SPREAD / np.sqrt(np.pi) / 20)
    assert measured.narrow == pytest.approx(expected, rel=0.05)
    assert measured.narrow < measured.wide


def test_the_error_of_the_gain_means_what_it_says():
    # 60 measurements of counted electrons, blur or not: the width of their pulls is known to 9 %
    rng = np.random.default_rng(5)
    row = np.concatenate([np.full(80, 6.0), np.full(40, 0.5)])
    found = [measure_gain(rng.poisson(row, (8, 96, 120)), bins=8) for _ in range(60)]
    pulls = np.array([(one.gain - 1.0) / one.gain_error for one in found])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)
    assert abs(np.mean(pulls)) < 0.45


@pytest.mark.parametrize(
    ("frames", "bins", "says"),
    [
        (np.ones((3, 50, 50)), 4, "n_frame >= 4"),
        (np.ones((50, 50)), 4, "shape"),
        (np.ones((5, 50, 50)), 24, "narrower bins"),
        (np.ones((5, 50, 50)), 0, "narrower bins"),
        (np.full((5, 50, 50), np.nan), 4, "NaN"),
        (np.zeros((5, 50, 50)), 4, "must be > 0"),
        (np.ones((5, 50, 50)), 4, "differ"),
    ],
)
def test_frames_that_measure_nothing_are_refused(frames, bins, says):
    with pytest.raises(ValueError, match=says):
        measure_gain(frames, bins)


def fourth_difference_gain(image, bins):
    """Variance over mean of one smooth image in bins along energy: fourth differences take the spectrum out."""
    x = image[: image.shape[0] // bins * bins].reshape(-1, bins, image.shape[1]).sum(axis=1)
    factors = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
    parts = [x[i : x.shape[0] - 4 + i] for i in range(5)]
    difference = sum(f * part for f, part in zip(factors, parts, strict=True))
    return (difference**2).sum() / sum(f**2 * part for f, part in zip(factors, parts, strict=True)).sum()


def test_a_recorded_image_shows_why_bins_must_be_wide():
    h5py = pytest.importorskip("h5py")
    path = REALDATA / "als-merlin-cut.h5"
    if not path.exists():
        pytest.skip("MICROARPES_REALDATA does not hold this recording")
    with h5py.File(path) as file:
        image = file["2Ddata/Spectrum"][...].astype(float)
    # within its slices, channel by channel, it looks like counting: residual variance over mean 1.2-1.3
    smooth = savgol_filter(image, 15, 2, axis=0)
    by_channel = ((image - smooth) ** 2).mean() / image.mean() / (1 - savgol_coeffs(15, 2)[7])
    assert 1.15 < by_channel < 1.4
    # in bins wider than the spot of one event several counts go together, and more when slices are summed
    within = fourth_difference_gain(image, 8)
    summed = fourth_difference_gain(image[:, :1000].reshape(-1, 125, 8).sum(axis=2), 8)
    assert 2.0 < within < 4.5
    assert summed > 1.5 * within
