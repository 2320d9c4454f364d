"""The EDC of a pixel on the page, with its fit, what the fit is made of, and the residuals."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Range1d, Span
from numpy.typing import NDArray

from microarpes.analysis import GapFitter
from microarpes.analysis.calibration import Calibration
from microarpes.analysis.components import components
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.warm_up import warm_up
from microarpes.beamline.followed_windows import where_they_lay
from microarpes.beamline.moved_windows import flat_field_of
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_run import Document, RunFeed
from microarpes.beamline.page_style import PageStyle, new_figure, style_legend
from microarpes.devices.flat_field import window_factors
from microarpes.devices.spectra import sum_windows

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
#: What is shown of the axis, meV about E_F.
SHOWN = (-160.0, 60.0)
MARKERS = ("circle", "triangle", "square", "diamond")


@dataclass(frozen=True)
class PixelSpectrum:
    """The EDCs of a pixel and their joint fit; arrays are [n_window, n_energy].

    Attributes
    ----------
    energy : ndarray, meV
        Relative to each window's E_F.
    counts, model, background : ndarray
        NaN in `model` where no fit ran, in `background` where it found no peak.
    text : str
        Verdict and numbers.
    """

    energy: Floats
    counts: Floats
    model: Floats
    background: Floats
    text: str

    @property
    def rows(self) -> tuple[Floats, Floats, Floats, Floats]:
        """What `columns` takes of each window."""
        return self.energy, self.counts, self.model, self.background


class SpectrumFits:
    """Fits single EDCs for whoever looks: the same pure function as the fit follower's, once the fit is compiled."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self._fitter = EventFitter("norman", "prior")
        threading.Thread(target=self._warm_up, name="compile the fit", daemon=True).start()

    def _warm_up(self) -> None:
        warm_up()
        self.ready.set()

    def fitter(self, layout: RunLayout, calibration: Calibration) -> GapFitter | None:
        """Return the joint fitter of all windows under a calibration; None while the fit is being compiled."""
        if not self.ready.is_set():
            return None
        return self._fitter.fitter(layout, calibration, tuple(range(len(layout.windows))))

    def spectrum(self, feed: RunFeed, pixel: int) -> PixelSpectrum | None:
        """Return the EDCs of a pixel with their joint fit; None where there is no event."""
        event = feed.event(pixel)
        if event is None or feed.start is None:
            return None
        layout = RunLayout.from_start(feed.start)
        record = record_at(feed, float(event["time"]))
        counts = np.asarray(event["data"]["edc"], dtype=np.float64)
        contrast, moved = float(event["data"].get("angular_contrast", np.nan)), ""
        shift = float(feed.planes["window_shift"].flat[pixel])
        frame = feed.frame(pixel) if abs(shift) > 0 else None
        if frame is not None:
            counts, record = _where_they_lay(feed, pixel, record, frame, shift)
            moved = f", windows moved by {shift:+.2f} deg"
        calibration = Calibration.from_record(record, len(layout.windows))
        found = self.fitted(layout, calibration, counts, contrast)
        return replace(found, text=found.text + moved)

    def fitted(
        self, layout: RunLayout, calibration: Calibration, counts: Floats, contrast: float = np.nan
    ) -> PixelSpectrum:
        """Fit EDCs, shape (n_window, n_energy), under a calibration."""
        fitter = self.fitter(layout, calibration)
        if fitter is None:
            return without_fit(layout, calibration, counts, "the fit is being compiled")
        return fitted_with(fitter, layout, calibration, counts, contrast)


def _where_they_lay(
    feed: RunFeed, pixel: int, record: Document, frame: NDArray[Any], shift: float
) -> tuple[Floats, Document]:
    """Return the EDCs of a pixel whose windows were moved by `shift`, deg, and the record they are fitted with."""
    start = feed.start or {}
    rows = where_they_lay(start, shift)
    row_shift = np.asarray(record.get("row_shift", np.zeros(len(frame))), dtype=np.intp)
    if record.get("flat_field") is not None:
        factors = flat_field_of(feed.folder_of(pixel), start)
        record = {**record, "flat_field": window_factors(factors, rows, row_shift)}
    return sum_windows(frame, rows, row_shift), record


def fitted_with(
    fitter: GapFitter, layout: RunLayout, calibration: Calibration, counts: Floats, contrast: float
) -> PixelSpectrum:
    """Fit EDCs, shape (n_window, n_energy), with a fitter made for their calibration; NaN is no known contrast."""
    fit = fitter.fit_joint(counts, contrast if np.isfinite(contrast) else None)
    model = np.asarray(fit.model_counts).reshape(counts.shape)
    background = components(fitter, fit)[1].reshape(counts.shape)
    return PixelSpectrum(about_edge(layout, calibration), counts, model, background, fit_text(fit))


def without_fit(layout: RunLayout, calibration: Calibration, counts: Floats, text: str) -> PixelSpectrum:
    """Return EDCs, shape (n_window, n_energy), to which no fit was made, and why."""
    nothing = np.full(counts.shape, np.nan)
    return PixelSpectrum(about_edge(layout, calibration), counts, nothing, nothing, text)


