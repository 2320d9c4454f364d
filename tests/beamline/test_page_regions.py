"""Regions of interest compared, and the mask kept with a run: numbers that numpy and the fitter give as well."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from microarpes.analysis import GapFitter, intrinsic_spread
from microarpes.beamline import page_region_sums
from microarpes.beamline.html_report import report_run
from microarpes.beamline.kept_mask import MASK_FILE, KeptMask, KeptMaskError, read_mask, write_mask
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_mask import MaskKeeper
from microarpes.beamline.page_operator import OperatorPanel
from microarpes.beamline.page_region_sums import RegionSums
from microarpes.beamline.page_regions import SHOWN, RegionsPanel, drawn
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_statistics import StatisticsPanel, comparison_line
from microarpes.beamline.page_style import STYLES
from microarpes.beamline.stored_run import read_run

#: Two phases, 30 and 40 meV, in visiting order; the calibration changes at pixel 9 and pixel 3 has no counts.
GAPS = np.array([30.0, 30, 40, 40, 30, 30, 40, 40, 30, 30, 40, 40, 30, 30, 40])
STYLE = STYLES["light"]


@pytest.fixture(scope="module")
def two_phases(tmp_path_factory, make_raster):
    raster = make_raster(tmp_path_factory.mktemp("regions"), gaps=GAPS)
    for _ in raster.grow():
        pass
    return raster


@pytest.fixture
def choices(two_phases):
    return chosen(two_phases.folder)


def chosen(folder):
    feed = RunFeed(folder)
    while feed.advance():
        pass
    return Choices(feed)


def region(*pixels):
    mask = np.zeros(16, bool)
    mask[list(pixels)] = True
    return mask.reshape(4, 4)


def reckoned(choices):
    sums = RegionSums(choices)
    again(sums)
    return sums


def again(sums, compiled=True):
    before = sums._thread
    sums.refresh(compiled)
    if sums._thread is before:
        return False
    sums._thread.join(60.0)
    assert not sums._thread.is_alive()
    assert sums.problem == ""
    return True


def sum_of(raster, pixels):
    events = read_run(raster.folder).events
    return np.sum([events[pixel]["data"]["edc"] for pixel in pixels], axis=0).astype(float)


def fitter_of(raster, pixel):
    """As the documentation of the record says, not as the page does it."""
    record, axis = raster.record(pixel), np.array(read_run(raster.folder).start["energy_axis"])
    return GapFitter(
        1000.0 * (axis - np.array(record["ef"])[:, None]), resolution=1000.0 * record["resolution"],
        temperature=record["temperature"], gain=record["gain"], ef_error=1000.0 * max(record["ef_error"]),
        resolution_error=1000.0 * record["resolution_error"], temperature_error=record["temperature_error"],
        gamma0="prior",
    )  # fmt: skip


def test_a_region_is_the_sum_of_its_good_pixels_and_is_fitted_as_such(two_phases, choices):
    pixels = [0, 1, 4, 5]
    choices.set_region("A", region(*pixels, 3))  # pixel 3 has no counts, so no gap, and is no part of the sum
    found = reckoned(choices).latest["A"]
    counts = sum_of(two_phases, pixels)
    assert np.array_equal(found.counts, counts)
    assert np.array_equal(found.mean, counts / 4)
    expected = fitter_of(two_phases, 0).fit_joint(counts)
    assert (found.fit.delta, found.fit.delta_stderr) == pytest.approx((expected.delta, expected.delta_stderr), rel=1e-9)
    assert found.reservations() == []


def test_the_error_of_the_sum_is_that_of_four_times_the_counts_of_a_pixel(choices):
    # Counting statistics: four pixels of the same gap know it twice as well as one does. A fit of the mean EDC would
    # claim the error of one.
    choices.set_region("A", region(0, 1, 4, 5))
    fit = reckoned(choices).latest["A"].fit
    single = np.median(choices.feed.planes["delta_stderr"].flat[[0, 1, 4, 5]])
    assert single / fit.delta_stderr == pytest.approx(2.0, rel=0.15)
    assert abs(fit.delta - 30.0) < 4 * fit.delta_stderr + 1.0


def test_pixels_under_another_calibration_are_not_summed_and_it_is_said(two_phases, choices):
    choices.set_region("B", region(2, 6, 7, 10, 11))  # 10 and 11 lie behind the change of E_F by 2 meV
    sums = reckoned(choices)
    assert np.array_equal(sums.latest["B"].counts, sum_of(two_phases, [2, 6, 7]))
    (said,) = sums.latest["B"].reservations()
    assert "only the 3 of 5 pixels" in said
    panel = RegionsPanel(choices, STYLE, sums)
    assert said in panel.html()


def test_energy_counts_from_the_fermi_level_of_the_calibration_that_held(two_phases, choices):
    choices.set_region("A", region(10, 11))
    found = reckoned(choices).latest["A"]
    axis = np.array(read_run(two_phases.folder).start["energy_axis"])
    assert np.allclose(found.energy[0], 1000.0 * (axis - 95.602), atol=1e-6)
    assert np.allclose(found.energy[1], 1000.0 * (axis - 95.6023), atol=1e-6)


def test_a_record_that_only_repeats_the_last_is_the_same_calibration(two_phases, choices):
    choices.feed.calibrations[1] = {**choices.feed.calibrations[0], "time": 5e8, "since": two_phases.time + 8.5}
    choices.set_region("B", region(6, 7, 10, 11))
    assert reckoned(choices).latest["B"].n_summed == 4


def test_of_a_large_region_evenly_spread_pixels_are_read_and_it_is_said(two_phases, choices, monkeypatch):
    monkeypatch.setattr(page_region_sums, "AT_MOST", 3)
    choices.set_region("A", region(0, 1, 2, 4, 5))
    found = reckoned(choices).latest["A"]
    assert np.array_equal(found.counts, sum_of(two_phases, [0, 2, 5]))
    assert "3 of 5 pixels read" in found.reservations()[0]


def test_nothing_is_reckoned_again_until_a_region_or_its_pixels_change(choices):
    choices.set_region("A", region(0, 1))
    sums = reckoned(choices)
    assert not again(sums)
    choices.choose(7)  # another pixel is looked at: no business of the regions
    assert not again(sums)
    choices.feed.status[0, 0] = "no-gap"
    assert again(sums)
    assert sums.latest["A"].n_summed == 1
    choices.feed.planes["time"][0, 1] += 0.25  # taken again
    assert again(sums)
    choices.set_region("A", None)
    assert again(sums)
    assert sums.latest == {}


def test_a_region_that_was_drawn_anew_does_not_show_the_sum_of_the_old_one(choices):
    choices.set_region("A", region(0, 1))
    sums = reckoned(choices)
    panel = RegionsPanel(choices, STYLE, sums)
    assert "A: 2 EDCs summed" in panel.html()
    choices.set_region("A", region(4, 5, 6))
    assert "A: is being summed" in panel.html()
    again(sums)
    assert "A: 3 EDCs summed" in panel.html()
    choices.set_region("A", region(3, 4, 5, 6))  # with one without counts: the sum is the same
    again(sums)
    assert "A: 3 EDCs summed" in panel.html()
    choices.set_region("A", region(3, 4, 5, 6))  # the same once more
    assert "A: 3 EDCs summed" in panel.html()
    choices.set_region("A", region(3))
    again(sums)
    assert "A: no pixel with a gap" in panel.html()


def test_the_thresholds_hold_for_the_sums_as_well(two_phases, choices):
    errors = choices.feed.planes["delta_stderr"]
    choices.set_region("A", region(0, 1, 4, 5))
    pixels = [0, 1, 4, 5]
    worst = pixels[int(np.argmax(errors.flat[pixels]))]
    choices.set_thresholds(float(np.sort(errors.flat[pixels])[-2]), np.inf)
    pixels.remove(worst)
    assert np.array_equal(reckoned(choices).latest["A"].counts, sum_of(two_phases, pixels))


def test_while_the_fit_is_compiled_the_edcs_are_shown_without_it(choices):
    choices.set_region("A", region(0, 1))
    sums = RegionSums(choices)
    again(sums, compiled=False)
    assert sums.latest["A"].fit is None
    assert np.isnan(drawn(sums.latest["A"], 0)[1]["counts"]).all()
    assert again(sums, compiled=True)
    assert sums.latest["A"].fit.status == "ok"


def test_the_panel_asks_for_a_region_while_there_is_none_and_shows_both_then(choices):
    sums = RegionSums(choices)
    panel = RegionsPanel(choices, STYLE, sums)
    assert "draw a region on the map" in panel.html()
    assert not panel.figure.visible
    choices.set_region("A", region(0, 1, 4, 5))
    choices.set_region("B", region(2, 6, 7))
    again(sums)
    panel.update(True)
    assert panel.figure.visible
    a, b = (panel.sources[name][0][1].data for name in "AB")
    # The leading edge of the smaller gap lies nearer to E_F: at the same depth there is more of it at -20 meV.
    near = np.argmin(np.abs(np.asarray(a["energy"]) + 20.0))
    assert a["counts"][near] / a["counts"].max() > b["counts"][near] / b["counts"].max()
    # Points are means of neighbouring channels: nothing of the counts within what is shown is lost but a rest.
    points = panel.sources["A"][0][0].data["counts"]
    energy = sums.latest["A"].energy[0]
    channels = sums.latest["A"].mean[0][(energy >= SHOWN[0]) & (energy <= SHOWN[1])]
    assert 4 * points.sum() == pytest.approx(channels[: 4 * len(points)].sum())
    assert len(channels) - 4 * len(points) < 4
    choices.set_region("B", None)
    panel.update(True)
    assert len(panel.sources["B"][0][0].data["energy"]) == 0


def test_the_means_of_two_regions_differ_by_what_spread_and_error_allow(choices):
    rng = np.random.default_rng(5)
    gap, error = np.full((10, 20), np.nan), np.full((10, 20), 0.5)
    gap[:, :10], gap[:, 10:] = rng.normal(30.0, 3.0, (10, 10)), rng.normal(32.0, 3.0, (10, 10))
    left = np.zeros(gap.shape, bool)
    left[:, :10] = True
    line = comparison_line({"A": left, "B": ~left}, gap, error)
    a, b = intrinsic_spread(gap[left], error[left]), intrinsic_spread(gap[~left], error[~left])
    stderr = math.hypot(a.mean_stderr, b.mean_stderr)
    assert f"{a.mean - b.mean:.2f} \N{PLUS-MINUS SIGN} {stderr:.2f} meV, {abs(a.mean - b.mean) / stderr:.1f} " in line
    # Who chooses the pixels by their gap makes the difference himself.
    chosen = comparison_line({"A": left, "B": ~left}, gap, error, {"B"})
    assert "\N{GREEK SMALL LETTER SIGMA}" not in chosen
    assert "B was chosen by the gap itself" in chosen
    # 3 meV of spread over 100 pixels each: 0.43 meV on the difference, where the errors alone would say 0.07.
    assert stderr == pytest.approx(3.0 * math.sqrt(2.0 / 100), rel=0.15)


def test_regions_that_share_pixels_are_not_compared(choices):
    one, other = region(0, 1, 2), region(2, 4)
    assert "share 1 pixels" in comparison_line({"A": one, "B": other}, np.ones((4, 4)), np.ones((4, 4)))
    assert comparison_line({"A": one}, np.ones((4, 4)), np.ones((4, 4))) == ""


class Geometry:
    """What Bokeh sends when a box has been drawn."""

    final = True

    def __init__(self, x0, x1, y0=-1e9, y1=1e9):
        self.geometry = {"type": "rect", "x0": x0, "x1": x1, "y0": y0, "y1": y1}


def test_bars_selected_in_the_histogram_become_the_region_that_is_drawn(choices):
    panel = StatisticsPanel(choices, STYLE, RegionSums(choices))
    panel.update()
    edges = np.append(panel.bars.data["left"], panel.bars.data["right"][-1])
    choices.region_drawn = "B"
    panel._bars_selected(Geometry(0.5 * (edges[20] + edges[21]), edges[-1] + 1.0))
    gap = choices.feed.planes["delta"]
    expected = choices.good() & (gap >= edges[20])
    assert expected.any()
    assert np.array_equal(choices.regions["B"], expected)
    assert choices.chosen_by_gap == {"B"}
    choices.set_region("B", region(0, 1))  # drawn on the map, which asks for no gap
    assert choices.chosen_by_gap == set()
    assert int(expected.sum()) == int(np.sum(panel.bars.data["top"][20:]))


def test_a_box_on_the_scatter_goes_into_the_region_that_is_drawn(choices):
    panel = StatisticsPanel(choices, STYLE, RegionSums(choices))
    choices.region_drawn = "B"
    panel._selected(Geometry(0.0, 1e3, 35.0, 60.0))
    assert np.array_equal(choices.regions["B"], choices.good() & (choices.feed.planes["delta"] >= 35.0))
    assert "A" not in choices.regions


def mask(**changes):
    kept = {"uid": "u", "max_error": 1.5, "max_goodness": math.inf, "pixels": (3, 7), "n_pixels": 14}
    return KeptMask(**(kept | {"kept_by": "Ada", "time": 1.8e9} | changes))


def test_a_mask_comes_back_as_it_was_kept_and_leaves_nothing_half_written(tmp_path):
    write_mask(tmp_path, mask())
    write_mask(tmp_path, mask(max_goodness=1.2))
    assert read_mask(tmp_path) == mask(max_goodness=1.2)
    assert [path.name for path in tmp_path.iterdir()] == [MASK_FILE]
    # Other programs read it too, and strict JSON knows no infinity.
    write_mask(tmp_path, mask())
    assert json.loads((tmp_path / MASK_FILE).read_text())["thresholds"]["max_deviance_per_dof"] is None


@pytest.mark.parametrize("text", ["", "[]", '{"uid": 1}', '{"thresholds": {"max_error_meV": NaN}}'])
def test_a_mask_that_cannot_be_read_is_named(tmp_path, text):
    assert read_mask(tmp_path) is None
    (tmp_path / MASK_FILE).write_text(text)
    with pytest.raises(KeptMaskError, match=MASK_FILE):
        read_mask(tmp_path)


def said(operator, text):
    return lambda: text in operator.html()


def test_the_mask_is_kept_only_with_the_operators_token(own_raster, wait_for):
    for _ in own_raster.grow():
        pass
    choices = chosen(own_raster.folder)
    errors = choices.feed.planes["delta_stderr"]
    choices.set_thresholds(float(np.nanmedian(errors)), math.inf)
    operator = OperatorPanel(own_raster.directory, "secret", "light")
    keeper = MaskKeeper(choices, operator, "light")
    keeper.name.value = "Ada"
    keeper._keep()
    assert "needs the operator" in operator.html()
    assert read_mask(own_raster.folder) is None
    operator.token.value = "secret"
    assert operator.unlocked
    keeper._keep()
    wait_for(said(operator, "mask kept with the run"), "the mask is kept")
    kept = read_mask(own_raster.folder)
    assert (kept.uid, kept.kept_by, kept.max_error) == (own_raster.uid, "Ada", choices.max_error)
    with np.errstate(invalid="ignore"):
        expected = np.flatnonzero((choices.feed.status == "ok") & (errors > choices.max_error))
    assert len(expected) > 2
    assert kept.pixels == tuple(expected)
    operator.close()


def test_the_report_mentions_a_kept_mask_and_its_numbers_stay(own_raster):
    for _ in own_raster.grow():
        pass
    before = report_run(own_raster.directory, own_raster.uid).read_text()
    write_mask(own_raster.folder, mask())
    after = report_run(own_raster.directory, own_raster.uid).read_text()
    assert "Mask kept" not in before
    assert "Mask kept: 2 pixels, error above 1.5 meV, by Ada" in after

    def tables(page):
        return page[page.index("Verdicts of the fit") : page.index("fit behind")]

    assert tables(before) == tables(after)
    (own_raster.folder / MASK_FILE).write_text("no mask")
    assert f"{MASK_FILE} is no mask" in report_run(own_raster.directory, own_raster.uid).read_text()
