"""What the page reads of a run is what its journals hold, while they grow and after."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.beamline.page_findings import find
from microarpes.beamline.page_run import WAITING, RunFeed
from microarpes.beamline.stored_run import read_run

GAPS = np.linspace(28.0, 42.0, 15)


@pytest.fixture
def grown(tmp_path, make_raster):
    raster = make_raster(tmp_path, gaps=GAPS)
    for _ in raster.grow():
        pass
    return raster


def whole(feed):
    while feed.advance():
        pass
    return feed


def test_a_feed_holds_what_a_reader_of_the_finished_run_holds(grown):
    feed, run = whole(RunFeed(grown.folder)), read_run(grown.folder)
    assert feed.n_measured == len(run.events) == 15
    assert np.array_equal(feed.plane("delta"), run.gap_map.joint_delta, equal_nan=True)
    assert np.array_equal(feed.plane("total_counts"), run.plane("total_counts"), equal_nan=True)
    assert (feed.status == run.gap_map.joint_status).all()
    assert feed.stop == run.stop


def test_a_feed_that_looks_at_every_step_ends_where_one_does_that_looks_once(tmp_path, make_raster):
    raster = make_raster(tmp_path, gaps=GAPS)
    growing = raster.grow()
    feed, seen = None, []
    for _ in growing:
        feed = feed or RunFeed(raster.folder)
        feed.advance()
        seen.append(feed.n_measured)
    once = whole(RunFeed(raster.folder))
    whole(feed)
    assert seen == sorted(seen)
    assert sorted(set(feed.changed)) == sorted(set(once.changed))
    assert np.array_equal(feed.planes["delta"], once.planes["delta"], equal_nan=True)


def test_a_pixel_waits_for_its_fit(grown):
    (grown.folder / "gap.journal").unlink()
    feed = whole(RunFeed(grown.folder))
    assert (feed.status.ravel()[:15] == WAITING).all()
    assert np.isnan(feed.plane("delta")).all()


def test_a_derived_run_that_is_begun_anew_is_read_anew(grown):
    feed = whole(RunFeed(grown.folder))
    before = feed.plane("delta").copy()
    journal = grown.folder / "gap.journal"
    content = journal.read_bytes()
    other = grown.folder / "other"
    other.write_bytes(content)
    other.replace(journal)
    whole(feed)
    assert feed.resets == 1
    assert np.array_equal(feed.plane("delta"), before, equal_nan=True)
    assert feed.n_measured == 15


def test_an_event_and_its_frame_belong_together(grown):
    feed = whole(RunFeed(grown.folder))
    for pixel in (0, 7, 14):
        event = feed.event(pixel)
        assert event["data"]["pixel"] == pixel
        assert np.array_equal(feed.frame(pixel), grown.frames[pixel])
    assert feed.event(15) is None
    assert feed.frame(15) is None


def test_a_frame_under_another_id_is_not_shown(grown):
    import h5py

    with h5py.File(grown.folder / "frames.h5", "r+") as file:
        file["entry/data/frame_id"][7] = 999
    feed = whole(RunFeed(grown.folder))
    assert feed.frame(7) is None
    assert feed.frame(6) is not None


def test_findings_are_those_of_the_functions_they_are_named_after(grown):
    from microarpes.analysis import constant_chi2, intrinsic_spread

    feed = whole(RunFeed(grown.folder))
    found = find(feed, -0.4)
    gap, error = feed.plane("delta"), feed.plane("delta_stderr")
    assert found.n == np.isfinite(gap).sum()
    assert found.spread == intrinsic_spread(gap, error)
    assert found.constant == constant_chi2(gap, error)
    # 28 ... 42 meV row by row: so steep a gradient along the rows is one of time as well, and is said to be
    assert found.spread.intrinsic > 2.0
    assert any("one gap" in line for line in found.lines((10.0, 12.0)))
