"""A focus scan of a beam that has a focus: found, gone to only on request, and honest where there is none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from pydantic import ValidationError
from scipy.special import ndtr

from microarpes.beamline.before_map import fit_edge, fit_focus
from microarpes.devices.evidence import Evidence
from microarpes.plans.focus import FocusLines, take_focus_lines

LINES = FocusLines(x=75.0, y=5.0, length=80.0, points=21, focus=(-240.0, -120.0, 0.0, 120.0, 240.0))
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


class Optics:
    """A bench with an edge at x = 75 um under a beam of 10 um FWHM in focus at z = 50 um, 1 um wider per 15 um."""

    def __init__(self, bench, bright=4e4, dim=1e4):
        self.bench, self.bright, self.dim = bench, bright, dim
        self.rng = np.random.default_rng(3)
        bench.station.read = self.read
        axis = SimpleNamespace(requested=None, tolerance=1.0)
        bench.station.manipulator = SimpleNamespace(
            axes=dict.fromkeys("xyz", axis),
            positions=lambda: {n: {"readback": {"value": self.at().get(n, 0.0)}} for n in "xyz"},
        )

    def at(self):
        return {key: value for move in self.bench.station.moves for key, value in move.items()}

    def read(self):
        at, beam = self.at(), self.rng.uniform(0.8, 1.2)
        width = np.hypot(10.0, (at["z"] - 50.0) / 15.0) / FWHM
        mean = self.bright + (self.dim - self.bright) * ndtr((at["x"] - 75.0) / width)
        frame = np.zeros((3, 4), dtype=np.int32)
        frame[0, 0] = self.rng.poisson(beam * mean)
        readings = {"frame_id": {"value": self.bench.station.exposed}, "i0_integral": {"value": beam}}
        return {"evidence": {"value": Evidence(readings=readings, frame=frame), "timestamp": 0.0}}


def scan(bench, engine, lines=LINES, **options):
    found = []

    def plan():
        yield from bps.open_run()
        yield Msg("stage", bench.taker.accepted)
        yield from bps.declare_stream(bench.taker.accepted, name="primary")
        found.append((yield from take_focus_lines(bench.taker, lines, fit_edge, fit_focus, **options)))
        yield Msg("unstage", bench.taker.accepted)
        yield from bps.close_run()

    engine(plan())
    return found[0]


def events(bench, stream):
    names = {doc["uid"]: doc["name"] for name, doc in bench.documents if name == "descriptor"}
    return [doc["data"] for name, doc in bench.documents if name == "event" and names[doc["descriptor"]] == stream]


def test_the_focus_is_found_and_gone_to_when_asked(bench, engine):
    b = bench()
    optics = Optics(b)
    found = scan(b, engine, go=True)
    assert not found.best.problem
    assert found.best.position == pytest.approx(50.0, abs=4 * found.best.position_error)
    assert found.best.position_error < 5.0
    assert found.best.width == pytest.approx(10.0, abs=4 * found.best.width_error)
    assert found.moved
    assert optics.at() == {"x": 0.0, "y": 0.0, "z": found.best.position}
    assert [one["focus"] for one in events(b, "spot_size")] == list(LINES.focus)
    (told,) = events(b, "focus")
    assert told["position"] == found.best.position
    assert [one["pixel"] for one in events(b, "primary")] == list(range(5 * 21))


def test_without_the_wish_all_axes_go_back(bench, engine):
    b = bench()
    optics = Optics(b)
    found = scan(b, engine)
    assert not found.best.problem
    assert not found.moved
    assert optics.at() == {"x": 0.0, "y": 0.0, "z": 0.0}


def test_without_an_edge_there_is_no_focus_and_nothing_is_gone_to(bench, engine):
    b = bench()
    optics = Optics(b, dim=4e4)
    found = scan(b, engine, go=True)
    assert "fewer than 4" in found.best.problem
    assert {"no edge" in spot.problem for spot in found.spots} == {True}
    assert not found.moved
    assert optics.at()["z"] == 0.0


def test_a_focus_beyond_the_places_tried_is_not_gone_to(bench, engine):
    b = bench()
    Optics(b)
    found = scan(b, engine, LINES.model_copy(update={"focus": (-300.0, -220.0, -140.0, -60.0)}), go=True)
    assert "not between" in found.best.problem
    assert not found.moved


def test_an_operator_ends_it_after_a_line(bench, engine):
    b = bench()
    Optics(b)
    found = scan(b, engine, row_stop=lambda: True)
    assert len(found.spots) == 1
    assert "fewer than 4" in found.best.problem


def test_lines_go_forth_and_back_and_lean_with_the_beam():
    lines = LINES.model_copy(update={"lean": 0.5}).lines()
    assert [lines[0][0]["x"], lines[0][-1]["x"]] == [75.0 - 120.0 - 40.0, 75.0 - 120.0 + 40.0]
    assert [lines[1][0]["x"], lines[1][-1]["x"]] == [75.0 - 60.0 + 40.0, 75.0 - 60.0 - 40.0]
    assert {(request["y"], request["z"]) for request in lines[1]} == {(5.0, -120.0)}


@pytest.mark.parametrize("wrong", [{"focus_axis": "x"}, {"focus": (0.0, 1.0, 2.0)}, {"points": 5},
                                   {"focus": (0.0, 1.0, 1.0, 2.0)}, {"length": 0.0}])  # fmt: skip
def test_lines_that_tell_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        FocusLines(**{**LINES.model_dump(), **wrong})
