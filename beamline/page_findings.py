"""What the numbers of a map say of it as a whole: reckoned beside the page, in a thread, for all viewers of a run."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis import (
    ConstantTest,
    CorrectedCorrelation,
    CorrelationLength,
    GapFitter,
    InstrumentalTests,
    IntrinsicSpread,
    constant_chi2,
    corrected_correlation,
    correlation_length,
    intrinsic_spread,
)
from microarpes.analysis.calibration import Calibration
from microarpes.analysis.error_correlation import error_correlation
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.instrumental_tests import instrumental_tests
from microarpes.analysis.k_f_verdict import NO_K_F
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.raster_view import RasterView

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
#: Pixels whose EDCs are fitted again to learn how the errors of gap and rate go together.
SAMPLE = 24
#: What is taken where they cannot be: gamma0 free, 10 meV resolution; docs/explanation/map-statistics.md.
USUAL_ERROR_CORRELATION = -0.4
#: Tiles of the tests against the instrument: their time goes with the third power.
TILES = 200


@dataclass(frozen=True)
class Findings:
    """Statistics of the pixels with a gap, as `microarpes.analysis` defines them.

    Attributes
    ----------
    n : int
        Pixels with a gap.
    error_correlation : float
        Of the errors of gap and rate of a pixel.
    left_out : int
        Pixels with a gap whose k_F was not found, where the windows follow it: they are in none of this.
    """

    n: int
    constant: ConstantTest
    spread: IntrinsicSpread
    length: CorrelationLength
    correlation: CorrectedCorrelation
    instrument: InstrumentalTests
    error_correlation: float
    left_out: int = 0

    def lines(self, spot: tuple[float, float] | None) -> list[str]:
        """Return what is written above the map; `spot` is the beam's size, um FWHM."""
        if self.n < 2:
            return []
        square = "\N{GREEK SMALL LETTER CHI}\N{SUPERSCRIPT TWO}"
        ratio = self.constant.chi2 / max(self.constant.dof, 1)
        found = [f"{square}/N {ratio:.2f} against one gap ({chance(self.constant.p_value)})"]
        if self.spread.resolved:
            spread = f"{self.spread.intrinsic:.2f} \N{PLUS-MINUS SIGN} {self.spread.intrinsic_stderr:.2f} meV"
        else:
            spread = f"below {self.spread.upper_limit:.2f} meV (95 %)"
        found.append(f"intrinsic spread {spread}")
        if np.isfinite(self.length.length):
            length = f"{self.length.length:.1f} \N{PLUS-MINUS SIGN} {self.length.length_stderr:.1f} \N{MICRO SIGN}m"
        else:
            length = f"not resolved ({self.length.reason})"
        beam = "" if spot is None else f" (spot {spot[0]:g} x {spot[1]:g} \N{MICRO SIGN}m)"
        found.append(f"correlation length {length}{beam}")
        if self.left_out:
            found.append(f"without {self.left_out} pixel{'s' * (self.left_out > 1)} whose k_F was not found")
        return found

    def warnings(self) -> list[str]:
        """Return with what of the instrument the map goes."""
        tests = self.instrument.tests
        return [
            f"may be instrumental: the gap goes with {name} ({chance(tests[name].p_corrected)})"
            for name in self.instrument.flagged
        ]

    def correlation_line(self) -> str:
        """Return what is written above the gap against the rate."""
        found = self.correlation
        if not np.isfinite(found.observed):
            return ""
        if np.isfinite(found.corrected):
            corrected = (
                f"without the errors' share {found.corrected:.2f} \N{PLUS-MINUS SIGN} {found.corrected_stderr:.2f}"
            )
        else:
            corrected = f"without the errors' share not resolved ({found.reason})"
        return f"r = {found.observed:.2f}; {corrected}; errors alone would make {found.from_errors:.2f}; N = {found.n}"


def chance(p_value: float) -> str:
    """Return a p-value as it is written."""
    return f"p = {p_value:.2g}" if p_value >= 1e-12 else "p < 1e-12"


