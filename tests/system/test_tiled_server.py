"""A Tiled server on PostgreSQL, killed and frozen while a run is written: in the end it holds the journal, once."""

import json
import os
import random
import secrets
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small_run import ENERGIES, WINDOWS, derived_documents, raw_documents, write_frames
from tiled_server import READER, WRITER, TiledServer, postgres, programs

from microarpes.beamline.catalog_compare import difference, journal_content
from microarpes.beamline.check_sections import look_at_server
from microarpes.beamline.config import simulated_config
from microarpes.beamline.follow_catalog import main
from microarpes.beamline.journal import JournalWriter

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "catalog-server.json"
#: Longest answer a follower waits for here, s; a freeze lasts longer.
ANSWER_WITHIN = 1.5
FREEZE = 2.0

pytestmark = [
    pytest.mark.timeout(7200 if os.environ.get("MICROARPES_SOAK") else 300),
    pytest.mark.skipif(
        programs() is None and not os.environ.get("CI"),
        reason="there is no PostgreSQL: Debian's package postgresql brings it",
    ),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server on a PostgreSQL of its own, and the folder of the runs it may read."""
    runs = tmp_path_factory.mktemp("runs")
    with postgres() as (database, environment):
        server = TiledServer(database, environment, tmp_path_factory.mktemp("server"), runs)
        try:
            server.start()
            yield server, runs
        finally:
            server.kill()


def follow(server, runs, run, *more):
    """Follow a run to the server, as the process does that a map starts; return the exit status."""
    return main(["--directory", str(runs), "--run", run, "--batch", "25", "--server", server.uri, "--answer-within",
                 str(ANSWER_WITHIN), *more])  # fmt: skip


class Journals:
    """The journals of a run and of its fit, written document by document as they would be by a scan."""

    def __init__(self, runs, points):
        self.run, self.derived = str(uuid.uuid4()), str(uuid.uuid4())
        self.folder = runs / self.run
        self.folder.mkdir()
        rng = np.random.default_rng(11)
        self.edc = rng.poisson(30.0, (points, WINDOWS, ENERGIES)).astype(float)
        self.frames = write_frames(self.folder, points)
        delta = rng.normal(35.0, 3.0, (points, WINDOWS))
        self.paths = [self.folder / "raw.journal", self.folder / "gap.journal"]
        self._documents = [
            list(raw_documents(self.run, self.folder, self.edc)), list(derived_documents(self.derived, self.run, delta))
        ]  # fmt: skip
        self._writers = [JournalWriter(path) for path in self.paths]
        self._written = [0, 0]

    def write(self, share):
        """Write on, up to this share of both."""
        for place, (documents, writer) in enumerate(zip(self._documents, self._writers, strict=True)):
            upto = round(share * len(documents))
            for name, doc in documents[self._written[place] : upto]:
                writer(name, doc)
            self._written[place] = upto

    def close(self):
        for writer in self._writers:
            writer.close()


def strike(server, number):
    """Kill the server and start it again, or freeze it for longer than anybody waits for an answer."""
    if number % 4 == 1:
        server.kill()
        server.start()
    else:
        server.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(FREEZE)
        server.process.send_signal(signal.SIGCONT)


def write_struck(served, strikes, points):
    """Write a run while it is followed and the server is struck so often; return it and the follower's exit status."""
    server, runs = served
    journals = Journals(runs, points)

    def scan():
        chance = random.Random(3)
        try:
            for number in range(strikes):
                journals.write((number + 1) / (strikes + 1))
                threading.Event().wait(chance.uniform(0.2, 1.0))  # at any moment of what the follower does with it
                strike(server, number)
        finally:
            journals.write(1.0)

    try:
        with ThreadPoolExecutor(1) as thread:
            scanned = thread.submit(scan)
            status = follow(server, runs, journals.run)
            scanned.result()
    finally:
        journals.close()
    return journals, status


def assert_once_and_whole(server, key, journals):
    from tiled.client import from_uri
    from tiled.queries import Key

    client = from_uri(server.uri, api_key=key)
    try:
        assert [difference(client, journal_content(path)) for path in journals.paths] == ["", ""]
        assert [*client.search(Key("start.original_run_uid") == journals.run)] == [journals.derived]
        stored = client[journals.run]["primary"].read()
        np.testing.assert_array_equal(stored["edc"].values, journals.edc)
        np.testing.assert_array_equal(stored["analyser_frame"].values, journals.frames)
        assert client[journals.run].stop["num_events"] == {"primary": len(journals.edc), "calibration": 1}
    finally:
        client.context.close()


def test_a_run_is_on_the_server_once_and_whole_though_that_is_killed_and_frozen_five_times(served, caplog, monkeypatch):
    server, runs = served
    key = server.new_key(*WRITER)
    monkeypatch.setenv("TILED_API_KEY", key)
    journals, status = write_struck(served, strikes=5, points=240)
    assert status == 0, caplog.text
    assert key not in caplog.text
    assert_once_and_whole(server, server.new_key(*READER), journals)
    assert follow(server, runs, journals.run) == 0  # a second follower finds nothing to do


def test_without_a_key_or_with_a_wrong_one_it_is_one_line_that_names_the_variable(served, capsys, monkeypatch):
    server, runs = served
    (runs / "abc").mkdir()
    for key, said in (("", "TILED_API_KEY is not set"), (secrets.token_hex(16), "refuses the key in TILED_API_KEY")):
        monkeypatch.setenv("TILED_API_KEY", key)
        assert follow(server, runs, "abc") == 1
        error = capsys.readouterr().err
        assert (error.count("\n"), said in error) == (1, True), error
        assert not key or key not in error


def test_check_asks_whether_the_key_may_write_there(served, monkeypatch):
    server, _ = served
    config, told = simulated_config().changed(catalog={"uri": server.uri}), []
    monkeypatch.setenv("TILED_API_KEY", server.new_key(*READER))
    (found,) = look_at_server(config, told.append)
    assert "may not write:metadata" in found
    monkeypatch.setenv("TILED_API_KEY", server.new_key(*WRITER))
    assert list(look_at_server(config, told.append)) == []
    assert "answers and takes the key" in told[0]


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("MICROARPES_SOAK"), reason="MICROARPES_SOAK is not set; `make soak` sets it")
def test_fifty_times(served, caplog, monkeypatch):
    server, _ = served
    monkeypatch.setenv("TILED_API_KEY", server.new_key(*WRITER))
    for _ in range(5):
        caplog.clear()
        journals, status = write_struck(served, strikes=10, points=1000)
        assert status == 0, caplog.text
        assert_once_and_whole(server, server.new_key(*READER), journals)
    what = "kills and freezes of a Tiled server on PostgreSQL while 5 runs of 1000 points were written; each was there "
    what += "once and as in its journal afterwards"
    MEASURED.write_text(json.dumps({"what": what, "strikes": 50, "duplicates": 0}, indent=1) + "\n")
