"""The page of a run that resumes another shows the whole map."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis import LiveGapMap
from microarpes.beamline.journal import JournalWriter
from microarpes.beamline.page_run import RunFeed


@pytest.fixture
def resumed(own_raster):
    """A run that took the last pixel of a raster whose first run was cut off one pixel before its end."""
    before = own_raster
    folder = before.directory / "later"
    folder.mkdir()
    writer, derived = JournalWriter(folder / "raw.journal"), JournalWriter(folder / "gap.journal")
    router = LiveGapMap(derived)
    documents = list(before.documents())
    changes = {"uid": "later", "time": before.time + 1000.0, "resumes": before.uid, "num_points": 1}
    last = next(doc for name, doc in reversed(documents) if name == "event")
    data = {**last["data"], "pixel": before.frames.shape[0]}
    taken = [("start", {**documents[0][1], **changes}), *[entry for entry in documents if entry[0] == "descriptor"]]
    taken.append(("event", {**last, "seq_num": 1, "time": before.time + 1001.0, "data": data}))
    for name, doc in taken:
        writer(name, doc)
        router(name, doc)
    writer.close()
    derived.close()
    return folder, before


def feed_of(folder):
    feed = RunFeed(folder)
    while feed.advance(budget=1.0):
        pass
    return feed


def test_pixels_of_both_runs_are_shown_and_its_own_are_counted(resumed):
    folder, before = resumed
    feed, first = feed_of(folder), feed_of(before.folder)
    n = before.frames.shape[0]
    assert feed.n_measured == 1
    assert (feed.status != "").sum() == n + 1
    np.testing.assert_array_equal(feed.planes["delta"].ravel()[:n], first.planes["delta"].ravel()[:n])
    assert set(feed.changed) == set(range(n + 1))


def test_an_older_pixel_opens_with_the_event_and_the_frame_of_its_own_run(resumed):
    folder, before = resumed
    feed = feed_of(folder)
    assert feed.event(2)["uid"] == feed_of(before.folder).event(2)["uid"]
    np.testing.assert_array_equal(feed.frame(2), before.frames[2])
    assert feed.event(before.frames.shape[0])["seq_num"] == 1


def test_a_run_of_before_that_is_gone_leaves_what_there_is(resumed):
    folder, before = resumed
    before.folder.rename(before.directory / "elsewhere")
    feed = feed_of(folder)
    assert (feed.status != "").sum() == 1
    assert feed.event(2) is None
