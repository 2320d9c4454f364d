"""Arguments of the IOC's program."""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from microarpes.sim.ageing import Ageing
from microarpes.sim.channel_access import fast_event_loop, interfaces_from_environment, quiet_logs
from microarpes.sim.cryostat import TIME_CONSTANT
from microarpes.sim.fault_kinds import KINDS
from microarpes.sim.fault_options import FORM, FaultRequest, parse_fault
from microarpes.sim.flat_field import flat_field
from microarpes.sim.frame_source import N_ENERGY, FrameSource
from microarpes.sim.ioc import Beamline, Options, list_pvs
from microarpes.sim.process_faults import remember_command
from microarpes.sim.recording import RecordingError, open_recording
from microarpes.sim.replay import ReplaySource
from microarpes.sim.sample_source import SampleSource
from microarpes.sim.server import serve
from microarpes.sim.truth import INGREDIENTS, STANDARD, Truth, parse_truth
from microarpes.sim.vendors import VENDORS


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; try --help\n")


def _seed(value: str) -> int:
    try:
        seed = int(value)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 0 to 2^63 - 1")
    return seed


def _within(low: float, high: float, what: str) -> Callable[[str], float]:
    """Return what reads a number from `low` to `high`."""

    def read(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{value!r} is not {what} from {low:g} to {high:g}")
        return number

    return read


def _centre(value: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in value.split(","))
    except ValueError:
        x = y = z = math.nan
    if not all(abs(part) <= 1e5 for part in (x, y, z)):
        raise argparse.ArgumentTypeError(f"{value!r} is not X,Y,Z: three numbers of um up to 1e5")
    return x, y, z


def _fault(option: str) -> FaultRequest:
    try:
        return parse_fault(option)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _truth(option: str) -> Truth:
    try:
        return parse_truth(option)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _OneLineParser(prog=prog, description="A simulated micro-ARPES beamline behind Channel Access.")
    parser.add_argument("--prefix", default="SIM:", help="of every PV (default: %(default)s)")
    parser.add_argument("--seed", type=_seed, default=7, help="of the sample and of all noise (default: %(default)s)")
    parser.add_argument(
        "--rate",
        type=_within(1e-3, 1e9, "a rate in counts/s"),
        default=2e5,
        help="detector counts/s with the beam on live flake (default: %(default)g)",
    )
    parser.add_argument(
        "--noise",
        choices=("frame", "pixel"),
        default="frame",
        help="frame: every exposure has noise of its own; pixel: the same position and region give the same frame, "
        "but for its first channel",
    )
    parser.add_argument("--recording", metavar="FILE", help="serve this HDF5 recording in place of the sample")
    parser.add_argument(
        "--analyser",
        choices=tuple(VENDORS),
        default="ses",
        help="whose driver it pretends to be (default: %(default)s)",
    )
    parser.add_argument(
        "--rotation-centre",
        metavar="X,Y,Z",
        type=_centre,
        default=(0.0, 0.0, 0.0),
        help="motor positions, um, at which the point that no rotation moves is in the beam (default: 0,0,0)",
    )
    parser.add_argument(
        "--flat-field-mesh",
        metavar="DEPTH",
        type=_within(0.0, 0.5, "a depth of modulation"),
        default=0.0,
        help="a mesh in front of the detector modulates what its channels count by so much (0.1: 10 %%; default: 0)",
    )
    parser.add_argument(
        "--cryostat-time",
        metavar="S",
        type=_within(0.01, 1e5, "a time constant in s"),
        default=TIME_CONSTANT,
        help="time constant of the way of the sample's temperature to the setpoint, s (default: %(default)g)",
    )
    parser.add_argument(
        "--write-flat-field",
        metavar="FILE",
        help="write the flat field of that mesh, and of a --truth with gain_pattern, to a .npy file, for 300 slices in "
        "Fixed mode, and exit",
    )
    parser.add_argument(
        "--space-charge",
        metavar="MEV",
        type=_within(0.0, 50.0, "a shift in meV"),
        default=0.0,
        help="by how much all energies are too high at full ring current without attenuation, in proportion to the "
        "flux on the sample (default: 0)",
    )
    for name, unit, cause in (
        ("time", "MEV_PER_HOUR", "an hour since the start, everywhere"),
        ("dose", "MEV_PER_MINUTE", "a minute of beam on the spot, at full ring current without attenuation"),
    ):
        parser.add_argument(
            f"--ageing-{name}",
            metavar=unit,
            type=_within(0.0, 1e5, "a loss of meV"),
            default=0.0,
            help=f"by how much the gap shrinks with {cause} (default: 0)",
        )
    parser.add_argument(
        "--undulation",
        metavar="DEG",
        type=_within(0.0, 2.0, "a tilt in deg"),
        default=0.0,
        help="the cleaved face waves along the slit by so much to either side, with a correlation length of 30 um "
        "(default: 0)",
    )
    parser.add_argument(
        "--truth",
        metavar="NAME",
        type=_truth,
        default=STANDARD,
        help="what photoemission and detector have: standard, one band and even channels; realistic; or some of "
        f"{', '.join(INGREDIENTS)} with commas between (default: standard)",
    )
    parser.add_argument(
        "--fault",
        metavar="NAME=VALUE",
        dest="faults",
        action="append",
        default=[],
        type=_fault,
        help=f"make something go wrong; may be repeated. {FORM}: the probability at each occasion, from START s after "
        f"boot on for DURATION s (0: for ever). NAME is one of {', '.join(kind.name for kind in KINDS)}",
    )
    parser.add_argument("--list-pvs", action="store_true", help="print the PV names and exit")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m microarpes.sim") -> int:
    """Run the program.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name.
    prog : str
        What was typed to start it, for help and errors.

    Returns
    -------
    int
        Exit status: 0 after SIGTERM, Ctrl-C or ``--list-pvs``; 2 for bad arguments; 1 when the server cannot run.
    """
    try:
        arguments = _parser(prog).parse_args(argv)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    if arguments.list_pvs:
        print("\n".join(list_pvs(arguments.prefix, arguments.analyser)))  # noqa: T201 - this is the program's output
        return 0
    options = Options(
        *(arguments.prefix, arguments.seed, arguments.rate, arguments.noise),
        faults=tuple(arguments.faults),
        analyser=arguments.analyser,
        rotation_centre=arguments.rotation_centre,
        mesh=arguments.flat_field_mesh,
        space_charge=arguments.space_charge,
        cryostat_time=arguments.cryostat_time,
        undulation=arguments.undulation,
        ageing=Ageing(arguments.ageing_time, arguments.ageing_dose),
        truth=arguments.truth,
    )
    if arguments.write_flat_field is not None:
        return _write_flat_field(arguments.write_flat_field, options)
    remember_command([sys.executable, "-m", "microarpes.sim", *(sys.argv[1:] if argv is None else argv)])
    try:
        source = ReplaySource(open_recording(arguments.recording)) if arguments.recording else None
    except RecordingError as error:
        print(f"python -m microarpes.sim: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return run(options, source)


def _write_flat_field(path: str, options: Options) -> int:
    field = flat_field(SampleSource.defaults.slices, N_ENERGY, options.mesh, options.truth.gain_pattern)
    try:
        with open(path, "wb") as file:
            np.save(file, field, allow_pickle=False)
    except OSError as error:
        print(f"python -m microarpes.sim: --write-flat-field {path}: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def run(options: Options, source: FrameSource | None = None) -> int:
    """Serve until told to end; return the exit status."""
    quiet_logs()
    gc.freeze()  # a full round of the garbage collector would hold up an exposure
    try:
        with asyncio.Runner(loop_factory=fast_event_loop()) as runner:
            runner.run(serve(lambda: Beamline(options, source), interfaces_from_environment()))
    except KeyboardInterrupt:
        return 0
    except Exception as error:  # noqa: BLE001 - the operator gets one line, not a traceback
        port = os.environ.get("EPICS_CA_SERVER_PORT", "5064")
        print(f"python -m microarpes.sim: cannot serve on port {port}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
