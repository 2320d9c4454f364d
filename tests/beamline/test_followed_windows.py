"""Windows that follow k_F: the same live, replayed and refitted; where it is not found; what page and report tell."""

import io
import shutil
import subprocess
import sys

import numpy as np
import pytest
from waving_face import (
    CHANNELS,
    CURVE,
    EDGES,
    HOLDER,
    TILTS,
    WINDOWS,
    FramesAtHand,
    WavingRun,
    frames_of_the_run,
    record,
    start_of,
)

from microarpes.analysis import GapMap, LiveGapMap
from microarpes.analysis.gap_map import K_F_CENTRE
from microarpes.analysis.k_f_verdict import NO_K_F
from microarpes.beamline.chunk_fit import RefitJob
from microarpes.beamline.config import ConfigError, parse_config, simulated_config
from microarpes.beamline.follow_fit import follow_fit
from microarpes.beamline.journal import encode_record, read_documents
from microarpes.beamline.map_dataset import map_dataset
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_findings import find
from microarpes.beamline.page_maps import Maps
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_spectrum import SpectrumFits
from microarpes.beamline.page_style import STYLES
from microarpes.beamline.progress import Progress
from microarpes.beamline.refit import RefitFailed, refit_run
from microarpes.beamline.refit_outcome import refitted_map, truth_of
from microarpes.beamline.report_k_f import k_f_centres
from microarpes.beamline.report_material import gather
from microarpes.beamline.report_spectra import pixel_fits
from microarpes.beamline.run_metadata import start_metadata
from microarpes.beamline.stored_figures import gap_figures
from microarpes.beamline.stored_run import read_run
from microarpes.devices.spectra import sum_windows
from microarpes.sim.sample import Sample


@pytest.fixture(scope="module")
def frames():
    return frames_of_the_run()


@pytest.fixture(scope="module")
def streamed(tmp_path_factory, frames, wait_for):
    """A run that the follower's own process fitted while it was written, and what it said."""
    run = WavingRun(tmp_path_factory.mktemp("runs"), frames)
    command = [sys.executable, "-m", "microarpes.beamline.follow_fit", "--directory", str(run.directory)]
    writing = run.write()
    follower = subprocess.Popen([*command, "--run", "waving"])
    try:
        for i in writing:
            wait_for(lambda n=i + 1: len(run.fitted()) == n, f"the fit of event {i + 1}")
        assert follower.wait(60.0) == 0
    finally:
        follower.kill()
        follower.wait()
    return run, run.fitted()


def map_of(run):
    return GapMap.from_documents(read_documents(run.folder / "gap.journal"))


def test_each_pixel_has_the_gap_of_its_own_k_f(streamed):
    run, _ = streamed
    found = map_of(run)
    assert list(found.k_f_status.flat) == ["ok", "ok", "far", "far", "ok", "flat"]
    live = slice(None, HOLDER)
    assert np.allclose(found.k_f_centre.flat[live], [-tilt for tilt in TILTS], atol=0.02)
    assert np.allclose(found.window_shift.flat[live], found.k_f_centre.flat[live], atol=0.0251)
    # Half a meV a pixel.
    assert np.allclose(found.joint_delta.flat[live], 35.0, atol=2.0)
    assert (found.joint_delta_systematic.flat[live] > 0.2).all()


def test_streamed_replayed_and_refitted_are_the_same_bits(streamed, derived, fitted_here):
    run, live = streamed
    (run.folder / "gap.journal").rename(run.folder / "live.journal")
    follow_fit(run.directory, "waving")
    assert run.fitted() == live
    outcome = fitted_here(run, 2, job=RefitJob(str(run.folder / "raw.journal"), follow_k_f=True))
    assert derived(outcome.journal) == live
    start = next(doc for _, doc in read_documents(outcome.journal))
    assert (start["follow_k_f"], start["edc_source"]) == (True, "frames")
    assert np.isfinite(refitted_map(outcome.journal).window_shift).all()


@pytest.mark.parametrize(("asked", "follows"), [(None, True), (False, False), (True, True)])
def test_a_refit_follows_as_the_run_did_unless_it_is_told_otherwise(streamed, monkeypatch, asked, follows):
    def enough(folder, job, *_):
        raise RefitFailed(f"follows: {job.follow_k_f}")

    monkeypatch.setattr("microarpes.beamline.refit.fit_run", enough)
    run, _ = streamed
    with pytest.raises(RefitFailed, match=f"follows: {follows}"):
        refit_run(run.directory, "waving", follow_k_f=asked, processes=1, stream=io.StringIO())


