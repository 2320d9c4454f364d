"""The engine of a demo in a process of its own, paused, resumed, stopped and aborted from this one."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import subprocess
import sys
import time

import h5py
import pytest

from microarpes.beamline.config import simulated_text
from microarpes.beamline.control_client import ControlClient, ControlError, EngineGone, read_engine_state
from microarpes.beamline.stored_run import read_run

NX, NY = 6, 8


def wait_for(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not happen within {timeout} s")


class Demo:
    """A demo without a terminal, and the other end of its control channel."""

    def __init__(self, microarpes):
        self.runs = microarpes.folder / "runs"
        self.control = ControlClient(self.runs)
        options = ["--points", f"{NX}x{NY}", "--exposure", "0.05", "--no-page", "--directory", "runs"]
        self.process = microarpes.start("demo", *options, start_new_session=True)

    def state(self):
        try:
            return read_engine_state(self.runs)
        except EngineGone:
            return {"state": "gone", "run_uid": None}

    def wait_for_state(self, *states):
        return wait_for(lambda: (found := self.state())["state"] in states and found, 150, f"a state of {states}")

    def wait_for_points(self, number):
        """Wait until so many points are acknowledged; return the run's folder."""

        def there():
            uid = self.state()["run_uid"]
            return uid and len(read_run(self.runs / uid).events) >= number and self.runs / uid

        return wait_for(there, 150, f"{number} points")

    def end(self):
        out, _ = self.process.communicate(timeout=150)
        return out


@pytest.fixture
def demo(microarpes):
    started = Demo(microarpes)
    yield started
    if started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.communicate()


def assert_every_point_has_its_frame(run):
    with h5py.File(run.folder / "frames.h5", "r") as file:
        ids = file["entry/data/frame_id"][:].tolist()
        assert len(ids) >= len(run.events) > 0
        for event in run.events.values():
            assert file["entry/data/data"][ids.index(event["data"]["frame_id"])].sum() == event["data"]["total_counts"]


def test_a_run_is_paused_resumed_and_ended_after_a_row_and_keeps_whole_rows(demo):
    folder = demo.wait_for_points(2)
    file = demo.runs / "engine.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert demo.control.pause() in ("pausing", "paused")
    # nobody is at a terminal: it waits for whoever paused it
    paused = demo.wait_for_state("paused")
    assert (paused["run_uid"], paused["row_stop"]) == (folder.name, False)
    assert "control channel" in paused["reason"]
    at_rest = len(read_run(folder).events)
    with pytest.raises(ControlError, match="paused already"):
        demo.control.pause_now()
    demo.control.stop_after_row()
    assert demo.control.state() == {**paused, "row_stop": True}
    assert len(read_run(folder).events) == at_rest
    assert demo.control.resume() == "running"
    out = demo.end()
    run = read_run(folder)
    # whole rows: the one in which it was asked, and those before; snake or not, they are the first of the grid
    rows = at_rest // NX + 1
    assert sorted(run.events) == list(range(rows * NX))
    assert rows < NY
    assert run.stop["exit_status"] == "success"
    assert run.stop["reason"] == f"stopped after row {rows} of {NY} by the operator"
    assert run.start["num_points"] == NX * NY
    assert_every_point_has_its_frame(run)
    assert run.gap_map is not None
    # neither a failure (1) nor all that was asked for (0)
    assert demo.process.returncode == 3, out
    assert f"stopped after row {rows} of {NY} by the operator; {rows * NX} of {NX * NY} pixels" in out
    assert not file.exists()


def test_a_run_is_aborted_from_outside_and_keeps_what_it_had(demo):
    folder = demo.wait_for_points(NX + 2)
    seen = read_run(folder).events
    assert demo.control.abort("the sample\nhas gone") == "idle"
    out = demo.end()
    run = read_run(folder)
    assert run.stop["exit_status"] == "abort"
    assert run.stop["reason"].endswith("control channel: the sample has gone")
    assert set(seen) <= set(run.events)
    assert len(run.events) < NX * NY
    assert_every_point_has_its_frame(run)
    assert demo.process.returncode == 1
    assert "the sample has gone" in out
    with pytest.raises(EngineGone, match="none runs there"):
        demo.control.state()


@pytest.fixture
def session(ioc, tmp_path):
    """A session whose prompt is this test's to type at."""
    (tmp_path / "beamline.toml").write_text(simulated_text())
    command = [sys.executable, "-m", "microarpes.beamline.cli", "session", "--config", "beamline.toml", "--no-page"]
    process = subprocess.Popen(
        [*command, "--directory", "runs"],
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_run_of_a_session_is_paused_and_aborted_from_outside_and_the_prompt_goes_on(session, tmp_path):
    control = ControlClient(tmp_path / "runs")

    def state_is(state):
        def found():
            try:
                return control.state()["state"] == state
            except EngineGone:
                return False

        wait_for(found, 150, f"state {state}")

    state_is("idle")
    session.stdin.write("RE(raster(20, 20, step=5.0))\n")
    session.stdin.flush()
    state_is("running")
    wait_for(lambda: control.state()["run_uid"], 150, "an open run")
    control.pause()
    state_is("paused")
    with pytest.raises(ControlError, match="belongs to the prompt"):
        control.resume()
    session.stdin.write("RE.resume()\n")
    session.stdin.flush()
    state_is("running")
    control.pause_now()
    state_is("paused")
    # In a thread of the channel, where Python allows no handler of Ctrl-C; the prompt waits for its next line.
    assert control.abort("enough") == "idle"
    out, _ = session.communicate('print("then", RE.state)\nexit()\n', timeout=150)
    assert "then idle" in out
    assert session.returncode == 0, out
    (journal,) = (tmp_path / "runs").glob("*/raw.journal")
    stop = read_run(journal.parent).stop
    assert (stop["exit_status"], stop["reason"]) == ("abort", "abort asked for through the control channel: enough")


def test_axes_on_their_way_to_the_next_row_have_arrived_when_a_run_ends_before_it(station, config, tmp_path):
    """The wish comes while the last pixel of the row is stored; the next row is 1.5 s away, 3000 um at 2000 um/s."""
    from microarpes.beamline.engine import make_engine
    from microarpes.beamline.raster_run import drive
    from microarpes.beamline.run_metadata import calibration_record
    from microarpes.plans.grid import Line, RasterGrid
    from microarpes.plans.raster import gap_raster

    engine, journals = make_engine(tmp_path, station)
    found = []

    def look(name, doc):
        y = station.manipulator.y
        if name == "stop":
            found.append((int(y.done.get(use_monitor=False)), float(y.readback.get(use_monitor=False))))

    engine.subscribe(look)
    grid = RasterGrid(x=Line(start=0.0, stop=10.0, num=2), y=Line(start=-1500.0, stop=1500.0, num=2))
    asked = itertools.count()
    options = {"directory": tmp_path, "limits": config.gate, "row_stop": lambda: next(asked) > 0}
    plan = gap_raster(station, grid, config.region, config.windows, calibration_record(config), **options)
    assert drive(engine, plan, lambda: "abort") == "success"
    run = read_run(tmp_path / journals.run_uid)
    assert sorted(run.events) == [0, 1]
    assert run.stop["reason"] == "stopped after row 1 of 2 by the operator"
    assert found == [(1, pytest.approx(1500.0, abs=station.manipulator.y.tolerance))]
