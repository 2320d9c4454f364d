"""Fixtures of all rooms; Channel Access never leaves this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microarpes.sim.process import free_port, private_environment

# Before anything imports ophyd: libca keeps the port it was loaded with, and a test must never reach a real beamline.
IOC_PORT = free_port()
os.environ.update(private_environment(IOC_PORT))
# A second IOC, of another prefix, can be reached beside the first.
OTHER_PORT = free_port()
os.environ["EPICS_CA_ADDR_LIST"] = f"127.0.0.1 127.0.0.1:{OTHER_PORT}"
# Processes started from here: several threads of BLAS in each take the cores from one another, waiting in loops.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

#: Side by side, in `make test`: tests of one file run in one process, and so do those of the files that share the demo,
#: which takes long. Begun first is what takes longest, so that both processes end together; and the demo before all,
#: for it compiles the fit that others ask for.
SYSTEM = Path(__file__).parent / "system"
DEMO = {f"system/{path.name}" for path in SYSTEM.glob("test_*.py") if "demo_run" in path.read_text()}
FIRST = (
    "demo",
    "system/test_chaos.py",
    "system/test_replay.py",
    "system/test_analysers.py",
    "analysis/test_real_recordings.py",
    "test_mutations.py",
    "system/test_bad_input.py",
    "analysis/test_engines.py",
    "system/test_sub_frames.py",
    "system/test_kill.py",
)


def group_of(nodeid):
    """The name of what runs in one process, one after the other, so that its fixtures are made once."""
    file = nodeid.partition("::")[0].removeprefix("tests/")
    return "demo" if file in DEMO else file


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        place = {group: number for number, group in enumerate(FIRST)}
        items.sort(key=lambda item: place.get(group_of(item.nodeid), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return ByGroup(config, log)


@pytest.fixture(scope="session")
def ioc_port():
    """The port of 127.0.0.1 at which this process looks for its IOC."""
    return IOC_PORT


@pytest.fixture(scope="session")
def other_port():
    """Where this process looks for an IOC of another prefix."""
    return OTHER_PORT


@pytest.fixture
def engine():
    """A RunEngine without signal handlers, stopped for sure."""
    from bluesky import RunEngine

    run_engine = RunEngine({}, context_managers=[])
    yield run_engine
    if run_engine.state != "idle":
        run_engine.halt()
    run_engine.loop.call_soon_threadsafe(run_engine.loop.stop)
    run_engine._th.join(5.0)
    run_engine.loop.close()


@pytest.fixture
def pasted(tmp_path):
    """Run lines in a Python of their own, as who pastes them does; return the ``edc`` and ``frame`` they make."""
    import xarray

    def run(lines):
        made = tmp_path / "made.json"
        # JSON keeps every bit of a finite double.
        keep = f"import json\njson.dump([a.to_dict() for a in (edc, frame)], open({str(made)!r}, 'w'))\n"
        subprocess.run([sys.executable, "-c", lines + keep], check=True, timeout=120)
        return [xarray.DataArray.from_dict(array) for array in json.loads(made.read_text())]

    return run


#: What a browser that Playwright drives may be called.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; where there is none the test is left out, but in CI it fails."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("no Chromium was found, and in CI its tests are not left out; apt-get install chromium")
    if found is None:
        pytest.skip("no Chromium was found; apt-get install chromium, or what your system calls it")
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=options)
        yield chromium
        chromium.close()
