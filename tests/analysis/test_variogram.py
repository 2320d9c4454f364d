import numpy as np
import pytest

from microarpes.analysis.variogram import PATCHES, Pairs, patches_of, raster_pairs, scattered_pairs

PITCH = np.array([7.0, 5.0])


@pytest.fixture
def raster():
    rng = np.random.default_rng(4)
    x, variance = rng.standard_normal((9, 12)), rng.uniform(0.1, 2.0, (9, 12))
    return x, variance, rng.random((9, 12)) < 0.7


def one_by_one(x, variance, place, step, reach):
    """Loops over all pairs, each taken both ways."""
    sums = np.zeros((4, round(reach / step) + 1))
    for i in range(x.size):
        for j in range(x.size):
            h = np.hypot(*(place[:, i] - place[:, j]))
            if 0 < h <= reach:
                sums[:, round(h / step)] += 1, h, (x[i] - x[j]) ** 2 / 2, (variance[i] + variance[j]) / 2
    return Pairs(*sums)


def test_the_sums_over_a_raster_with_holes_are_those_over_all_pairs(raster):
    x, variance, used = raster
    place = np.array(np.nonzero(used)) * PITCH[:, None]
    expected = one_by_one(x[used], variance[used], place, 5.0, 40.0)
    for found, wanted in zip(raster_pairs(x, variance, used, PITCH, 5.0, 40.0), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_what_a_hole_holds_does_not_matter(raster):
    x, variance, used = raster
    spoilt = np.where(used, x, np.nan), np.where(used, variance, np.inf)
    for found, wanted in zip(
        raster_pairs(*spoilt, used, PITCH, 5.0, 40.0), raster_pairs(x, variance, used, PITCH, 5.0, 40.0), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_scattered_points_give_the_same_with_and_without_each_patch(raster):
    x, variance, used = raster
    place = np.array(np.nonzero(used)) * PITCH[:, None]
    patches = patches_of(place[1], place[0])
    whole, without = scattered_pairs(x[used], variance[used], place, patches, 5.0, 40.0)
    for found, wanted in zip(whole, one_by_one(x[used], variance[used], place, 5.0, 40.0), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    for patch in (0, 5, 15):
        kept = patches != patch
        expected = one_by_one(x[used][kept], variance[used][kept], place[:, kept], 5.0, 40.0)
        for found, wanted in zip(without[patch], expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_patches_share_the_points_evenly_and_lie_together():
    y, x = (u.ravel() for u in np.mgrid[:20, :20])
    patches = patches_of(x, y)
    assert np.bincount(patches).tolist() == [25] * PATCHES**2
    assert all(np.ptp(x[patches == k]) == np.ptp(y[patches == k]) == 4 for k in range(PATCHES**2))
