"""The sample on a coarse map: told from a bright metal, from a dead patch and from nothing at all."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis.sample_region import sample_region

X, Y = np.linspace(-450.0, 450.0, 16), np.linspace(-300.0, 300.0, 11)
PITCH = 60.0
HERE = np.hypot(X[None, :] + 90.0, Y[:, None] - 60.0) < 200.0
#: Counts over I0 and angular contrast of a short exposure: silver epoxy outshines the flake.
FLAKE, EPOXY, DEAD, VACUUM = (2000.0, 0.4), (5300.0, 0.0), (1480.0, 0.0), (20.0, 0.0)


def bins(rng, counts, contrast):
    """The angular contrast of a frame: a cosine across 20 bins that hold a fifth of the counts, and Poisson noise."""
    mean = counts / 100.0
    profile = rng.poisson(mean * (1.0 + contrast * np.sqrt(2.0) * np.cos(2 * np.pi * np.arange(20) / 20)))
    if not profile.any():
        return np.nan
    return np.sqrt(max(profile.var(ddof=1) - profile.mean(), 0.0)) / profile.mean()


def seen(surfaces, seed=1, scale=1.0):
    """Counts, beam and contrast where `surfaces` holds what lies there."""
    rng = np.random.default_rng(seed)
    shape = (Y.size, X.size)
    beam = rng.uniform(0.8, 1.2, shape)
    level, contrast = (np.vectorize(lambda s, k=k: s[k], otypes=[float])(surfaces) for k in (0, 1))
    counts = rng.poisson(scale * level * beam).astype(float)
    structure = np.array([bins(rng, n, c) for n, c in zip(counts.ravel(), contrast.ravel(), strict=True)])
    return counts, beam, structure.reshape(shape)


def on(sample, around):
    surfaces = np.empty((Y.size, X.size), dtype=object)
    for index in np.ndindex(surfaces.shape):
        surfaces[index] = sample if HERE[index] else around
    return surfaces


@pytest.mark.parametrize("around", [EPOXY, VACUUM, (600.0, 0.0)])
def test_the_flake_is_found_whether_its_holder_is_brighter_or_darker(around):
    found = sample_region(X, Y, *seen(on(FLAKE, around)))
    assert found.status == "ok"
    assert (found.points == HERE).all()
    assert found.centre == pytest.approx((X[HERE.nonzero()[1]].mean(), Y[HERE.nonzero()[0]].mean()))
    assert found.area == HERE.sum() * PITCH**2
    assert found.high[0] - found.low[0] == pytest.approx(HERE.any(axis=0).sum() * PITCH)
    assert found.contrast == pytest.approx(0.4, abs=0.1)
    assert not found.at_edge
    told = [level.brightness for level in found.levels]
    assert told == pytest.approx(sorted((FLAKE[0], around[0]), reverse=True), rel=0.02, abs=3.0)


def test_a_flake_between_vacuum_and_a_brighter_metal_is_neither():
    surfaces = on(FLAKE, VACUUM)
    for row in surfaces:
        row[-4:] = [EPOXY] * 4
    found = sample_region(X, Y, *seen(surfaces))
    assert (found.status, (found.points == HERE).all()) == ("ok", True)


def test_a_dead_patch_is_left_out_and_the_rest_is_one_sample():
    surfaces = on(FLAKE, EPOXY)
    surfaces[5, 6] = DEAD
    counts, beam, contrast = seen(surfaces)
    assert HERE[5, 6]
    found = sample_region(X, Y, counts, beam, contrast)
    assert found.status == "ok"
    assert not found.points[5, 6]
    assert found.points.sum() == HERE.sum() - 1


def test_without_a_step_beyond_counting_noise_there_is_nothing_to_find():
    # 2000 counts a point are known to 2 %, beam or not
    found = sample_region(X, Y, *seen(on(FLAKE, FLAKE)))
    assert found.status == "level"
    assert found.contrast == pytest.approx(0.4, abs=0.1)
    assert not found.points.any()
    assert np.isnan(found.area)
    # a sample whose grain is 3 % shows it with 1e5 counts a point, and is still no sample on a holder
    counts, beam, contrast = seen(on(FLAKE, (1940.0, 0.4)), scale=50.0)
    assert sample_region(X, Y, counts, beam, contrast).status == "alike"


def test_a_bright_patch_of_metal_is_no_sample():
    found = sample_region(X, Y, *seen(on(EPOXY, VACUUM)))
    assert found.status == "no-contrast"
    assert [level.points for level in found.levels] == [HERE.sum(), HERE.size - HERE.sum()]


def test_noise_of_few_counts_is_not_taken_for_dispersion():
    # 60 counts a frame, 0.6 in a bin: noise alone gives a contrast near 1 on many points
    for seed in range(20):
        assert sample_region(X, Y, *seen(on(EPOXY, VACUUM), seed, scale=0.01)).status == "no-contrast"


def test_points_that_were_not_measured_belong_to_nothing_and_a_sample_at_the_edge_says_so():
    counts, beam, contrast = seen(on(FLAKE, EPOXY))
    counts[7:] = beam[7:] = contrast[7:] = np.nan
    found = sample_region(X, Y, counts, beam, contrast)
    assert found.status == "ok"
    assert not found.points[7:].any()
    assert sample_region(X, Y[3:], counts[3:], beam[3:], contrast[3:]).at_edge
    counts[:] = np.nan
    assert sample_region(X, Y, counts, beam, contrast).status == "too-few"
    with pytest.raises(ValueError, match="16 columns"):
        sample_region(X, Y, counts.T, beam, contrast)
