"""What bluesky and ophyd log goes to the file of the engine that runs, and to no other."""

from __future__ import annotations

import logging

import pytest

from microarpes.beamline.engine import ENGINE_LOG, log_to_file


@pytest.fixture(autouse=True)
def as_before():
    logs = [logging.getLogger(name) for name in ("bluesky", "ophyd")]
    before = [(log.handlers, log.propagate) for log in logs]
    yield
    for handler in {handler for log in logs for handler in log.handlers}:
        handler.close()
    for log, (handlers, propagate) in zip(logs, before, strict=True):
        log.handlers, log.propagate = handlers, propagate


def test_a_second_engine_in_a_process_logs_to_its_own_file_and_leaves_none_open(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
    log_to_file(first)
    logging.getLogger("ophyd").error("the axis stalled")
    (before,) = logging.getLogger("ophyd").handlers
    log_to_file(second)
    logging.getLogger("bluesky").error("the plan paused")
    assert before.stream is None
    assert "the axis stalled" in (first / ENGINE_LOG).read_text()
    assert "the plan paused" not in (first / ENGINE_LOG).read_text()
    assert "the plan paused" in (second / ENGINE_LOG).read_text()
