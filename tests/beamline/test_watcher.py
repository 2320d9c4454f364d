"""A subscriber that looks on can be stuck, slow or broken: the run never waits for it and is answered all the same."""

from __future__ import annotations

import threading

from bluesky import plan_stubs as bps
from ophyd import Signal

from microarpes.beamline.engine import Watcher


def run_of(points):
    signal = Signal(name="signal", value=0)
    yield from bps.open_run()
    for _ in range(points):
        yield from bps.checkpoint()
        yield from bps.create()
        yield from bps.read(signal)
        yield from bps.save()
    yield from bps.close_run()


def test_a_stuck_watcher_keeps_no_run_from_ending_and_is_dropped_when_its_backlog_is_full(engine, monkeypatch, caplog):
    monkeypatch.setattr(Watcher, "BACKLOG", 10)
    release, seen = threading.Event(), []

    def stuck(name, doc):
        seen.append(name)
        release.wait(60.0)

    watcher = Watcher(stuck)
    engine.subscribe(watcher)
    engine(run_of(20))
    assert engine.state == "idle"
    assert "10 documents behind" in caplog.text
    assert not watcher.settle(0.01)
    release.set()
    assert watcher.settle(60.0)
    # dropped: what waited is not passed on late, when others have gone on
    assert seen == ["start"]


def test_a_watcher_sees_every_document_in_order_in_a_thread_that_is_not_the_engines(engine):
    seen, threads, direct = [], set(), []
    engine.subscribe(lambda name, doc: direct.append(doc))

    def look(name, doc):
        seen.append(doc)
        threads.add(threading.current_thread())

    watcher = Watcher(look)
    engine.subscribe(watcher)
    engine(run_of(20))
    assert watcher.settle(60.0)
    assert [doc["uid"] for doc in seen] == [doc["uid"] for doc in direct]
    assert engine._th not in threads


def test_a_watcher_that_exits_is_dropped_and_the_run_goes_on(engine, caplog):
    calls = []

    def leave(name, doc):
        calls.append(name)
        raise SystemExit(1)

    watcher = Watcher(leave)
    engine.subscribe(watcher)
    engine(run_of(3))
    assert watcher.settle(60.0)
    assert calls == ["start"]
    assert "dropped" in caplog.text
