"""Control pixels between the rows: a stream of their own, the beam each spot has had, and no half look."""

from __future__ import annotations

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted
from pydantic import ValidationError

from microarpes.devices.evidence import Evidence
from microarpes.plans.control_looks import ControlLooks, LooksBefore, SpotDoses
from microarpes.plans.control_pixels import ControlPixels, spread
from microarpes.plans.dose_test import EVERY_TIME, DoseSeries
from microarpes.plans.grid import RasterGrid, RasterPoint
from microarpes.plans.rows import take_rows
from microarpes.plans.targets import planned_position

#: Four rows of two, 100 um apart: no exposure reaches the next pixel. Walked 0 1 / 3 2 / 4 5 / 7 6.
GRID = RasterGrid.centred(2, 4, 100.0)
SPOT = (10.0, 12.0)


class Run:
    """A raster with control pixels over the bench; each exposure is 1 s, with the beam on for 3/4 of it."""

    def __init__(self, b, control, shape=GRID, take=take_rows, **options):
        self.b, self.control, self.take = b, control, take
        station = b.station

        def read():
            readings = {"frame_id": {"value": station.exposed}, "open_fraction": {"value": 0.75}}
            frame = np.full((3, 4), station.counts(station.exposed), dtype=np.int32)
            request = dict(station.moves[-1])
            evidence = Evidence(request=request, readings=readings, frame=frame, acquire_time=1.0)
            return {"evidence": {"value": evidence, "timestamp": 0.0}}

        station.read = read
        self.rows = shape.rows()
        self.looks = ControlLooks(control, control.chosen(shape), planned_position, SPOT, **options)
        self.stopped = False

    def plan(self):
        taker = self.b.taker
        yield from bps.open_run()
        yield Msg("stage", taker.accepted)
        yield from bps.declare_stream(taker.accepted, name="primary")
        self.told = yield from self.take(taker, self.rows, lambda: self.stopped, [self.looks], planned_position)
        yield Msg("unstage", taker.accepted)
        yield from bps.close_run()

    def of_stream(self, wanted):
        names = {doc["uid"]: doc["name"] for name, doc in self.b.documents if name == "descriptor"}
        events = [doc for name, doc in self.b.documents if name == "event" and names[doc["descriptor"]] == wanted]
        last = {doc["seq_num"]: doc["data"] for doc in events}
        return [last[number] for number in sorted(last)]


def test_looks_are_events_of_their_own_stream_and_know_the_beam_the_spot_has_had(bench, engine):
    run = Run(bench(), ControlPixels(pixels=(3, 4), every_rows=2))
    engine(run.plan())
    assert [event["pixel"] for event in run.of_stream("primary")] == [0, 1, 3, 2, 4, 5, 7, 6]
    looks = run.of_stream("control")
    # Before row 0, before row 2 and at the end: 3 was measured by the map before the second, 4 before the third round.
    assert [(look["look"], look["pixel"]) for look in looks] == [(1, 3), (1, 4), (2, 3), (2, 4), (3, 3), (3, 4)]
    assert [look["dose"] for look in looks] == pytest.approx([0.75 * n for n in (0, 0, 2, 1, 3, 3)])
    # Frames 1 and 2 are those of the first round, and no row of the file.
    assert [look["frame_id"] for look in looks[:2]] == [1, 2]
    assert 1 not in run.b.stored()[0]
    moved = [move for move in run.b.station.moves if move]
    assert moved[0] == planned_position(GRID.rows()[1][0])


def test_what_the_gate_refuses_is_taken_again_and_counts_as_beam(bench, engine):
    run = Run(bench(refuse=[1, 2]), ControlPixels(pixels=(0,)))
    engine(run.plan())
    first, last = run.of_stream("control")
    assert (first["attempt"], first["frame_id"], first["dose"]) == (3, 3, 0.0)
    assert last["dose"] == pytest.approx(0.75 * 4)


@pytest.mark.parametrize(
    ("schedule", "rounds"),
    [
        ({"every_rows": 1}, [0, 1, 2, 3, 4]),
        ({"every_rows": 3, "at_end": False}, [0, 3]),
        ({"at_start": False, "every_rows": 3, "at_end": False}, [3]),
        ({"every_minutes": 0.1}, [0, 2, 4]),
        ({}, [0, 4]),
    ],
)
def test_they_are_due_by_rows_by_time_at_the_start_and_at_the_end(schedule, rounds):
    now = [0.0]
    looks = ControlLooks(ControlPixels(pixels=(0,), **schedule), [], planned_position, SPOT, clock=lambda: now[0])
    found = []
    for row in range(5):
        now[0] = 4.0 * row  # s
        if looks.due(row, 4):
            found.append(row)
            list(looks.measure(None))
    assert found == rounds