def find(feed: RunFeed, error_correlations: float) -> Findings:
    """Reckon the statistics of a run as it is now."""
    raster = RasterView.of((feed.start or {})["grid"])
    gap, error = feed.plane("delta").copy(), feed.plane("delta_stderr").copy()
    rate, rate_error = feed.plane("gamma1").copy(), feed.plane("gamma1_stderr").copy()
    time = feed.planes["time"].copy()
    rows = np.broadcast_to(np.arange(gap.shape[0], dtype=np.float64)[:, None], gap.shape)
    covariates = {"row": rows, "time": time, "E_F": fermi_energy(feed, time), "I0": feed.planes["i0"].copy()}
    if feed.follows_k_f:
        covariates["k_F centre"] = feed.planes["k_f_centre"].copy()
    return Findings(
        n=int(np.isfinite(gap).sum()),
        constant=constant_chi2(gap, error),
        spread=intrinsic_spread(gap, error),
        length=correlation_length(gap, error, *raster.pitch),
        correlation=corrected_correlation(gap, error, rate, rate_error, error_correlations),
        instrument=instrumental_tests(gap, error, covariates, at_most=TILES),
        error_correlation=error_correlations,
        left_out=int((feed.status == NO_K_F).sum()),
    )


def fermi_energy(feed: RunFeed, time: Floats) -> Floats:
    """Return the reference E_F (meV kinetic, mean of the windows) that held at each time, of the shape of `time`."""
    since = np.array([record["since"] for record in feed.calibrations])
    values = np.array([1000.0 * float(np.mean(record["ef"])) for record in feed.calibrations])
    place = np.searchsorted(since, np.nan_to_num(time), side="right") - 1
    return np.where(np.isfinite(time), values[np.clip(place, 0, len(values) - 1)], np.nan)


def sampled_error_correlation(feed: RunFeed, fitter: GapFitter | None) -> float:
    """Return how the errors of gap and rate go together, median over some pixels of the run fitted again."""
    good = np.flatnonzero(feed.status.ravel() == "ok")
    if fitter is None or not good.size:
        return USUAL_ERROR_CORRELATION
    chosen = good[np.unique(np.linspace(0, good.size - 1, min(SAMPLE, good.size)).astype(int))]
    events = [feed.event(int(pixel)) for pixel in chosen]
    edcs = np.array([event["data"]["edc"] for event in events if event is not None], dtype=np.float64)
    correlations = error_correlation(fitter, fitter.fit_joint_many(edcs))
    found = correlations[np.isfinite(correlations)]
    return float(np.median(found)) if found.size else USUAL_ERROR_CORRELATION


class FindingsThread:
    """Reckons the findings of a run again when it has grown; never in the way of the page."""

    def __init__(self, feed: RunFeed) -> None:
        self.feed = feed
        self._fitter = EventFitter("norman", "prior")  # not the page's: threads share none
        self.latest: Findings | None = None
        self._length = -1
        self._thread: threading.Thread | None = None

    def refresh(self, compiled: bool) -> None:
        """Begin to reckon, if there is something new and the last reckoning is done; `compiled`: the fit is ready."""
        length = len(self.feed.changed)
        if length == self._length or (self._thread is not None and self._thread.is_alive()):
            return
        self._length = length
        self._thread = threading.Thread(target=self._reckon, args=(compiled,), name="findings", daemon=True)
        self._thread.start()

    def _reckon(self, compiled: bool) -> None:
        try:
            layout = RunLayout.from_start(self.feed.start or {})
            calibration = Calibration.from_record(self.feed.calibrations[0], len(layout.windows))
            windows = tuple(range(len(layout.windows)))
            fitter = self._fitter.fitter(layout, calibration, windows) if compiled else None
            self.latest = find(self.feed, sampled_error_correlation(self.feed, fitter))
        except Exception:
            logger.exception("the statistics of run %s could not be reckoned", self.feed.uid)
