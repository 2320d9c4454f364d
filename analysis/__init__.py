"""Gap maps from arrays and documents; no hardware is known here."""

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.components import components
from microarpes.analysis.fermi_edge import FermiEdgeFit, fit_fermi_edge
from microarpes.analysis.fitter import GapFitter
from microarpes.analysis.gap_map import GapMap
from microarpes.analysis.live_gap_map import LiveGapMap
from microarpes.analysis.results import GapFit, GapFits
from microarpes.analysis.warm_up import warm_up

__all__ = [
    "Calibration",
    "FermiEdgeFit",
    "GapFit",
    "GapFits",
    "GapFitter",
    "GapMap",
    "LiveGapMap",
    "components",
    "fit_fermi_edge",
    "warm_up",
]
