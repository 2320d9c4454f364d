"""The requests of the control channel to a plain RunEngine: each in every state of a run."""

from __future__ import annotations

import os
import threading

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted

from microarpes.beamline.control import ControlServer
from microarpes.beamline.control_client import ControlClient, ControlError
from microarpes.beamline.raster_run import drive


def test_an_idle_engine_has_a_state_and_refuses_everything_else(bench):
    assert bench.client.state() == {"state": "idle", "run_uid": None, "reason": None, "row_stop": False, "holding": {}}
    for do in ("pause", "pause-now", "resume", "stop-after-row", "go-on-after-row", "abort"):
        assert bench.refusal(do) == f"{do} was asked, the engine is idle: there is no run; start one first"
    assert not bench.row_stop.is_set()


def test_a_running_engine_tells_its_run_and_refuses_to_be_resumed(bench):
    bench.begin()
    state = bench.client.state()
    assert state == {"state": "running", "run_uid": state["run_uid"], "reason": None, "row_stop": False, "holding": {}}
    assert len(state["run_uid"]) == 36
    assert bench.refusal("resume") == "resume was asked, the run is running; only a paused run can be resumed"
    assert bench.end() == "success"
    assert bench.client.state()["run_uid"] is None


def test_a_pause_comes_at_the_next_point_and_is_called_pausing_until_then(bench):
    at_work = threading.Event()

    def one_point():
        yield from bps.open_run()
        while not at_work.is_set():
            yield from bps.sleep(0.01)
        yield from bps.checkpoint()
        yield from bps.close_run()

    bench.begin(one_point())
    assert bench.client.pause() == "pausing"
    assert bench.client.state()["state"] == "pausing"
    assert "the run is pausing" in bench.refusal("resume")
    at_work.set()
    assert bench.wait_for("paused")["reason"] == "asked for through the control channel"
    assert bench.client.resume() in ("running", "idle")
    assert bench.outcome.result(60.0) == "success"


def test_a_paused_run_is_resumed_as_often_as_it_is_paused_and_refuses_a_second_pause(bench):
    bench.begin()
    for _ in range(3):
        bench.pause()
        assert "paused already" in bench.refusal("pause")
        assert "paused already" in bench.refusal("pause-now")
        assert bench.client.resume() == "running"
        assert bench.client.state()["reason"] is None
    assert bench.end() == "success"


def test_a_run_is_to_end_after_a_row_running_or_paused_until_that_is_taken_back(bench):
    bench.begin()
    bench.pause()
    bench.client.stop_after_row()
    assert bench.client.state()["row_stop"]
    bench.client.go_on_after_row()
    assert not bench.client.state()["row_stop"]
    bench.client.resume()
    bench.client.stop_after_row()
    assert bench.outcome.result(60.0) == "success"
    # the wish was for this run
    assert not bench.client.state()["row_stop"]


def test_a_plan_without_rows_cannot_end_after_one(bench):
    bench.begin(bench.plan())
    assert "has no rows" in bench.refusal("stop-after-row")
    assert not bench.row_stop.is_set()


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_is_aborted_with_its_reason_running_or_paused(bench, paused):
    bench.begin()
    if paused:
        bench.pause()
    assert bench.client.abort("the beam\nis gone") == "idle"
    assert bench.outcome.result(60.0) == "abort"
    (stop,) = bench.stops
    assert stop["exit_status"] == "abort"
    assert stop["reason"] == "abort asked for through the control channel: the beam is gone"


def test_a_run_that_is_about_to_pause_is_aborted_too(bench):
    def never_a_point():
        yield from bps.open_run()
        while not bench.let_go.is_set():
            yield from bps.sleep(0.01)

    bench.begin(never_a_point())
    assert bench.client.pause() == "pausing"
    assert bench.client.abort() == "idle"
    assert [stop["exit_status"] for stop in bench.stops] == ["abort"]


