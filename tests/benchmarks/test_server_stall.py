"""What a scan notices of the Tiled server of its catalog being killed, frozen and started again, fifty times.

Opt-in, for its minutes: ``MICROARPES_STALL=1 pytest tests/benchmarks/test_server_stall.py`` writes
docs/measured/server-stall.json. The server with its database has one core and the beamline, the scan and all its
followers the other, as they have machines of their own at a beamline; a second run, whose server is left in peace and
looked at for the same spans of time, tells what of it is the machine's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tiled_server import READER, WRITER, TiledServer, postgres, programs, wait_for

from microarpes.beamline.catalog_compare import difference, journal_content
from microarpes.beamline.config import simulated_text
from microarpes.beamline.control_client import ControlClient
from microarpes.beamline.journal import JournalReader
from microarpes.beamline.stored_run import read_run
from microarpes.sim.process import running_ioc

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "server-stall.json"
STRIKES = 50
#: s; of a freeze, and for how long a strike is looked at once the server answers again.
FREEZE, AFTERWARDS = 2.0, 1.5
EXPOSURE = 0.2
#: More than fifty strikes take; it is ended after the row in which they are over.
NX, NY = 20, 400

pytestmark = [
    pytest.mark.skipif("MICROARPES_STALL" not in os.environ, reason="set MICROARPES_STALL=1 to measure"),
    pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL: Debian's package postgresql brings it"),
    pytest.mark.timeout(3600),
]


@contextlib.contextmanager
def on_core(number):
    """Have what is started meanwhile run on one core, and its children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def kill(server):
    server.kill()
    with on_core(1):
        server.start()


def freeze(server):
    server.process.send_signal(signal.SIGSTOP)
    threading.Event().wait(FREEZE)
    server.process.send_signal(signal.SIGCONT)


class Scan:
    """A map of the simulated beamline whose runs go to a Tiled server as well."""

    def __init__(self, folder, port, server, key):
        folder.mkdir()
        text = simulated_text().replace("acquire_time = 0.05", f"acquire_time = {EXPOSURE}")
        text = text.replace("auto_address_list = false", f"auto_address_list = false\nserver_port = {port}")
        (folder / "beamline.toml").write_text(f'{text}\n[catalog]\nuri = "{server.uri}"\n')
        self.runs = server.runs
        before = set(self.runs.glob("*/raw.journal"))
        command = [sys.executable, "-m", "microarpes.beamline.cli", "map", "--config", "beamline.toml", "--no-page",
                   "--points", f"{NX}x{NY}", "--step", "1", "--directory", self.runs, "--yes"]  # fmt: skip
        with on_core(0):
            self.process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, "TILED_API_KEY": key},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        wait_for(lambda: self.ended() or set(self.runs.glob("*/raw.journal")) - before, "a journal")
        (journal,) = set(self.runs.glob("*/raw.journal")) - before
        self.folder, self._reader, self._points = journal.parent, JournalReader(journal), 0
        wait_for(lambda: self.points() > NX, "the second row")

    def ended(self):
        if self.process.poll() is not None:
            raise ChildProcessError(self.process.stderr.read()[-3000:])
        return False

    def points(self):
        self.ended()
        self._points += sum(name == "event" and "pixel" in doc["data"] for name, doc in self._reader.new_documents())
        return self._points

    def end(self):
        self._reader.close()
        ControlClient(self.runs).stop_after_row()
        _, said = self.process.communicate(timeout=600)
        assert self.process.returncode == 3, said


def spans_of(server, strikes):
    """Strike a server and return when each strike began and was over, s epoch."""
    chance, spans = random.Random(3), []
    for strike in strikes:
        threading.Event().wait(chance.uniform(0.2, 1.5))  # at any moment of what the follower does with it
        began = time.time()
        strike(server)
        threading.Event().wait(AFTERWARDS)
        spans.append((began, time.time()))
    return spans


def stalls(folder, spans):
    """Return by how much the longest time from event to event in each span is above the median of the run, s."""
    times = np.sort([event["time"] for event in read_run(folder, lean=True).events.values()])
    took = np.diff(times)
    longest = [took[(times[1:] > began) & (times[:-1] < over)].max() for began, over in spans]
    return np.array(longest) - np.median(took)


def figures(stall):
    return {"median_ms": round(1e3 * float(np.median(stall)), 1), "longest_ms": round(1e3 * float(stall.max()), 1),
            "above_100_ms": int((stall > 0.1).sum()), "spans": len(stall)}  # fmt: skip


def assert_catalog_is_the_journal(server, folder):
    from tiled.client import from_uri

    client = from_uri(server.uri, api_key=server.new_key(*READER))
    try:
        assert [difference(client, journal_content(path)) for path in sorted(folder.glob("*.journal"))] == ["", ""]
    finally:
        client.context.close()


@pytest.fixture
def server(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    with contextlib.ExitStack() as ends:
        with on_core(1):
            database, environment = ends.enter_context(postgres())
            server = TiledServer(database, environment, tmp_path / "server", runs)
            server.runs = runs
            server.start()
            ends.callback(server.kill)
        yield server


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="server and scan need a core each")
def test_fifty_kills_and_freezes_of_the_server_of_the_catalog_stall_no_scan(server, tmp_path, monkeypatch):
    key = server.new_key(*WRITER)
    monkeypatch.setenv("TILED_API_KEY", key)
    # one in four is a kill
    strikes = [kill if number % 4 == 1 else freeze for number in range(STRIKES)]
    found = {}
    with contextlib.ExitStack() as ends:
        with on_core(0):
            ioc = ends.enter_context(running_ioc(arguments=["--seed", "7"]))
        port = ioc.environment["EPICS_CA_SERVER_PORT"]
        scan = Scan(tmp_path / "struck", port, server, key)
        spans = spans_of(server, strikes)
        scan.end()
        assert_catalog_is_the_journal(server, scan.folder)
        found["struck"] = stalls(scan.folder, spans)
        for which in (kill, freeze):
            found[which.__name__] = found["struck"][[strike is which for strike in strikes]]
        lengths = iter([over - began - AFTERWARDS for began, over in spans])
        scan = Scan(tmp_path / "in-peace", port, server, key)
        spans = spans_of(server, [lambda _: threading.Event().wait(next(lengths))] * STRIKES)
        scan.end()
        found["in_peace"] = stalls(scan.folder, spans)
    what = (
        f"longest time from event to event (exposure {EXPOSURE} s) in each span from a strike to {AFTERWARDS} s after "
    )
    what += (
        "the server answers again, less the run's median: struck (kills and freezes apart too), and the same spans of "
    )
    what += "a run whose server was left in peace; the catalog was as the journal afterwards"
    report = {"what": what, **{name: figures(stall) for name, stall in found.items()}}
    MEASURED.write_text(json.dumps(report, indent=1) + "\n")
