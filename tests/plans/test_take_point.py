"""One point through the RunEngine: what is saved was judged, whatever interrupts it."""

from __future__ import annotations

import pytest
from bluesky.utils import RunEngineInterrupted


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


def test_the_axes_set_out_for_the_next_point_once_this_one_is_good_and_never_for_a_refused_one(bench, engine):
    b = bench(refuse={1})
    engine(b.plan(2))
    first, second = {"x": 0.0}, {"x": 1.0}
    assert b.station.journal == [("set", first), ("set", first), ("ahead", second), ("set", second)]


def test_axes_that_a_pause_stopped_on_their_way_come_to_rest_before_they_set_out_again(bench, engine):
    b, commands = bench(), []
    engine.msg_hook = lambda msg: commands.append(msg.command)
    engine(b.plan(2))
    b.forget()
    b = bench()
    b.run_interrupted(commands.index("save"), "pause", 0, n=2)
    asked = [request for _, request in b.station.journal]
    assert asked == [{"x": 0.0}, {"x": 1.0}, {}, {"x": 1.0}]
    assert [event["pixel"] for event in b.events()] == [0, 1]


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


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("pause", 1), ("pause", 2), ("pause", 3), ("suspend", 0)])
def test_interrupted_at_any_message_what_is_saved_was_judged_and_nothing_is_lost(bench, how, later):
    # bluesky replays messages after a hard pause: a trigger may run twice, a reading be saved that was never judged.
    total = bench().count_messages()
    assert total > 30
    # the last two messages, unstage and close_run, are no longer a point
    for index in range(total - 2):
        b = bench()
        b.run_interrupted(index, how, later)
        at = (how, later, index)
        events = b.events()
        assert [event["pixel"] for event in events] == [0, 1, 2], at
        assert all(event["frame_id"] in b.gate.judged_good for event in events), at
        assert b.rows() == [(0, 1), (1, 2), (2, 3)], at
        assert [doc["exit_status"] for name, doc in b.documents if name == "stop"] == ["success"], at
        ids, frames = b.stored()
        assert ids == [event["frame_id"] for event in events] == frames, at
