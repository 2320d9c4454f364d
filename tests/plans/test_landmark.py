"""A sample that drifts under a landmark: pixels follow it, and what is not believed changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted
from pydantic import ValidationError

from microarpes.beamline.between_rows import find_shift
from microarpes.devices.evidence import Evidence
from microarpes.plans.grid import RasterGrid
from microarpes.plans.landmark import Landmark
from microarpes.plans.landmark_imaging import LandmarkImaging, LookBefore
from microarpes.plans.rows import take_rows
from microarpes.plans.targets import DriftingTargets, planned_position

#: A patch of 40 um that is a quarter darker, imaged with 9 x 9 places of 8 um.
LANDMARK = Landmark(name="patch", x=200.0, y=-50.0, points=9, step=8.0, every_rows=1)
#: Four rows of two.
GRID = RasterGrid.centred(2, 4, 10.0)


class Beamline:
    """A bench whose frames show a patch that drifts; its clock goes on by a second an exposure."""

    def __init__(self, bench, rate=(0.0, 0.0), counts=5e4):
        self.bench, self.rate, self.counts, self.now = bench, rate, counts, 0.0
        self.rng = np.random.default_rng(17)
        self.beam = 1.0
        self.dark_after = np.inf
        bench.station.read = self.read

    def clock(self):
        return self.now

    def drift(self, now):
        return self.rate[0] * now, self.rate[1] * now

    def brightness(self, x, y):
        dx, dy = self.drift(self.now)
        r = np.hypot(x - LANDMARK.x - dx, 1.1 * (y - LANDMARK.y - dy))
        shown = 1.0 - 0.25 / (1.0 + np.exp((r - 20.0) / 4.0))
        return shown if self.now < self.dark_after else 1.0

    def read(self):
        self.now += 1.0
        at = self.bench.station.moves[-1]
        mean = self.beam * self.counts * self.brightness(at["x"], at["y"])
        frame = np.zeros((3, 4), dtype=np.int32)
        frame[0, 0], frame[2, 3] = self.rng.poisson(mean), self.bench.station.exposed
        readings = {"frame_id": {"value": self.bench.station.exposed}, "i0_integral": {"value": self.beam}}
        return {"evidence": {"value": Evidence(readings=readings, frame=frame), "timestamp": 0.0}}


def run(bench, imaging):
    targets = DriftingTargets(planned_position, imaging.shift)
    yield from bps.open_run()
    yield Msg("stage", bench.taker.accepted)
    yield from bps.declare_stream(bench.taker.accepted, name="primary")
    yield from take_rows(bench.taker, GRID.rows(), interleaved=[imaging], target=targets)
    yield Msg("unstage", bench.taker.accepted)
    yield from bps.close_run()


def looks_of(bench):
    names = {doc["uid"]: doc["name"] for name, doc in bench.documents if name == "descriptor"}
    return [doc["data"] for name, doc in bench.documents if name == "event" and names[doc["descriptor"]] == "drift"]


def pixels_of(bench):
    names = {doc["uid"]: doc["name"] for name, doc in bench.documents if name == "descriptor"}
    return [
        doc["data"]["pixel"]
        for name, doc in bench.documents
        if name == "event" and names[doc["descriptor"]] == "primary"
    ]


def imaging_of(beamline, **changes):
    landmark = LANDMARK.model_copy(update=changes)
    return LandmarkImaging(landmark, planned_position, find_shift, clock=beamline.clock)


def test_pixels_follow_a_sample_that_drifts(bench, engine):
    b = bench()
    beamline = Beamline(b, rate=(0.02, -0.01))
    aimed = []
    b.station.set, told = (
        (lambda request, **how: (aimed.append((beamline.now, dict(request))), told(request, **how))[1]),
        b.station.set,
    )
    imaging = imaging_of(beamline)
    engine(run(b, imaging))
    looks = looks_of(b)
    assert [look["status"] for look in looks] == ["ok"] * 4
    # A look takes 81 s: by its middle the sample has gone on by 0.02 um/s along x since the middle of the first.
    for number, look in enumerate(looks):
        elapsed = number * 83.0
        assert look["shift_x"] == pytest.approx(0.02 * elapsed, abs=0.6)
        assert look["shift_y"] == pytest.approx(-0.01 * elapsed, abs=0.6)
    # Between looks it is believed to go on: the last pixel is aimed at to below a micrometre.
    when, request = [entry for entry in aimed if "x" in entry[1] and abs(entry[1]["x"]) < 60][-1]
    assert request["x"] - (-5.0) == pytest.approx(0.02 * (when - 41.0), abs=0.7)
    assert pixels_of(b) == [0, 1, 3, 2, 4, 5, 7, 6]


def test_the_second_look_comes_after_the_first_row_whatever_is_configured(bench, engine):
    b = bench()
    beamline = Beamline(b, rate=(0.02, 0.0))
    imaging = imaging_of(beamline, every_rows=9)
    engine(run(b, imaging))
    # One look tells no velocity, two do: a map of 4 rows is aimed at to a micrometre to its end.
    assert len(looks_of(b)) == 2
    assert imaging.shift()[0] == pytest.approx(0.02 * (beamline.now - 41.0), abs=0.7)


def test_a_sample_that_stays_is_aimed_at_where_it_was_planned(bench, engine):
    b = bench()
    beamline = Beamline(b)
    engine(run(b, imaging_of(beamline)))
    assert all(abs(look["shift_x"]) < 4 * look["shift_x_error"] + 0.01 for look in looks_of(b))


def test_a_beam_that_became_weaker_is_no_shift(bench, engine):
    b = bench()
    beamline = Beamline(b)
    plain = beamline.clock

    def clock():
        beamline.beam = 1.0 if beamline.now < 85 else 0.7
        return plain()

    imaging = LandmarkImaging(LANDMARK, planned_position, find_shift, clock=clock)
    engine(run(b, imaging))
    assert all(abs(look["shift_x"]) < 0.5 for look in looks_of(b))


def test_a_landmark_that_is_gone_pauses_for_an_operator_and_nothing_is_believed(bench, engine):
    b = bench()
    told = []
    b.taker = b.taker.__class__(**{**vars(b.taker), "announce": told.append})
    beamline = Beamline(b, rate=(0.01, 0.0))
    beamline.dark_after = 100.0
    imaging = imaging_of(beamline)
    with pytest.raises(RunEngineInterrupted):
        engine(run(b, imaging))
    assert engine.state == "paused"
    assert "landmark patch is not found" in told[0]
    last = looks_of(b)[-1]
    assert last["status"] != "ok"
    assert imaging.shift() == (0.0, 0.0)
    beamline.dark_after = np.inf
    engine.resume()
    assert pixels_of(b) == [0, 1, 3, 2, 4, 5, 7, 6]


def test_where_the_configuration_says_so_the_raster_goes_on_without(bench, engine):
    b = bench()
    beamline = Beamline(b)
    beamline.dark_after = 100.0
    engine(run(b, imaging_of(beamline, on_failure="continue")))
    assert pixels_of(b) == [0, 1, 3, 2, 4, 5, 7, 6]


def test_a_jump_larger_than_is_believed_is_not_followed(bench, engine):
    b = bench()
    beamline = Beamline(b)
    beamline.drift = lambda now: (0.0, 0.0) if now < 85 else (12.0, 0.0)
    imaging = imaging_of(beamline, max_shift=8.0, on_failure="continue")
    engine(run(b, imaging))
    assert "12" in looks_of(b)[1]["status"]
    assert "at most 8 um" in looks_of(b)[1]["status"]
    assert imaging.shift() == (0.0, 0.0)


def test_a_resumed_raster_compares_with_the_first_look_of_the_run_before(bench, engine):
    b = bench()
    beamline = Beamline(b, rate=(0.03, 0.0))
    engine(run(b, imaging_of(beamline)))
    before = looks_of(b)
    known = LookBefore(before[0]["image"], before[0]["image_error"], (before[-1]["shift_x"], before[-1]["shift_y"]))
    later = bench()
    line = Beamline(later, rate=(0.03, 0.0))
    line.now = beamline.now
    resumed = LandmarkImaging(LANDMARK, planned_position, find_shift, known, clock=line.clock)
    assert resumed.shift() == known.shift
    engine(run(later, resumed))
    assert looks_of(later)[0]["shift_x"] == pytest.approx(0.03 * 4 * 83.0, abs=0.8)


@pytest.mark.parametrize("how", ["pause", "suspend"])
def test_an_interruption_at_any_message_loses_no_pixel_and_tells_no_look_twice(bench, engine, how):
    # 9 x 9 places take too many messages to try them all: 4 x 4 and every thirteenth.
    small = Landmark(name="patch", x=200.0, y=-50.0, points=4, step=14.0, every_rows=2, max_shift=15.0, max_error=5.0)
    counting = bench()
    messages = []
    engine.msg_hook = messages.append
    line = Beamline(counting)
    engine(run(counting, LandmarkImaging(small, planned_position, find_shift, clock=line.clock)))
    counting.forget()
    for index in range(3, len(messages), 13):
        b = bench()
        line = Beamline(b)
        b.interrupt(index, how, 0)
        try:
            engine(run(b, LandmarkImaging(small, planned_position, find_shift, clock=line.clock)))
        except RunEngineInterrupted:
            while engine.state == "paused":
                engine.resume()
        finally:
            b.forget()
        assert pixels_of(b) == [0, 1, 3, 2, 4, 5, 7, 6], index
        # before the first row, after it, and two rows later
        assert [look["status"] for look in looks_of(b)] == ["ok", "ok", "ok"], index


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"every_rows": None}, "never looked at again"),
        ({"max_shift": 40.0}, "more than half the image, 32 um"),
        ({"points": 3}, "greater than or equal to 4"),
        ({"step": 0.0}, "greater than 0"),
        ({"x": float("nan")}, "finite"),
        ({"nmae": "x"}, "Extra inputs"),
    ],
)
def test_a_landmark_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        Landmark(**{**LANDMARK.model_dump(), **changes})
