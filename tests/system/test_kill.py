"""kill -9 in the middle of a run: every acknowledged point stays readable."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import h5py
import httpx
import numpy as np
import pytest

from microarpes.beamline.catalog import list_runs, open_catalog
from microarpes.beamline.journal import read_documents
from microarpes.beamline.stored_run import read_run


def wait_for(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if (found := condition()) is not None:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not happen within {timeout} s")


def events_so_far(directory, at_least):
    for journal in directory.glob("*/raw.journal"):
        events = [doc for name, doc in read_documents(journal) if name == "event" and "pixel" in doc["data"]]
        if len(events) >= at_least:
            return journal.parent, events
    return None


@pytest.fixture(scope="module")
def killed(tmp_path_factory, command_line):
    """A demo killed after some twenty points; its folder, and the events a reader saw just before."""
    folder = tmp_path_factory.mktemp("killed")
    process = command_line(folder).start(
        *("demo", "--points", "10x10", "--exposure", "0.03", "--no-page", "--directory", "runs"), start_new_session=True
    )
    try:
        run_folder, seen = wait_for(lambda: events_so_far(folder / "runs", 20), 150, "twenty points")
    finally:
        # the whole session: engine and IOC at once, as when a machine dies; the followers have sessions of their own
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return folder / "runs", run_folder, seen


def test_every_point_that_was_acknowledged_is_in_the_journal_and_has_its_frame(killed):
    _, run_folder, seen = killed
    run = read_run(run_folder)
    assert run.stop is None
    kept = {event["data"]["frame_id"] for event in run.events.values()}
    assert {event["data"]["frame_id"] for event in seen} <= kept
    with h5py.File(run_folder / "frames.h5", "r", swmr=True) as file:
        ids = file["entry/data/frame_id"][:].tolist()
        assert len(ids) >= len(run.events)
        for event in run.events.values():
            frame = file["entry/data/data"][ids.index(event["data"]["frame_id"])]
            assert frame.sum() == event["data"]["total_counts"]


def test_the_catalog_follows_to_the_last_acknowledged_point(killed):
    directory, run_folder, _ = killed
    run = read_run(run_folder)

    def caught_up():
        # made by the follower's first write, which may still be to come
        if not (directory / "catalog" / "config.yml").exists():
            return None
        # The follower takes an open run out and writes it anew: between two questions it may be gone for a moment.
        with open_catalog(directory) as client, contextlib.suppress(KeyError, httpx.HTTPStatusError):
            data = client[run.start["uid"]]["primary"].read()
            return data if "pixel" in data and len(data["pixel"]) >= len(run.events) else None
        return None

    data = wait_for(caught_up, 150, "the catalog catching up")
    events = sorted(run.events.values(), key=lambda event: event["seq_num"])
    assert np.asarray(data["frame_id"]).tolist() == [event["data"]["frame_id"] for event in events]
    with open_catalog(directory) as client:
        (listed,) = list_runs(client)
    assert listed.exit_status == "open"
