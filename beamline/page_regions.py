"""The regions of interest A and B on the page: the EDC of each one's mean pixel, with the fit of its sum."""

from __future__ import annotations

import html
from typing import Any

from bokeh.models import ColumnDataSource, Range1d, Span

from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_region_sums import RegionSum, RegionSums
from microarpes.beamline.page_style import PageStyle, new_figure, style_legend

#: What is shown of the axis, meV about E_F.
SHOWN = (-110.0, 40.0)
#: Points lie at least so far apart, meV: the mean of the channels between is drawn, so that markers can be told apart.
APART = 4.0
#: Of A and B, for each window in turn: filled and drawn through, or empty and dashed, so that no colour is needed.
MARKERS = {"A": ("circle", "square"), "B": ("triangle", "inverted_triangle")}
DASHES = {"A": "solid", "B": "dashed"}
EMPTY: dict[str, list[float]] = {"energy": [], "counts": []}


class RegionsPanel:
    """EDCs of the regions of one viewer.

    Parameters
    ----------
    choices : Choices
    style : PageStyle
    sums : RegionSums
        Of the same viewer.
    """

    def __init__(self, choices: Choices, style: PageStyle, sums: RegionSums) -> None:
        self.choices, self.sums = choices, sums
        self.windows = [str(window["name"]) for window in (choices.feed.start or {})["windows"]]
        self.figure = new_figure(
            style, "mean EDC of the regions", (500, 220), min_border_left=64, x_range=Range1d(*SHOWN), name="regions",
            visible=False,
        )  # fmt: skip
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "E \N{MINUS SIGN} E_F (meV)", "counts a pixel"
        self.sources = {
            name: [self._drawn(name, number, style) for number in range(len(self.windows))] for name in "AB"
        }
        self.figure.add_layout(Span(location=0.0, dimension="height", line_color=style.ink, line_dash="dotted"))
        legend = self.figure.legend[0]
        legend.location = "top_right"
        style_legend(legend, style)
        self._shown: tuple[Any, ...] = ()

    def _drawn(self, name: str, number: int, style: PageStyle) -> tuple[ColumnDataSource, ColumnDataSource]:
        """Add one window of one region, and return the sources of its points and of its fit."""
        points, line, colour = (
            ColumnDataSource(EMPTY),
            ColumnDataSource(EMPTY),
            (style.accent, style.second)[number % 2],
        )
        label = f"{name} {self.windows[number]}"
        self.figure.line(
            "energy", "counts", source=line, line_color=colour, line_width=2, line_dash=DASHES[name],
            legend_label=label, name=f"fit {label}",
        )  # fmt: skip
        self.figure.scatter(
            "energy", "counts", source=points, marker=MARKERS[name][number % 2], size=6, line_color=colour,
            fill_color=colour if name == "A" else style.panel, legend_label=label, name=f"EDC {label}",
        )  # fmt: skip
        return points, line

    def update(self, compiled: bool) -> None:
        """Have the sums reckoned, and show those that are there; `compiled`: the fit is ready."""
        self.sums.refresh(compiled)
        shown = self.sums.current()
        state = (self.sums.version, sorted(shown))
        if state == self._shown:
            return
        self._shown = state
        for name, sources in self.sources.items():
            for number, (points, line) in enumerate(sources):
                points.data, line.data = drawn(shown[name], number) if name in shown else (EMPTY, EMPTY)
        for item in self.figure.legend[0].items:
            item.visible = item.label.value[0] in shown
        if self.figure.visible != bool(shown):
            self.figure.visible = bool(shown)

    def html(self) -> str:
        """Return what there is to say of the regions, as HTML."""
        if not self.choices.regions:
            return "<p>Two regions compared: draw a region on the map.</p>"
        if self.sums.problem:
            return f"<p>{html.escape(self.sums.problem)}</p>"
        lines, current = [], self.sums.current()
        for name in sorted(self.choices.regions):
            found = current.get(name)
            if found is None:
                why = "no pixel with a gap" if self.sums.reckoned(name) else "is being summed"
                lines.append(f"{name}: {why}")
                continue
            goodness = "" if found.fit is None else f", deviance {found.fit.deviance:.0f} / {found.fit.dof:.0f}"
            what = f"{name}: {found.n_summed} EDCs summed, gap {found.gap}{found.unit}{goodness}"
            lines.append("; ".join([what, *found.reservations()]))
        return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def drawn(found: RegionSum, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the points and the fit that are drawn of one window of a region, counts against energy (meV)."""
    energy = found.energy[number]
    shown = (energy >= SHOWN[0]) & (energy <= SHOWN[1])
    energy, counts, model = energy[shown], found.mean[number][shown], found.mean_model[number][shown]
    together = max(1, round(APART / abs(float(energy[1] - energy[0])))) if len(energy) > 1 else 1
    whole = len(energy) // together * together
    points = [values[:whole].reshape(-1, together).mean(axis=1) for values in (energy, counts)]
    return {"energy": points[0], "counts": points[1]}, {"energy": energy, "counts": model}
