"""The regions of interest A and B on the page: the EDC of each one's mean pixel, with the fit of its sum."""

from __future__ import annotations

import html
from typing import Any

from bokeh.models import ColumnDataSource, Range1d, Span

from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_region_sums import RegionSum, RegionSums
from microarpes.beamline.page_style import PageStyle, new_figure

#: What is shown of the axis, meV about E_F.
SHOWN = (-120.0, 40.0)
#: Of A and B, for each window in turn: filled and drawn through, or empty and dashed, so that no colour is needed.
MARKERS = {"A": ("circle", "square"), "B": ("triangle", "inverted_triangle")}
DASHES = {"A": "solid", "B": "dashed"}
FIELDS = ("energy", "counts", "model")
EMPTY: dict[str, list[float]] = {name: [] for name in FIELDS}


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
            style, "mean EDC of the regions", 316, 190, min_border_left=56, x_range=Range1d(*SHOWN), name="regions",
            visible=False,
        )  # fmt: skip
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "E \N{MINUS SIGN} E_F (meV)", "counts a pixel"
        self.sources = {
            name: [self._drawn(name, number, style) for number in range(len(self.windows))] for name in "AB"
        }
        self.figure.add_layout(Span(location=0.0, dimension="height", line_color=style.ink, line_dash="dotted"))
        legend = self.figure.legend[0]
        legend.location, legend.background_fill_alpha, legend.border_line_color = "top_right", 0.0, None
        legend.label_text_color, legend.label_text_font_size = style.ink, "13px"
        legend.padding, legend.spacing, legend.glyph_width = 0, 0, 16
        self._shown: tuple[Any, ...] = ()

    def _drawn(self, name: str, number: int, style: PageStyle) -> ColumnDataSource:
        source, colour = ColumnDataSource(EMPTY), (style.accent, style.second)[number % 2]
        self.figure.scatter(
            "energy", "counts", source=source, marker=MARKERS[name][number % 2], size=5, line_color=colour, alpha=0.7,
            fill_color=colour if name == "A" else None, legend_label=f"{name} {self.windows[number]}",
        )  # fmt: skip
        self.figure.line(
            "energy", "model", source=source, line_color=colour, line_width=2, line_dash=DASHES[name],
            name=f"fit {name} {self.windows[number]}",
        )  # fmt: skip
        return source

    def update(self, compiled: bool) -> None:
        """Have the sums reckoned, and show those that are there; `compiled`: the fit is ready."""
        self.sums.refresh(compiled)
        shown = self._current()
        state = (self.sums.version, sorted(shown))
        if state == self._shown:
            return
        self._shown = state
        for name, sources in self.sources.items():
            for number, source in enumerate(sources):
                source.data = drawn(shown[name], number) if name in shown else EMPTY
        if self.figure.visible != bool(shown):
            self.figure.visible = bool(shown)

    def _current(self) -> dict[str, RegionSum]:
        """Return the sums of the regions that there still are."""
        return {name: found for name, found in self.sums.latest.items() if name in self.choices.regions}

    def html(self) -> str:
        """Return what there is to say of the regions, as HTML."""
        if not self.choices.regions:
            return "<p>Two regions compared: draw a region on the map.</p>"
        if self.sums.problem:
            return f"<p>{html.escape(self.sums.problem)}</p>"
        lines = []
        for name in sorted(self.choices.regions):
            found = self.sums.latest.get(name)
            if found is None:
                lines.append(f"{name}: no pixel with a gap yet")
                continue
            goodness = "" if found.fit is None else f", deviance {found.fit.deviance:.0f} / {found.fit.dof:.0f}"
            what = f"{name}: {found.n_summed} EDCs summed, gap {found.gap}{found.unit}{goodness}"
            lines.append("; ".join([what, *found.reservations()]))
        return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def drawn(found: RegionSum, number: int) -> dict[str, Any]:
    """Return what is drawn of one window of a region."""
    energy = found.energy[number]
    shown = (energy >= SHOWN[0]) & (energy <= SHOWN[1])
    return {
        "energy": energy[shown], "counts": found.mean[number][shown], "model": found.mean_model[number][shown],
    }  # fmt: skip
