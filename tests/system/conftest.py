"""The real IOC in a process of its own, and the console script as users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from microarpes.sim.process import running_ioc


@pytest.fixture(scope="session")
def ioc(ioc_port):
    """The simulated beamline at the port this process' libca looks at; counts fast, so that exposures can be short.

    Its sample comes to another temperature in a second.
    """
    with running_ioc(arguments=["--seed", "7", "--rate", "3e6", "--cryostat-time", "0.2"], port=ioc_port) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show with a failed test what its simulated beamline had to say."""
    report = yield
    running = getattr(item, "funcargs", {}).get("ioc")
    if report.failed and running is not None:
        ended = running.process.poll()
        state = "runs" if ended is None else f"ended with status {ended}"
        report.sections.append((f"simulated beamline, which {state}", running.said()))
    return report


@pytest.fixture(scope="session")
def config():
    from microarpes.beamline.config import simulated_config

    # Of the process' own address list: there is more than the default in it.
    return simulated_config().changed(region={"acquire_time": 0.02}, channel_access={"address_list": None})


@pytest.fixture(scope="session")
def station(ioc, config):
    """The devices of the simulated beamline, connected."""
    from microarpes.beamline.instrument import connect_end_station, disconnect_end_station

    connected = connect_end_station(config, timeout=20.0)
    yield connected
    disconnect_end_station(connected)


class CommandLine:
    """Run ``microarpes`` as a process, as a user does."""

    def __init__(self, folder: Path):
        self.folder = folder

    def command(self, *arguments):
        return [sys.executable, "-m", "microarpes.beamline.cli", *map(str, arguments)]

    def __call__(self, *arguments, timeout=240, **environment):
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # with the IOC it started, which would take a core from the tests that follow
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *arguments, **options):
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )


@pytest.fixture
def microarpes(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def command_line():
    """`CommandLine` for fixtures that outlive one test."""
    return CommandLine


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory):
    """One demo of 12 x 12 pixels, shared by all tests that only look at what it left behind."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = ["demo", "--points", "12x12", "--step", "15", "--seed", "7", "--exposure", "0.03", "--no-page"]
    done = CommandLine(folder)(*arguments, "--directory", "runs", "--summary", "summary.json", timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    return folder / "runs", summary, done
