"""`flux_check`: the Fermi edge of the reference at several attenuations of the beam, extrapolated to no flux.

Space charge and charging move E_F with the flux on the sample, and what they do to the sample is not what they do to
the metal. How much of it there is says how far E_F of the sample can be from that of the reference.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.run_engine import WaitForTimeoutError
from bluesky.utils import Msg
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.calibration_record import CalibrationRecord, MeasuredReference
from microarpes.devices.end_station import EndStation
from microarpes.devices.environment import AttenuatedSource
from microarpes.devices.region import AngleWindow, Finite, Region
from microarpes.devices.soft_record import SoftRecord
from microarpes.plans.gate import Gate
from microarpes.plans.limits import GateLimits
from microarpes.plans.point_run import go_to, point_run, tell
from microarpes.plans.reference import Reference
from microarpes.plans.reference_edge import EdgeFit, FitEdges, edge_problem, is_precise, measure_edge
from microarpes.plans.reference_measurement import IMPRECISE, OK, resting_place
from microarpes.plans.reference_sum import ReferenceSum
from microarpes.plans.take_point import MsgGenerator, PointTaker

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Seconds an attenuator gets to say that it is back when a run is aborted: it was told to, and may be away.
PATIENCE_ON_ABORT = 0.5
SHIFT_UNITS = {**dict.fromkeys(("shift", "shift_error"), "eV"), **dict.fromkeys(("drift", "drift_error"), "eV/h")}


class FluxSteps(BaseModel):
    """At which parts of the transmission that is worked with the edge is measured: never at more flux than a map's.

    Parameters
    ----------
    fractions : tuple of float
        At least three, 1 among them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fractions: Annotated[tuple[Annotated[Finite, Field(gt=0, le=1)], ...], Field(min_length=3, max_length=20)] = (
        1.0,
        0.5,
        0.25,
    )

    @model_validator(mode="after")
    def _a_line(self) -> FluxSteps:
        if len(set(self.fractions)) < len(self.fractions):
            raise ValueError("fractions names a part twice; each is measured twice anyway, but for the least")
        if 1.0 not in self.fractions:
            raise ValueError("fractions must hold 1, the transmission whose shift is asked for")
        return self

    def order(self) -> list[float]:
        """Return the fractions as they are visited.

        Forth and back, so that an even drift of E_F has nothing in common with the flux; the least, which takes
        longest, once, in the middle, and the largest beside it, so that a drift that slows down has little.

        Examples
        --------
        >>> FluxSteps().order()
        [0.5, 1.0, 0.25, 1.0, 0.5]
        """
        least, *others = sorted(self.fractions)
        return [*others, least, *others[::-1]]


@dataclass(frozen=True)
class FluxEdge:
    """The edge at one flux.

    Attributes
    ----------
    fraction : float
        Of the transmission that is worked with.
    flux : float
        I0 per second, nA; where there is no gated I0 the ring current times the transmission, mA.
    time : float, s
    edge, edge_error : float, eV kinetic
        Mean of the windows.
    """

    fraction: float
    flux: float
    time: float
    edge: float
    edge_error: float


@dataclass(frozen=True)
class FluxShift:
    """By how much the flux that is worked with moves the edge, eV; `problem` says why that is not known.

    The slope is in eV per unit of the flux, the drift in eV/h.
    """

    shift: float
    shift_error: float
    slope: float
    slope_error: float
    drift: float
    drift_error: float
    chi2: float
    dof: int
    problem: str = ""


#: ``(edges, flux that is worked with) -> FluxShift``.
FitFlux = Callable[[Sequence[FluxEdge], float], FluxShift]


@dataclass(frozen=True)
class FluxFinding:
    """What a check found, at which transmission and flux."""

    shift: FluxShift
    edges: tuple[FluxEdge, ...]
    transmission: float
    flux: float


