"""Guards over a raster's points in a real RunEngine: held, void, taken again, and all of it told in the documents."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted
from ophyd.status import Status

from microarpes.plans.guard_limits import GuardLimits
from microarpes.plans.guarded import guarded, with_shutter
from microarpes.plans.guards import Guards
from microarpes.plans.interruptions import OPERATOR, PLAN, tell_interruptions
from microarpes.plans.take_point import take_point


def reading(value):
    return {"value": value, "timestamp": time.time(), "alarm_severity": 0}


class Ring:
    """A beam that a test switches, and guards that see it at once; an exposure ends when it is over or stopped."""

    def __init__(self, bench, **limits):
        self.bench, self.current = bench, 300.0
        limits = GuardLimits(low=200.0, **limits)
        self.guards = Guards({"ring_current": limits}, lambda: {"ring_current": reading(self.current)}, period=0.005)
        taker = bench.taker
        object.__setattr__(taker, "guards", self.guards)
        #: Exposures (by number from 1) that last until they are stopped.
        self.long, self.under_way, self.began = set(), None, threading.Event()
        station, trigger, stop = taker.station, taker.station.trigger, taker.station.stop_exposure

        def expose():
            status = trigger()
            if station.exposed not in self.long:
                return status
            self.under_way = Status()
            self.began.set()
            return self.under_way

        def stop_exposure():
            stop()
            if self.under_way is not None and not self.under_way.done:
                self.under_way.set_finished()

        station.trigger, station.stop_exposure = expose, stop_exposure

    def plan(self, n=3):
        taker = self.bench.taker

        def points():
            for pixel in range(n):
                yield from take_point(taker, pixel, {"x": float(pixel)})

        yield from bps.open_run()
        yield Msg("stage", taker.accepted)
        yield from bps.declare_stream(taker.accepted, name="primary")
        yield from guarded(taker.station, self.guards, taker.interruptions, points())
        yield Msg("unstage", taker.accepted)
        yield from bps.close_run()

    def when(self, happens, then):
        def wait():
            if happens.wait(60.0):
                then()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread


def told(bench, stream="interruptions"):
    uids = {doc["uid"] for name, doc in bench.documents if name == "descriptor" and doc["name"] == stream}
    return [doc["data"] for name, doc in bench.documents if name == "event" and doc["descriptor"] in uids]


def dump(ring, seconds=0.1):
    ring.current = 0.0
    threading.Timer(seconds, lambda: setattr(ring, "current", 300.0)).start()


def test_a_run_that_nothing_holds_up_has_no_such_stream(bench, engine):
    b = bench()
    engine(Ring(b).plan())
    assert [event["pixel"] for event in told(b, "primary")] == [0, 1, 2]
    assert [doc["name"] for name, doc in b.documents if name == "descriptor"] == ["primary"]


def test_a_trip_in_mid_exposure_stops_it_voids_it_and_it_is_taken_again(bench, engine):
    b = bench()
    ring = Ring(b)
    ring.long = {2}
    ring.when(ring.began, lambda: dump(ring))
    engine(ring.plan())
    # frame 2 was under way when the beam went: it would have been accepted, and is not in the run
    assert [(event["pixel"], event["frame_id"]) for event in told(b, "primary")] == [(0, 1), (1, 3), (2, 4)]
    assert b.station.stopped == 1
    (event,) = told(b)
    assert event["guard"] == "ring_current"
    assert event["reason"] == "ring_current is 0, at least 200 is asked for"
    assert 0.05 < event["duration"] < 60.0
    assert abs(event["began"] + event["duration"] - time.time()) < 60.0


def test_no_exposure_begins_while_a_guard_is_tripped_and_it_is_over_only_after_its_delay(bench, engine):
    b = bench()
    ring = Ring(b, delay=0.2)
    ring.current = 0.0
    seen = []
    threading.Timer(0.1, lambda: (seen.append(b.station.exposed), setattr(ring, "current", 300.0))).start()
    engine(ring.plan())
    assert seen == [0]
    assert told(b)[0]["duration"] >= 0.2
    assert len(told(b, "primary")) == 3


def test_the_shutter_is_closed_while_tripped_where_it_is_to_be_and_opened_before_the_next_exposure(bench, engine):
    b = bench()
    ring = Ring(b, close_shutter=True)
    ring.long = {2}
    ring.when(ring.began, lambda: dump(ring))
    open_at = []
    trigger = b.station.trigger
    b.station.trigger = lambda: (open_at.append(not b.station.kept_shutter.closed), trigger())[1]
    engine(ring.plan())
    assert b.station.kept_shutter.asked == ["close", "open"]
    assert open_at == [True] * 4


def test_a_shutter_that_does_not_open_again_pauses_the_run_and_nothing_is_exposed_behind_it(bench, engine):
    b = bench()
    ring = Ring(b, close_shutter=True)
    ring.long = {2}
    b.station.kept_shutter.error = TimeoutError("interlock")
    ring.when(ring.began, lambda: dump(ring))
    with pytest.raises(RunEngineInterrupted):
        engine(ring.plan())
    assert b.station.exposed == 2
    b.station.kept_shutter.error = None
    engine.resume()
    assert len(told(b, "primary")) == 3
    assert [event["guard"] for event in told(b)] == ["ring_current", PLAN]
    assert "interlock" in told(b)[1]["reason"]


def test_a_pause_while_a_guard_holds_the_run_and_a_resume_do_not_end_the_hold(bench, engine):
    # A suspension of bluesky ends there: its wait was interrupted, and a resume goes on behind it.
    b = bench()
    ring = Ring(b)
    ring.current = 0.0
    threading.Timer(0.1, lambda: engine.request_pause(False)).start()
    with pytest.raises(RunEngineInterrupted):
        engine(ring.plan())
    exposed = []
    threading.Timer(0.2, lambda: (exposed.append(b.station.exposed), setattr(ring, "current", 300.0))).start()
    engine.resume()
    assert exposed == [0]
    assert len(told(b, "primary")) == 3


def test_a_guard_that_trips_while_the_run_is_paused_holds_it_when_it_is_resumed(bench, engine):
    b = bench(refuse={1, 2, 3}, max_attempts=3)
    ring = Ring(b)
    with pytest.raises(RunEngineInterrupted):
        engine(ring.plan())
    trips = ring.guards.trips
    ring.current = 0.0
    deadline = time.monotonic() + 60.0
    while ring.guards.trips == trips and time.monotonic() < deadline:
        time.sleep(0.005)
    exposed = []
    threading.Timer(0.1, lambda: (exposed.append(b.station.exposed), setattr(ring, "current", 300.0))).start()
    engine.resume()
    assert exposed == [3]
    assert sorted(event["guard"] for event in told(b)) == [PLAN, "ring_current"]


def test_what_is_not_over_at_the_end_of_the_run_is_told_then_and_after_every_abort(bench, engine):
    b = bench()
    ring = Ring(b)
    ring.current = 0.0
    threading.Timer(0.1, lambda: engine.request_pause(False)).start()
    with pytest.raises(RunEngineInterrupted):
        engine(ring.plan())
    engine.abort("SIGTERM")
    (event,) = told(b)
    assert event["guard"] == "ring_current"
    assert event["duration"] > 0.05
    stop = b.documents[-1][1]
    assert (stop["exit_status"], stop["reason"]) == ("abort", "SIGTERM")
    assert stop["num_events"]["interruptions"] == 1


def test_a_count_rate_that_stays_wrong_pauses_the_run_instead_of_exposing_for_ever(bench, engine):
    b = bench(max_attempts=3)
    ring = Ring(b)
    ring.guards.limits["ring_current"] = GuardLimits(low=200.0, while_exposing=True)
    ring.current = 100.0
    ring.long = set(range(1, 100))
    with pytest.raises(RunEngineInterrupted):
        engine(ring.plan())
    assert b.station.exposed == 3
    ring.current = 300.0
    ring.long = set()
    engine.resume()
    assert len(told(b, "primary")) == 3


@pytest.mark.parametrize("how", ["pause", "abort"])
def test_interrupted_at_any_message_interruptions_are_told_once_and_in_no_bundle_of_a_point(bench, engine, how):
    def once(index):
        b = bench()
        ring = Ring(b)
        log, numbers = b.taker.interruptions, itertools.count()
        engine.msg_hook = lambda msg: at(msg, next(numbers))

        def at(msg, number):
            if msg.command == "set" and msg.kwargs.get("group") == "store":
                log.end(log.begin("vacuum", "for the test"))
            if number == index:
                engine.loop.create_task(engine._request_pause_coro(False))

        try:
            engine(ring.plan(2))
        except RunEngineInterrupted:
            while engine.state == "paused":
                engine.abort("over") if how == "abort" else engine.resume()
        b.forget()
        return b, next(numbers)

    undisturbed, total = once(None)
    assert len(told(undisturbed)) == 2
    for index in range(0, total - 2):
        b, _ = once(index)
        begun = [event["began"] for event in told(b)]
        assert len(set(begun)) == len(begun), index
        primary = told(b, "primary")
        # told if it was noted before the abort, and it was if the first point was stored
        assert len(begun) >= len(primary), index
        if how == "pause":
            assert [event["pixel"] for event in primary] == [0, 1], index
            assert len(begun) == 2, index
        assert b.documents[-1][0] == "stop", index
        assert set(primary[0]) == {"pixel", "attempt", "frame_id", "time_write"} if primary else True, index


def test_the_shutter_is_closed_however_a_plan_ends_and_an_abort_waits_for_no_answer(bench, engine):
    b = bench()

    class Shutter:
        name, parent = "shutter", None

        def __init__(self):
            self.asked = []

        def set(self, value):
            self.asked.append(value)
            status = Status()
            status.set_finished()
            return status

    b.station.shutter = Shutter()
    never = Status()
    b.station.kept_shutter.set = lambda value: b.station.shutter.asked.append(f"{value} at once") or never

    def fails():
        yield from bps.open_run()
        yield Msg("pause", None, defer=False)

    engine(with_shutter(b.station, bps.null()))
    assert b.station.shutter.asked == ["open", "close"]
    with pytest.raises(RunEngineInterrupted):
        engine(with_shutter(b.station, fails()))
    engine.abort("SIGHUP")
    assert b.station.shutter.asked[2:] == ["open", "close at once"]
    stop = b.documents[-1][1]
    assert (stop["exit_status"], stop["reason"]) == ("abort", "SIGHUP")
    engine(with_shutter(b.station, bps.null(), close_at_end=False))
    assert b.station.shutter.asked[4:] == ["open"]


def test_reasons_are_one_line_of_bounded_length(bench, engine):
    b = bench()
    log = b.taker.interruptions
    log.end(log.begin(OPERATOR, "the\nsample " * 200))

    def plan():
        yield from bps.open_run()
        yield from tell_interruptions(log)
        yield from bps.close_run()

    engine(plan())
    (event,) = told(b)
    assert len(event["reason"]) == 300
    assert "\n" not in event["reason"]
