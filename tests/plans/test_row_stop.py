"""A raster that is to end after the row under way: whole rows, nothing lost, no axis on its way."""

from __future__ import annotations

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted

from microarpes.plans.grid import RasterGrid
from microarpes.plans.rows import take_rows

#: Three rows of two, walked 0 1 / 3 2 / 4 5.
GRID = RasterGrid.centred(2, 3, 10.0)
STOPPED = "stopped after row 1 of 3 by the operator"


def rows_of(bench, row_stop, grid=GRID):
    yield from bps.open_run()
    yield Msg("stage", bench.taker.accepted)
    yield from bps.declare_stream(bench.taker.accepted, name="primary")
    ended_early = yield from take_rows(bench.taker, grid.rows(), row_stop)
    yield Msg("unstage", bench.taker.accepted)
    yield from bps.close_run(reason=ended_early)


def pixels(bench):
    return [event["pixel"] for event in bench.events()]


def stop_document(bench):
    return next(doc for name, doc in bench.documents if name == "stop")


def asked_from_event(bench, number):
    """A wish that comes with the event of that number, counted from one."""
    return lambda: len(bench.events()) >= number


def test_without_a_wish_every_row_is_taken_and_no_reason_given(bench, engine):
    b = bench()
    engine(rows_of(b, lambda: False))
    assert pixels(b) == [0, 1, 3, 2, 4, 5]
    assert stop_document(b)["reason"] == ""


@pytest.mark.parametrize("event", [0, 1, 2])
def test_a_wish_during_a_row_ends_the_run_after_it_as_a_success_that_says_so(bench, engine, event):
    b = bench()
    engine(rows_of(b, asked_from_event(b, event)))
    assert pixels(b) == [0, 1]
    stop = stop_document(b)
    assert (stop["exit_status"], stop["reason"], stop["num_events"]) == ("success", STOPPED, {"primary": 2})
    assert b.stored()[0] == [1, 2]


def test_in_snake_order_the_row_ends_where_the_next_pixel_lies_on_another_row(bench, engine):
    b = bench()
    engine(rows_of(b, asked_from_event(b, 3)))
    assert pixels(b) == [0, 1, 3, 2]
    assert stop_document(b)["reason"] == "stopped after row 2 of 3 by the operator"


def test_with_y_as_the_fast_axis_a_row_is_walked_along_y(bench, engine):
    b = bench()
    engine(rows_of(b, asked_from_event(b, 1), GRID.model_copy(update={"fast_axis": "y"})))
    assert pixels(b) == [0, 2, 4]
    assert stop_document(b)["reason"] == "stopped after row 1 of 2 by the operator"


def test_a_wish_during_the_last_row_leaves_a_complete_raster(bench, engine):
    b = bench()
    engine(rows_of(b, asked_from_event(b, 5)))
    assert pixels(b) == [0, 1, 3, 2, 4, 5]
    assert stop_document(b)["reason"] == ""


def test_a_wish_that_was_taken_back_within_the_row_stops_nothing(bench, engine):
    b = bench()
    engine(rows_of(b, lambda: len(b.events()) == 1))
    assert pixels(b) == [0, 1, 3, 2, 4, 5]
    # No axis set out for the second row while the wish stood; the attempt moved there itself.
    assert ("ahead", {"x": 5.0, "y": 0.0}) not in b.station.journal
    assert ("set", {"x": 5.0, "y": 0.0}) in b.station.journal


def test_no_axis_sets_out_for_a_row_that_will_not_be_taken(bench, engine):
    b = bench()
    engine(rows_of(b, asked_from_event(b, 1)))
    assert {request["y"] for _, request in b.station.journal if request} == {-10.0}


def test_axes_that_had_set_out_before_the_wish_are_waited_for_and_then_at_rest(bench, engine):
    b = bench()
    engine(rows_of(b, asked_from_event(b, 2)))
    # They set out while the last pixel of the row was stored; the empty request ends when all has come to rest.
    assert b.station.journal[-2:] == [("ahead", {"x": 5.0, "y": 0.0}), ("set", {})]


@pytest.mark.parametrize("later", [0, 1, 3])
def test_a_pause_at_any_message_loses_no_pixel_of_the_rows_and_adds_none(bench, engine, later):
    b, messages = bench(), []
    engine.msg_hook = messages.append
    engine(rows_of(b, asked_from_event(b, 2)))
    b.forget()
    for index in range(len(messages)):
        b = bench()
        interrupted_at(engine, index, later)
        try:
            engine(rows_of(b, asked_from_event(b, 2)))
        except RunEngineInterrupted:
            while engine.state == "paused":
                engine.resume()
        b.forget()
        assert pixels(b) == [0, 1], (index, messages[index])
        assert stop_document(b)["reason"] == STOPPED
        assert b.station.journal[-1] == ("set", {})


def interrupted_at(engine, index, later):
    count = 0

    def pause(turns):
        if turns:
            engine.loop.call_soon(pause, turns - 1)
        elif engine.state == "running":
            engine.loop.create_task(engine._request_pause_coro(False))

    def hook(msg):
        nonlocal count
        if count == index:
            pause(later)
        count += 1

    engine.msg_hook = hook


def test_the_plan_says_why_it_pauses_by_itself(bench, engine):
    b, told = bench(refuse={1, 2, 3}), []
    object.__setattr__(b.taker, "announce", told.append)
    with pytest.raises(RunEngineInterrupted):
        engine(rows_of(b, lambda: False))
    assert told == ["pixel 0 failed 3 times, last: refused by the test"]
    engine.resume()
    assert pixels(b) == [0, 1, 3, 2, 4, 5]
