"""The page in a real browser, on runs whose truth is known."""

from __future__ import annotations

import urllib.request

import numpy as np
import pytest
from bokeh.palettes import Viridis256
from page_viewing import GAPS, Server, measured, wait


def test_the_map_fills_at_the_right_place_as_the_run_grows(tmp_path, make_raster, view):
    raster = make_raster(tmp_path, gaps=GAPS)
    growing = raster.grow()
    next(growing)  # the start document
    server = Server(tmp_path)
    try:
        viewer = view(server.address)
        viewer.shown(0)
        for name in growing:
            if name == "event":
                break
        viewer.shown(1)
        while next(growing, None) is not None:
            pass
        gaps = measured(raster)
        viewer.shown(int(np.isfinite(gaps).sum()))
        # Levels follow within a second and the way ahead goes.
        wait(lambda: wrongly_coloured(viewer, gaps) == [], "every pixel has the colour of its gap")
        assert not viewer.errors
    finally:
        server.end()


def wrongly_coloured(viewer, gaps):
    """Pixels, but the last one with cursor and beam, whose colour on the screen is not that of their gap."""
    screen, (low, high), wrong = viewer.screen(), levels(viewer), []
    for pixel in range(GAPS.size - 1):
        row, column = divmod(pixel, 4)
        x, y = viewer.place("map_delta", 10.0 * column, 10.0 * row)
        colour, gap = screen[round(y), round(x), :3], gaps[row, column]
        if np.isfinite(gap):
            entry = int(np.clip((np.float32(gap) - low) / (high - low) * 256, 0, 255))
            expected = [int(Viridis256[entry][i : i + 2], 16) / 255 for i in (1, 3, 5)]
            if not np.allclose(colour, expected, atol=1.5 / 255):
                wrong.append((pixel, gap, colour, expected))
    return wrong


def levels(viewer):
    return viewer.page.evaluate(
        "() => {const m = model('map_delta').renderers[0].glyph.color_mapper; return [m.low, m.high]}"
    )


def test_a_click_and_the_arrow_keys_choose_the_pixel_that_is_meant(stored, view):
    raster, server = stored
    viewer = view(server.address)
    viewer.shown(int(np.isfinite(measured(raster)).sum()))
    viewer.page.mouse.click(*viewer.place("map_delta", 20.0, 10.0))  # column 2, row 1
    viewer.until("() => model('edc').title.text.includes('pixel 6 (row 1, column 2)')")
    counts = "() => Array.from(model('edc').renderers[1].data_source.data.counts)"
    expected = shown_counts(raster, 6)
    wait(lambda: np.array_equal(viewer.page.evaluate(counts), expected), "the EDC of pixel 6 is shown")
    viewer.page.keyboard.press("ArrowUp")  # y grows upwards
    viewer.until("() => model('edc').title.text.includes('pixel 10 (row 2, column 2)')")
    viewer.page.keyboard.press("ArrowLeft")
    viewer.until("() => model('edc').title.text.includes('pixel 9 (row 2, column 1)')")
    assert not viewer.errors


def shown_counts(raster, pixel):
    """Counts of the first window of an EDC within what is shown of the axis, meV."""
    from microarpes.beamline.page_spectrum import SHOWN
    from microarpes.beamline.stored_run import read_run

    run = read_run(raster.folder)
    energy = 1000.0 * (np.array(run.start["energy_axis"]) - raster.record(pixel)["ef"][0])
    return run.events[pixel]["data"]["edc"][0][(energy >= SHOWN[0]) & (energy <= SHOWN[1])]


def test_a_box_on_the_map_gives_the_mean_and_spread_that_numpy_gives(stored, view):
    raster, server = stored
    gaps = measured(raster)
    viewer = view(server.address)
    viewer.shown(int(np.isfinite(gaps).sum()))
    viewer.box("map_delta", (6.0, -4.0), (24.0, 14.0))
    inside = gaps[0:2, 1:3]
    inside = inside[np.isfinite(inside)]
    row = f"A {inside.size} {inside.mean():.2f} {inside.std(ddof=1):.2f}"
    table = viewer.page.locator("table")
    viewer.page.wait_for_function("() => true")
    wait(lambda: row in " ".join(table.inner_text().split()), row)
    assert not viewer.errors


def test_two_viewers_see_the_same_and_choose_for_themselves(stored, view):
    raster, server = stored
    count = int(np.isfinite(measured(raster)).sum())
    one, other = view(server.address), view(server.address)
    one.shown(count)
    other.shown(count)
    one.page.mouse.click(*one.place("map_delta", 0.0, 0.0))
    one.until("() => model('edc').title.text.includes('pixel 0 ')")
    assert "pixel 14 " in other.page.evaluate("() => model('edc').title.text")
    delta = "() => Array.from(model('map_delta').renderers[0].data_source.data.delta[0])"
    assert np.array_equal(one.page.evaluate(delta), other.page.evaluate(delta), equal_nan=True)


def test_a_killed_server_is_noticed_and_the_page_comes_back_without_a_pixel_twice(tmp_path, make_raster, view):
    raster = make_raster(tmp_path, gaps=GAPS)
    for _ in raster.grow():
        pass
    count = int(np.isfinite(measured(raster)).sum())
    server = Server(tmp_path)
    try:
        viewer = view(server.address)
        viewer.shown(count)
        server.kill()
        viewer.until("() => !document.getElementById('lost').hidden")
        server.start()
        viewer.until("() => document.getElementById('lost')?.hidden")
        viewer.shown(count)
        assert viewer.page.locator(".facts").inner_text().count("15 of 16 pixels") == 1
    finally:
        server.end()


def test_nothing_is_asked_of_other_machines(stored, view):
    raster, server = stored
    viewer = view(server.address + "?theme=dark")
    viewer.shown(int(np.isfinite(measured(raster)).sum()))
    assert [url for url in viewer.requests if not url.startswith((server.address, "data:", "blob:"))] == []
    assert not viewer.errors


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(stored, view, theme):
    from axe_playwright_python.sync_playwright import Axe

    raster, server = stored
    viewer = view(f"{server.address}?theme={theme}")
    viewer.shown(int(np.isfinite(measured(raster)).sum()))
    found = Axe().run(viewer.page).response["violations"]
    serious = [
        (item["id"], [node["html"][:120] for node in item["nodes"][:3]])
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_directory_without_a_run_says_so_and_shows_the_first_that_comes(tmp_path, make_raster, view):
    server = Server(tmp_path)
    try:
        viewer = view(server.address)
        assert "No run yet" in viewer.page.locator(".empty").inner_text()
        raster = make_raster(tmp_path, gaps=GAPS)
        for _ in raster.grow():
            pass
        viewer.shown(int(np.isfinite(measured(raster)).sum()))
    finally:
        server.end()


ROUTES = (
    "",
    "?run=x",
    "alive",
    "assets/page.js",
    "favicon.svg",
    "autoload.js",
    "static/js/bokeh.min.js",
    "metadata",
    "ws",
    "nowhere",
)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("header", [("Host", "evil.example:80"), ("Origin", "http://evil.example")])
def test_a_request_under_another_name_or_from_another_page_is_refused_on_every_route(stored, route, header):
    _, server = stored
    request = urllib.request.Request(server.address + route, headers=dict([header]))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 403
    refused.value.close()
