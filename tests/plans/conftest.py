"""Points without hardware: a station, a gate and a RunEngine that may be interrupted at any message."""

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


class KeptShutter:
    """Moves at once, and can be told not to open."""

    name = "kept_shutter"
    parent = None

    def __init__(self):
        self.closed = False
        self.asked = []
        self.error = None

    def set(self, value):
        self.asked.append(value)
        self.closed = value == "close" or self.error is not None
        return ended()


class Station:
    """An end station without hardware: every exposure gives the next frame, with `counts(id)` in each channel."""

    name = "station"
    parent = None

    def __init__(self, counts):
        self.counts = counts
        self.ids = itertools.count(1)
        self.exposed = 0
        self.forgotten = 0
        self.prepared = 0
        self.lost = False
        self.over_counted = ""
        self.kept_shutter = KeptShutter()
        self.stopped = 0
        self.moves = []
        self.journal = []
        self.approaching = self.approach_stopped = False

    def prepare(self, value=None):
        self.prepared += 1
        self.lost = False
        return ended()

    def set(self, request, *, ahead=False):
        self.journal.append(("ahead" if ahead else "set", request))
        if ahead:
            self.approaching = True
        elif request:
            self.moves.append(request)
            self.approaching = False
        else:
            self.approach_stopped = False
        return ended()

    def trigger(self):
        self.exposed = next(self.ids)
        return ended()

    def read(self):
        frame = np.full((3, 4), self.counts(self.exposed), dtype=np.int32)
        evidence = Evidence(readings={"frame_id": {"value": self.exposed}}, frame=frame)
        return {"evidence": {"value": evidence, "timestamp": 0.0}}

    def describe(self):
        return {}

    def forget_arrivals(self):
        self.forgotten += 1

    def stop_exposure(self):
        self.stopped += 1

    def stop(self, *, success=False):
        self.approach_stopped, self.approaching = self.approaching, False


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
    values = {"pixel": pixel, "attempt": attempt, "frame_id": evidence.readings["frame_id"]["value"]}
    if evidence.sub_frame_ids:
        values["sub_frame_ids"] = list(evidence.sub_frame_ids)
    return values, {}


class Bench:
    """A plan through a real RunEngine, over a station without hardware.

    Parameters
    ----------
    sub_frames : int
        Of a point; then frame number i has 2**i counts in each channel, so that a sum tells what it is made of.
    gate
        Of `JudgedGate`.
    """

    def __init__(self, engine, tmp_path, sub_frames=1, **gate):
        self.engine = engine
        self.documents = []
        engine.subscribe(lambda name, doc: self.documents.append((name, dict(doc))))
        self.frames = FrameFile(tmp_path / "frames.h5", np.arange(4.0), np.arange(3.0))
        self.storage_error = None
        self.station = Station((lambda number: number) if sub_frames == 1 else (lambda number: 2**number))
        self.gate = JudgedGate(**gate)
        keys = KEYS if sub_frames == 1 else {**KEYS, "sub_frame_ids": {**KEYS["pixel"], "shape": [sub_frames]}}
        accepted = AcceptedPoint("accepted", keys, self.frames)
        rejected = RejectedFrames("rejected", self.frames)
        self.taker = PointTaker(
            self.station, self.gate, accepted, rejected, compose, lambda: self.storage_error, sub_frames
        )

    def plan(self, n=3):
        yield from bps.open_run()
        yield Msg("stage", self.taker.accepted)
        yield from bps.declare_stream(self.taker.accepted, name="primary")
        for pixel in range(n):
            after = {"x": pixel + 1.0} if pixel + 1 < n else None
            yield from take_point(self.taker, pixel, {"x": float(pixel)}, after)
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

    def count_messages(self, n=3):
        """Run undisturbed; return how many messages that took."""
        messages = []
        self.engine.msg_hook = messages.append
        self.engine(self.plan(n))
        self.forget()
        return len(messages)

    def run_interrupted(self, index, how, later, n=3):
        """Run with a pause or a suspension about message number `index`, `later` turns of the loop after it."""
        self.interrupt(index, how, later)
        try:
            self.engine(self.plan(n))
        except RunEngineInterrupted:
            while self.engine.state == "paused":
                self.engine.resume()
        finally:
            self.forget()

    def interrupt(self, index, how, later=0):
        """See `interrupt`."""
        interrupt(self.engine, index, how, later)

    def forget(self):
        self.engine.msg_hook = None
        self.engine.dispatcher.unsubscribe_all()

    def stored(self):
        """Frame ids and counts of one channel of the accepted rows, from the closed file."""
        with h5py.File(self.frames.path) as file:
            return file["entry/data/frame_id"][:].tolist(), file["entry/data/data"][:, 0, 0].tolist()


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


@pytest.fixture
def bench(engine, tmp_path):
    """Make a `Bench` in a folder of its own."""
    number = itertools.count()

    def make(**options):
        folder = tmp_path / str(next(number))
        folder.mkdir()
        return Bench(engine, folder, **options)

    return make