def test_a_refit_may_follow_where_the_run_did_not_and_the_other_way_round(
    tmp_path, frames, streamed, fitted_here, derived, live
):
    run = WavingRun(tmp_path, frames, follow_k_f=False)
    list(run.write())
    follows, stays = (RefitJob(str(run.folder / "raw.journal"), follow_k_f=follow) for follow in (True, False))
    assert derived(fitted_here(run, 4, job=follows).journal) == streamed[1]
    run.start["follow_k_f"] = True
    (run.folder / "raw.journal").unlink()
    (run.folder / "frames.h5").unlink()
    list(run.write())
    plain = fitted_here(run, 4, job=stays)
    run.start["follow_k_f"] = False
    assert derived(plain.journal) == live(run.documents())


def test_the_truth_of_a_simulated_run_is_that_of_where_its_windows_lay(streamed):
    run, _ = streamed
    journal = next(path for path in (run.folder / "gap.journal", run.folder / "live.journal") if path.exists())
    found = GapMap.from_documents(read_documents(journal))
    start = run.start | {"beamline": simulated_config().beamline.name, "seed": 9, "undulation": 0.5}
    truth, _ = truth_of(start, WINDOWS, found)
    x, y, shift = found.manipulator_x.ravel(), found.manipulator_y.ravel(), found.window_shift.ravel()
    expected = Sample(9, undulation=0.5).truth(x, y, windows=EDGES, window_shift=shift).gap
    assert np.array_equal(truth.ravel(), expected)
    assert not np.allclose(expected, Sample(9).truth(x, y, windows=EDGES).gap, atol=0.01)


def test_a_look_at_a_control_pixel_has_the_windows_as_planned_for_its_frame_is_not_kept():
    edc = np.ones((2, 400))
    followed = FramesAtHand(start_of(record()))
    followed("descriptor", {"uid": "c", "name": "control"})
    look = {"descriptor": "c", "time": 1.9e9, "seq_num": 1, "data": {"edc": edc, "k_f_centre": 0.1}}
    assert followed("event", look)["data"] == {"edc": edc, "k_f_centre": 0.1}


def planned(run):
    """What the fit says of each event with the windows as planned."""
    emitted = []
    router = LiveGapMap(lambda name, doc: emitted.append(doc["data"]) if name == "event" else None)
    for name, doc in run.documents():
        router(name, doc | {"follow_k_f": False} if name == "start" else doc)
    return emitted


def without_centre(data):
    """What a fit says, but for where the windows lay; as bytes, NaN and all."""
    return encode_record("event", {key: value for key, value in data.items() if key not in (*K_F_CENTRE, "k_f_status")})


def test_a_pixel_without_a_centre_keeps_the_planned_windows_and_says_so(streamed):
    run, _ = streamed
    journal = next(path for path in (run.folder / "gap.journal", run.folder / "live.journal") if path.exists())
    holder = [doc["data"] for name, doc in read_documents(journal) if name == "event"][HOLDER]
    assert (holder["k_f_status"], holder["window_shift"]) == ("flat", 0.0)
    assert np.isnan([holder["k_f_centre"], holder["k_f_centre_error"]]).all()
    assert without_centre(holder) == without_centre(planned(run)[HOLDER])


def test_an_event_whose_frame_is_not_there_keeps_the_planned_windows_and_says_so(tmp_path, frames):
    run = WavingRun(tmp_path, frames[:2])
    list(run.write(ids=[7, 4711]))
    follow_fit(tmp_path, "waving")
    first, second = (doc["data"] for name, doc in read_documents(run.folder / "gap.journal") if name == "event")
    assert (first["k_f_status"], second["k_f_status"]) == ("ok", "no-frame")
    assert without_centre(second) == without_centre(planned(run)[1])


def test_a_gap_whose_k_f_was_not_found_is_told_apart_everywhere_and_its_number_kept(tmp_path, frames):
    run, progress = WavingRun(tmp_path, frames[:3]), Progress()
    list(run.write(ids=[7, 4711, 9]))
    follow_fit(tmp_path, "waving")
    expected = ["ok", NO_K_F, "ok", "", "", ""]
    feed, kept = followed_feed(run.folder), map_dataset([run.folder], edcs=False)
    assert feed.status.ravel().tolist() == kept["status"].values.ravel().tolist() == expected
    assert kept["gap"].values.flat[1] == feed.planes["delta"].flat[1] > 0.0
    choices = Choices(feed)
    assert choices.good().ravel().tolist() == [verdict == "ok" for verdict in expected]
    maps = Maps(choices, STYLES["light"])
    maps.update_others()
    assert len(maps.marks.classes["k_F not found"].data["x"]) == 1
    found = find(feed, 0.0)
    assert (found.n, found.left_out) == (2, 1)
    for name, doc in read_documents(run.folder / "gap.journal"):
        progress.derived(name, doc)
    assert sorted(progress.gaps) == [0, 2]
    stored = read_run(run.folder)
    assert gap_figures(stored, None, None).status.tolist() == expected
    assert "1 pixel with a gap but without a centre" in k_f_centres(gather(stored, {})).sentences[1]