def flux_check(
    station: EndStation,
    reference: Reference,
    region: Region,
    windows: Sequence[AngleWindow],
    calibration: Mapping[str, Any],
    *,
    fit_edges: FitEdges,
    fit_flux: FitFlux,
    steps: FluxSteps | None = None,
    row_stop: Callable[[], bool] = lambda: False,
    md: Mapping[str, Any] | None = None,
    **surroundings: Any,
) -> MsgGenerator:
    """Measure the edge of a reference at several fluxes, and by how much the flux that is worked with moves it.

    The edges are events of stream ``flux_edge``, the shift that of ``flux_shift``, the summed frames are kept as those
    of references. The attenuator is put back however the plan ends; where it ends well all axes go back too.

    Parameters
    ----------
    station : EndStation
        With an attenuator: `AttenuatedSource`. The transmission it has now is the one that is worked with.
    reference : Reference
        Where, and how well E_F is to be known each time.
    region, windows, calibration, row_stop, md, **surroundings
        As of `gap_raster`; after `row_stop` no more edges are measured.
    fit_edges, fit_flux : callable
        See `FitEdges` and `FitFlux`.
    steps : FluxSteps, optional

    Returns
    -------
    tuple of str and FluxFinding
        The run's uid, and what was found.

    Raises
    ------
    ValueError
        It cannot be done; the message lists every reason and nothing has moved.
    """
    chosen = steps or FluxSteps()
    if not isinstance(station.source, AttenuatedSource):
        raise ValueError("there is no attenuator that could be set; name it as source.transmission_pv")

    def body(taker: PointTaker) -> MsgGenerator:
        return (yield from take_flux_steps(taker, reference, windows, fit_edges, fit_flux, chosen, row_stop=row_stop))

    described = {
        "plan_name": "flux_check",
        "flux_steps": chosen.order(),
        "reference": reference.model_dump(),
        "num_points": 0,
        "motors": [],
    }
    requests = [reference.position]
    return (
        yield from point_run(station, body, requests, region, windows, calibration, described, md=md, **surroundings)
    )


def take_flux_steps(
    taker: PointTaker,
    reference: Reference,
    windows: Sequence[AngleWindow],
    fit_edges: FitEdges,
    fit_flux: FitFlux,
    steps: FluxSteps,
    *,
    row_stop: Callable[[], bool] = lambda: False,
    make_gate: Callable[[EndStation, GateLimits], Gate] = Gate.of,
) -> Generator[Msg, Any, FluxFinding]:
    """Measure the edges of `flux_check` inside an open run; see there."""
    home = resting_place(taker, list(reference.position))
    check = _Check(taker, reference, windows, fit_edges, make_gate)
    shift = SoftRecord("flux_shift", _told(_UNKNOWN), {**SHIFT_UNITS, "slope": check.per_flux})
    yield from bps.declare_stream(check.device, name="flux_edge")
    yield from bps.declare_stream(shift, name="flux_shift")
    try:
        edges, problem = yield from with_transmission(taker, check.working, check.edges(steps, row_stop))
    except BaseException:
        logger.warning("%s may be left where reference %s is", ", ".join(home), reference.name)
        raise
    full = [edge.flux for edge in edges if edge.fraction == 1.0]
    flux = float(np.mean(full)) if full else float("nan")
    found = fit_flux(edges, flux)
    if found.problem and problem:
        found = dataclasses.replace(found, problem=f"{problem}; {found.problem}")
    if found.problem:
        logger.warning("by how much the flux moves E_F is not known: %s", found.problem)
    yield from tell(shift, "flux_shift", _told(found))
    yield from go_to(taker, home)
    return FluxFinding(found, edges, check.working, flux)


def with_transmission(
    taker: PointTaker, transmission: float, plan: Generator[Msg, Any, Result]
) -> Generator[Msg, Any, Result]:
    """Run a plan and set the transmission afterwards, however it ends; where it is aborted, without waiting long."""
    source = taker.station.source
    try:
        result = yield from plan
    except Exception:
        yield Msg("set", source, transmission, group="attenuator back")
        # Its own thread sees to it, however long the attenuator takes.
        with contextlib.suppress(WaitForTimeoutError):
            yield Msg("wait", None, group="attenuator back", timeout=PATIENCE_ON_ABORT)
        raise
    except GeneratorExit:
        # Halted: nothing can be asked of the engine any more.
        source.set(transmission)
        raise
    if problem := (yield from attenuate(taker, transmission)):
        logger.error("the beam is not as it was before the check: %s", problem)
    return result


def attenuate(taker: PointTaker, transmission: float) -> Generator[Msg, Any, str]:
    """Set the transmission, whatever pauses meanwhile; return why it is not what was asked for."""
    source = taker.station.source
    while True:
        before = taker.accepted.interruptions
        yield Msg("set", source, transmission, group="attenuator")
        yield Msg("wait", None, group="attenuator")
        if taker.accepted.interruptions == before:
            return str(source.error)


