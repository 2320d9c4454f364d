"""What is measured between the rows of a raster: when, and with the axes at rest."""

from __future__ import annotations

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from microarpes.plans.grid import RasterGrid
from microarpes.plans.rows import take_rows

#: Three rows of two, walked 0 1 / 3 2 / 4 5.
GRID = RasterGrid.centred(2, 3, 10.0)


class Look:
    """Measures by noting which pixels were there, before rows of a set; 0 stands for the end as well."""

    def __init__(self, bench, rows):
        self.bench, self.rows = bench, set(rows)
        self.seen, self.prepared = [], 0

    def prepare(self, taker):
        self.prepared += 1
        yield Msg("null")

    def due(self, row, rows):
        return row % rows in self.rows

    def measure(self, taker):
        yield Msg("null")
        self.seen.append([event["pixel"] for event in self.bench.events()])
        self.bench.station.journal.append(("look", None))


def run(bench, looks, row_stop=lambda: False, **kwargs):
    yield from bps.open_run()
    yield Msg("stage", bench.taker.accepted)
    yield from bps.declare_stream(bench.taker.accepted, name="primary")
    yield from take_rows(bench.taker, GRID.rows(), row_stop, looks, **kwargs)
    yield Msg("unstage", bench.taker.accepted)
    yield from bps.close_run()


@pytest.mark.parametrize(
    ("before", "seen"),
    [([0], [[], [0, 1, 3, 2, 4, 5]]), ([1], [[0, 1]]), ([1, 2], [[0, 1], [0, 1, 3, 2]])],
)
def test_it_is_measured_before_the_rows_it_is_due_and_after_the_last(bench, engine, before, seen):
    b = bench()
    look = Look(b, before)
    engine(run(b, [look]))
    assert look.prepared == 1
    assert look.seen == seen
    assert [event["pixel"] for event in b.events()] == [0, 1, 3, 2, 4, 5]


def test_no_axis_sets_out_for_a_row_before_which_something_is_measured(bench, engine):
    b = bench()
    engine(run(b, [Look(b, [1])]))
    at = b.station.journal.index(("look", None))
    before, after = b.station.journal[:at], b.station.journal[at:]
    assert {"x": 5.0, "y": 0.0} not in [request for _, request in before]
    assert ("set", {"x": 5.0, "y": 0.0}) in after


def test_what_becomes_due_with_the_axes_on_their_way_waits_until_they_are_at_rest(bench, engine):
    b = bench()
    look = Look(b, [])
    asked = []

    def due(row, rows):
        # Not due when the last pixel of the first row asks, due when the second row begins.
        asked.append(row)
        return row == 1 and asked.count(1) == 2

    look.due = due
    engine(run(b, [look]))
    at = b.station.journal.index(("look", None))
    assert ("ahead", {"x": 5.0, "y": 0.0}) in b.station.journal[:at]
    assert b.station.journal[at - 1] == ("set", {})


def test_a_raster_that_ends_early_still_measures_what_is_due_at_its_end(bench, engine):
    b = bench()
    look = Look(b, [0])
    engine(run(b, [look], lambda: len(b.events()) >= 1))
    assert look.seen == [[], [0, 1]]


def test_pixels_are_taken_where_the_target_says_they_are_now(bench, engine):
    b = bench()
    engine(run(b, [], target=lambda point: {"x": point.x + 3.0, "y": point.y - 2.0, "z": 7.0}))
    assert b.station.moves[0] == {"x": -2.0, "y": -12.0, "z": 7.0}
