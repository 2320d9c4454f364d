"""The picture of the domains of a run: where they are, their mean EDCs, and the evidence for their number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from microarpes.beamline.domains import RunDomains
from microarpes.beamline.raster_view import RasterView
from microarpes.beamline.stored_figures import map_picture, title

Colours = Sequence[tuple[float, float, float, float]]


def write_picture(path: Path, domains: RunDomains) -> None:
    """Draw a PNG file."""
    figure = Figure(figsize=(11.4, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    where, spectra, evidence = figure.subplots(1, 3)
    colours = [mpl.colormaps["tab10"](number) for number in range(domains.found.number)]
    _draw_map(where, domains, colours)
    _draw_spectra(spectra, domains, colours)
    _draw_evidence(evidence, domains)
    figure.suptitle(title(domains.run), fontsize=12, parse_math=False)
    figure.savefig(path, format="png", metadata={"Title": "domains"})


def _draw_map(axes: Axes, domains: RunDomains, colours: Colours) -> None:
    picture = map_picture(domains.run)
    view = RasterView(picture.x, picture.y, snake=True, fast_axis="x")
    shown = np.ma.masked_less(view.upright(domains.map.astype(np.float64)), 0.0)
    axes.imshow(
        shown, origin="lower", extent=view.extent, aspect="equal", interpolation="none",
        cmap=ListedColormap(colours), vmin=-0.5, vmax=domains.found.number - 0.5,
    )  # fmt: skip
    sizes = [int((domains.found.labels == number).sum()) for number in range(domains.found.number)]
    handles = [
        Patch(color=colour, label=f"{number}: {size}")
        for number, (colour, size) in enumerate(zip(colours, sizes, strict=True), 1)
    ]
    axes.legend(handles=handles, title="domain: pixels", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.set(title="where", xlabel="x (µm)", ylabel="y (µm)")


def _draw_spectra(axes: Axes, domains: RunDomains, colours: Colours) -> None:
    """Each over its counts: domains are told by shape."""
    for number, (spectrum, colour) in enumerate(zip(domains.found.spectra, colours, strict=True), 1):
        shape = spectrum.sum(axis=0)
        axes.plot(domains.energy[0], shape / shape.sum() * shape.size, color=colour, label=f"{number}", linewidth=1.2)
    axes.axvline(0.0, color="0.6", linewidth=0.7)
    axes.set(title="mean EDC over its mean", xlabel="energy from $E_F$ (meV)", ylabel="")


def _draw_evidence(axes: Axes, domains: RunDomains) -> None:
    further = domains.found.evidence[1:]
    axes.axhline(0.0, color="0.6", linewidth=0.7)
    if further:
        axes.errorbar([e.number for e in further], [e.gain for e in further], [e.gain_error for e in further], fmt="o")
    axes.set_xticks([e.number for e in further])
    axes.set(title="evidence of each further domain", xlabel="domains", ylabel="deviance less by, other half")
