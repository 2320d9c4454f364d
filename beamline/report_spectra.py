"""The EDCs of the best, the median and the worst pixel of a run, fitted again, drawn with their residuals."""

from __future__ import annotations

import base64
import contextlib
import io
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.results import GapFit
from microarpes.beamline.followed_windows import FollowedWindows, own_windows
from microarpes.beamline.journal import RAW_JOURNAL, read_documents
from microarpes.beamline.report_material import MINUS, Document, Figure, Material, Section, Table, number
from microarpes.beamline.stored_figures import fitted

Floats = NDArray[np.float64]

#: What is drawn of the axis, meV about E_F.
SHOWN = (-160.0, 60.0)
#: Bytes from which a drawing of lines is embedded as pixels instead.
MOST_SVG = 150_000
_LOOK = (("#31688e", "o"), ("#b35900", "^"), ("#4d8c3b", "s"), ("#7a4fa3", "D"))
_STYLE: dict[Any, Any] = {"font.size": 8.0, "axes.titlesize": 8.5, "axes.linewidth": 0.7, "svg.fonttype": "path"}


@dataclass(frozen=True)
class PixelFit:
    """A pixel with its EDCs and their joint fit; arrays are ``[n_window, n_energy]``.

    Attributes
    ----------
    place : str
        Which of the pixels it is: best, median, worst.
    pixel : int
    energy : ndarray, meV
        Relative to the E_F of each window.
    counts : ndarray, detector units
    gain : float
        Detector units per photoelectron.
    fit : GapFit
    stored : float
        Gap in the derived run, meV.
    """

    place: str
    pixel: int
    energy: Floats
    counts: Floats
    gain: float
    fit: GapFit
    stored: float

    @property
    def residuals(self) -> Floats:
        """Counts less model over the square root of their Poisson variance; NaN where the model is 0."""
        model = np.asarray(self.fit.model_counts, dtype=np.float64).reshape(self.counts.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            residuals = (self.counts - model) / np.sqrt(self.gain * model)
        return np.where(model > 0.0, residuals, np.nan)


def chosen_pixels(material: Material) -> dict[str, int]:
    """Return best, median and worst pixel with verdict ``ok`` by deviance per degree of freedom; fewer if there are."""
    run = material.run
    if run.gap_map is None:
        return {}
    deviance, dof = fitted(run, "joint_deviance").ravel(), fitted(run, "joint_dof").ravel()
    ok = (run.gap_map.joint_status.ravel() == "ok") & np.isfinite(deviance) & (dof > 0)
    pixels = np.array([pixel for pixel in np.flatnonzero(ok) if int(pixel) in run.events], dtype=int)
    if not pixels.size:
        return {}
    ordered = pixels[np.argsort(deviance[pixels] / dof[pixels], kind="stable")]
    places = {"best": 0, "median": (ordered.size - 1) // 2, "worst": ordered.size - 1}
    found: dict[str, int] = {}
    for name, place in places.items():
        if int(ordered[place]) not in found.values():
            found[name] = int(ordered[place])
    return found


def pixel_fits(material: Material) -> list[PixelFit]:
    """Fit the chosen pixels again, with model, policy and calibration of the derived run."""
    depth = {key: material.derived[key] for key in ("fit_depth",) if key in material.derived}
    layout = RunLayout.from_start({**material.start, **depth})
    fitter = EventFitter(str(material.derived.get("model", "norman")), material.derived.get("gamma0", "prior"))
    fits = []
    chosen = chosen_pixels(material)
    measured = as_fitted(material, list(chosen.values()))
    for place, pixel in chosen.items():
        event = material.run.events[pixel]
        if pixel not in measured:
            continue
        calibration = material.calibration_at(float(event["time"])).through(measured[pixel].get("flat_field"))
        joint = fitter.fitter(layout, calibration, tuple(range(len(layout.windows))))
        if joint is None:
            continue
        counts = np.array(measured[pixel]["edc"], dtype=np.float64)
        fit = joint.fit_joint(counts, event["data"].get("angular_contrast"))
        energy = 1000.0 * (layout.energy_axis - np.array(calibration.ef)[:, None])
        stored = float(fitted(material.run, "joint_delta").flat[pixel])
        fits.append(PixelFit(place, pixel, energy, counts, calibration.gain, fit, stored))
    return fits


def as_fitted(material: Material, pixels: list[int]) -> dict[int, Document]:
    """Return the data of the events of some pixels as they were fitted: ``edc``, ``flat_field`` of windows that moved.

    A lean run has no EDCs, and those of windows that followed k_F are summed again from the frames; then the journal of
    the run is read. A pixel of a run that it resumes, or without a frame, is left out.
    """
    events = {pixel: material.run.events[pixel] for pixel in pixels}
    wanted = {event["uid"]: pixel for pixel, event in events.items()}
    if material.derived.get("follow_k_f"):
        return _summed_again(material, wanted)
    if all("edc" in event["data"] for event in events.values()):
        return {pixel: event["data"] for pixel, event in events.items()}
    documents = read_documents(material.run.folder / RAW_JOURNAL)
    return {wanted[doc["uid"]]: doc["data"] for name, doc in documents if name == "event" and doc["uid"] in wanted}


def _summed_again(material: Material, wanted: dict[str, int]) -> dict[int, Document]:
    """Return pixel and data of some events, by uid, in windows that followed k_F."""
    found: dict[int, Document] = {}
    with contextlib.closing(FollowedWindows(material.run.folder)) as followed:
        for name, doc in read_documents(material.run.folder / RAW_JOURNAL):
            is_pixel = name == "event" and "pixel" in doc["data"]
            if is_pixel and doc["uid"] not in wanted:
                continue
            moved = followed(name, doc)
            if is_pixel:
                found[wanted[doc["uid"]]] = moved["data"]
    return found


def spectra(material: Material) -> Section | None:
    """Draw the chosen pixels and tell their numbers; None where no pixel has a gap."""
    title = "Best, median and worst fit"
    if "original_run_uids" in material.derived:
        return Section(title, ["The gaps are of several runs; the EDCs of each are in its own report."])
    if own_windows({"windows": material.start["windows"], **material.derived}) != own_windows(material.start):
        return Section(title, ["The windows are not the run's own: their EDCs are in the frames, not in the events."])
    fits = pixel_fits(material)
    if not fits:
        return None
    nx = material.run.shape[1]
    rows: list[tuple[str, ...]] = [
        (
            f"{one.place}: pixel {one.pixel} (row {one.pixel // nx}, column {one.pixel % nx})",
            _with_error(one.fit.delta, one.fit.delta_stderr),
            number(one.fit.delta_systematic),
            _with_error(one.fit.gamma1, one.fit.gamma1_stderr),
            f"{number(one.fit.deviance, 0)} / {number(one.fit.dof, 0)}",
            number(one.stored),
        )
        for one in fits
    ]
    head = (
        "pixel", "gap at k_F (meV)", "systematic (meV)", "Γ₁ (meV)", "deviance / dof", "stored gap (meV)",
    )  # fmt: skip
    names = ", ".join(f"{one.place} pixel {one.pixel}" for one in fits)
    figure = Figure(
        uri=_drawn(fits, [str(window["name"]) for window in material.start["windows"]]),
        alt=f"EDCs with their fits and residuals: {names}.",
        caption="Counts (points) with the joint fit of all windows (line, beyond the fit window an extrapolation), and "
        "below them the residuals in units of the Poisson standard deviation. Best, median and worst by deviance per "
        "degree of freedom, among pixels with a gap.",
    )
    return Section(title, [], [Table("The fits, made again for this page", head, rows)], [figure])


def _with_error(value: float, error: float) -> str:
    return f"{number(value)} ± {number(error)}"


def _drawn(fits: list[PixelFit], windows: list[str]) -> str:
    with mpl.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.03, hspace=0.02)
        drawing = Drawing(figsize=(3.5 * len(fits), 3.4), layout=layout)
        FigureCanvasAgg(drawing)
        panels = drawing.subplots(2, len(fits), sharex=True, height_ratios=(3.0, 1.0), squeeze=False)
        for column, one in enumerate(fits):
            _draw_counts(panels[0, column], one, windows)
            _draw_residuals(panels[1, column], one)
        panels[0, 0].set_ylabel("counts")
        panels[1, 0].set_ylabel("resid. / σ")
        panels[0, 0].legend(frameon=False, fontsize=7.5, loc="upper right")
        return data_uri(drawing)


def _draw_counts(axes: Axes, one: PixelFit, windows: list[str]) -> None:
    model = np.asarray(one.fit.model_counts).reshape(one.counts.shape)
    for i, name in enumerate(windows):
        colour, marker = _LOOK[i % len(_LOOK)]
        shown = _shown(one.energy[i])
        axes.plot(
            one.energy[i][shown],
            one.counts[i][shown],
            marker,
            color=colour,
            markersize=1.6,
            alpha=0.6,
            label=f"window {name}".replace("$", "\\$"),
        )
        axes.plot(one.energy[i][shown], model[i][shown], color=colour, linewidth=1.2)
    axes.axvline(0.0, color="0.5", linewidth=0.6, linestyle="--")
    axes.set_ylim(bottom=0.0)
    gap = _with_error(one.fit.delta, one.fit.delta_stderr).replace(MINUS, "-")
    axes.set_title(f"{one.place}: pixel {one.pixel}, {gap} meV")


def _draw_residuals(axes: Axes, one: PixelFit) -> None:
    for i, (energy, residuals) in enumerate(zip(one.energy, one.residuals, strict=True)):
        colour, marker = _LOOK[i % len(_LOOK)]
        shown = _shown(energy)
        axes.plot(energy[shown], residuals[shown], marker, color=colour, markersize=1.4, alpha=0.7)
    axes.axhline(0.0, color="0.5", linewidth=0.6)
    axes.axvline(0.0, color="0.5", linewidth=0.6, linestyle="--")
    axes.set_ylim(-4.5, 4.5)
    axes.set_yticks([-3.0, 0.0, 3.0])
    axes.set_xlim(*SHOWN)
    axes.set_xlabel("$E - E_F$ (meV)")


def _shown(energy: Floats) -> NDArray[np.bool_]:
    return np.asarray((energy >= SHOWN[0]) & (energy <= SHOWN[1]))


def data_uri(drawing: Drawing) -> str:
    """Return a drawing as a ``data:`` URI: lines, which print well, unless there are too many."""
    lines = io.BytesIO()
    drawing.savefig(lines, format="svg", metadata={"Date": None})
    if lines.tell() <= MOST_SVG:
        return embedded(lines.getvalue(), "image/svg+xml")
    pixels = io.BytesIO()
    drawing.savefig(pixels, format="png", dpi=150)
    return embedded(pixels.getvalue(), "image/png")


def embedded(content: bytes, kind: str) -> str:
    """Return bytes as a ``data:`` URI of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
