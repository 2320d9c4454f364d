"""Gap maps from arrays and documents; no hardware is known here."""

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.calibration_track import CalibrationTrack, Drift
from microarpes.analysis.components import components
from microarpes.analysis.error_correlation import error_correlation
from microarpes.analysis.fermi_edge import FermiEdgeFit, fit_fermi_edge
from microarpes.analysis.fitter import GapFitter
from microarpes.analysis.gap_map import GapMap
from microarpes.analysis.instrumental_tests import CovariateTest, InstrumentalTests, instrumental_tests
from microarpes.analysis.live_gap_map import LiveGapMap
from microarpes.analysis.map_correlation import CorrectedCorrelation, corrected_correlation
from microarpes.analysis.map_statistics import ConstantTest, IntrinsicSpread, constant_chi2, intrinsic_spread
from microarpes.analysis.map_structure import CorrelationLength, correlation_length, correlation_length_scattered
from microarpes.analysis.results import GapFit, GapFits
from microarpes.analysis.warm_up import warm_up

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
    "components",
    "constant_chi2",
    "corrected_correlation",
    "correlation_length",
    "correlation_length_scattered",
    "error_correlation",
    "fit_fermi_edge",
    "instrumental_tests",
    "intrinsic_spread",
    "warm_up",
]
