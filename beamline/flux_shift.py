"""`flux_check` with a configuration: how far the flux of the beam moves E_F, and what the configuration says of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from microarpes.analysis.flux_extrapolation import extrapolate_to_no_flux
from microarpes.beamline.raster_run import surroundings
from microarpes.beamline.reference_fit import fit_edges
from microarpes.beamline.run_metadata import calibration_record
from microarpes.plans.flux_check import flux_check
from microarpes.plans.flux_steps import FluxEdge, FluxFinding, FluxShift, FluxSteps

if TYPE_CHECKING:
    from bluesky.utils import Msg

    from microarpes.beamline.config import Config
    from microarpes.beamline.control import ControlServer
    from microarpes.beamline.engine import RunJournals
    from microarpes.devices.end_station import EndStation

logger = logging.getLogger(__name__)

#: Why edges give no shift.
NO_SHIFT = {
    "too-few": "fewer than 4 edges, or than 3 fluxes: a bend could not be seen",
    "no-beam": "there was no beam",
    "bad-input": "the edges cannot tell flux and drift apart, or one is no number",
}

_MEASURED = ("flux", "time", "edge", "edge_error")


def fit_flux(edges: Sequence[FluxEdge], flux: float) -> FluxShift:
    """Return by how much a flux moves the edge; see `microarpes.plans.flux_steps.FitFlux`."""
    fluxes, times, values, errors = ([getattr(edge, name) for edge in edges] for name in _MEASURED)
    found = extrapolate_to_no_flux(fluxes, times, values, errors, flux)
    problem = NO_SHIFT.get(found.status, "")
    if found.status == "misfit":
        problem = (
            f"the edges are on no straight line against flux and time: chi2 {found.chi2:.1f} for {found.dof} degrees "
            "of freedom; E_F moved by itself, or the shift is not in proportion"
        )
    known = found.shift, found.shift_error, found.slope, found.slope_error, found.drift, found.drift_error
    return FluxShift(*known, found.chi2, found.dof, problem)


def configured_flux_check(
    config: Config,
    station: EndStation,
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    steps: FluxSteps | None = None,
    tell: Callable[[str], None] = logger.warning,
) -> Generator[Msg, Any, tuple[str, FluxFinding]]:
    """Return the plan of a flux check at the reference of a configuration; see `flux_check`.

    What the configuration should say from now on is told, line by line.

    Raises
    ------
    ValueError
        The configuration names no reference, or no attenuator.
    """
    if config.reference is None:
        raise ValueError("flux_check needs a metal: give the configuration its [reference]")
    if config.source.transmission_pv is None:
        raise ValueError("flux_check needs an attenuator: give the configuration source.transmission_pv")
    plan = flux_check(
        station,
        config.reference,
        config.region,
        config.windows,
        calibration_record(config),
        fit_edges=fit_edges,
        fit_flux=fit_flux,
        steps=steps,
        limits=config.gate,
        **surroundings(config, station, journals, md or {}, server),
    )
    return _telling(plan, tell)


def _telling(
    plan: Generator[Msg, Any, tuple[str, FluxFinding]], tell: Callable[[str], None]
) -> Generator[Msg, Any, tuple[str, FluxFinding]]:
    uid, found = yield from plan
    if not found.shift.problem:
        for line in flux_toml(uid, found):
            tell(line)
    return uid, found


def with_shift(config: Config, found: FluxFinding) -> Config:
    """Return a configuration with the shift that was found, or as it is where none was."""
    if found.shift.problem:
        return config
    known = {"flux_shift": found.shift.shift, "flux_shift_error": found.shift.shift_error}
    return config.changed(calibration={name: round(value, 7) for name, value in known.items()})


def flux_toml(uid: str, found: FluxFinding) -> list[str]:
    """Return the lines of a configuration that say what was found."""
    return [
        "[calibration]",
        f"flux_shift = {found.shift.shift:.7f}  # eV at transmission {found.transmission:g}; run {uid}",
        f"flux_shift_error = {found.shift.shift_error:.7f}",
    ]
