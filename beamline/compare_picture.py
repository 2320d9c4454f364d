"""The picture of two maps compared: the difference, the same in sigmas, and how the sigmas are distributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from microarpes.beamline.compare import Compared
from microarpes.beamline.raster_view import RasterView


def write_picture(path: Path, compared: Compared) -> None:
    """Draw a PNG file."""
    figure = Figure(figsize=(12.0, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    difference, sigmas, histogram = figure.subplots(1, 3)
    view = RasterView(compared.x, compared.y, snake=True, fast_axis="x")
    for axes, values, label, least in (
        (difference, compared.found.difference, "difference of gaps (meV)", 0.0),
        (sigmas, compared.found.sigmas, "difference (sigma)", 4.0),
    ):
        # Zero in the middle; sigmas never stretched over less than noise fills.
        span = max(float(np.nanpercentile(np.abs(values), 98)), least)
        image = axes.imshow(
            view.upright(np.ma.masked_invalid(values)), origin="lower", extent=view.extent, aspect="equal",
            interpolation="none", cmap="RdBu_r", vmin=-span, vmax=span,
        )  # fmt: skip
        axes.set(xlabel="x (µm)", ylabel="y (µm)", title=label)
        axes.set_facecolor("0.85")
        figure.colorbar(image, ax=axes)
    known = compared.found.sigmas[np.isfinite(compared.found.sigmas)]
    edges = np.linspace(-5, 5, 26)
    histogram.hist(np.clip(known, -4.99, 4.99), edges, color="0.6", label="pixels")
    expected = known.size * (edges[1] - edges[0]) * np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi)
    histogram.plot(edges, expected, color="k", linewidth=1.0, label="by the errors alone")
    histogram.set(xlabel="difference (sigma)", ylabel="pixels", title="beyond ±5 drawn at ±5")
    histogram.margins(y=0.3)
    histogram.legend(frameon=False, loc="upper right")
    names = [run.uid[:8] for run in (compared.first, compared.second)]
    figure.suptitle(f"gap at k_F: {names[1]} less {names[0]}", fontsize=12, parse_math=False)
    figure.savefig(path, format="png", metadata={"Title": "comparison"})
