"""Gap maps from arrays and documents; no hardware is known here.

Names are looked up when they are first asked for: a process that measures needs the maps but not the fits, which bring
the compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microarpes.analysis.calibration import Calibration
    from microarpes.analysis.calibration_track import CalibrationTrack, Drift
    from microarpes.analysis.fermi_edge import FermiEdgeFit, fit_fermi_edge
    from microarpes.analysis.fitter import GapFitter
    from microarpes.analysis.gap_map import GapMap
    from microarpes.analysis.instrumental_tests import CovariateTest, InstrumentalTests
    from microarpes.analysis.live_gap_map import LiveGapMap
    from microarpes.analysis.map_correlation import CorrectedCorrelation, corrected_correlation
    from microarpes.analysis.map_statistics import ConstantTest, IntrinsicSpread, constant_chi2, intrinsic_spread
    from microarpes.analysis.map_structure import CorrelationLength, correlation_length, correlation_length_scattered
    from microarpes.analysis.results import GapFit, GapFits

#: What each module gives.
_GIVES = {
    "calibration": ("Calibration",),
    "calibration_track": ("CalibrationTrack", "Drift"),
    "fermi_edge": ("FermiEdgeFit", "fit_fermi_edge"),
    "fitter": ("GapFitter",),
    "gap_map": ("GapMap",),
    "instrumental_tests": ("CovariateTest", "InstrumentalTests"),
    "live_gap_map": ("LiveGapMap",),
    "map_correlation": ("CorrectedCorrelation", "corrected_correlation"),
    "map_statistics": ("ConstantTest", "IntrinsicSpread", "constant_chi2", "intrinsic_spread"),
    "map_structure": ("CorrelationLength", "correlation_length", "correlation_length_scattered"),
    "results": ("GapFit", "GapFits"),
}
_MODULE_OF = {name: module for module, names in _GIVES.items() for name in names}

__all__ = [
    "Calibration",
    "CalibrationTrack",
    "ConstantTest",
    "CorrectedCorrelation",
    "CorrelationLength",
    "CovariateTest",
    "Drift",
    "FermiEdgeFit",
    "GapFit",
    "GapFits",
    "GapFitter",
    "GapMap",
    "InstrumentalTests",
    "IntrinsicSpread",
    "LiveGapMap",
    "constant_chi2",
    "corrected_correlation",
    "correlation_length",
    "correlation_length_scattered",
    "fit_fermi_edge",
    "intrinsic_spread",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
