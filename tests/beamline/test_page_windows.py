"""Windows tried on the page: the preview is a refit's, and what is saved is what a later run takes."""

from __future__ import annotations

import dataclasses
import tomllib
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from microarpes.analysis import GapFitter, GapMap
from microarpes.analysis.event_fit import EventFitter
from microarpes.beamline.config import ConfigError, parse_config, simulated_config, simulated_text
from microarpes.beamline.journal import read_documents
from microarpes.beamline.moved_windows import WindowError
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_frame import FramePanel
from microarpes.beamline.page_preview import Measured, preview, tried_windows
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_spectrum import SpectrumFits, SpectrumPanel
from microarpes.beamline.page_style import STYLES
from microarpes.beamline.page_windows import WindowsPanel
from microarpes.beamline.window_file import SaveRefused, load_windows, save_windows, windows_toml
from microarpes.devices.flat_field import window_factors
from microarpes.devices.region import AngleWindow
from microarpes.devices.spectra import sum_windows
from microarpes.plans.grid import RasterGrid

#: After the change of the calibration at event 9, so that its E_F and row shift must be taken from the second record.
PIXEL = 12
EDGES = [(-0.7, -0.2), (0.1, 0.85)]


@pytest.fixture(scope="module")
def feed(raster):
    read = RunFeed(raster.folder)
    while read.advance():
        pass
    return read


@pytest.fixture(scope="module")
def fits():
    made = SpectrumFits()
    assert made.ready.wait(300.0)
    return made


@pytest.fixture
def panel(feed, fits):
    """Make the panel of a viewer who has chosen a pixel and opened the windows."""
    opened = []

    def make(operator=None, pixel=PIXEL):
        choices = Choices(feed)
        choices.choose(pixel)
        style = STYLES["light"]
        frame, spectrum = FramePanel(choices, style), SpectrumPanel(choices, style, fits)
        opened.append(WindowsPanel(choices, style, frame, spectrum, fits, operator))
        opened[-1].shown.active = [0]
        return opened[-1]

    yield make
    for made in opened:
        made.close()


def expected_fit(raster, windows, pixel=PIXEL):
    """The joint fit as one would write it by hand: columns, sum, E_F of the window of the same name."""
    angle = np.linspace(-1.0, 1.0, 12)
    channels = [np.flatnonzero((angle >= low) & (angle < high)) for low, high in windows]
    record = raster.record(pixel)
    edc = sum_windows(raster.frames[pixel], channels, np.array(record["row_shift"]))
    energy = 95.6 + np.arange(-150.0, 60.0) / 1000
    axes = np.stack([1000.0 * (energy - ef) for ef in record["ef"]])
    fitter = GapFitter(
        axes, resolution=10.0, temperature=10.0, ef_error=0.3, resolution_error=0.4, temperature_error=0.5
    )
    return edc, fitter.fit_joint(edc, 0.4)


def test_the_preview_is_the_joint_fit_of_the_frame_summed_in_the_tried_windows(raster, feed, fits):
    windows = tried_windows(feed.start, EDGES)
    made = preview(EventFitter("norman", "prior"), Measured.of_pixel(feed, PIXEL), windows)
    edc, fit = expected_fit(raster, EDGES)
    assert np.array_equal(made.counts, edc)
    assert fit.status == "ok"
    # 0.1 meV of E_F moves the model by far more than this: the axes are reckoned along two ways in floating point
    assert np.allclose(made.model, np.asarray(fit.model_counts).reshape(edc.shape), rtol=1e-3)
    assert made.text.startswith(f"gap {fit.delta:.1f} \N{PLUS-MINUS SIGN} {fit.delta_stderr:.1f} meV")


def test_the_windows_of_the_run_previewed_are_what_was_measured(raster, feed, fits):
    edges = [(window["angle_low"], window["angle_high"]) for window in raster.windows]
    made = preview(EventFitter("norman", "prior"), Measured.of_pixel(feed, PIXEL), tried_windows(feed.start, edges))
    measured = fits.spectrum(feed, PIXEL)
    assert np.array_equal(made.counts, measured.counts)
    assert np.array_equal(made.model, measured.model)
    assert made.text == measured.text


@pytest.mark.parametrize("mesh", [False, True])
@pytest.mark.parametrize("pixel", [2, PIXEL])
def test_the_preview_of_a_pixel_is_what_a_refit_with_these_windows_stores(own_raster, fitted_here, mesh, pixel):
    angle = np.linspace(-1.0, 1.0, 12)
    if mesh:  # factors that are no two alike: those of other columns would show
        flat = 1.0 + 0.2 * np.sin(0.7 * np.arange(12)[:, None] + 0.02 * np.arange(210))
        flat /= flat.mean()
        with h5py.File(own_raster.folder / "frames.h5", "r+") as file:
            file["entry/detector/flat_field"] = flat
        channels = [np.flatnonzero((w["angle_low"] <= angle) & (w["angle_high"] > angle)) for w in own_raster.windows]
        for record in own_raster.records:
            record["flat_field"] = window_factors(flat, channels, np.array(record["row_shift"])).tolist()
        own_raster.write(own_raster.documents())
    read = RunFeed(own_raster.folder)
    while read.advance():
        pass
    windows = tried_windows(read.start, EDGES)
    made = preview(EventFitter("norman", "prior"), Measured.of_pixel(read, pixel), windows)
    moved = tuple((window.name, window.angle_low, window.angle_high) for window in windows)
    outcome = fitted_here(own_raster, 4, job=dataclasses.replace(own_raster.job, windows=moved))
    stored = GapMap.from_documents(read_documents(outcome.journal))
    assert stored.joint_status.flat[pixel] == "ok"
    gap, error = stored.joint_delta.flat[pixel], stored.joint_delta_stderr.flat[pixel]
    assert made.text.startswith(f"gap {gap:.1f} \N{PLUS-MINUS SIGN} {error:.1f} meV")
    assert f"deviance {stored.joint_deviance.flat[pixel]:.0f} /" in made.text


