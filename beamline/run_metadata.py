"""What a configuration says in the documents of a run: the calibration it begins with, the sample, the operator."""

from __future__ import annotations

import time
from typing import Any

from microarpes.beamline.config import Config
from microarpes.plans.start_document import ef_error


def calibration_record(config: Config) -> dict[str, Any]:
    """Return the calibration record a run starts with, without ``row_shift``."""
    section = config.calibration
    flux = {"flux_shift": section.flux_shift, "flux_shift_error": section.flux_shift_error}
    return {
        "time": time.time(),
        "ef": section.fermi_energy,
        "ef_error": ef_error(section.fermi_energy_error, flux),
        **flux,
        "resolution": section.resolution,
        "resolution_error": section.resolution_error,
        "temperature": section.temperature,
        "temperature_error": section.temperature_error,
        "gain": section.gain,
    }


def start_metadata(config: Config) -> dict[str, Any]:
    """Return what the start document says of sample, operator and beamline, and of how the fit treats each pixel."""
    return {
        **({"follow_k_f": True} if config.analysis.follow_k_f else {}),
        **({} if config.analysis.fit_depth is None else {"fit_depth": config.analysis.fit_depth}),
        "beamline": config.beamline.name,
        "operator": config.beamline.operator,
        "sample": config.sample.model_dump(),
        **({} if config.reference is None else {"reference": config.reference.model_dump()}),
        **({} if config.landmark is None else {"landmark": config.landmark.model_dump()}),
        **({} if config.control_pixels is None else {"control_pixels": config.control_pixels.model_dump(mode="json")}),
    }
