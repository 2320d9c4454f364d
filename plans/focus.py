"""`focus_scan`: lines across an edge at several places of the focus axis, the spot size at each, the best focus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.end_station import EndStation
from microarpes.devices.evidence import Evidence
from microarpes.devices.region import AngleWindow, Finite, Region
from microarpes.devices.soft_record import SoftRecord
from microarpes.plans.point_run import Request, go_to, point_run, remembering, tell
from microarpes.plans.reference_measurement import resting_place
from microarpes.plans.take_point import MsgGenerator, PointTaker, take_point

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Positive = Annotated[Finite, Field(gt=0)]

SPOT_UNITS = dict.fromkeys(("focus", "edge", "edge_error", "width", "width_error"), "um")
FOCUS_UNITS = dict.fromkeys(("position", "position_error", "width", "width_error"), "um")


class FocusLines(BaseModel):
    """Lines across an edge, one at each place of the focus axis, every other one backwards.

    Parameters
    ----------
    x, y : float, um
        Middle of the lines, on the edge.
    axis : {"x", "y"}
        Along which a line runs.
    length : float, um
        Of a line; several spot sizes.
    points : int
        Places along a line.
    focus_axis : {"z", "x", "y"}
        Which axis focuses.
    focus : tuple of float, um
        Its places, in the order of the visit.
    lean : float
        By how much the middle of a line moves along it, um per um of the focus axis from the middle of `focus`: a beam
        that comes from the side hits another spot once the sample has moved towards the analyser.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: Finite
    y: Finite
    axis: Literal["x", "y"] = "x"
    length: Positive = 60.0
    points: Annotated[int, Field(ge=6, le=1000, strict=True)] = 21
    focus_axis: Literal["x", "y", "z"] = "z"
    focus: Annotated[tuple[Finite, ...], Field(min_length=4, max_length=200)]
    lean: Finite = 0.0

    @model_validator(mode="after")
    def _apart(self) -> FocusLines:
        if self.focus_axis == self.axis:
            raise ValueError(f"the lines run along {self.axis}, so {self.axis} cannot be the focus axis")
        if len(set(self.focus)) < len(self.focus):
            raise ValueError("focus names a place twice")
        return self

    def lines(self) -> list[list[dict[str, float]]]:
        """Return the requests, line by line."""
        middle = (min(self.focus) + max(self.focus)) / 2
        across = {"x": self.x, "y": self.y}
        offsets = np.linspace(-self.length / 2, self.length / 2, self.points)
        lines = []
        for number, focus in enumerate(self.focus):
            centre = across[self.axis] + self.lean * (focus - middle)
            places = [round(float(centre + offset), 4) for offset in offsets]
            line = [{**across, self.axis: place, self.focus_axis: focus} for place in places]
            lines.append(line if number % 2 == 0 else line[::-1])
        return lines


@dataclass(frozen=True)
class SpotSize:
    """The spot at one place of the focus axis, um; `problem` says why it is not known."""

    focus: float
    edge: float
    edge_error: float
    width: float
    width_error: float
    problem: str = ""


@dataclass(frozen=True)
class BestFocus:
    """Where the spot is smallest, um; `problem` says why that is not known and is empty when it is."""

    position: float
    position_error: float
    width: float
    width_error: float
    problem: str = ""


#: ``(focus um, places um [n], counts [n], I0 [n]) -> SpotSize``.
FitEdge = Callable[[float, Array, Array, Array], SpotSize]
#: ``(spot sizes) -> BestFocus``.
FitFocus = Callable[[Sequence[SpotSize]], BestFocus]


@dataclass(frozen=True)
class FocusOutcome:
    """What a focus scan found, and whether the axis now stands there."""

    best: BestFocus
    spots: tuple[SpotSize, ...]
    moved: bool


