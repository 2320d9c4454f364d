"""The picture of a gap function: its maps, and the gaps of all pixels against the Fermi-surface angle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from microarpes.analysis.d_wave import LEAST_FACTOR
from microarpes.beamline.anisotropy import Anisotropy
from microarpes.beamline.report import draw_map
from microarpes.beamline.stored_figures import map_picture, title

#: Least span of a map's colours, in median errors of what it shows: noise is not to paint islands.
LEAST_SPAN = 4.0


def write_picture(path: Path, found: Anisotropy) -> None:
    """Draw Delta_0, node and harmonic as maps, and mean and spread of the gap of each window, into a PNG file."""
    figure = Figure(figsize=(9.6, 8.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    fit, picture = found.fit, map_picture(found.first)
    maps = (
        (panels[0, 0], fit.delta0, fit.delta0_stderr, "$\\Delta_0$ of the d-wave", "$\\Delta_0$ (meV)"),
        (panels[0, 1], fit.node, fit.node_stderr, "node", "Fermi-surface angle (deg)"),
        (panels[1, 0], fit.harmonic, fit.harmonic_stderr, "next harmonic over $\\Delta_0$ (0: d-wave)", ""),
    )
    for axes, values, error, name, units in maps:
        known = error[np.isfinite(error)]
        draw_map(figure, axes, values, picture, LEAST_SPAN * float(np.median(known)) if known.size else 0.0, units)
        axes.set_title(name)
    _draw_gaps(panels[1, 1], found)
    figure.suptitle(title(found.first), fontsize=12, parse_math=False)
    figure.savefig(path, format="png", metadata={"Title": "gap function"})


def _draw_gaps(axes: Axes, found: Anisotropy) -> None:
    """Gaps against the d-wave factor: of a d-wave they lie on a straight line through 0."""
    used = found.factor >= LEAST_FACTOR
    mean = np.array([np.nanmean(gap) if np.isfinite(gap).any() else np.nan for gap in found.gap])
    spread = np.array([np.nanstd(gap) if np.isfinite(gap).any() else np.nan for gap in found.gap])
    axes.errorbar(
        found.factor[used], mean[used], spread[used], fmt="o", color="C0", label="mean and spread of the pixels"
    )
    if (~used).any():
        axes.errorbar(
            found.factor[~used], mean[~used], spread[~used], fmt="o", mfc="none", color="0.5", label="left out"
        )
    ends = np.array([0.0, 1.0])
    known = np.isfinite(found.fit.delta0)
    if known.any():
        axes.plot(ends, ends * found.fit.delta0[known].mean(), color="C1", label="mean $\\Delta_0$ times the factor")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("$|\\cos k_x a - \\cos k_y a|\\,/\\,2$")
    axes.set_ylabel("gap (meV)")
    axes.set_title("gaps of the windows")
    axes.legend(frameon=False)