class _Check:
    """The edges of a check, measured one after the other."""

    def __init__(
        self,
        taker: PointTaker,
        reference: Reference,
        windows: Sequence[AngleWindow],
        fit: FitEdges,
        make_gate: Callable[[EndStation, GateLimits], Gate],
    ) -> None:
        self.taker, self.reference, self._fit, self._make_gate = taker, reference, fit, make_gate
        self.record = dict(taker.calibration)
        _, angle = taker.station.analyser.axes
        self._channels: list[NDArray[np.intp]] = [window.channels(angle) for window in windows]
        #: Transmission that is worked with.
        self.working = float(taker.station.source.resting_transmission())
        self._gated = taker.station.beam.check == "gated"
        unit = "nA" if self._gated else "mA"
        self.per_flux = f"eV/{unit}"
        none = EdgeFit(self.record["ef"], self.record["ef_error"], 0.0, 0.0, 0.0, 0.0)
        example = self._values(1.0, ReferenceSum(), none, OK)
        self.device = CalibrationRecord("flux_edge", example, taker.accepted.frames, {"flux": unit})

    def edges(
        self, steps: FluxSteps, row_stop: Callable[[], bool]
    ) -> Generator[Msg, Any, tuple[tuple[FluxEdge, ...], str]]:
        """Measure the edges; return them, and why there are no more."""
        edges: list[FluxEdge] = []
        for number, fraction in enumerate(steps.order()):
            if number and row_stop():
                return tuple(edges), "stopped by the operator"
            problem = yield from self._edge(fraction, edges)
            if problem:
                logger.warning("no edge at %g of the flux: %s", fraction, problem)
                return tuple(edges), problem
        return tuple(edges), ""

    def _edge(self, fraction: float, edges: list[FluxEdge]) -> Generator[Msg, Any, str]:
        """Measure one edge and add it; return why there is none."""
        yield Msg("checkpoint")
        yield Msg("rewindable", None, False)
        problem = yield from attenuate(self.taker, fraction * self.working)
        if problem:
            yield Msg("rewindable", None, True)
            return problem
        # Each flux has a gate of its own, which knows its transmission and has not seen the I0 of another.
        gate = self._make_gate(self.taker.station, self.taker.gate.limits)
        taker = dataclasses.replace(self.taker, gate=gate)
        summed, fit = yield from measure_edge(taker, self.reference, self._channels, self.record, self._fit)
        energy = taker.station.analyser.axes[0]
        problem = edge_problem(self.reference, energy, summed, fit, self.record["ef"])
        status = problem or (OK if is_precise(fit, self.reference) else IMPRECISE)
        values = None if problem else self._values(fraction, summed, fit, status)
        name = f"{self.reference.name} at {fraction:g} of the flux"
        measured = MeasuredReference(summed.frame, summed.time, summed.exposures, name, status, values)
        if values is None:
            yield Msg("set", self.device, measured, group="flux_edge")
            yield Msg("wait", None, group="flux_edge")
            yield Msg("rewindable", None, True)
            return problem
        edges.append(FluxEdge(fraction, values["flux"], summed.time, *_mean(fit)))
        yield from tell(self.device, "flux_edge", measured)
        return ""

    def _values(self, fraction: float, summed: ReferenceSum, fit: EdgeFit, status: str) -> dict[str, Any]:
        transmission = fraction * self.working
        return {
            "time": summed.time,
            "fraction": float(fraction),
            "transmission": transmission,
            "flux": summed.flux * (1.0 if self._gated else transmission),
            "ef": [float(value) for value in fit.ef],
            "ef_error": [float(value) for value in fit.ef_error],
            "resolution": float(fit.resolution),
            "resolution_error": float(fit.resolution_error),
            "temperature": summed.temperature,
            "photon_energy": summed.photon_energy,
            "ring_current": summed.ring_current,
            "exposures": summed.exposures,
            "deviance": float(fit.deviance),
            "dof": float(fit.dof),
            "status": status,
        }


def _mean(fit: EdgeFit) -> tuple[float, float]:
    """Return the mean of the windows and its error: weights would mix what differs between windows with the flux."""
    errors = np.asarray(fit.ef_error, dtype=np.float64)
    return float(np.mean(fit.ef)), float(np.hypot.reduce(errors) / len(errors))


_NAN = float("nan")
_UNKNOWN = FluxShift(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, 0)


def _told(found: FluxShift) -> dict[str, Any]:
    values = dataclasses.asdict(found)
    return {**{name: value for name, value in values.items() if name != "problem"}, "status": found.problem or "ok"}
