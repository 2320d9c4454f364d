"""The picture of a map below T_c beside the one above it: one colour scale, and what became of each pixel's gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from microarpes.analysis.gap_closing import CLOSES, STAYS, UNDECIDED
from microarpes.beamline.above_tc import AcrossTc
from microarpes.beamline.pixel_classes import robust_levels
from microarpes.beamline.raster_view import RasterView
from microarpes.beamline.report import MapPicture, draw_classes, draw_pixels, legend_handles

#: Colour of each verdict, and how it is hatched beside: no verdict by its colour alone.
_LOOK = {CLOSES: ("#0072b2", ""), STAYS: ("#e69f00", "////"), UNDECIDED: ("0.85", "..")}


def write_picture(path: Path, across: AcrossTc) -> None:
    """Draw a PNG file."""
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure = Figure(figsize=(12.5, 4.6), dpi=150, layout="constrained")
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
        figure.colorbar(image, ax=panels[:2], label="gap (meV)")
        handles = {patch.get_label(): patch for picture in pictures for patch in legend_handles(picture)}
        named = [*_draw_verdicts(panels[2], across, view), *handles.values()]
        figure.legend(handles=named, loc="outside lower center", ncols=len(named), frameon=False, handlelength=2.2)
        figure.suptitle(f"{across.quantity}, $T_c$ = {across.tc:g} K", fontsize=12)
        figure.savefig(path, format="png", metadata={"Title": across.quantity})


def _picture(across: AcrossTc, which: int) -> MapPicture:
    nothing = np.full(across.gaps[which].shape, np.nan)
    status = across.status[which]
    gap = np.where(status == "ok", across.gaps[which], np.nan)
    return MapPicture(across.x, across.y, gap, across.errors[which], nothing, nothing, status)


def _draw_verdicts(axes: Axes, across: AcrossTc, view: RasterView) -> list[Patch]:
    """Draw what became of the gaps; return what a legend says of it."""
    left, right, bottom, top = view.extent
    cold, warm = across.temperatures
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="x (µm)", ylabel="y (µm)",
             title=f"from {cold:.0f} to {warm:.0f} K the gap")  # fmt: skip
    named = {CLOSES: "closes: superconducting", STAYS: "stays: pseudogap", UNDECIDED: "undecided"}
    handles = []
    for kind, (colour, hatch) in _LOOK.items():
        if number := across.found.number(kind):
            draw_pixels(axes, across.found.verdict == kind, view, colour, hatch)
            label = f"{named[kind]}: {number}"
            handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor="0.35", linewidth=0.7, label=label))
    return handles
