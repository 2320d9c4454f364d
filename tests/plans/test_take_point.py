"""One point through the RunEngine: what is saved was judged, whatever interrupts it."""

from __future__ import annotations

import asyncio
import itertools

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted
from ophyd.status import Status

from microarpes.devices.accepted_point import AcceptedPoint
from microarpes.devices.evidence import Evidence
from microarpes.devices.frame_file import FrameFile
from microarpes.devices.rejected_frames import RejectedFrames
from microarpes.plans.gate import Gate
from microarpes.plans.limits import GateLimits
from microarpes.plans.take_point import PointTaker, take_point

KEYS = {name: {"source": "test", "dtype": "integer", "shape": []} for name in ("pixel", "attempt", "frame_id")}
KEYS["time_write"] = {"source": "test", "dtype": "number", "shape": []}


def ended():
    status = Status()
    status.set_finished()
    return status


class Station:
    """An end station without hardware: every exposure gives the next frame."""

    name = "station"
    parent = None

    def __init__(self):
        self.ids = itertools.count(1)
        self.exposed = 0
        self.forgotten = 0
        self.prepared = 0
        self.lost = False
        self.over_counted = ""
        self.moves = []

    def prepare(self, value=None):
        self.prepared += 1
        self.lost = False
        return ended()

    def set(self, request):
        self.moves.append(request)
        return ended()

    def trigger(self):
        self.exposed = next(self.ids)
        return ended()

    def read(self):
        frame = np.full((3, 4), self.exposed, dtype=np.int32)
        evidence = Evidence(readings={"frame_id": {"value": self.exposed}}, frame=frame)
        return {"evidence": {"value": evidence, "timestamp": 0.0}}

    def describe(self):
        return {}

    def forget_arrivals(self):
        self.forgotten += 1

    def stop(self, *, success=False):
        pass


class JudgedGate(Gate):
    """Accepts all but what it is told to refuse; remembers which frames it accepted."""

    def __init__(self, refuse=(), max_attempts=3):
        super().__init__(GateLimits(max_attempts=max_attempts), {}, (3, 4))
        self.refuse = set(refuse)
        self.judged_good = []

    def judge(self, evidence):
        frame_id = evidence.readings["frame_id"]["value"]
        if frame_id in self.refuse:
            return ["refused by the test"]
        self.judged_good.append(frame_id)
        return []

    def accept(self, evidence):
        pass


def compose(evidence, pixel, attempt):
    return {"pixel": pixel, "attempt": attempt, "frame_id": evidence.readings["frame_id"]["value"]}, {}


class Bench:
    def __init__(self, engine, tmp_path, **gate):
        self.engine = engine
        self.documents = []
        engine.subscribe(lambda name, doc: self.documents.append((name, dict(doc))))
        self.frames = FrameFile(tmp_path / "frames.h5", np.arange(4.0), np.arange(3.0))
        self.storage_error = None
        self.station = Station()
        self.gate = JudgedGate(**gate)
        accepted = AcceptedPoint("accepted", KEYS, self.frames)
        rejected = RejectedFrames("rejected", self.frames)
        self.taker = PointTaker(self.station, self.gate, accepted, rejected, compose, lambda: self.storage_error)

    def plan(self, n=3):
        yield from bps.open_run()
        yield Msg("stage", self.taker.accepted)
        yield from bps.declare_stream(self.taker.accepted, name="primary")
        for pixel in range(n):
            yield from take_point(self.taker, pixel, {"x": float(pixel)})
        yield Msg("unstage", self.taker.accepted)
        yield from bps.close_run()

    def events(self):
        """Events as a reader sees them: the last of each seq_num wins."""
        last = {doc["seq_num"]: doc["data"] for name, doc in self.documents if name == "event"}
        return [last[number] for number in sorted(last)]

    def rows(self):
        """Row of the frame file and seq_num, as the stream data say."""
        return [
            (doc["indices"]["start"], doc["seq_nums"]["start"])
            for name, doc in self.documents
            if name == "stream_datum"
        ]


@pytest.fixture
def bench(engine, tmp_path):
    def make(**gate):
        return Bench(engine, tmp_path, **gate)

    return make


def count_messages(bench, engine):
    messages = []
    engine.msg_hook = messages.append
    engine(bench.plan())
    engine.msg_hook = None
    return len(messages)


def test_undisturbed_points_are_saved_once_each_and_moved_to(bench, engine):
    b = bench()
    engine(b.plan())
    assert [(event["pixel"], event["attempt"], event["frame_id"]) for event in b.events()] == [
        (0, 1, 1),
        (1, 1, 2),
        (2, 1, 3),
    ]
    assert b.rows() == [(0, 1), (1, 2), (2, 3)]
    assert b.station.moves == [{"x": 0.0}, {"x": 1.0}, {"x": 2.0}]


