"""Interpolated images against direct ones."""

import numpy as np
import pytest

from microarpes.sim.image_cache import CutImages, ExpectedImages, lagrange_weights
from microarpes.sim.photoemission import live_image
from microarpes.sim.sample import Sample, beam_quadrature
from microarpes.sim.sample_source import REFERENCE

M = REFERENCE.margin


@pytest.fixture(scope="module")
def images():
    return CutImages(REFERENCE)


# Half way between nodes, where interpolation is worst, at the ends of both ranges and in the middle.
@pytest.mark.parametrize(("gap", "gamma1"), [(35.25, 15.0), (30.75, 11.0), (39.75, 19.0), (33.75, 9.0), (36.0, 14.0)])
def test_an_interpolated_image_agrees_with_the_direct_one(images, gap, gamma1):
    direct = live_image(REFERENCE, gap, gamma1)[M:-M]
    cached = images.live(np.array([gap]), np.array([gamma1]), np.array([1.0]))
    error = cached - direct
    assert np.abs(error).max() <= 2e-3 * direct.max()
    # Projected on how the image changes with the gap, the error is one of the gap.
    slope = (live_image(REFERENCE, gap + 0.05, gamma1) - live_image(REFERENCE, gap - 0.05, gamma1))[M:-M] / 0.1
    assert abs((error * slope).sum() / (slope**2).sum()) < 0.02


def test_a_sum_over_the_beam_is_the_sum_of_direct_images():
    sample = Sample(3)
    dx, dy, weight = beam_quadrature()
    kept = slice(None, None, 9)
    gap, gamma1 = sample.gap_at(dx[kept] - 30, dy[kept] - 30), sample.gamma1_at(dx[kept] - 30, dy[kept] - 30)
    share = weight[kept] / weight[kept].sum()
    direct = sum(w * live_image(REFERENCE, g, s)[M:-M] for w, g, s in zip(share, gap, gamma1, strict=True))
    cached = CutImages(REFERENCE).live(gap, gamma1, share)
    assert np.abs(cached - direct).max() <= 2e-3 * direct.max()


def test_a_tilted_face_turns_the_image_by_that_angle(images):
    one = (np.array([35.0]), np.array([15.0]), np.array([1.0]))
    flat = images.live(*one)
    step = REFERENCE.angle_step
    turned = images.live(*one, face_tilt=step)
    # By a whole channel: the row at slit angle a shows what was at a + tilt.
    assert np.allclose(turned[:-1], flat[1:], rtol=1e-5, atol=1e-7)
    from dataclasses import replace

    direct = live_image(replace(REFERENCE, tilt=0.02), 35.0, 15.0)[M:-M]
    part = images.live(*one, face_tilt=0.02)
    assert np.abs(part - direct).max() <= 2e-3 * direct.max()


def test_lagrange_weights_reproduce_cubics():
    nodes = np.array([-1.0, 0.0, 1.0, 2.0])
    for t in (0.0, 0.3, 0.99):
        assert lagrange_weights(np.array(t)) @ nodes**3 == pytest.approx(t**3)


def test_off_the_flake_every_row_shows_the_holder():
    expected = ExpectedImages(Sample(7))
    image = expected.expected(REFERENCE, 1000.0, 0.0)
    assert np.allclose(image, expected.images(REFERENCE).holder)


def test_the_expected_image_never_goes_below_zero():
    image = ExpectedImages(Sample(7)).expected(REFERENCE, -40.0, 35.0)
    assert image.min() >= 0.0


def test_a_face_that_waves_by_half_a_degree_shows_what_a_tilt_by_as_much_does():
    from dataclasses import replace

    one = (np.array([35.0]), np.array([15.0]), np.array([1.0]))
    cut = replace(REFERENCE, largest_tilt=Sample(7, undulation=0.5).largest_tilt)
    turned = CutImages(cut).live(*one, face_tilt=0.52)
    direct = live_image(replace(REFERENCE, tilt=0.52), 35.0, 15.0)[M:-M]
    assert np.abs(turned - direct).max() <= 2e-3 * direct.max()
