"""Clients this project did not write, each in a process of its own, against the real IOC."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from microarpes.sim.process import running_ioc

HAVE_CLIENTS = all(importlib.util.find_spec(name) for name in ("ophyd_async", "aioca"))
# `make` installs them: where the whole suite has to pass their absence is a failure.
needs_clients = pytest.mark.skipif(
    not HAVE_CLIENTS and not os.environ.get("CI"), reason="needs pip install -e '.[clients]' (ophyd-async, aioca)"
)


@pytest.fixture(scope="module")
def stock_ioc():
    with running_ioc() as running:
        yield running


@pytest.mark.parametrize(
    "what",
    [
        "ophyd_motor_moves_and_knows_limits_units_and_offset",
        "ophyd_motor_stops",
        "ophyd_area_detector_takes_an_image",
        "pyepics_reads_and_monitors_every_pv",
        "pyepics_gets_and_puts_enums_strings_and_metadata",
        pytest.param("ophyd_async_motor_moves_and_stops", marks=needs_clients),
    ],
)
def test_a_stock_client_gets_what_it_relies_on(stock_ioc, what):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stock_clients.py")), what, stock_ioc.prefix],
        env={**os.environ, **stock_ioc.environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout.endswith("done\n"), done.stderr[-3000:]
