"""The picture of a map below T_c beside the one above it: one colour scale, and what became of each pixel's gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from microarpes.analysis.gap_closing import CLOSES, STAYS, UNDECIDED
from microarpes.beamline.above_tc import AcrossTc
from microarpes.beamline.pixel_classes import robust_levels
from microarpes.beamline.raster_view import RasterView
from microarpes.beamline.report import MapPicture, draw_classes, legend_handles

#: Colour of each verdict, and how it is hatched beside: no verdict by its colour alone.
_LOOK = {CLOSES: ("#0072b2", ""), STAYS: ("#e69f00", "////"), UNDECIDED: ("0.85", "..")}


def write_picture(path: Path, across: AcrossTc) -> None:
    """Draw a PNG file."""
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure = Figure(figsize=(13.0, 4.6), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        panels: Any = figure.subplots(1, 3)
        view = RasterView(across.x, across.y, snake=True, fast_axis="x")
        pictures = [_picture(across, which) for which in (0, 1)]
        error = np.concatenate([sigma[np.isfinite(gap)] for gap, sigma in zip(across.gaps, across.errors, strict=True)])
        span = 4.0 * float(np.median(error)) if error.size else 0.0
        low, high = robust_levels(np.stack(across.gaps), span)
        for axes, picture, temperature in zip(panels, pictures, across.temperatures, strict=False):
            image = axes.imshow(
                view.upright(np.ma.masked_invalid(picture.delta)), origin="lower", extent=view.extent, aspect="equal",
                interpolation="none", cmap="viridis", vmin=low, vmax=high,
            )  # fmt: skip
            draw_classes(axes, picture)
            axes.set(xlabel="x (µm)", ylabel="y (µm)", title=f"spectral gap at $k_F$, {temperature:.1f} K")
        figure.colorbar(image, ax=panels[:2], label="gap (meV)", location="bottom", aspect=40, shrink=0.8)
        _draw_verdicts(panels[2], across, view)
        handles = {patch.get_label(): patch for picture in pictures for patch in legend_handles(picture)}
        if handles:
            figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(f"{across.quantity}, $T_c$ = {across.tc:g} K", fontsize=12)
        figure.savefig(path, format="png", metadata={"Title": across.quantity})


def _picture(across: AcrossTc, which: int) -> MapPicture:
    nothing = np.full(across.gaps[which].shape, np.nan)
    status = across.status[which]
    gap = np.where(status == "ok", across.gaps[which], np.nan)
    return MapPicture(across.x, across.y, gap, across.errors[which], nothing, nothing, status)


def _draw_verdicts(axes: Axes, across: AcrossTc, view: RasterView) -> None:
    verdict = view.upright(across.found.verdict)
    number = np.full(verdict.shape, np.nan)
    for place, kind in enumerate(_LOOK):
        number[verdict == kind] = place
    axes.imshow(
        np.ma.masked_invalid(number), origin="lower", extent=view.extent, aspect="equal", interpolation="none",
        cmap=ListedColormap([colour for colour, _ in _LOOK.values()]), vmin=-0.5, vmax=len(_LOOK) - 0.5,
    )  # fmt: skip
    left, right, bottom, top = view.extent
    x = left + (np.arange(verdict.shape[1] + 1)) * (right - left) / verdict.shape[1]
    y = bottom + (np.arange(verdict.shape[0] + 1)) * (top - bottom) / verdict.shape[0]
    for kind, (_, hatch) in _LOOK.items():
        if hatch and (verdict == kind).any():
            axes.pcolor(x, y, np.ma.masked_where(verdict != kind, np.zeros(verdict.shape)), hatch=hatch, alpha=0.0)
    cold, warm = across.temperatures
    axes.set(xlabel="x (µm)", ylabel="y (µm)", title=f"from {cold:.0f} to {warm:.0f} K the gap")
    named = {CLOSES: "closes: superconducting", STAYS: "stays: pseudogap", UNDECIDED: "undecided"}
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="0.35", label=f"{named[kind]} ({across.found.number(kind)})")
        for kind, (colour, hatch) in _LOOK.items()
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
