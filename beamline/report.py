"""The still picture of a gap map: maps in um, the histogram against the truth, gap against scattering rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from microarpes.beamline.pixel_classes import NO_FIT, OUTSIDE, PixelClass, class_of, robust_levels
from microarpes.beamline.raster_view import RasterView

Floats = NDArray[np.float64]

_INK = "0.35"
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.linewidth": 0.7,
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True)
class MapPicture:
    """What is drawn; every map is ``[ny, nx]``, row 0 at ``y[0]``.

    Attributes
    ----------
    x : ndarray [nx]
        Pixel centres, um, equidistant, in either direction.
    y : ndarray [ny]
        The same upwards.
    delta, delta_stderr : ndarray [ny, nx]
        Gap at k_F and its statistical error (one sigma), meV; NaN where the status is not ``ok``.
    gamma1 : ndarray [ny, nx]
        Scattering rate, meV; NaN where the status is not ``ok``.
    intensity : ndarray [ny, nx]
        Counts in the frame; NaN where nothing was measured.
    status : ndarray [ny, nx] of str
        Verdict of the fit; the empty string where nothing was measured.
    phi : float or None
        Fermi-surface angle of the k_F point from the Cu-O bond direction, deg; None if it is not known.
    truth : ndarray [ny, nx] or None
        Gap the simulation put there, meV.
    """

    x: Floats
    y: Floats
    delta: Floats
    delta_stderr: Floats
    gamma1: Floats
    intensity: Floats
    status: NDArray[np.str_]
    phi: float | None = None
    truth: Floats | None = None

    def __post_init__(self) -> None:
        shape = (len(self.y), len(self.x))
        for name in ("delta", "delta_stderr", "gamma1", "intensity", "status", "truth"):
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}; x and y say {shape}")


def write_gap_map(path: Path | IO[bytes], picture: MapPicture, title: str = "") -> None:
    """Draw `picture` into a PNG file.

    Parameters
    ----------
    path : Path or binary file
        File to write; one that exists is replaced.
    picture : MapPicture
        Maps and positions.
    title : str
        Written above the panels: sample, run, temperature.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    with mpl.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03)
        figure = Figure(figsize=(11.4, 5.6 if _is_wide(picture) else 7.4), dpi=150, layout=layout)
        FigureCanvasAgg(figure)
        panels = figure.subplots(2, 3, height_ratios=(0.5, 1.0) if _is_wide(picture) else (1.0, 1.0))
        _draw_maps(figure, panels, picture)
        draw_histogram(panels[1, 1], picture)
        _draw_correlation(panels[1, 2], picture)
        if title:
            figure.suptitle(title, fontsize=12, parse_math=False)  # a sample may be called $x
        handles = legend_handles(picture)
        if handles:
            figure.legend(
                handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, handlelength=2.2
            )
        figure.savefig(path, format="png", metadata={"Title": title or "gap map"})


def gap_label(phi: float | None) -> str:
    """Return the name of the quantity shown: the spectral gap at k_F, with its angle if that is known.

    What opens it is not in one map: it is called superconducting by whoever has also seen it close above Tc.
    """
    return "spectral gap at $k_F$" if phi is None else f"spectral gap at $k_F$, $\\phi$ = {phi:.1f}°"


