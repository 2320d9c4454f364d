"""Signals to a run that is being taken from the real IOC: at any phase it ends with nothing moving and nothing open."""

from __future__ import annotations

import os
import pty
import random
import select
import signal
import subprocess
import sys
import time

import pytest

from microarpes.beamline.config import simulated_text
from microarpes.beamline.journal import read_documents
from microarpes.beamline.stored_run import read_run
from microarpes.sim.process import running_ioc

#: A watcher that never returns from its first document, in place of the progress display.
STUCK = """
import sys, threading
from microarpes.beamline import progress
progress.ProgressDisplay.__call__ = lambda self, name, doc: threading.Event().wait()
from microarpes.beamline.cli import main
sys.exit(main())
"""


def wait_for(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not happen within {timeout} s")


class Map:
    """`microarpes map` in a process of its own: rows of 5 pixels 1500 um apart, 0.75 s of move to 0.1 s of exposure."""

    def __init__(self, folder, *, program=("-m", "microarpes.beamline.cli"), terminal=None, port=None):
        self.folder, self.runs = folder, folder / "runs"
        text = simulated_text().replace("close_when_paused = false", "close_when_paused = true")
        if port is not None:
            text = text.replace("SIM:", "FRZ:").replace('"127.0.0.1"', f'"127.0.0.1:{port}"')
        (folder / "beamline.toml").write_text(text)
        command = [sys.executable, *program, "map", "--config", "beamline.toml", "--points", "5x5", "--step", "1500"]
        command += ["--exposure", "0.1", "--no-page", "--directory", "runs"]
        pipe = subprocess.PIPE if terminal is None else terminal
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL if terminal is None else terminal, stdout=pipe,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def documents(self):
        for journal in self.runs.glob("*/raw.journal"):
            return list(read_documents(journal))
        return []

    def points(self):
        return [doc for name, doc in self.documents() if name == "event" and "pixel" in doc["data"]]

    def wait_for_points(self, number):
        wait_for(lambda: len(self.points()) >= number or self.process.poll() is not None, 150, f"{number} points")
        assert self.process.poll() is None

    def kill(self, number):
        """Send a signal at a random phase of a point; return when, s epoch."""
        time.sleep(random.uniform(0.0, 0.8))
        os.kill(self.process.pid, number)
        return time.time()

    def stop_document(self):
        """Wait for it; the journal is the first to have it."""
        return wait_for(lambda: [doc for name, doc in self.documents() if name == "stop"], 60, "a stop document")[0]

    def end(self):
        out, _ = self.process.communicate(timeout=150)
        return (out or b"").decode()


@pytest.fixture
def start(ioc, tmp_path):
    started = []

    def begin(**options):
        started.append(Map(tmp_path, **options))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.communicate()


@pytest.fixture
def at_rest(station):
    """Wait until every axis stands, and stays; return the state of the shutter."""

    def look():
        axes = station.manipulator.axes.values()
        wait_for(lambda: all(int(axis.done.get(use_monitor=False)) == 1 for axis in axes), 30, "all axes at rest")
        where = [axis.position for axis in axes]
        time.sleep(0.3)  # a move that was only late to begin would show
        assert [axis.position for axis in axes] == where
        return station.shutter.state.get(use_monitor=False)

    return look


def report(test, stop, sent):
    sys.stdout.write(f"{test}: stop document {1000 * (stop['time'] - sent):.0f} ms after the signal\n")


def test_sigterm_ends_a_run_with_a_stuck_subscriber_and_leaves_nothing_moving(start, at_rest):
    run = start(program=("-c", STUCK))
    run.wait_for_points(2)
    sent = run.kill(signal.SIGTERM)
    stop = run.stop_document()
    report("SIGTERM", stop, sent)
    assert (stop["exit_status"], stop["reason"]) == ("abort", "SIGTERM")
    assert at_rest() == "Not Open"
    out = run.end()
    assert run.process.returncode == 1, out
    assert "SIGTERM: the run is aborted" in out
    # the pause by which an abort begins is none that held the run up
    assert read_run(next(run.runs.glob("*/raw.journal")).parent).interruptions == []


def read_terminal(terminal, until, timeout=60):
    deadline, seen = time.monotonic() + timeout, ""
    while until not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


def test_ctrl_c_asks_resume_goes_on_and_ctrl_c_twice_aborts(start, at_rest):
    mine, theirs = pty.openpty()
    try:
        run = start(terminal=theirs)
        run.wait_for_points(2)
        run.kill(signal.SIGINT)
        read_terminal(mine, "resume or abort?")
        # all that moves stands, and the shutter is closed in a pause as the configuration has it
        assert at_rest() == "Not Open"
        before = len(run.points())
        os.write(mine, b"resume\n")
        run.wait_for_points(before + 1)
        time.sleep(2.1)  # else the next would be the second of two
        run.kill(signal.SIGINT)
        time.sleep(0.3)
        os.kill(run.process.pid, signal.SIGINT)
        sent = time.time()
        stop = run.stop_document()
        report("Ctrl-C twice", stop, sent)
        assert (stop["exit_status"], stop["reason"]) == ("abort", "Ctrl-C twice")
        assert at_rest() == "Not Open"
        stored = read_run(next(run.runs.glob("*/raw.journal")).parent)
        held = [(each["guard"], each["reason"]) for each in stored.interruptions]
        # the second Ctrl-C finds the run paused by the one before, or about to be
        assert held in ([("operator", "Ctrl-C")], [("operator", "Ctrl-C")] * 2)
    finally:
        os.close(theirs)
        os.close(mine)


def test_a_terminal_that_hangs_up_ends_the_run_though_its_beamline_is_frozen(start, other_port):
    from epics import PV

    with running_ioc("FRZ:", ["--rate", "3e6"], port=other_port) as frozen:
        mine, theirs = pty.openpty()
        run = start(terminal=theirs, port=other_port)
        os.close(theirs)
        run.wait_for_points(2)
        time.sleep(random.uniform(0.0, 0.8))
        frozen.process.send_signal(signal.SIGSTOP)
        # The process leads no session of this terminal, so the signal is sent as the kernel would.
        os.close(mine)
        sent = run.kill(signal.SIGHUP)
        stop = run.stop_document()
        report("SIGHUP, IOC frozen", stop, sent)
        assert (stop["exit_status"], stop["reason"]) == ("abort", "SIGHUP")
        frozen.process.send_signal(signal.SIGCONT)
        # What it was told while it slept, it does: axes done, shutter "Not Open".
        pvs = [PV(f"FRZ:{name}") for name in ("MANIP:X.DMOV", "MANIP:Y.DMOV", "SHUTTER:Pos-Sts")]
        assert all(pv.wait_for_connection(20.0) for pv in pvs)
        wait_for(lambda: [pv.get(use_monitor=False) for pv in pvs] == [1, 1, 1], 30, "axes at rest, shutter closed")
        for pv in pvs:
            pv.disconnect()
        assert wait_for(lambda: run.process.poll() is not None, 150, "the end")
        assert run.process.returncode != 0
