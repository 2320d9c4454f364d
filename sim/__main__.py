"""``python -m microarpes.sim``: the simulated beamline's IOC alone."""

from __future__ import annotations

import sys

from microarpes.sim.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
