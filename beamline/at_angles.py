"""What a run's start document says of beam and momenta at the angles of the sample."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from microarpes.beamline.instrument import sample_geometry

if TYPE_CHECKING:
    from microarpes.beamline.config import Config

logger = logging.getLogger(__name__)


def at_angles(config: Config, angles: Sequence[float]) -> dict[str, Any]:
    """Return ``beam`` and, where the lattice is known, ``momentum`` at polar, tilt, azimuth (deg)."""
    momentum = {} if config.sample.lattice_constant is None else {"momentum": momentum_of_windows(config, angles)}
    return {"beam": beam(config, angles), **momentum}


def beam(config: Config, angles: Sequence[float]) -> dict[str, Any]:
    """Return incidence (deg), spot size and footprint (um FWHM) of the beam.

    A footprint that cannot be, because the beam would come from behind, is None: it is no reason not to measure.
    """
    from microarpes.devices.footprint import footprint

    source = config.source
    known = {"incidence": source.beam_incidence, "spot_size": list(source.spot_size), "footprint": None}
    try:
        found = footprint(source.spot_size, source.beam_incidence, angles, sample_geometry(config))
    except ValueError as error:
        logger.warning("the footprint of the beam is not known: %s", error)
        return known
    axes = {"major": found.major, "minor": found.minor, "orientation": found.orientation}
    on_sample = {"incidence_on_sample": found.incidence, "footprint_axes": axes}
    return known | {"footprint": [found.u, found.v], **on_sample}


def momentum_of_windows(config: Config, angles: Sequence[float]) -> dict[str, Any]:
    """Return where the middle of each window lies at E_F: kx, ky (1/Å), phi (deg) and the d-wave factor."""
    from microarpes.analysis.momentum import (
        d_wave_factor,
        emission_direction,
        fermi_surface_angle,
        in_plane_momentum,
    )

    sample, geometry = config.sample, sample_geometry(config)
    lattice = float(sample.lattice_constant or np.nan)
    turn = geometry.absolute(angles) @ geometry.absolute(sample.normal_emission).T
    middles = [(window.angle_low + window.angle_high) / 2 for window in config.windows]
    direction = emission_direction(middles, config.region.deflector_angle, config.analyser.slit_axis)
    kx, ky = in_plane_momentum(direction, config.calibration.fermi_energy, turn)
    return {
        "lattice_constant": lattice,
        "kx": kx.tolist(),
        "ky": ky.tolist(),
        "phi": fermi_surface_angle(kx, ky, lattice).tolist(),
        "d_wave_factor": d_wave_factor(kx, ky, lattice).tolist(),
    }
