"""A row in flight: every pixel once, what is saved was judged, whatever interrupts it; and what is not flown over."""

from __future__ import annotations

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted
from ophyd.status import Status

from microarpes.devices.evidence import Evidence, Flown
from microarpes.devices.flight import Leg
from microarpes.plans.fly import Fly
from microarpes.plans.fly_row import Flyer, with_velocity
from microarpes.plans.gate import Gate
from microarpes.plans.grid import RasterGrid
from microarpes.plans.limits import GateLimits
from microarpes.plans.pace import Pace, flown_axis, stretches
from microarpes.plans.rows import take_rows
from microarpes.plans.shapes import LineScan, Spiral

#: Two rows of three, walked 0 1 2 / 5 4 3.
GRID = RasterGrid.centred(3, 2, 10.0)


class StillFlight:
    """Flies in no time; notes what it was told."""

    name, parent, error = "flight", None, ""

    def __init__(self, where=lambda position: 0.0, known=lambda evidence: True):
        self.told, self.flying, self.destroyed = [], False, False
        self.seconds_until, self.locate = where, known
        self.velocities = {}

    def set(self, leg):
        self.told.append(leg)
        self.flying = leg is not None
        self.velocities = {} if leg is None else {"x": 2000.0}
        return ended()

    def stop(self, *, success=False):
        self.told.append("stop")
        self.flying = False

    def destroy(self):
        self.destroyed = True


class StillPace(Pace):
    def leg(self, station, requests, name):
        return Leg(name, requests[0][name] - 5.0, requests[-1][name] + 5.0, 100.0, (-100.0, 100.0), 10.0)


def ended():
    status = Status()
    status.set_finished()
    return status


def flown_over(station):
    """Let a station note which requests were exposed in flight."""
    station.flown, at_rest = [], station.set

    def set_(request, *, ahead=False, flown=None):
        if flown is None:
            return at_rest(request, ahead=ahead)
        station.flown.append(request["x"])
        return ended()

    station.set = set_


@pytest.fixture
def fly(bench):
    def make(flight=None, **gate):
        b = bench(**gate)
        flown_over(b.station)
        b.flight = flight or StillFlight()
        b.plan = lambda n=3: rows(b)
        return b

    return make


def rows(b, row_stop=lambda: False):
    yield from bps.open_run()
    yield Msg("stage", b.taker.accepted)
    yield from bps.declare_stream(b.taker.accepted, name="primary")
    flyer = Flyer(b.flight, StillPace(Fly(), exposure=0.001))
    plan = take_rows(b.taker, GRID.rows(), row_stop, flyer=flyer)
    yield from with_velocity(b.flight, plan)
    yield Msg("unstage", b.taker.accepted)
    yield from bps.close_run()


def points(b):
    return [(event["pixel"], event["attempt"], event["frame_id"]) for event in b.events()]


def test_every_pixel_of_every_row_is_exposed_in_flight_in_the_order_of_the_visit(fly, engine):
    b = fly()
    engine(b.plan())
    assert points(b) == [(0, 1, 1), (1, 1, 2), (2, 1, 3), (5, 1, 4), (4, 1, 5), (3, 1, 6)]
    assert b.station.flown == [-10.0, 0.0, 10.0, 10.0, 0.0, -10.0]
    # between the rows it lands, and there only are axes moved: to the run-ups
    assert b.station.moves == [{"x": -15.0, "y": -5.0}, {"x": 5.0, "y": 5.0}]
    assert [told is None for told in b.flight.told[:4]] == [False, True, False, True]
    assert b.flight.destroyed


def test_no_message_comes_between_create_read_and_save(fly, engine):
    b, commands = fly(), []
    engine.msg_hook = lambda msg: commands.append(msg.command)
    engine(b.plan())
    for at, command in enumerate(commands):
        if command == "create":
            assert commands[at : at + 3] == ["create", "read", "save"]


def test_a_refused_frame_is_taken_again_at_rest_behind_its_row(fly, engine):
    b = fly(refuse={2})
    engine(b.plan())
    assert points(b) == [(0, 1, 1), (2, 1, 3), (1, 2, 4), (5, 1, 5), (4, 1, 6), (3, 1, 7)]
    assert b.taker.rejected.count == 1
    assert {"x": 0.0, "y": -5.0} in b.station.moves


