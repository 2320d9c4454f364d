"""Gaps of windows that follow k_F on a face that waves, or could not, against the truth of the simulation."""

import dataclasses

import numpy as np
import pytest
from waving_face import CHANNELS, COUNTS, EDGES, FramesAtHand, record, start_of

from microarpes.analysis import Calibration, GapMap, constant_chi2
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.k_f_centre import KFCentre
from microarpes.analysis.k_f_verdict import NO_K_F
from microarpes.devices.spectra import sum_windows
from microarpes.sim.image_cache import ExpectedImages
from microarpes.sim.sample import Sample
from microarpes.sim.sample_source import REFERENCE

#: Where all of the beam is on live flake.
PLACES = np.array([(x, y) for x in (-75.0, -50.0, -25.0, 0.0, 25.0, 45.0) for y in (-75.0, -50.0, -25.0, 0.0)])


class NoMirror(FramesAtHand):
    """Windows that would follow k_F, in frames that do not say where it is."""

    def _centre(self, *_):
        return KFCentre(np.nan, np.nan, "lost")


class Compared:
    """24 pixels of a face that waves by 0.5 deg and of a flat one; windows that stay, that follow, that cannot."""

    def __init__(self):
        wave, flat = Sample(9, undulation=0.5), Sample(9)
        self.tilt = wave.face_tilt_at(*PLACES.T)
        images = ExpectedImages(wave)
        cut = dataclasses.replace(REFERENCE, largest_tilt=wave.largest_tilt)
        calibration = record()
        follows, lost = FramesAtHand(start_of(calibration)), NoMirror(start_of(calibration))
        layout, fitter = RunLayout.from_start(start_of(calibration)), EventFitter("norman", "prior")
        known, rng = Calibration.from_record(calibration, 2), np.random.default_rng(12)
        self.records = {"stay": [], "follow": [], "flat": [], "lost": []}
        for place in PLACES:
            waving, level = (self.frame(images, cut, sample, place, rng) for sample in (wave, flat))
            stay, on_flat = (
                {"pixel": 0, "angular_contrast": 0.4, "edc": sum_windows(frame, CHANNELS)} for frame in (waving, level)
            )
            seen = {"stay": stay, "follow": follows.look(waving), "flat": on_flat, "lost": lost.look(waving)}
            for name, data in seen.items():
                self.records[name].append(fitter.fit(layout, known, data))
        self.shift = self.told("window_shift", "follow")
        self.truth = {
            "stay": wave.truth(*PLACES.T, windows=EDGES),
            "follow": wave.truth(*PLACES.T, windows=EDGES, window_shift=self.shift),
            "flat": flat.truth(*PLACES.T, windows=EDGES),
        }

    def frame(self, images, cut, sample, place, rng):
        """Counts of a sample; both have the same flake, so that the images of one serve the other."""
        images.sample = sample
        mean = images.expected(cut, *place)
        return rng.poisson(mean * (COUNTS / mean.sum())).astype(np.int32)

    def told(self, key, name):
        return np.array([record[key] for record in self.records[name]])

    def joint_error(self, name):
        return self.told("joint_delta", name) - self.truth[name].gap


@pytest.fixture(scope="module")
def compared():
    return Compared()


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_followed_windows_are_as_right_as_those_on_a_flat_sample(compared):
    assert set(compared.told("joint_status", "follow")) == {"ok"}
    assert rms(compared.joint_error("follow")) <= 1.3 * rms(compared.joint_error("flat"))


def test_windows_that_stay_are_wrong_by_several_mev(compared):
    far = np.abs(compared.tilt) > 0.2
    assert far.sum() >= 8
    window = compared.told("delta", "stay") - compared.truth["stay"].window_gap
    assert np.nanmax(np.abs(window[far])) > 4.0
    assert rms(compared.joint_error("stay")) > 2.0 * rms(compared.joint_error("follow"))


def test_the_centre_is_that_of_the_face_and_the_windows_lie_within_half_a_channel_of_it(compared):
    centre, error = compared.told("k_f_centre", "follow"), compared.told("k_f_centre_error", "follow")
    pull = (centre + compared.tilt) / error
    # 24 pulls: their spread is known to 0.15.
    assert 0.6 < rms(pull) < 1.5
    assert np.abs(compared.shift - centre).max() <= 0.025 + 1e-9
    assert np.array_equal(compared.told("k_f_status", "follow") == "far", np.abs(centre) > 0.2)


def test_a_pixel_whose_k_f_was_not_found_has_the_error_of_a_face_that_waves(compared):
    # What was planned, and no more is known of it.
    assert np.array_equal(compared.told("joint_delta", "lost"), compared.told("joint_delta", "stay"))
    error = compared.told("joint_delta", "lost") - compared.truth["stay"].gap
    claimed = np.hypot(compared.told("joint_delta_stderr", "lost"), compared.told("joint_delta_systematic", "lost"))
    plain = np.hypot(compared.told("joint_delta_stderr", "stay"), compared.told("joint_delta_systematic", "stay"))
    # Faces are off by 0.24 deg rms, and that of gaps goes with its square.
    assert 0.67 < rms(error) / rms(claimed) < 1.5
    assert rms(error) > 2.5 * rms(plain)


def test_the_gaps_of_pixels_whose_k_f_was_found_are_those_of_the_sample_and_those_of_all_are_not(compared):
    """Every fourth pixel is lost: a map of errors, which all are one value (0) if the gaps are the truth."""
    found = GapMap((4, 6), ("-k_F", "+k_F"))
    for pixel, truth in enumerate(compared.truth["follow"].gap):
        record = compared.records["lost" if pixel % 4 == 1 else "follow"][pixel]
        found.update((0.0, "run"), pixel + 1, float(pixel), record | {"pixel": pixel})
        found.joint_delta.flat[pixel] -= truth
    assert found.status_counts() == {"ok": 18, NO_K_F: 6}
    assert set(found.status[:, found.joint_status == NO_K_F].ravel()) == {NO_K_F}
    good, gap, error = found.joint_status == "ok", found.joint_delta, found.joint_delta_stderr
    assert np.isfinite(gap).all()
    assert constant_chi2(gap[good], error[good]).p_value > 0.01
    assert abs(constant_chi2(gap[good], error[good]).constant) < 0.5
    assert constant_chi2(gap, error).p_value < 1e-6
