"""Fixtures of all rooms; Channel Access never leaves this machine."""

from __future__ import annotations

import os

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

#: Side by side, in `make test`: what is shared by tests and takes long to make, whole files, and what is begun first so
#: that both processes end together. The demo compiles the fit before any other test asks for it.
SHARED = "demo_run"
FIRST = (
    SHARED,
    "system/test_chaos.py",
    "system/test_replay.py",
    "system/test_analysers.py",
    "analysis/test_real_recordings.py",
    "plans/test_mutations.py",
    "system/test_bad_input.py",
    "analysis/test_engines.py",
    "system/test_sub_frames.py",
    "analysis/test_background.py",
    "system/test_kill.py",
)


def group_of(item):
    """Tests of one group run in one process, one after the other, so that its fixtures are made once."""
    return SHARED if SHARED in item.fixturenames else f"{item.path.parent.name}/{item.path.name}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    place = {group: number for number, group in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(group_of(item), len(FIRST)))


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