def focus_scan(
    station: EndStation,
    lines: FocusLines,
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    *,
    fit_edge: FitEdge,
    fit_focus: FitFocus,
    go: bool = False,
    row_stop: Callable[[], bool] = lambda: False,
    md: Mapping[str, Any] | None = None,
    **surroundings: Any,
) -> MsgGenerator:
    """Measure the spot size against the focus axis and find the best focus.

    The exposures are events of stream ``primary``, the sizes of ``spot_size``, the focus that of ``focus``. All axes go
    back to where they were, but for the focus axis when `go` is asked for and a focus was found.

    Parameters
    ----------
    station : EndStation
    lines : FocusLines
    region, windows, calibration, row_stop, md, **surroundings
        As of `gap_raster`; after `row_stop` no more lines are taken and the focus is that of those before.
    fit_edge, fit_focus : callable
        See `FitEdge` and `FitFocus`.
    go : bool
        Go to the best focus.

    Returns
    -------
    tuple of str and FocusOutcome
        The run's uid, and what was found.

    Raises
    ------
    ValueError
        It cannot be done; the message lists every reason and no motor has moved.
    """
    requests = lines.lines()

    def body(taker: PointTaker) -> MsgGenerator:
        return (yield from take_focus_lines(taker, lines, fit_edge, fit_focus, go=go, row_stop=row_stop))

    described = {
        "plan_name": "focus_scan",
        "focus_lines": lines.model_dump(mode="json"),
        "num_points": sum(map(len, requests)),
        "motors": [f"manipulator_{lines.focus_axis}", f"manipulator_{lines.axis}"],
    }
    flat = [request for line in requests for request in line]
    return (yield from point_run(station, body, flat, region, windows, calibration, described, md=md, **surroundings))


def take_focus_lines(
    taker: PointTaker,
    lines: FocusLines,
    fit_edge: FitEdge,
    fit_focus: FitFocus,
    *,
    go: bool = False,
    row_stop: Callable[[], bool] = lambda: False,
) -> Generator[Msg, Any, FocusOutcome]:
    """Take the lines of `focus_scan` inside an open run; see there."""
    home = resting_place(taker, ["x", "y", "z"])
    nothing = SpotSize(0.0, 0.0, 0.0, 0.0, 0.0)
    sizes = SoftRecord("spot_size", _spot(nothing), SPOT_UNITS)
    focus = SoftRecord("focus", _best(BestFocus(0.0, 0.0, 0.0, 0.0)), FOCUS_UNITS)
    yield from bps.declare_stream(sizes, name="spot_size")
    yield from bps.declare_stream(focus, name="focus")
    spots: list[SpotSize] = []
    for number, line in enumerate(lines.lines()):
        if number and row_stop():
            logger.warning("no more lines: stopped by the operator after %d of %d", number, len(lines.focus))
            break
        spots.append((yield from _take_line(taker, lines, line, number * lines.points, fit_edge)))
        yield from tell(sizes, "spot_size", _spot(spots[-1]))
    best = fit_focus(spots)
    if best.problem:
        logger.warning("no best focus: %s", best.problem)
    yield from tell(focus, "focus", _best(best))
    found = go and not best.problem
    arrived = yield from go_to(taker, {**home, lines.focus_axis: best.position} if found else home)
    return FocusOutcome(best, tuple(spots), found and arrived)


def _take_line(
    taker: PointTaker, lines: FocusLines, line: Sequence[Request], first: int, fit: FitEdge
) -> Generator[Msg, Any, SpotSize]:
    taker, kept = remembering(taker)
    for number, request in enumerate(line):
        after = line[number + 1] if number + 1 < len(line) else None
        yield from take_point(taker, first + number, request, after)
    places = np.array([request[lines.axis] for request in line])
    order = np.argsort(places)
    counts = np.array([float(np.asarray(one.frame).sum(dtype=np.float64)) for one in kept])
    beam = np.array([_beam(one) for one in kept])
    return fit(line[0][lines.focus_axis], places[order], counts[order], beam[order])


def _beam(evidence: Evidence) -> float:
    """Return I0, or ring current times time where it is not gated."""
    if "i0_integral" in evidence.readings:
        return evidence.value("i0_integral")
    return evidence.value("ring_current") * evidence.acquire_time


def _spot(spot: SpotSize) -> dict[str, Any]:
    names = ("focus", "edge", "edge_error", "width", "width_error")
    return {**{name: float(getattr(spot, name)) for name in names}, "status": spot.problem or "ok"}


def _best(best: BestFocus) -> dict[str, Any]:
    names = ("position", "position_error", "width", "width_error")
    return {**{name: float(getattr(best, name)) for name in names}, "status": best.problem or "ok"}
