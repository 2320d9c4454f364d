"""Vector figures of a map for a paper: one quantity a figure, as PDF and as SVG, letters as text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from microarpes.beamline.open_run import OpenRun
from microarpes.beamline.pixel_classes import OUTSIDE, robust_levels
from microarpes.beamline.raster_view import RasterView
from microarpes.beamline.report import (
    MapPicture,
    draw_classes,
    draw_histogram,
    gap_label,
    half_pixel_extent,
    legend_handles,
)

#: Of one column of a journal; letters that may be edited, and files that are the same whenever they are drawn.
_STYLE: dict[Any, Any] = {
    "figure.figsize": (3.4, 3.0), "font.size": 8.0, "axes.linewidth": 0.6, "hatch.linewidth": 0.5, "pdf.fonttype": 42,
    "svg.fonttype": "none", "svg.hashsalt": "microarpes",
}  # fmt: skip


def write_figures(folder: Path, run: OpenRun) -> None:
    """Draw a map: gap, its error, scattering rate, intensity, and the histogram of the gap.

    Parameters
    ----------
    folder : Path
        Made if missing; figures of these names that are there are replaced.
    run : OpenRun

    Raises
    ------
    OSError
        A file cannot be written.
    """
    dataset = run.to_xarray(edcs=False)
    picture = _picture(dataset)
    error = picture.delta_stderr[np.isfinite(picture.delta_stderr)]
    least = 4.0 * float(np.median(error)) if error.size else 0.0
    maps = {
        "gap_map": (picture.delta, f"{gap_label(None)} (meV)", least),
        "gap_error": (picture.delta_stderr, "statistical error of the gap (meV)", 0.0),
        "gamma1": (picture.gamma1, "$\\Gamma_1$ (meV)", 0.0),
        "intensity": (picture.intensity, "counts per frame", 0.0),
    }
    Path(folder).mkdir(exist_ok=True)
    with mpl.rc_context(_STYLE):
        for name, (values, label, span) in maps.items():
            shown = values if name == "intensity" else np.where(picture.status == "ok", values, np.nan)

            def draw(axes: Axes, shown: Any = shown, label: str = label, span: float = span) -> None:
                _draw_map(axes, picture, shown, label, span)

            _save(Path(folder) / name, draw, f"{name}, run {run.uid}")
        _save(Path(folder) / "gap_histogram", lambda axes: draw_histogram(axes, picture), f"gaps of run {run.uid}")


def _picture(dataset: xr.Dataset) -> MapPicture:
    def plane(name: str) -> Any:
        return dataset[name].values if name in dataset else np.full(dataset["status"].shape, np.nan)

    status = np.where(dataset["planned"].values, dataset["status"].values, OUTSIDE)
    return MapPicture(
        x=dataset["x"].values, y=dataset["y"].values, delta=plane("gap"), delta_stderr=plane("gap_error"),
        gamma1=plane("gamma1"), intensity=plane("total_counts"), status=status,
    )  # fmt: skip


def _draw_map(axes: Axes, picture: MapPicture, values: Any, label: str, least: float) -> None:
    """Draw cells, not an image, which a viewer would smooth; hairlines of their own colour hide the seams."""
    left, right, bottom, top = half_pixel_extent(picture)
    columns, rows = np.linspace(left, right, len(picture.x) + 1), np.linspace(bottom, top, len(picture.y) + 1)
    upright = RasterView(picture.x, picture.y, snake=True, fast_axis="x").upright(values)
    low, high = robust_levels(values, least)
    cells = axes.pcolormesh(columns, rows, upright, vmin=low, vmax=high, cmap="viridis", linewidth=0.2,
                            edgecolors="face")  # fmt: skip
    bar = axes.figure.colorbar(cells, ax=axes, label=label, extend="both")
    bar.outline.set_linewidth(0.6)
    if label != "counts per frame":
        draw_classes(axes, picture)
        handles = legend_handles(picture)
        if handles:
            axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, fontsize=6)
    axes.set(xlabel="x (µm)", ylabel="y (µm)", aspect="equal")


def _save(path: Path, draw: Callable[[Axes], None], title: str) -> None:
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots())
    for kind, dated in (("pdf", "CreationDate"), ("svg", "Date")):
        fresh = path.with_name(f"{path.name}.{kind}.part")
        figure.savefig(fresh, format=kind, metadata={"Title": title, dated: None}, bbox_inches="tight", pad_inches=0.02)
        os.replace(fresh, path.with_name(f"{path.name}.{kind}"))
