"""`align_antinode`: where the antinodal cut is its own mirror image, and the tilt that puts that onto slit angle 0."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from numpy.typing import NDArray

from microarpes.devices.end_station import EndStation
from microarpes.devices.region import AngleWindow, Region
from microarpes.devices.soft_record import SoftRecord
from microarpes.plans.point_run import Request, point_run, remembering, tell
from microarpes.plans.take_point import MsgGenerator, PointTaker, take_point

logger = logging.getLogger(__name__)

UNITS = dict.fromkeys(("centre", "centre_error", "tilt", "proposed_tilt"), "deg")
#: Frames of an alignment: the second shows whether the first move was right, the third corrects it.
FRAMES = 3
#: Standard deviations within which a centre is 0.
WITHIN = 2.0


@dataclass(frozen=True)
class Mirror:
    """The mirror centre of a frame, slit angle in deg; `problem` says why there is none."""

    centre: float
    error: float
    problem: str = ""


@dataclass(frozen=True)
class Alignment:
    """What an alignment found.

    Attributes
    ----------
    centre, centre_error : float, deg
        Slit angle of the mirror centre in the last frame; NaN when there is none.
    tilt : float, deg
        At which that frame was taken: the readback.
    proposed_tilt : float, deg
        At which the centre is at slit angle 0.
    moved : bool
        Whether the tilt was changed.
    problem : str
        Why there is no centre; empty when there is.
    """

    centre: float
    centre_error: float
    tilt: float
    proposed_tilt: float
    moved: bool
    problem: str = ""


#: ``(frame [n_angle, n_energy], energy eV, angle deg, E_F eV, row_shift) -> Mirror``.
FindMirror = Callable[
    [NDArray[Any], NDArray[np.float64], NDArray[np.float64], float, NDArray[np.intp]],
    Mirror,
]
#: ``(angles deg) -> request``: where all axes go so that the spot stays while angles turn; none named: where they are.
Turn = Callable[[Request], Request]


def align_antinode(
    station: EndStation,
    turn: Turn,
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    *,
    find: FindMirror,
    polar: float | None = None,
    sense: int = 1,
    go: bool = False,
    tolerance: float = 0.02,
    md: Mapping[str, Any] | None = None,
    **surroundings: Any,
) -> MsgGenerator:
    """Find the mirror centre of the antinodal cut, and on request tilt until it lies at slit angle 0.

    Parameters
    ----------
    station : EndStation
    turn : callable
        See `Turn`.
    region, windows, calibration, md, **surroundings
        As of `gap_raster`. The slit must be along the polar axis: only then does tilt move the cut along the slit.
    find : callable
        See `FindMirror`.
    polar : float, optional
        Polar angle of the antinodal cut, deg; by default that of now.
    sense : int
        Sense of the tilt axis, +1 or -1.
    go : bool
        Tilt, look again, and correct once more; the spot stays.
    tolerance : float, deg
        A centre so near 0 is left there, and so is one within twice its error.

    Returns
    -------
    tuple of str and Alignment
        The run's uid, and what was found.

    Raises
    ------
    ValueError
        It cannot be done; the message lists every reason and no motor has moved.
    """
    begin = turn({} if polar is None else {"polar": polar})

    def body(taker: PointTaker) -> MsgGenerator:
        return (yield from take_alignment(taker, begin, turn, find, sense=sense, go=go, tolerance=tolerance))

    described = {"plan_name": "align_antinode", "num_points": FRAMES if go else 1, "motors": ["manipulator_tilt"]}
    requests = [begin] if begin else []
    return (
        yield from point_run(station, body, requests, region, windows, calibration, described, md=md, **surroundings)
    )


def take_alignment(
    taker: PointTaker, begin: Request, turn: Turn, find: FindMirror, *, sense: int, go: bool, tolerance: float
) -> Generator[Msg, Any, Alignment]:
    """Take the frames of `align_antinode` inside an open run; see there."""
    taker, kept = remembering(taker)
    device = SoftRecord("mirror_centre", _values(Alignment(0.0, 0.0, 0.0, 0.0, moved=False)), UNITS)
    yield from bps.declare_stream(device, name="mirror_centre")
    energy, angle = taker.station.analyser.axes
    fermi_energy = float(np.mean(taker.calibration["ef"]))
    row_shift = np.asarray(taker.calibration["row_shift"], dtype=np.intp)
    request, moved = begin, False
    for number in range(FRAMES):
        yield from take_point(taker, number, request)
        mirror = find(np.asarray(kept[-1].frame), energy, angle, fermi_energy, row_shift)
        tilt = float(kept[-1].readings["tilt readback"]["value"])
        found = Alignment(mirror.centre, mirror.error, tilt, tilt + sense * mirror.centre, moved, mirror.problem)
        yield from tell(device, "mirror_centre", _values(found))
        if mirror.problem:
            logger.warning("no mirror centre: %s", mirror.problem)
            break
        if not go or abs(mirror.centre) <= max(tolerance, WITHIN * mirror.error) or number == FRAMES - 1:
            break
        request = turn({"tilt": round(found.proposed_tilt, 4)})
        if refused := _refusals(taker.station, request):
            logger.warning("not tilted to %.3f deg: %s", found.proposed_tilt, refused)
            break
        moved = True
    return found


def _refusals(station: EndStation, request: Request) -> str:
    problems = []
    for name, place in request.items():
        try:
            station.manipulator.axes[name].check_value(place)
        except ValueError as error:
            problems.append(str(error))
    return "; ".join(problems)


def _values(found: Alignment) -> dict[str, Any]:
    names = ("centre", "centre_error", "tilt", "proposed_tilt")
    return {**{name: float(getattr(found, name)) for name in names}, "status": found.problem or "ok"}
