"""`flux_check`: the Fermi edge of the reference at several attenuations of the beam, extrapolated to no flux.

Space charge and charging move E_F with the flux on the sample, and what they do to the sample is not what they do to
the metal. How much of it there is says how far E_F of the sample can be from that of the reference.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from numpy.typing import NDArray

from microarpes.devices.calibration_record import CalibrationRecord, MeasuredReference
from microarpes.devices.end_station import EndStation
from microarpes.devices.environment import AttenuatedSource
from microarpes.devices.region import AngleWindow, Region
from microarpes.devices.soft_record import SoftRecord
from microarpes.plans.attenuation import attenuate, with_transmission
from microarpes.plans.flux_steps import FitFlux, FluxEdge, FluxFinding, FluxShift, FluxSteps
from microarpes.plans.gate import Gate
from microarpes.plans.limits import GateLimits
from microarpes.plans.point_run import go_to, point_run, tell
from microarpes.plans.reference import Reference
from microarpes.plans.reference_edge import EdgeFit, FitEdges, edge_problem, edge_values, is_precise, measure_edge
from microarpes.plans.reference_measurement import IMPRECISE, OK, resting_place
from microarpes.plans.reference_sum import ReferenceSum
from microarpes.plans.take_point import MsgGenerator, PointTaker

logger = logging.getLogger(__name__)

SHIFT_UNITS = {**dict.fromkeys(("shift", "shift_error"), "eV"), **dict.fromkeys(("drift", "drift_error"), "eV/h")}


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
    working = station.source.resting_transmission()
    if not 0.0 < working <= 1.0:
        raise ValueError(f"the transmission reads {working:g}; set what is worked with, above 0 and up to 1")

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
    shift = SoftRecord(
        "flux_shift", _told(_UNKNOWN), {**SHIFT_UNITS, **dict.fromkeys(("slope", "slope_error"), check.per_flux)}
    )
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
            **edge_values(summed, fit, status),
            "fraction": float(fraction),
            "transmission": transmission,
            "flux": summed.flux * (1.0 if self._gated else transmission),
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