def about_edge(layout: RunLayout, calibration: Calibration) -> Floats:
    """Return the energies of the channels relative to each window's E_F, shape (n_window, n_energy), meV."""
    energy: Floats = 1000.0 * (layout.energy_axis - np.array(calibration.ef)[:, None])
    return energy


def calibration_at(feed: RunFeed, time: float) -> Calibration:
    """Return the calibration that holds at a time, s."""
    return Calibration.from_record(record_at(feed, time), len((feed.start or {})["windows"]))


def record_at(feed: RunFeed, time: float) -> Document:
    """Return the calibration record that holds at a time, s, as it is written."""
    records = [record for record in feed.calibrations if record["since"] <= time] or feed.calibrations[:1]
    return records[-1]


def fit_text(fit: Any) -> str:
    """Return verdict and numbers of a fit as a line."""
    goodness = f"deviance {fit.deviance:.0f} / {fit.dof:.0f}" if np.isfinite(fit.deviance) else ""
    if fit.status == "ok":
        gap = f"gap {fit.delta:.1f} \N{PLUS-MINUS SIGN} {fit.delta_stderr:.1f} meV (syst. {fit.delta_systematic:.1f})"
        rate = f"{fit.gamma1:.1f} \N{PLUS-MINUS SIGN} {fit.gamma1_stderr:.1f} meV"
        return f"{gap}, \N{GREEK CAPITAL LETTER GAMMA}\N{SUBSCRIPT ONE} {rate}, {goodness}"
    if fit.status == "no-gap":
        return f"no gap resolved: below {fit.upper_limit:.1f} meV (95 %), {goodness}"
    return f"{fit.status}, {goodness}".rstrip(", ")


class SpectrumPanel:
    """EDC and residuals of the chosen pixel."""

    def __init__(self, choices: Choices, style: PageStyle, fits: SpectrumFits) -> None:
        self.choices, self.feed, self.fits = choices, choices.feed, fits
        names = [str(window["name"]) for window in (self.feed.start or {})["windows"]]
        shared = Range1d(*SHOWN)
        self.figure = new_figure(style, "EDC", min_border_left=80, x_range=shared, name="edc")
        self.residuals = new_figure(
            style, "", min_border_left=80, x_range=shared, y_range=Range1d(-4.5, 4.5), name="residuals"
        )
        self.figure.yaxis.axis_label, self.residuals.yaxis.axis_label = "counts", "res./\N{GREEK SMALL LETTER SIGMA}"
        self.residuals.xaxis.axis_label = "E \N{MINUS SIGN} E_F (meV)"
        self.figure.xaxis.visible = False
        self.residuals.yaxis.ticker = [-3, 0, 3]
        self.sources = []
        for name, marker, colour in zip(
            names, MARKERS * len(names), (style.accent, style.second) * len(names), strict=False
        ):
            source = ColumnDataSource(
                {key: [] for key in ("energy", "counts", "low", "high", "model", "background", "residual")}
            )
            self.sources.append(source)
            self.figure.segment("energy", "low", "energy", "high", source=source, line_color=colour, line_alpha=0.35)
            self.figure.scatter(
                "energy", "counts", source=source, marker=marker, size=4, color=colour, alpha=0.7, legend_label=name
            )
            self.figure.line("energy", "model", source=source, line_color=colour, line_width=3, name=f"fit {name}")
            self.figure.line("energy", "background", source=source, line_color=colour, line_width=2, line_dash="dotted")
            self.residuals.scatter("energy", "residual", source=source, marker=marker, size=3, color=colour)
        for plot in (self.figure, self.residuals):
            plot.add_layout(Span(location=0.0, dimension="height", line_color=style.ink, line_dash="dashed"))
        legend = self.figure.legend[0]
        legend.location = "top_right"
        style_legend(legend, style)
        self.text = ""
        self._shown: tuple[Any, ...] = ()

    def update(self) -> None:
        """Show the chosen pixel, if it is not shown as it is now."""
        pixel = self.choices.pixel
        if pixel is None:
            return
        state = (pixel, str(self.feed.status.flat[pixel]), self.fits.ready.is_set(), len(self.feed.calibrations))
        if state == self._shown:
            return
        self._shown = state
        spectrum = self.fits.spectrum(self.feed, pixel)
        row, column = divmod(pixel, self.feed.shape[1])
        where = f"EDC of pixel {pixel} (row {row}, column {column})"
        if spectrum is None:
            self.figure.title.text, self.text = f"{where}: not measured yet", ""
            for source in self.sources:
                source.data = {name: [] for name in source.data}
            return
        self.figure.title.text, self.text = where, spectrum.text
        for source, *window in zip(self.sources, *spectrum.rows, strict=True):
            source.data = columns(*window)


def columns(energy: Floats, counts: Floats, model: Floats, background: Floats) -> dict[str, Floats]:
    """Return what is drawn of one EDC: error bars from Poisson counts, residuals over the model's sigma."""
    shown = (energy >= SHOWN[0]) & (energy <= SHOWN[1])
    energy, counts, model, background = energy[shown], counts[shown], model[shown], background[shown]
    sigma = np.sqrt(np.maximum(counts, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.where(model > 0, (counts - model) / np.sqrt(model), np.nan)
    return {
        "energy": energy, "counts": counts, "low": counts - sigma, "high": counts + sigma, "model": model,
        "background": background,
        "residual": residual,
    }  # fmt: skip
