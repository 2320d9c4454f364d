"""Events of the stream ``interruptions`` stand among those of the pixels: followers read past them, or tell them."""

from __future__ import annotations

import pytest

from microarpes.beamline.html_report import report_run
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.progress import Progress
from microarpes.beamline.stored_run import read_run
from microarpes.plans.interruptions import InterruptionLog

#: The second begins while the first lasts; the third stands alone: 12 s + 3 s in all, though 10 + 8 + 3 one by one.
HELD = [
    {"reason": "ring_current is 0, at least 200 is asked for", "guard": "ring_current", "began": 1e9, "duration": 10.0},
    {"reason": "Ctrl-C", "guard": "operator", "began": 1e9 + 4.0, "duration": 8.0},
    {"reason": "pixel 5 failed 5 times", "guard": "plan", "began": 1e9 + 100.0, "duration": 3.0},
]


def held_up(raster):
    """The documents of a raster that was held up between its pixels."""
    keys, told, run = InterruptionLog().describe(), iter(HELD), raster.uid
    for number, (name, doc) in enumerate(raster.documents()):
        yield name, doc
        if name == "event" and number in (9, 13, 21):
            if number == 9:
                stream = {"uid": "interruptions-uid", "run_start": run, "name": "interruptions", "data_keys": keys}
                yield "descriptor", {**stream, "time": doc["time"], "configuration": {}, "hints": {}, "object_keys": {}}
            yield "event", raster.event("interruptions", HELD.index(data := next(told)) + 1, doc["time"], data)


@pytest.fixture
def run(own_raster):
    own_raster.write(held_up(own_raster))
    return own_raster


def test_the_test_holds_a_run_up_three_times_between_pixels(run):
    names = [doc["descriptor"] for name, doc in held_up(run) if name == "event"]
    assert names.count("interruptions-uid") == 3
    assert names[0] == names[-1] == "primary-uid"


def test_a_stored_run_tells_what_held_it_up_and_counts_what_overlaps_once(run):
    stored = read_run(run.folder)
    assert stored.interruptions == HELD
    assert stored.held_up() == pytest.approx(15.0)
    assert len(stored.events) == len(run.frames)


def test_the_live_fit_is_that_of_the_same_run_undisturbed(run, live):
    assert live(held_up(run)) == live(run.documents())


def test_progress_and_page_count_pixels_only(run):
    progress, feed = Progress(), RunFeed(run.folder)
    for name, doc in held_up(run):
        progress.raw(name, doc)
    while feed.advance(1.0):
        pass
    assert len(progress.done) == len(run.frames)
    assert len(feed.history["time"]) == len(run.frames)


def test_the_report_lists_them(run):
    text = report_run(run.directory, run.uid, None).read_text()
    assert "The run was held up 3 times, for 15.0 s in all." in text
    for each in HELD:
        assert each["reason"] in text
