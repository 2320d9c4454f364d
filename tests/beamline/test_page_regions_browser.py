"""Regions of interest and the kept mask in a real browser."""

from __future__ import annotations

import json

import numpy as np
from page_viewing import GAPS, Server, measured, wait

TOKEN = "a-token-of-the-operator"


def text_of(viewer, place):
    """The words in a piece of the page, however they are broken into lines."""
    return " ".join(" ".join(viewer.page.locator(place).all_inner_texts()).split())


def test_a_region_on_the_map_and_one_of_the_histogram_are_compared_side_by_side(stored, view):
    raster, server = stored
    gaps = measured(raster)
    viewer = view(server.address)
    viewer.shown(int(np.isfinite(gaps).sum()))
    assert "draw a region on the map" in text_of(viewer, ".regions p")
    viewer.box("map_delta", (-4.0, -4.0), (24.0, 4.0))  # 28, 30 and 33 meV
    wait(lambda: "A: 3 EDCs summed, gap" in text_of(viewer, ".regions p"), "the sum of A is fitted")
    viewer.until("() => model('regions').visible && model('fit A -k_F').data_source.data.energy.length > 100")
    viewer.page.evaluate("() => { model('set_region').value = 'B' }")
    left, right, top = viewer.page.evaluate(
        "() => {const d = model('histogram').renderers[0].data_source.data;"
        "const n = d.right.length; return [d.left[n - 6], d.right[n - 1], Math.max(...d.top)]}"
    )
    viewer.box("histogram", (left + 0.01, 0.2 * top), (right - 0.01, 0.8 * top))
    chosen = np.nan_to_num(gaps) >= left
    assert chosen.any()
    wait(lambda: f"B {chosen.sum()} {gaps[chosen].mean():.2f}" in text_of(viewer, ".numbers table"), "the row of B")
    # The same region on the map: as many pixels as its rectangles are wide, 10 um each.
    viewer.until(
        "([n]) => Array.from(model('map_delta').renderers.find((r) => r.name == 'region B').data_source.data.width)"
        ".reduce((a, b) => a + b, 0) / 10 == n",
        int(chosen.sum()),
    )
    wait(lambda: "A − B:" in text_of(viewer, ".numbers p"), "the comparison")
    assert "B was chosen by the gap itself" in text_of(viewer, ".numbers p")
    viewer.until("() => model('fit B -k_F').data_source.data.energy.length > 100")
    assert not viewer.errors


def test_a_mask_is_kept_with_the_token_and_the_next_page_begins_with_it(tmp_path, make_raster, view):
    raster = make_raster(tmp_path, gaps=GAPS)
    for _ in raster.grow():
        pass
    count = int(np.isfinite(measured(raster)).sum())
    token = tmp_path / "operator.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    server = Server(tmp_path, "--operator-token", str(token))
    try:
        viewer, open_before = view(server.address), view(server.address)
        viewer.shown(count)
        open_before.shown(count)
        limit = viewer.page.evaluate(
            "() => { const e = Array.from(model('map_delta').renderers[0].data_source.data.delta_stderr[0])"
            ".filter(Number.isFinite).sort((a, b) => a - b); const limit = (e[4] + e[5]) / 2;"
            "model('set_max_error').value = limit; return limit }"
        )
        viewer.shown(5)
        kept = raster.folder / "mask.json"
        viewer.page.get_by_text("keep this mask with the run").click()
        wait(lambda: "it needs the operator's token" in text_of(viewer, ".operator p"), "the refusal")
        assert not kept.exists()
        viewer.page.evaluate(f"() => {{ model('operator_token').value = '{TOKEN}' }}")
        wait(lambda: "the buttons are open" in text_of(viewer, ".operator p"), "the token is taken")
        viewer.page.get_by_text("keep this mask with the run").click()
        wait(kept.exists, "the mask is kept")
        assert len(json.loads(kept.read_text())["masked_pixels"]) == count - 5
        other = view(server.address)
        other.shown(5)
        assert other.page.evaluate("() => model('set_max_error').value") == limit
        wait(lambda: f"masked: {count - 5} pixels with a gap" in text_of(other, ".numbers p"), "what is masked is told")
        # A page that was open learns of it and goes on with its own choice.
        wait(lambda: "another mask is kept with the run: error above" in text_of(open_before, ".numbers p"), "the news")
        open_before.shown(count)
        assert not viewer.errors + other.errors + open_before.errors
    finally:
        server.end()


def test_a_page_without_an_operator_offers_no_keeping(stored, view):
    raster, server = stored
    viewer = view(server.address)
    viewer.shown(int(np.isfinite(measured(raster)).sum()))
    assert viewer.page.get_by_text("keep this mask with the run").count() == 0


#: Size of the letters on each axis, px.
LETTERS = """() => Bokeh.documents[0].roots().flatMap((m) => [...(m.below ?? []), ...(m.left ?? [])])
  .filter((axis) => axis.major_label_text_font_size !== undefined)
  .flatMap((axis) => [axis.major_label_text_font_size, axis.axis_label_text_font_size]).map(parseFloat)"""
#: How far the cells of the large map are from square, and the bottom of what the control room looks at.
SQUARE = """() => {const m = model('map_delta'), f = Bokeh.index.find_one(m).frame.bbox;
  return Math.abs(f.width / (m.x_range.end - m.x_range.start) / (f.height / (m.y_range.end - m.y_range.start)) - 1)}"""
BOTTOM = "() => document.querySelector('.screen').getBoundingClientRect().bottom"


def test_the_page_fits_a_screen_of_1920_in_three_columns(stored, view):
    raster, server = stored
    viewer = view(server.address)
    viewer.page.set_viewport_size({"width": 1920, "height": 1080})
    viewer.shown(int(np.isfinite(measured(raster)).sum()))
    # All that the control room looks at is on the screen, to be read from three metres, and a cell is as wide as high.
    wait(lambda: viewer.page.evaluate(BOTTOM) <= 1080, "nothing has to be scrolled for")
    wait(lambda: viewer.page.evaluate(SQUARE) < 0.01, "the cells are square")
    letters = viewer.page.evaluate(LETTERS)
    assert len(letters) > 20
    assert min(letters) >= 16
    assert viewer.page.locator(".facts").evaluate("(facts) => parseFloat(getComputedStyle(facts).fontSize)") >= 22
    viewer.box("map_delta", (-4.0, -4.0), (14.0, 14.0))
    wait(lambda: "A: 4 EDCs summed, gap" in text_of(viewer, ".regions p"), "the sum of A is fitted")
    wait(lambda: "r =" in text_of(viewer, ".numbers p"), "the findings")
    tops = viewer.page.evaluate("() => [...document.querySelectorAll('.column')].map((c) => c.offsetTop)")
    assert len(set(tops)) == 1
    assert viewer.page.evaluate("() => document.documentElement.scrollWidth") <= 1920