def half_pixel_extent(picture: MapPicture) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of the map in um: half a pixel beyond the outermost centres."""
    return _raster(picture).extent


def _is_wide(picture: MapPicture) -> bool:
    left, right, bottom, top = half_pixel_extent(picture)
    return right - left > 3.0 * (top - bottom)


def _raster(picture: MapPicture) -> RasterView:
    return RasterView(picture.x, picture.y, snake=True, fast_axis="x")


def _draw_maps(figure: Figure, panels: Any, picture: MapPicture) -> None:
    error = picture.delta_stderr[np.isfinite(picture.delta_stderr)]
    least = 4.0 * float(np.median(error)) if error.size else 0.0
    maps = (
        (panels[0, 0], picture.delta, gap_label(picture.phi), "gap (meV)", least),
        (panels[0, 1], picture.delta_stderr, "statistical error of the gap", "one sigma (meV)", 0.0),
        (panels[0, 2], picture.gamma1, "scattering rate $\\Gamma_1$", "$\\Gamma_1$ (meV)", 0.0),
        (panels[1, 0], picture.intensity, "intensity", "counts per frame", 0.0),
    )
    for axes, values, name, units, span in maps:
        shown = np.where(_status(picture) == "ok", values, np.nan) if values is not picture.intensity else values
        draw_map(figure, axes, shown, picture, span, units)
        axes.set_title(name)
        if values is not picture.intensity:
            draw_classes(axes, picture)


def draw_map(figure: Figure, axes: Axes, values: Floats, picture: MapPicture, least: float, units: str) -> None:
    """Draw values, shape (ny, nx), with a colour bar that says `units` and spans at least `least`."""
    low, high = robust_levels(values, least)
    image = axes.imshow(
        _raster(picture).upright(values), origin="lower", extent=half_pixel_extent(picture), aspect="equal",
        interpolation="none", cmap="viridis", vmin=low, vmax=high,
    )  # fmt: skip
    good = values[np.isfinite(values)]
    ends = bool(np.any(good < low)), bool(np.any(good > high))
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(ends, "neither")
    if _is_wide(picture):
        bar = figure.colorbar(image, ax=axes, extend=extend, shrink=0.92, pad=0.02, location="bottom", aspect=30)
    else:  # as high as the map, whatever its shape
        left, right, bottom, top = half_pixel_extent(picture)
        thick = 0.05 * max(1.0, (top - bottom) / (right - left))
        bar = figure.colorbar(image, cax=axes.inset_axes((1.0 + 0.6 * thick, 0.0, thick, 1.0)), extend=extend)
    bar.set_label(units)
    bar.outline.set_linewidth(0.7)
    axes.set_xlabel("x (µm)")
    axes.set_ylabel("y (µm)")
    if not good.size:
        bar.set_ticks([])


def _status(picture: MapPicture) -> NDArray[np.str_]:
    return np.asarray(picture.status, dtype=str)


def _present(picture: MapPicture) -> list[tuple[PixelClass, NDArray[np.bool_], list[str]]]:
    """Classes of pixels without a gap that occur: how to draw, where, and the verdicts in them."""
    status = _status(picture)
    classes: dict[PixelClass, list[str]] = {}
    for verdict in sorted(set(status.ravel()) - {"ok", OUTSIDE}):
        classes.setdefault(class_of(str(verdict)) or NO_FIT, []).append(str(verdict))
    return [(kind, np.isin(status, verdicts), verdicts) for kind, verdicts in classes.items()]


def draw_classes(axes: Axes, picture: MapPicture) -> None:
    """Hatch the pixels without a gap, by the class of their verdict, on axes in um."""
    for kind, where, _ in _present(picture):
        draw_pixels(axes, where, _raster(picture), kind.face, kind.hatch)


def draw_pixels(axes: Axes, where: NDArray[np.bool_], view: RasterView, face: str, hatch: str) -> None:
    """Fill and hatch some pixels, shape (ny, nx), of a map on axes in um."""
    left, right, bottom, top = view.extent
    wide, high = (right - left) / len(view.x), (top - bottom) / len(view.y)
    corners = np.array([[0.0, 0.0], [wide, 0.0], [wide, high], [0.0, high]])
    rows, columns = np.nonzero(view.upright(where))
    places = [(left + i * wide, bottom + j * high) for i, j in zip(columns, rows, strict=True)]
    squares = [Outline(np.vstack([corners + place, corners[:1]]), closed=True) for place in places]
    outline = Outline.make_compound_path(*squares)
    axes.add_patch(PathPatch(outline, facecolor=face, edgecolor=_INK, hatch=hatch, linewidth=0.0))


def legend_handles(picture: MapPicture) -> list[Patch]:
    """Return what a legend says of the classes of pixels without a gap that occur."""
    handles = []
    for kind, where, verdicts in _present(picture):
        name = f"{kind.label} ({', '.join(verdicts)})" if kind == NO_FIT else kind.label
        look: dict[str, Any] = {"facecolor": kind.face, "edgecolor": _INK, "hatch": kind.hatch, "linewidth": 0.7}
        handles.append(Patch(**look, label=f"{name}: {where.sum()}"))
    return handles


def draw_histogram(axes: Axes, picture: MapPicture) -> None:
    """Draw how often which gap was found, and the truth where it is known."""
    good = (_status(picture) == "ok") & np.isfinite(picture.delta)
    axes.set_title("histogram of the gap")
    axes.set_xlabel("gap (meV)")
    axes.set_ylabel("pixels")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    if not good.any():
        _say(axes, "no pixel with a gap")
        return
    shown: list[Floats] = [picture.delta[good]]
    if picture.truth is not None:
        shown.append(picture.truth[good & np.isfinite(picture.truth)])
    edges = _bins(shown, float(np.nanmedian(picture.delta_stderr[good])))
    values = shown[0]
    name = f"measured: {values.mean():.1f} ± {values.std():.1f}"
    axes.hist(values, edges, color="#31688e", alpha=0.75, label=name)
    if picture.truth is not None and shown[1].size:
        name = f"truth: {shown[1].mean():.1f} ± {shown[1].std():.1f}"
        axes.hist(shown[1], edges, histtype="step", color="black", linewidth=1.3, label=name)
    axes.margins(y=0.5 if _is_wide(picture) else 0.28)
    axes.legend(frameon=False, loc="upper left", title="mean ± standard deviation (meV)", title_fontsize=8, fontsize=8)


def _bins(samples: Sequence[Floats], error: float) -> list[float]:
    low, high = (
        min(sample.min() for sample in samples if sample.size),
        max(sample.max() for sample in samples if sample.size),
    )
    width = max(error if np.isfinite(error) else 0.0, (high - low) / 40.0, 1e-6)
    count = max(int(np.ceil((high - low) / width)), 1)
    middle = 0.5 * (low + high)
    return [middle + width * (i - 0.5 * count) for i in range(count + 1)]


def _draw_correlation(axes: Axes, picture: MapPicture) -> None:
    good = (_status(picture) == "ok") & np.isfinite(picture.delta) & np.isfinite(picture.gamma1)
    axes.set_title("gap against scattering rate")
    axes.set_xlabel("$\\Gamma_1$ (meV)")
    axes.set_ylabel("gap (meV)")
    gap, rate = picture.delta[good], picture.gamma1[good]
    if not gap.size:
        _say(axes, "no pixel with a gap")
        return
    error = np.nan_to_num(picture.delta_stderr[good])
    axes.errorbar(rate, gap, error, fmt="o", markersize=2.6, elinewidth=0.5, color="#31688e", ecolor="0.75", alpha=0.85)
    # One outlier must not squeeze the cloud: the axes follow 99 % of the points.
    for span, values in ((axes.set_xlim, rate), (axes.set_ylim, gap)):
        low, high = np.percentile(values, [0.5, 99.5])
        pad = 0.12 * (high - low) + 4.0 * float(np.median(error)) * (values is gap) + 1e-6
        span(float(low - pad), float(high + pad))
    spread = gap.std() * rate.std()
    r = float(np.mean((gap - gap.mean()) * (rate - rate.mean())) / spread) if spread > 0 else float("nan")
    axes.text(0.97, 0.96, f"r = {r:.2f}, N = {gap.size}", transform=axes.transAxes, ha="right", va="top", fontsize=9,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2})  # fmt: skip


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_INK)
    axes.set_xticks([])
    axes.set_yticks([])