def test_no_message_comes_between_create_read_and_save(bench, engine):
    b = bench()
    commands = []
    engine.msg_hook = lambda msg: commands.append(msg.command)
    engine(b.plan(1))
    at = commands.index("create")
    assert commands[at : at + 3] == ["create", "read", "save"]


def test_a_refused_attempt_is_retaken_and_the_refused_frame_kept_apart(bench, engine):
    b = bench(refuse={2})
    engine(b.plan())
    assert [(event["pixel"], event["attempt"], event["frame_id"]) for event in b.events()] == [
        (0, 1, 1),
        (1, 2, 3),
        (2, 1, 4),
    ]
    assert b.taker.rejected.count == 1
    # the retake moves again, whatever had been confirmed
    assert b.station.forgotten == 1


def test_a_point_refused_too_often_pauses_and_goes_on_after_resume(bench, engine):
    b = bench(refuse={1, 2, 3}, max_attempts=3)
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan())
    assert engine.state == "paused"
    assert b.events() == []
    engine.resume()
    assert [event["frame_id"] for event in b.events()] == [4, 5, 6]


def test_a_lost_beamline_is_restored_before_the_point_is_taken_again(bench, engine):
    b = bench(refuse={2})
    b.gate.judge, judge = lambda evidence: lose(b, evidence, judge), b.gate.judge
    engine(b.plan())
    assert b.station.prepared == 1
    assert [event["frame_id"] for event in b.events()] == [1, 3, 4]


def test_an_over_count_pauses_at_once_and_is_not_retaken_by_itself(bench, engine):
    b = bench(refuse={1})
    b.station.over_counted = "the detector counted 1e+08 counts/s, its limit is 4e+07 counts/s"
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan())
    assert b.station.exposed == 1
    b.station.over_counted = ""
    engine.resume()
    assert [event["frame_id"] for event in b.events()] == [2, 3, 4]


def lose(b, evidence, judge):
    b.station.lost = evidence.readings["frame_id"]["value"] == 2
    return judge(evidence)


def test_no_exposure_begins_while_documents_cannot_be_stored(bench, engine):
    b = bench()
    b.storage_error = OSError(28, "No space left on device")
    with pytest.raises(RunEngineInterrupted):
        engine(b.plan())
    assert b.station.exposed == 0
    b.storage_error = None
    engine.resume()
    assert len(b.events()) == 3


def interrupt(engine, index, how, later=0):
    """Have the engine paused or suspended about message number `index`, `later` turns of the loop after it."""
    counter = itertools.count()

    def hook(msg):
        if next(counter) != index:
            return
        loop = engine.loop
        if how == "pause":

            def pause(turns):
                if turns:
                    loop.call_soon(pause, turns - 1)
                elif engine.state == "running":
                    loop.create_task(engine._request_pause_coro(False))

            pause(later)
        else:
            release = asyncio.Event()
            engine.request_suspend(release.wait)
            loop.call_later(0.02, release.set)

    engine.msg_hook = hook


def run_interrupted(engine, folder, index, how, later):
    folder.mkdir()
    b = Bench(engine, folder)
    interrupt(engine, index, how, later)
    try:
        engine(b.plan())
    except RunEngineInterrupted:
        while engine.state == "paused":
            engine.resume()
    finally:
        engine.msg_hook = None
        engine.dispatcher.unsubscribe_all()
    return b


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("pause", 1), ("pause", 2), ("pause", 3), ("suspend", 0)])
def test_interrupted_at_any_message_what_is_saved_was_judged_and_nothing_is_lost(engine, tmp_path, how, later):
    # bluesky replays messages after a hard pause: a trigger may run twice, a reading be saved that was never judged.
    (tmp_path / "undisturbed").mkdir()
    total = count_messages(Bench(engine, tmp_path / "undisturbed"), engine)
    engine.dispatcher.unsubscribe_all()
    assert total > 30
    # the last two messages, unstage and close_run, are no longer a point
    for index in range(total - 2):
        b = run_interrupted(engine, tmp_path / str(index), index, how, later)
        at = (how, later, index)
        events = b.events()
        assert [event["pixel"] for event in events] == [0, 1, 2], at
        assert all(event["frame_id"] in b.gate.judged_good for event in events), at
        assert b.rows() == [(0, 1), (1, 2), (2, 3)], at
        assert [doc["exit_status"] for name, doc in b.documents if name == "stop"] == ["success"], at
        with h5py.File(b.frames.path) as file:
            ids = file["entry/data/frame_id"][:].tolist()
            frames = file["entry/data/data"][:, 0, 0].tolist()
        assert ids == [event["frame_id"] for event in events] == frames, at