def test_windows_that_count_beyond_the_linear_range_have_no_gap(feed):
    windows = tried_windows(feed.start, EDGES)
    measured = Measured.of_pixel(feed, PIXEL)
    event = {**measured.event, "data": {**measured.event["data"], "live_time": 1.0}}
    for highest, words in ((1.0, "saturated"), (1e6, "gap")):  # 60 counts a channel in 1 s at the peak
        start = {**feed.start, "detector": {"linearity": {"linear_up_to": highest}}}
        declared = dataclasses.replace(measured, start=start, event=event)
        made = preview(EventFitter("norman", "prior"), declared, windows)
        assert made.text.startswith(words)
        assert np.isnan(made.model).all() == (words == "saturated")


def test_an_edge_on_a_column_takes_it_in_below_and_leaves_it_out_above(feed):
    angle = np.asarray(feed.start["angle_axis"])
    low, high = float(angle[3]), float(angle[6])
    window, _ = tried_windows(feed.start, [(low, high), (0.5, 0.9)])
    assert (window.angle_low, window.angle_high) == (low, high)  # nothing is snapped
    assert window.channels(angle).tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ((None, 0.2), "both edges"),
        ((float("nan"), 0.2), "both edges"),
        ((0.2, 0.2), "not below"),
        ((0.3, 0.2), "not below"),
        ((-1.2, 0.2), "beyond the frame"),
        ((0.2, 1.2), "beyond the frame"),
        ((0.10, 0.20), "no angle channel"),  # columns at 0.091 and 0.273 deg
    ],
)
def test_edges_that_make_no_window_are_told_by_name(feed, edges, words):
    with pytest.raises(WindowError, match=words) as refused:
        tried_windows(feed.start, [(-0.7, -0.2), edges])
    assert "+k_F" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_drag_shows_in_the_numbers_and_a_number_moves_the_box(panel):
    made = panel()
    made.boxes[1].left = 0.3
    assert made.inputs[1][0].value == 0.3
    made.inputs[0][1].value = -0.25
    assert made.boxes[0].right == -0.25
    assert [tuple(edges) for edges in made.edges] == [(-1.05, -0.25), (0.3, 1.05)]
    made.boxes[1].right = 0.1  # turned inside out by the mouse
    assert made.edges[1] == [0.1, 0.3]


def test_an_edge_that_was_not_dragged_keeps_its_last_digit(panel):
    made = panel()
    # as it comes back from the pixels of the screen; on the centre of a column that would take the column out
    made.boxes[1].update(left=0.2, right=np.nextafter(1.05, 0.0))
    assert made.edges[1] == [0.2, 1.05]


def test_the_preview_comes_beside_the_page_and_bad_windows_take_it_away(raster, panel, wait_for):
    made = panel()
    for i, (low, high) in enumerate(EDGES):
        made.inputs[i][0].value, made.inputs[i][1].value = low, high

    def looked():
        made.update()
        return "gap" in made.text

    wait_for(looked, "a preview")
    _, fit = expected_fit(raster, EDGES)
    # the fit of the windows as they were may have come before
    wait_for(lambda: made.update() or f"tried windows: gap {fit.delta:.1f} " in made.text, "the last preview")
    assert all(len(source.data["model"]) for source in made.sources)
    made.inputs[1][0].value = 0.95
    made.update()
    assert "no preview, window +k_F" in made.text
    assert not any(len(source.data["model"]) for source in made.sources)
    made.inputs[1][0].value = 0.1
    wait_for(looked, "the preview again")
    made.shown.active = []
    assert made.text == ""
    assert not any(box.visible for box in made.boxes)