def test_the_configuration_says_whether_windows_follow_and_the_start_document_after_it():
    data = simulated_config().model_dump()
    assert "follow_k_f" not in start_metadata(simulated_config())
    data["analysis"] = {"follow_k_f": True}
    assert start_metadata(parse_config(data, "test"))["follow_k_f"] is True


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"windows": [{"name": "one", "angle_low": 1.59, "angle_high": 1.79}]}, "windows in pairs"),
        ({"windows": [*WINDOWS, {"name": "more", "angle_low": 3.0, "angle_high": 3.2}]}, "windows in pairs"),
    ],
)
def test_what_cannot_follow_is_refused_by_name(section, words):
    data = simulated_config().model_dump() | {"analysis": {"follow_k_f": True}} | section
    with pytest.raises(ConfigError, match=words):
        parse_config(data, "test")


def followed_feed(folder):
    feed = RunFeed(folder)
    while feed.advance():
        pass
    return feed


@pytest.fixture(scope="module")
def told(streamed, tmp_path_factory):
    """The run with its live fit, in a folder of its own."""
    run, _ = streamed
    folder = tmp_path_factory.mktemp("told") / "waving"
    shutil.copytree(run.folder, folder)
    if (folder / "live.journal").exists():
        (folder / "live.journal").replace(folder / "gap.journal")
    return folder


def test_the_report_draws_the_spectra_of_the_windows_where_they_lay_with_the_fits_that_are_stored(told):
    fits = pixel_fits(gather(read_run(told), {}))
    assert [one.place for one in fits] == ["best", "median", "worst"]
    assert [one.fit.delta for one in fits] == [one.stored for one in fits]


def test_the_page_has_a_map_of_the_centre_where_windows_follow_and_only_there(told, raster):
    maps = Maps(Choices(followed_feed(told)), STYLES["light"])
    shown = np.array(maps.image.data["k_f_centre"][0])
    assert "k_f_centre" in maps.figures
    # Two rows of three; on the holder there is no centre and no hatch is needed to say so.
    assert np.allclose(shown, [[0.0, -0.15, 0.42], [-0.3, 0.05, np.nan]], atol=0.02, equal_nan=True)
    assert "k_f_centre" not in Maps(Choices(followed_feed(raster.folder)), STYLES["light"]).figures


def test_the_cursor_of_the_small_maps_comes_after_when_the_newest_pixel_is_taken_up_later(told):
    choices = Choices(followed_feed(told))
    maps = Maps(choices, STYLES["light"])
    for take_up in (lambda: None, choices.keep_up):
        take_up()
        maps.update_others()
    maps.marks.draw_cursor()
    assert choices.pixel is not None
    assert maps.marks.small_cursor.data == maps.marks.cursor.data


def test_the_page_shows_a_pixel_in_the_windows_where_they_lay(told, streamed):
    run, _ = streamed
    found = SpectrumFits().spectrum(followed_feed(told), 2)
    # A face at -0.42 deg: 8 channels of 0.05 deg, straightened as the device does.
    expected = sum_windows(run.frames[2], [channels + 8 for channels in CHANNELS], CURVE)
    assert np.array_equal(found.counts, expected)
    assert found.text.endswith("windows moved by +0.40 deg")


def test_a_run_leaves_with_its_k_f_centres(told, raster):
    found = map_dataset([told], edcs=False)
    assert found["k_f_status"].values.ravel().tolist() == ["ok", "ok", "far", "far", "ok", "flat"]
    assert (found["k_f_centre"].units, found["window_shift"].dims) == ("deg", ("y", "x"))
    assert "k_f_centre" not in map_dataset([raster.folder], edcs=False)


def test_the_centre_is_among_what_a_map_is_tested_against(told, raster):
    assert "k_F centre" in find(followed_feed(told), 0.0).instrument.tests
    assert "k_F centre" not in find(followed_feed(raster.folder), 0.0).instrument.tests


def test_what_is_said_of_the_map_is_said_of_pixels_whose_k_f_was_found(told):
    feed = followed_feed(told)
    whole = find(feed, 0.0)
    feed.status.flat[1] = NO_K_F
    without = find(feed, 0.0)
    assert (whole.left_out, without.left_out) == (0, 1)
    assert without.n == without.spread.n == whole.n - 1
    assert without.lines(None)[-1] == "without 1 pixel whose k_F was not found"
    assert "whose k_F" not in "".join(whole.lines(None))


def test_the_report_tells_how_often_the_centre_was_found_and_draws_it(told, raster):
    section = k_f_centres(gather(read_run(told), {}))
    assert "found in 5 pixels" in section.sentences[0]
    assert [row[:2] for row in section.tables[0].rows] == [("ok", "3"), ("far", "2"), ("flat", "1")]
    assert section.figures[0].uri.startswith("data:image/png")
    assert k_f_centres(gather(read_run(raster.folder), {})) is None
