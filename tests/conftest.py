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
