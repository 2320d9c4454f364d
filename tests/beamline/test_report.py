"""The still picture: right way up, true to scale, levels that noise cannot fill, and every verdict told apart."""

import dataclasses

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from microarpes.beamline import report
from microarpes.beamline.pixel_classes import OUTSIDE, robust_levels
from microarpes.beamline.report import MapPicture, gap_label, half_pixel_extent, write_gap_map


def picture(ny=12, nx=10, verdicts=("off-sample", "bad-fit", "no-gap", "low-counts", ""), seed=4):
    rng = np.random.default_rng(seed)
    truth = rng.normal(35.0, 2.0, (ny, nx))
    error = rng.uniform(0.5, 0.9, (ny, nx))
    status = np.full((ny, nx), "ok", dtype="<U12")
    status.ravel()[: len(verdicts)] = verdicts
    gap = np.where(status == "ok", truth + error * rng.normal(size=(ny, nx)), np.nan)
    rate = np.where(status == "ok", 12.0 + rng.normal(size=(ny, nx)), np.nan)
    return MapPicture(
        x=5.0 * np.arange(nx), y=100.0 + 5.0 * np.arange(ny), delta=gap, delta_stderr=error, gamma1=rate,
        intensity=rng.normal(1e4, 100.0, (ny, nx)), status=status, phi=13.2, truth=truth,
    )  # fmt: skip


def drawn(picture):
    figure = Figure()
    panels = figure.subplots(2, 3)
    report._draw_maps(figure, panels, picture)
    report.draw_histogram(panels[1, 1], picture)
    report._draw_correlation(panels[1, 2], picture)
    return panels


def test_the_file_is_a_picture_of_legible_size(tmp_path):
    write_gap_map(tmp_path / "gap_map.png", picture(), "Bi2212-7, 10 K")
    pixels = matplotlib.image.imread(tmp_path / "gap_map.png")
    assert pixels.shape[0] > 1000
    assert pixels.shape[1] > 1500
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2])[:, :3], axis=0)) > 100


@pytest.mark.parametrize("verdict", ["no-edge", ""])
def test_a_map_without_a_single_gap_is_drawn_and_says_so(tmp_path, verdict):
    nothing = np.full((3, 4), np.nan)
    empty = MapPicture(np.arange(4.0), np.arange(3.0), nothing, nothing, nothing, nothing, np.full((3, 4), verdict))
    write_gap_map(tmp_path / "empty.png", empty)
    assert (tmp_path / "empty.png").stat().st_size > 10_000
    assert [text.get_text() for text in drawn(empty)[1, 1].texts] == ["no pixel with a gap"]


def test_a_sample_id_that_is_no_formula_is_written_as_it_is(tmp_path):
    write_gap_map(tmp_path / "gap_map.png", picture(), r"$\frac{$")  # in mathtext an error
    assert (tmp_path / "gap_map.png").stat().st_size > 10_000


def test_a_map_of_one_line_or_one_pixel_has_an_extent():
    one_line = dataclasses.replace(picture(1, 10), y=np.array([7.0]))
    assert half_pixel_extent(one_line) == (-2.5, 47.5, 4.5, 9.5)
    assert half_pixel_extent(picture(1, 1, ())) == (-0.5, 0.5, 99.5, 100.5)
    drawn(picture(1, 1, ()))


def test_maps_are_true_to_scale_y_up_and_half_a_pixel_beyond_the_centres():
    shown = picture()
    for axes in drawn(shown).ravel()[:4]:
        (image,) = axes.images
        assert axes.get_aspect() == 1.0
        assert image.origin == "lower"
        assert image.get_extent() == [-2.5, 47.5, 97.5, 157.5]


def test_a_raster_that_ran_downwards_gives_the_same_picture():
    up = picture()
    maps = ("delta", "delta_stderr", "gamma1", "intensity", "status", "truth")
    turned = {name: getattr(up, name)[::-1, ::-1] for name in maps}
    down = dataclasses.replace(up, x=up.x[::-1], y=up.y[::-1], **turned)
    for one, other in zip(drawn(up).ravel()[:4], drawn(down).ravel()[:4], strict=True):
        np.testing.assert_array_equal(one.images[0].get_array().filled(-1), other.images[0].get_array().filled(-1))


def test_a_pixel_that_is_not_ok_is_never_coloured_as_a_gap():
    wild = picture(verdicts=("bad-fit",))
    wild.delta[0, 0] = 36.0  # a fit that is bad has no business in the colours, whatever number comes with it
    gap = drawn(wild)[0, 0].images[0].get_array()
    assert gap.mask[0, 0]
    assert gap.mask.sum() == 1


def test_noise_alone_does_not_fill_the_colour_scale():
    flat = np.random.default_rng(1).normal(35.0, 0.2, 500)
    low, high = robust_levels(flat, least=4 * 0.7)
    assert high - low == pytest.approx(2.8)
    assert 0.5 * (low + high) == pytest.approx(35.0, abs=0.05)
    wide = np.r_[np.linspace(0.0, 100.0, 1001), 1e6, np.nan]
    assert robust_levels(wide) == pytest.approx((2.0, 98.1), abs=0.1)  # one wild pixel does not set the scale
    assert robust_levels(np.full(3, np.nan)) == (0.0, 1.0)
    assert robust_levels(np.full(3, 35.0))[1] > 35.0


def test_every_kind_of_pixel_without_a_gap_has_a_pattern_of_its_own_and_a_legend():
    shown = picture()
    handles = report.legend_handles(shown)
    # Without colour: hatch and brightness must differ pairwise.
    looks = {(handle.get_hatch(), handle.get_facecolor()[:3]) for handle in handles}
    assert len(looks) == len(handles) == 5
    labels = " | ".join(handle.get_label() for handle in handles)
    for words in ("off sample: 1", "bad fit: 1", "no gap resolved: 1", "no fit (low-counts): 1", "not measured: 1"):
        assert words in labels
    assert report.legend_handles(picture(verdicts=())) == []


def test_what_a_raster_does_not_visit_is_left_blank_and_has_no_legend():
    whole = picture(verdicts=("off-sample",))
    status = np.where(np.arange(10) < 5, whole.status, OUTSIDE)
    visited = dataclasses.replace(whole, status=status)
    assert [handle.get_label() for handle in report.legend_handles(visited)] == ["off sample: 1"]
    gap = drawn(visited)[0, 0]
    shown = gap.images[0].get_array()
    assert (np.ma.getmaskarray(shown) | ~np.isfinite(np.ma.getdata(shown)))[:, 5:].all()
    # one hatched square, that of the pixel off the sample
    assert [len(patch.get_path().vertices) for patch in gap.patches] == [5]


def test_the_label_names_the_quantity_and_its_angle():
    assert gap_label(13.2) == "spectral gap at $k_F$, $\\phi$ = 13.2°"
    assert gap_label(None) == "spectral gap at $k_F$"


def test_the_correlation_is_printed_with_its_number_of_pixels():
    shown = picture(verdicts=())
    shown.gamma1[:] = 10.0 + 0.5 * (shown.delta - 35.0)  # an exact line
    assert "r = 1.00, N = 120" in [text.get_text() for text in drawn(shown)[1, 2].texts]


def test_maps_of_another_shape_than_the_positions_are_refused():
    with pytest.raises(ValueError, match=r"gamma1 has shape \(2, 2\); x and y say \(12, 10\)"):
        dataclasses.replace(picture(), gamma1=np.ones((2, 2)))