def test_abort_and_pauses_of_the_plan_itself_meet_at_every_instant_and_the_run_always_ends(bench):
    def pauses():
        yield from bps.open_run()
        for _ in range(100000):
            yield from bps.checkpoint()
            yield Msg("pause", None, defer=False)

    for _ in range(10):
        bench.begin(pauses(), question=lambda: bench.server.control.answer() or "resume")
        assert bench.client.abort() == "idle"
        assert bench.outcome.result(60.0) == "abort"
    assert len(bench.stops) == 10


def test_an_abort_belongs_to_its_run_and_the_next_one_goes_on(bench):
    bench.begin()
    bench.client.abort()
    bench.outcome.result(60.0)
    bench.begin()
    assert bench.client.pause() in ("pausing", "paused")
    bench.wait_for("paused")
    bench.client.resume()
    assert bench.end() == "success"


def test_a_run_that_pauses_by_itself_with_nobody_to_answer_is_aborted(bench):
    def fails():
        yield from bps.open_run()
        yield Msg("pause", None, defer=False)

    assert drive(bench.engine, fails(), bench.server.control.question) == "abort"
    assert bench.stops[0]["reason"] == "paused with nobody to ask"


def test_a_run_that_pauses_by_itself_waits_where_somebody_looks_at_the_channel_and_tells_why(bench):
    def fails():
        yield from bps.open_run()
        yield from bps.checkpoint()
        bench.server.control.announce("pixel 3 failed 5 times")
        yield Msg("pause", None, defer=False)
        yield from bps.close_run()

    question = lambda: bench.server.control.question(wait=True)  # noqa: E731
    bench.outcome = bench.pool.submit(drive, bench.engine, fails(), question)
    assert bench.wait_for("paused")["reason"] == "pixel 3 failed 5 times"
    bench.client.resume()
    assert bench.outcome.result(60.0) == "success"


def test_a_terminal_and_the_channel_answer_the_same_question_whichever_is_first(bench):
    reading, writing = os.pipe()
    with os.fdopen(reading) as terminal, os.fdopen(writing, "w", buffering=1) as keyboard:
        bench.begin(question=lambda: bench.server.control.question(terminal=terminal))
        bench.pause()
        bench.client.resume()
        bench.pause()
        keyboard.write("do not abort\nresume\n")
        bench.wait_for("running")
        bench.pause()
        keyboard.write("abort\n")
        assert bench.outcome.result(60.0) == "abort"
    assert bench.stops[0]["reason"] == "aborted by the operator"


def test_a_terminal_that_is_closed_answers_nothing_while_the_channel_can(bench):
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading) as terminal:
        bench.begin(question=lambda: bench.server.control.question(terminal=terminal))
        bench.pause()
        bench.client.resume()
        assert bench.end() == "success"
    with open(os.devnull) as terminal:
        assert bench.server.control.question(terminal=terminal) == "abort: the terminal was closed with the run paused"


def test_a_prompt_keeps_its_paused_run_but_an_abort_reaches_it(engine, tmp_path):
    server, client = ControlServer(engine, threading.Event(), at_prompt=True), ControlClient(tmp_path)
    stops = []
    engine.subscribe(lambda name, doc: stops.append(doc), "stop")

    def fails():
        yield from bps.open_run()
        yield Msg("pause", None, defer=False)

    with server.listening(tmp_path):
        with pytest.raises(RunEngineInterrupted):
            engine(fails())
        with pytest.raises(ControlError, match="belongs to the prompt of its session"):
            client.resume()
        assert client.abort("over") == "idle"
    assert engine.state == "idle"
    assert stops[0]["reason"] == "abort asked for through the control channel: over"


def test_nobody_takes_up_a_resume_and_the_next_pause_is_not_ended_by_it(bench, monkeypatch):
    monkeypatch.setattr("microarpes.beamline.engine_control.PATIENCE", 0.05)
    release = threading.Event()
    bench.begin(question=lambda: release.wait(60.0) and "resume")
    bench.pause()
    assert "nobody took it up" in bench.refusal("resume")
    assert not bench.server.control._resume
    release.set()
    bench.wait_for("running")
