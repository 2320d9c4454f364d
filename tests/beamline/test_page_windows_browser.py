"""k_F windows dragged on the frame in a real browser."""

from __future__ import annotations

import pytest
from page_viewing import LOOK, Server

TOKEN = "the-operator-of-this-test-0123456789"


@pytest.fixture(scope="module")
def served(tmp_path_factory, make_raster):
    """A finished run, and the address of a server that has an operator's token."""
    raster = make_raster(tmp_path_factory.mktemp("page"))
    for _ in raster.grow():
        pass
    token = raster.directory / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    server = Server(raster.directory, "--operator-token", str(token))
    yield raster, server.address
    server.end()


@pytest.fixture
def page(browser, served):
    """The page with the tried windows shown and their first preview there; nothing may go wrong in it."""
    errors = []
    context = browser.new_context(viewport={"width": 1920, "height": 1400})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.add_init_script(LOOK)
    page.goto(served[1])
    page.wait_for_function(
        "() => window.Bokeh?.documents?.length && Bokeh.documents[0] && model('frame')?.title.text.includes('counts')"
    )
    page.get_by_label("try other windows").check()
    until_preview(page, "")
    yield page
    context.close()
    assert errors == []


def tried(page):
    return page.evaluate("() => model('text_tried').text")


def until_preview(page, other_than):
    """Wait for a preview with other numbers than these, and return its line."""
    condition = "([old]) => model('text_tried').text != old && model('text_tried').text.includes('windows: gap')"
    page.wait_for_function(condition, arg=[other_than])
    return tried(page)


def drag(page, start, end):
    page.mouse.move(*page.evaluate("([x, y]) => place('frame', x, y)", start))
    page.mouse.down()
    page.mouse.move(*page.evaluate("([x, y]) => place('frame', x, y)", end), steps=5)
    page.mouse.up()


def edges_of(page, name):
    return page.evaluate("(name) => {const box = model(name); return [box.left, box.right]}", f"tried window {name}")


def in_one_row(page):
    """Whether the columns of the page stand side by side at 1920 px."""
    tops = page.evaluate("() => [...document.querySelectorAll('.column')].map((c) => c.getBoundingClientRect().top)")
    return len(tops) == 3 and len(set(tops)) == 1


def test_dragging_an_edge_changes_the_preview_and_not_what_was_measured(page):
    measured = page.evaluate("() => [model('text_pixel').text, model('window +k_F').left]")
    first = tried(page)
    drag(page, [0.5, -100.0], [0.05, -60.0])  # from 3 columns to 6, of 12 between -1 and 1 deg
    second = until_preview(page, first)
    assert edges_of(page, "+k_F") == pytest.approx([0.05, 1.05], abs=0.02)  # a pixel of the screen is 4e-3 deg
    # an edge that was not dragged stays where it was, to the bit
    assert page.evaluate("() => model('try_high_1').value") == 1.05
    drag(page, [-0.8, -100.0], [-0.5, -60.0])  # the other window as a whole; upwards it goes nowhere
    third = until_preview(page, second)
    assert edges_of(page, "-k_F") == pytest.approx([-0.75, -0.2], abs=0.02)
    assert len({first, second, third}) == 3
    assert page.evaluate("() => [model('text_pixel').text, model('window +k_F').left]") == measured


def test_numbers_typed_do_the_same_and_what_is_no_window_says_so(page):
    first = tried(page)
    low = page.get_by_label("+k_F low (deg)")
    low.fill("0.05")
    low.press("Tab")
    until_preview(page, first)
    assert edges_of(page, "+k_F") == [0.05, 1.05]
    low.fill("1.2")
    low.press("Tab")
    page.wait_for_function("() => model('text_tried').text.includes('low = 1.2 deg is not below high = 1.05 deg')")
    assert in_one_row(page)


def test_the_operator_saves_and_who_is_none_does_not(page, served):
    from microarpes.beamline.window_file import load_windows

    raster, _ = served
    path = raster.directory / "windows-wide.toml"
    drag(page, [0.5, -100.0], [0.05, -100.0])
    name = page.get_by_label("save as", exact=True)
    name.fill("wide")
    name.press("Tab")
    save = page.get_by_role("button", name="save for the next run")
    save.click()
    page.wait_for_function("() => model('try_said').text.includes('it needs the operator')")
    assert not path.exists()
    page.get_by_label("operator's token").fill(TOKEN)
    page.get_by_label("operator's token").press("Enter")
    page.wait_for_function("() => model('text_operator').text.includes('buttons are open')")
    save.click()
    page.wait_for_function("() => model('try_said').text.includes('saved as windows-wide.toml')")
    saved = {window.name: [window.angle_low, window.angle_high] for window in load_windows(path)}
    assert saved["-k_F"] == [-1.05, -0.5]
    assert saved["+k_F"] == [edges_of(page, "+k_F")[0], 1.05]
    assert 0.0 < saved["+k_F"][0] < 0.1
    page.get_by_role("button", name="as in the run").click()
    page.wait_for_function("() => model('try_low_1').value == 0.5")
    save.click()
    page.wait_for_function("() => model('try_said').text.includes('is there already and says something else')")
    assert {window.name: [window.angle_low, window.angle_high] for window in load_windows(path)} == saved
    assert in_one_row(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_open_panel(browser, served, theme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": 1920, "height": 1400})
    page = context.new_page()
    page.add_init_script(LOOK)
    page.goto(f"{served[1]}?theme={theme}")
    page.wait_for_function("() => window.Bokeh?.documents?.length && model('try_panel')")
    page.get_by_label("try other windows").check()
    page.wait_for_function("() => model('text_tried').text.includes('windows: gap')", timeout=60_000)
    found = Axe().run(page).response["violations"]
    serious = [
        (item["id"], [node["html"][:120] for node in item["nodes"][:3]])
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
    context.close()
    assert serious == []
