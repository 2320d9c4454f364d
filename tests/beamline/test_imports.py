"""What the command line reads before Channel Access is confined must not bring in what loads Channel Access."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["cli", "config", "demo", "map", "replay", "session", "check", "live"])
def test_a_verb_is_loaded_without_channel_access(module):
    # libca keeps the addresses it was loaded with: a demo would then look for a real beamline, or for nothing.
    # And ZMQ is an extra that need not be there.
    unwanted = {"ophyd", "epics", "caproto", "zmq"}
    code = f"import sys, microarpes.beamline.{module}; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