def test_a_run_that_is_resumed_goes_on_counting(bench, engine):
    point = GRID.rows()[0][0]
    before = LooksBefore(
        [(point.x, point.y, 2.0), (point.x + SPOT[0], point.y, 4.0), (point.x, point.y + 900.0, 50.0)], 5
    )
    run = Run(bench(), ControlPixels(pixels=(0,)), before=before)
    engine(run.plan())
    first, last = run.of_stream("control")
    # 2 s on it, and a quarter of the 4 s one FWHM beside it.
    assert (first["look"], last["look"]) == (6, 7)
    assert first["dose"] == pytest.approx(3.0)
    assert last["dose"] == pytest.approx(3.0 + 2 * 0.75)


def test_the_beam_is_counted_where_the_sample_was_when_it_drifts():
    doses = SpotDoses([RasterPoint(0, 0.0, 0.0)], SPOT)
    looks = ControlLooks(EVERY_TIME, [RasterPoint(0, 0.0, 0.0)], planned_position, SPOT, shift=lambda: (30.0, -8.0))
    evidence = Evidence(request={"x": 30.0, "y": -8.0}, acquire_time=2.0)
    looks._count(evidence)
    assert looks.doses.seconds[0] == 2.0
    doses.add(30.0, -8.0, 2.0)
    assert doses.seconds[0] == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("how", ["pause", "suspend"])
def test_whatever_interrupts_it_each_look_is_one_whole_judged_exposure(bench, engine, how):
    control = ControlPixels(pixels=(3,), every_rows=2)
    undisturbed = Run(bench(), control)
    messages = []
    engine.msg_hook = messages.append
    engine(undisturbed.plan())
    undisturbed.b.forget()
    for index in range(5, len(messages), 3):
        run = Run(bench(), control)
        run.b.interrupt(index, how)
        try:
            engine(run.plan())
        except RunEngineInterrupted:
            while engine.state == "paused":
                engine.resume()
        finally:
            run.b.forget()
        looks = run.of_stream("control")
        assert [(look["look"], look["pixel"]) for look in looks] == [(1, 3), (2, 3), (3, 3)]
        assert {look["frame_id"] for look in looks} <= set(run.b.gate.judged_good)
        assert [event["pixel"] for event in run.of_stream("primary")] == [0, 1, 3, 2, 4, 5, 7, 6]


def test_pixels_are_chosen_evenly_and_the_first_lies_in_the_middle():
    shape = RasterGrid.centred(11, 11, 10.0)
    chosen = ControlPixels(number=5, every_rows=1).chosen(shape)
    assert (chosen[0].x, chosen[0].y) == (0.0, 0.0)
    assert len({point.pixel for point in chosen}) == 5
    apart = [np.hypot(a.x - b.x, a.y - b.y) for a in chosen for b in chosen if a != b]
    assert min(apart) >= 25.0  # five on a square of 100 um, at best some 50 apart
    assert len(spread(chosen, 20)) == 5
    assert ControlPixels(pixels=(7, 3), every_rows=1).chosen(shape)[0].pixel == 7


def test_what_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="never looked at again"):
        ControlPixels(at_end=False)
    with pytest.raises(ValidationError, match="3 more than once"):
        ControlPixels(pixels=(3, 3))
    assert ControlPixels(pixels=(3, 99)).refusals(GRID) == ["control pixels 99 are none of the 8 planned ones"]
    assert ControlPixels(pixels=(3,)).refusals(GRID) == []


def test_a_dose_test_looks_so_often_at_one_spot_and_measures_its_pixel_once(bench, engine):
    shape = RasterGrid.centred(1, 1, 10.0)
    run = Run(bench(), EVERY_TIME, shape, DoseSeries(5))
    engine(run.plan())
    assert [event["pixel"] for event in run.of_stream("primary")] == [0]
    looks = run.of_stream("control")
    assert [look["look"] for look in looks] == [1, 2, 3, 4, 5]
    assert [look["dose"] for look in looks] == pytest.approx([0.75 * n for n in (0, 2, 3, 4, 5)])
    assert run.told is None


def test_an_operator_ends_a_dose_test_after_a_look(bench, engine):
    run = Run(bench(), EVERY_TIME, RasterGrid.centred(1, 1, 10.0), DoseSeries(5))
    run.stopped = True
    engine(run.plan())
    assert run.told == "stopped after look 1 of 5 by the operator"
    assert len(run.of_stream("control")) == 1


@pytest.mark.parametrize("looks", [3, 4.0, True])
def test_a_dose_test_of_too_few_looks_is_refused(looks):
    with pytest.raises(ValueError, match="at least 4"):
        DoseSeries(looks)
