"""A long spectrum: counted until it is good enough, an event at a time, each of which holds all of it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted

from microarpes.devices.evidence import Evidence
from microarpes.plans.grid import RasterPoint
from microarpes.plans.long_spectrum import SpectrumGoal, Summation
from microarpes.plans.sub_frames import FULL_SCALE

SPOT = RasterPoint(0, 10.0, -5.0)


class Spectrum:
    """A long spectrum over the bench: exposures of 1 s, frame i with 2**i counts in each of 12 channels."""

    def __init__(self, b, goal, gap_error=None, *, interleaved=(), counts=lambda number: 2**number, **options):
        self.b, self.interleaved, self.stop_row = b, interleaved, False
        self.take = Summation(goal, gap_error, **options)

        def read():
            frame = np.full((3, 4), counts(b.station.exposed), dtype=np.int32)
            readings = {"frame_id": {"value": b.station.exposed}}
            return {"evidence": {"value": Evidence(readings=readings, frame=frame, acquire_time=1.0), "timestamp": 0.0}}

        def compose(evidence, pixel, attempt):
            frame_id = evidence.readings["frame_id"]["value"]
            return {"pixel": pixel, "attempt": attempt, "frame_id": frame_id}, {}

        b.station.read = read
        self.taker = dataclasses.replace(b.taker, compose=compose)
        self.ended = "not yet"

    def target(self, point):
        return {"x": point.x, "y": point.y, "z": 3.0}

    def plan(self):
        yield from bps.open_run()
        yield Msg("stage", self.taker.accepted)
        yield from bps.declare_stream(self.taker.accepted, name="primary")
        self.ended = yield from self.take(self.taker, [[SPOT]], lambda: self.stop_row, self.interleaved, self.target)
        yield Msg("unstage", self.taker.accepted)
        yield from bps.close_run()

    def sums(self):
        """Frames that each stored row is the sum of."""
        with h5py.File(self.b.frames.path) as file:
            totals = file["entry/data/data"][:, 0, 0].tolist()
        return [[i for i in range(31) if total >> i & 1] for total in totals]


def goal(**asked):
    return SpectrumGoal.of(**{"target_sigma": None, "counts": None, "time": None, **asked})


def test_it_counts_until_its_time_and_each_event_holds_all_that_was_counted_before(bench, engine):
    run = Spectrum(bench(), goal(time=5.0), emit_every=2.0)
    engine(run.plan())
    assert run.ended is None
    assert run.sums() == [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5]]
    events = run.b.events()
    assert [(event["pixel"], event["frame_id"], event["attempt"]) for event in events] == [
        (0, 2, 1),
        (0, 4, 1),
        (0, 5, 1),
    ]
    assert run.b.station.moves == [{"x": 10.0, "y": -5.0, "z": 3.0}] * 5


def test_it_counts_until_the_frame_has_its_counts(bench, engine):
    run = Spectrum(bench(), goal(counts=100.0))
    engine(run.plan())
    # 12 channels of 2 + 4 = 72 counts are too few, those of 2 + 4 + 8 are 168
    assert run.sums() == [[1, 2, 3]]


def test_it_counts_until_the_gap_is_known_and_fits_only_when_it_may_be(bench, engine):
    asked = []

    def gap_error(values):
        asked.append(values["frame_id"])
        # no gap is seen in the first; from then on 4 meV in one exposure, less as 1/sqrt
        return (float("nan"), "low-counts") if len(asked) == 1 else (4.0 / values["frame_id"] ** 0.5, "ok")

    run = Spectrum(bench(), goal(target_sigma=1.0), gap_error, counts=lambda number: 1)
    engine(run.plan())
    # After 2, with 2.8 meV, 8 times as many are wanted, but only as many again before the next look; 1 meV after 16.
    assert asked == [1, 2, 4, 8, 16]
    assert run.ended is None
    assert run.b.station.exposed == 16


def test_it_ends_after_the_longest_time_and_says_how_good_it_is(bench, engine, caplog):
    run = Spectrum(bench(), goal(target_sigma=0.5, longest=3.0), lambda values: (2.0, "ok"))
    engine(run.plan())
    assert run.ended == "ended after 3 s with an error of 2 meV; target_sigma = 0.5 was asked for"
    assert run.sums() == [[1, 2, 3]]
    assert run.ended in caplog.text


def test_an_operator_may_find_that_it_is_enough(bench, engine):
    run = Spectrum(bench(), goal(time=100.0), emit_every=2.0)
    run.stop_row = True
    engine(run.plan())
    assert run.ended.startswith("stopped by the operator after 2 s")
    assert run.sums() == [[1, 2]]


def test_a_sum_beyond_what_a_frame_can_hold_ends_it_with_what_it_has(bench, engine):
    run = Spectrum(bench(), goal(time=100.0), counts=lambda number: FULL_SCALE // 2)
    engine(run.plan())
    assert "at most" in run.ended
    with h5py.File(run.b.frames.path) as file:
        assert file["entry/data/data"][:, 0, 0].tolist() == [2 * (FULL_SCALE // 2)]


def test_refused_exposures_are_taken_again_and_not_in_the_sum(bench, engine):
    run = Spectrum(bench(refuse={2}), goal(time=3.0))
    engine(run.plan())
    assert run.sums() == [[1, 3, 4]]
    assert [event["attempt"] for event in run.b.events()] == [2]


def test_references_come_before_after_and_with_the_rows_of_the_map(bench, engine):
    asked = []

    def due(row, rows):
        asked.append((row, rows))
        return row == 0 or row == rows

    def measure(taker):
        taken.append(run.b.station.exposed)
        yield Msg("null")

    taken = []
    reference = SimpleNamespace(prepare=lambda taker: iter(()), due=due, measure=measure)
    # rows of 4 exposures: asked before the first, the fifth, and after the last
    run = Spectrum(bench(), goal(time=6.0), interleaved=[reference], row_length=4, emit_every=1.0)
    engine(run.plan())
    assert asked == [(0, 1), (1, 2), (2, 2)]
    assert taken == [0, 6]


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("pause", 2), ("suspend", 0)])
def test_interrupted_at_any_message_each_judged_exposure_is_in_the_sum_once(bench, engine, how, later):
    messages, whole = [], Spectrum(bench(), goal(time=3.0), emit_every=2.0)
    engine.msg_hook = messages.append
    engine(whole.plan())
    whole.b.forget()
    assert len(messages) > 25
    for index in range(len(messages) - 2):
        run = Spectrum(bench(), goal(time=3.0), emit_every=2.0)
        run.b.interrupt(index, how, later)
        try:
            engine(run.plan())
        except RunEngineInterrupted:
            while engine.state == "paused":
                engine.resume()
        finally:
            run.b.forget()
        at = (how, later, index)
        good = run.b.gate.judged_good
        assert len(good) == 3, at
        assert run.sums() == [good[:2], good], at
        assert [event["frame_id"] for event in run.b.events()] == [good[1], good[2]], at


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, "no goal given; give one of target_sigma"),
        ({"counts": 1e6, "time": 5.0}, "counts and time given"),
        ({"time": 0.0}, "time = 0.0 must be a finite number above 0"),
        ({"counts": float("nan")}, "counts = nan"),
        ({"time": 5.0, "longest": -1.0}, "longest = -1.0"),
    ],
)
def test_what_is_no_goal_is_refused(asked, reason):
    with pytest.raises(ValueError, match=reason):
        goal(**asked)


def test_an_error_of_the_gap_needs_somebody_who_fits():
    with pytest.raises(ValueError, match="target_sigma needs a fit"):
        Summation(goal(target_sigma=1.0))
