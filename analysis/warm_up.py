"""Compiling the fit engine before the first EDC needs it."""

from __future__ import annotations

import numpy as np

from microarpes.analysis.engine import COMPILED_ENGINE
from microarpes.analysis.fitter import GapFitter

__all__ = ["warm_up"]


def warm_up() -> str:
    """Compile the fit engine, or load it from its cache, and return its name.

    Call it in the process that will fit, before the first EDC: it takes half a second when the cache holds the engine,
    half a minute when it does not. EDCs that arrive meanwhile wait; they are never fitted by another engine.
    """
    energy = np.arange(-160.0, 60.0)
    fitter = GapFitter(energy)
    if fitter.engine == COMPILED_ENGINE:
        fitter.fit(np.zeros(energy.size))  # one signature serves every EDC: an empty one compiles all there is
    return fitter.engine