def test_a_pixel_that_the_axis_has_passed_is_not_exposed_in_flight_but_at_rest(fly, engine):
    # 0.05 s at 100 um/s are half a step of 10 um behind the beginning: its mean would lie outside the pixel
    b = fly(StillFlight(lambda begin: -0.05 if begin < -9.0 else 0.0))
    engine(b.plan())
    assert b.station.flown == [0.0, 10.0, 10.0, 0.0]
    assert sorted(pixel for pixel, _, _ in points(b)) == [0, 1, 2, 3, 4, 5]
    assert all(attempt == 1 for _, attempt, _ in points(b))


def test_an_axis_that_does_not_set_out_leaves_its_rows_to_be_stepped(fly, engine):
    b = fly()
    b.flight.set = lambda leg: ended()
    engine(b.plan())
    assert b.station.flown == []
    assert [pixel for pixel, _, _ in points(b)] == [0, 1, 2, 5, 4, 3]


def test_a_dead_beam_is_not_flown_over_for_ever(fly, engine):
    b = fly(refuse={1, 2, 3, 4, 5}, max_attempts=2)
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan())
    # the second refusal is heard of while the third exposure is made; then the first pixel is refused at rest, twice
    assert "stop" in b.flight.told
    engine.resume()
    assert sorted(pixel for pixel, _, _ in points(b)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("pause", 2), ("suspend", 0)])
def test_interrupted_at_any_message_no_pixel_is_lost_and_what_is_saved_was_judged(fly, how, later):
    total = fly().count_messages()
    assert total > 60
    for index in range(total - 2):
        b = fly()
        b.run_interrupted(index, how, later)
        at, events = (how, later, index), b.events()
        assert sorted(event["pixel"] for event in events) == [0, 1, 2, 3, 4, 5], at
        assert all(event["frame_id"] in b.gate.judged_good for event in events), at
        assert [row for row, _ in b.rows()] == [0, 1, 2, 3, 4, 5], at
        ids, frames = b.stored()
        assert ids == [event["frame_id"] for event in events] == frames, at
        assert b.flight.velocities == {}, at


def test_an_aborted_run_stops_the_axis_and_puts_the_velocity_back(fly, engine):
    b = fly()
    engine.msg_hook = lambda msg: (
        msg.command == "trigger" and engine.loop.create_task(engine._request_pause_coro(False))
    )
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan())
    engine.msg_hook = None
    engine.abort()
    assert (b.flight.velocities, None in b.flight.told, b.flight.destroyed) == ({}, True, True)


def placed(position, asked=0.0, blur=7.0):
    readings = {"x readback": {"value": 12.0, "alarm_severity": 0}, "x done": {"value": 0}}
    return Evidence(request={"x": asked}, readings=readings, flown=Flown("x", 5.0, position, blur))


@pytest.mark.parametrize(
    ("position", "said"),
    [(4.9, []), (-5.1, ["x was at -5.1 in the mean, asked for 0.0, tolerance 5"]), (np.nan, ["where x was"])],
)
def test_the_gate_judges_a_flying_axis_by_its_mean_position_alone(position, said):
    found = list(Gate(GateLimits(), {"x": 1.0}, (3, 4))._axes(placed(position)))
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


def test_rows_are_flown_over_along_x_or_y_and_cut_where_pixels_are_missing():
    assert flown_axis(GRID.rows()[0]) == "x"
    assert flown_axis(GRID.model_copy(update={"fast_axis": "y"}).rows()[0]) == "y"
    assert flown_axis(GRID.rows()[0][:1]) is None
    assert flown_axis(LineScan(start=(0.0, 0.0), stop=(20.0, 10.0), num=3).rows()[0]) is None
    assert flown_axis(Spiral(centre=(0.0, 0.0), radius=20.0, step=8.0).rows()[0]) is None
    row = RasterGrid.centred(6, 1, 10.0).rows()[0]
    assert [len(part) for part in stretches(row[:2] + row[3:])] == [2, 3]


def test_the_pace_follows_what_the_exposures_of_a_row_needed():
    pace = Pace(Fly(overhead=0.02), exposure=0.1)
    assert pace.period == pytest.approx(0.12)
    pace.note([0.03] * 99 + [0.5])
    assert pace.period == pytest.approx(0.13)