def test_what_is_saved_gives_the_same_windows_through_the_configuration_and_alone(tmp_path):
    windows = (
        AngleWindow(name="-k_F", angle_low=-1.7900000283377512, angle_high=-1e-05),
        AngleWindow(name='+k_F "wide"\\ \u03c6 \x7f\t\U0001f600', angle_low=1 / 3, angle_high=2),
    )
    path = save_windows(tmp_path, "wide_2", windows_toml(windows, ["of a run\nname = 'x'"]))
    assert path == tmp_path / "windows-wide_2.toml"
    assert load_windows(path) == windows
    beamline = simulated_text().split("[[windows]]")[0]
    assert parse_config(tomllib.loads(beamline + path.read_text()), "this test").windows == windows
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def test_saving_never_writes_over_what_says_something_else(tmp_path):
    text = windows_toml(simulated_config().windows, ["one"])
    path = save_windows(tmp_path, "a", text)
    assert save_windows(tmp_path, "a", text) == path
    with pytest.raises(SaveRefused, match=r"windows-a\.toml is there already"):
        save_windows(tmp_path, "a", windows_toml(simulated_config().windows, ["another"]))
    assert path.read_text() == text
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a.b", "a b", "\u00e9", "a\n", "a" * 41])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(SaveRefused, match="letters, digits, - and _"):
        save_windows(tmp_path, name, "text")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(SaveRefused, match="was not written: No such file"):
        save_windows(tmp_path / "none", "a", "text")


def test_only_the_operator_saves_and_others_copy_the_text(raster, panel, wait_for):
    viewer = panel()
    viewer.update()
    assert "try_save" not in {model.name for model in viewer.panel.references()}
    assert tomllib.loads(viewer.toml.value)["windows"] == raster.windows
    viewer.inputs[0][1].value = -2.0
    viewer.update()
    assert viewer.toml.value == ""  # never the text of windows that are not those on the frame

    operator = SimpleNamespace(unlocked=False)
    made = panel(operator)
    assert "try_toml" not in {model.name for model in made.panel.references()}
    path = raster.directory / "windows-for-tomorrow.toml"
    made.name.value = "for-tomorrow"
    made._save()
    assert "it needs the operator" in made.said.text
    assert not path.exists()
    operator.unlocked = True
    made.inputs[0][1].value = -0.25
    made._save()
    wait_for(lambda: made.update() or "saved as windows-for-tomorrow.toml" in made.said.text, "the answer")
    try:
        assert [(w.angle_low, w.angle_high) for w in load_windows(path)] == [(-1.05, -0.25), (0.5, 1.05)]
        assert raster.uid in path.read_text()
        assert f"pixel {PIXEL} (row 3, column 0)" in path.read_text()
    finally:
        path.unlink()


GOOD = '[[windows]]\nname = "a"\nangle_low = 0.0\nangle_high = 0.1\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["cannot be read: No such file"]),
        ("windows = [", ["is not TOML"]),
        ("", ["windows is missing", "[[windows]]"]),
        ("windows = []", ["windows: there is none", "one to 64"]),
        ("sample = 3\n" + GOOD, ["unknown key sample = 3", "[[windows]]"]),
        ("[beamline]\nname = 'x'\n" + GOOD, ["unknown key beamline", "nothing else"]),
        (GOOD + "width = 0.2\n", ["unknown key windows.0.width = 0.2"]),
        (GOOD.replace("angle_high = 0.1", ""), ["windows.0.angle_high is missing"]),
        (GOOD.replace("0.1", '"wide"'), ["windows.0.angle_high", "valid number", "'wide'"]),
        (GOOD.replace("0.1", "inf"), ["windows.0.angle_high", "finite number", "inf"]),
        (GOOD.replace("0.1", "-0.1"), ["angle_low = 0.0 deg is not below angle_high = -0.1 deg"]),
        (GOOD + GOOD, ["windows have the same name: a"]),
    ],
)
def test_a_bad_file_of_windows_is_refused_in_one_line_before_anything_connects(tmp_path, monkeypatch, text, words):
    from microarpes.beamline import instrument
    from microarpes.beamline.map import run_map

    def connected(config):
        raise AssertionError("it connected")

    monkeypatch.setattr(instrument, "connect_end_station", connected)
    config, path = tmp_path / "beamline.toml", tmp_path / "windows-bad.toml"
    config.write_text(simulated_text())
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        run_map(
            config, RasterGrid.centred(2, 2, 10.0), directory=tmp_path, exposure=None, sample=None, operator=None,
            page=False, control=False, summary=None, windows=path,
        )  # fmt: skip
    said = str(refused.value)
    assert "windows-bad.toml" in said
    assert "\n" not in said
    assert [word for word in words if word not in said] == []


def test_a_run_is_asked_for_with_the_windows_of_the_file(tmp_path, monkeypatch):
    from microarpes.beamline import cli, instrument

    asked = []

    def connected(config):
        asked.append(config)
        raise ConnectionError("far enough")

    monkeypatch.setattr(instrument, "connect_end_station", connected)
    config, path = tmp_path / "beamline.toml", tmp_path / "windows-one.toml"
    config.write_text(simulated_text())
    path.write_text(GOOD)
    arguments = ["map", "--config", str(config), "--points", "2x2", "--step", "10", "--directory", str(tmp_path)]
    assert cli.main([*arguments, "--windows", str(path)]) == 1
    assert cli.main(arguments) == 1
    assert asked[0].windows == (AngleWindow(name="a", angle_low=0.0, angle_high=0.1),)
    assert asked[1].windows == simulated_config().windows
    assert asked[0].model_copy(update={"windows": asked[1].windows}) == asked[1]
