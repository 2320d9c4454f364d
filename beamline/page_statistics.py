"""The histogram of the gap and the gap against the scattering rate on the page."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.events import SelectionGeometry
from bokeh.models import BoxSelectTool, ColumnDataSource
from numpy.typing import NDArray

from microarpes.analysis import IntrinsicSpread, intrinsic_spread
from microarpes.beamline.kept_mask import limits_text
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_region_sums import RegionSums
from microarpes.beamline.page_style import PageStyle, new_figure

BINS = 24
MOMENTS_TITLE = "\N{BROKEN BAR} mean  \N{EM DASH} std  \N{BOX DRAWINGS HEAVY HORIZONTAL} intrinsic std"
MOMENT: dict[str, list[float]] = {"x0": [], "y0": [], "x1": [], "y1": []}
#: More points of a scatter than this are not drawn, but every so manieth: a browser would take its time.
MOST_POINTS = 4000


class StatisticsPanel:
    """Histogram and scatter of the pixels that the thresholds let through, and of the regions of interest."""

    def __init__(self, choices: Choices, style: PageStyle, sums: RegionSums) -> None:
        self.choices, self.feed, self.sums = choices, choices.feed, sums
        self.histogram = new_figure(style, MOMENTS_TITLE, name="histogram", min_border_left=64)
        self.histogram.xaxis.axis_label, self.histogram.yaxis.axis_label = "gap (meV)", "pixels"
        self.bars = ColumnDataSource({"left": [], "right": [], "top": []})
        bars = self.histogram.quad(
            left="left", right="right", top="top", bottom=0, source=self.bars, fill_color=style.accent,
            line_color=style.panel, fill_alpha=0.8,
        )  # fmt: skip
        # What is selected becomes a region and is drawn as one; that Bokeh fades the others as well would be too much.
        bars.nonselection_glyph = None
        self.histogram.add_tools(BoxSelectTool(persistent=False, dimensions="width", renderers=[bars]))
        self.histogram.on_event(SelectionGeometry, self._bars_selected)
        self.region_bars = {name: ColumnDataSource({"x": [], "y": []}) for name in ("A", "B")}
        for name, dash in (("A", "solid"), ("B", "dashed")):
            self.histogram.step(
                "x", "y", source=self.region_bars[name], mode="after", line_color=style.second, line_dash=dash,
                line_width=3, name=f"histogram {name}",
            )  # fmt: skip
        self._draw_moments(style)
        self.scatter = new_figure(style, "gap against rate", name="scatter", min_border_left=64)
        self.scatter.xaxis.axis_label = "\N{GREEK CAPITAL LETTER GAMMA}\N{SUBSCRIPT ONE} (meV)"
        self.scatter.yaxis.axis_label = "gap (meV)"
        self.points = {name: ColumnDataSource({"x": [], "y": []}) for name in ("all", "A", "B")}
        for name, marker, colour in (
            ("all", "circle", style.accent),
            ("A", "circle", style.second),
            ("B", "triangle", style.second),
        ):
            points = self.scatter.scatter(
                "x", "y", source=self.points[name], marker=marker, size=5, color=colour, alpha=0.6
            )
            points.nonselection_glyph = None
        self.scatter.add_tools(BoxSelectTool(persistent=False))
        self.scatter.on_event(SelectionGeometry, self._selected)
        for plot in (self.histogram, self.scatter):
            plot.yaxis.ticker.desired_num_ticks = 4
        self.text = ""
        self._state: tuple[Any, ...] = ()

    def _draw_moments(self, style: PageStyle) -> None:
        """Add mean, spread as it is and spread without the errors above the bars; the title says which is which."""
        self.moments = {name: ColumnDataSource(MOMENT) for name in ("mean", "std", "intrinsic std")}
        for (name, source), (width, dash) in zip(
            self.moments.items(), ((2, "dashed"), (2, "solid"), (6, "solid")), strict=True
        ):
            self.histogram.segment(
                "x0", "y0", "x1", "y1", source=source, line_color=style.ink, line_width=width, line_dash=dash,
                name=f"histogram {name}",
            )  # fmt: skip

    def _selected(self, event: Any) -> None:
        """Make a region of interest of the pixels within a box drawn on the scatter."""
        geometry = event.geometry
        if not event.final or geometry["type"] != "rect":
            return
        rate, gap = self.feed.planes["gamma1"], self.feed.planes["delta"]
        inside = (rate >= geometry["x0"]) & (rate <= geometry["x1"]) & (gap >= geometry["y0"]) & (gap <= geometry["y1"])
        self.choices.set_region(self.choices.region_drawn, inside & self.choices.good(), by_gap=True)

    def _bars_selected(self, event: Any) -> None:
        """Make a region of interest of the pixels within the bars that a box on the histogram touches."""
        geometry = event.geometry
        if not event.final or geometry["type"] != "rect":
            return
        left, right = (np.asarray(self.bars.data[side]) for side in ("left", "right"))
        touched = (right > geometry["x0"]) & (left < geometry["x1"])
        if not touched.any():
            return
        gap = self.feed.planes["delta"]
        inside = (gap >= left[touched].min()) & (gap < right[touched].max())
        if touched[-1]:  # the last bar holds its border, as numpy counts
            inside |= gap == right[-1]
        self.choices.set_region(self.choices.region_drawn, inside & self.choices.good(), by_gap=True)

    def update(self) -> None:
        """Count again what has changed."""
        state = (len(self.feed.changed), self.choices.version, self.sums.version, self.choices.kept)
        if state == self._state or not self.feed.planes:
            return
        self._state = state
        good = self.choices.good()
        gap, rate = self.feed.planes["delta"], self.feed.planes["gamma1"]
        regions = {name: mask & good for name, mask in self.choices.regions.items()}
        for name, source in self.points.items():
            mask = good if name == "all" else regions.get(name, np.zeros_like(good))
            every = -(-int(mask.sum()) // MOST_POINTS) or 1
            source.data = {"x": rate[mask][::every], "y": gap[mask][::every]}
        error = self.feed.planes["delta_stderr"]
        self._draw_bars(gap[good], {name: gap[mask] for name, mask in regions.items()})
        spread = intrinsic_spread(gap[good], error[good])
        for name, data in moments(spread, float(max(self.bars.data["top"], default=0))).items():
            self.moments[name].data = data
        sums = {name: found.gap for name, found in self.sums.current().items()}
        lines = [mask_line(self.choices), comparison_line(regions, gap, error, self.choices.chosen_by_gap)]
        self.text = statistics_text({"map": good, **regions}, gap, error, sums) + "".join(
            f"<p>{html.escape(line)}</p>" for line in lines if line
        )

    def _draw_bars(self, gap: NDArray[np.float64], regions: dict[str, NDArray[np.float64]]) -> None:
        edges = np.histogram_bin_edges(gap, BINS) if gap.size else np.array([0.0, 1.0])
        counts, _ = np.histogram(gap, edges)
        self.bars.data = {"left": edges[:-1], "right": edges[1:], "top": counts}
        for name, source in self.region_bars.items():
            if name not in regions:
                source.data = {"x": [], "y": []}
                continue
            top, _ = np.histogram(regions[name], edges)
            source.data = {"x": edges, "y": np.append(top, 0)}


def moments(spread: IntrinsicSpread, top: float) -> dict[str, dict[str, list[float]]]:
    """Return the lines of mean, observed and intrinsic spread above bars that reach up to `top`.

    The spread reaches one standard deviation to either side of the mean; no line where there is no number, and none for
    an intrinsic spread that is not resolved.
    """
    spans = {"std": (spread.observed, 1.1), "intrinsic std": (spread.intrinsic if spread.resolved else np.nan, 1.22)}
    lines = {"mean": MOMENT, **dict.fromkeys(spans, MOMENT)}
    if np.isfinite(spread.mean):
        lines["mean"] = {"x0": [spread.mean], "y0": [0.0], "x1": [spread.mean], "y1": [1.28 * top]}
    for name, (width, height) in spans.items():
        if np.isfinite(width):
            ends = spread.mean - width, spread.mean + width
            lines[name] = {"x0": [ends[0]], "y0": [height * top], "x1": [ends[1]], "y1": [height * top]}
    return lines


def intrinsic_text(spread: IntrinsicSpread) -> str:
    """Return the spread without the errors, or what it is below, as it is written in a table."""
    if spread.resolved:
        return f"{spread.intrinsic:.2f} \N{PLUS-MINUS SIGN} {spread.intrinsic_stderr:.2f}"
    return f"< {spread.upper_limit:.2f} (95 %)" if np.isfinite(spread.upper_limit) else "-"


def statistics_text(
    masks: Mapping[str, NDArray[np.bool_]],
    gap: NDArray[np.float64],
    error: NDArray[np.float64],
    sums: Mapping[str, str],
) -> str:
    """Return a table, as HTML: number, mean, spread, spread without the errors, median error, gap of the sums.

    Of the gap in the map and in the regions; the spread without the errors is that of `intrinsic_spread`.
    """
    rows: list[tuple[str, ...]] = [("gap (meV) of", "N", "mean", "std", "intrinsic std", "error")]
    with_sums = len(masks) > 1
    if with_sums:
        rows[0] += ("of the summed EDC",)
    for name, mask in masks.items():
        values = gap[mask]
        mean = f"{values.mean():.2f}" if values.size else "-"
        spread = f"{values.std(ddof=1):.2f}" if values.size > 1 else "-"
        median = f"{np.median(error[mask]):.2f}" if values.size else "-"
        intrinsic = intrinsic_text(intrinsic_spread(values, error[mask]))
        rows.append((name, str(values.size), mean, spread, intrinsic, median))
        if with_sums:
            rows[-1] += (sums.get(name, ""),)
    return html_table("gap of map and regions", rows)


def comparison_line(
    regions: Mapping[str, NDArray[np.bool_]],
    gap: NDArray[np.float64],
    error: NDArray[np.float64],
    chosen_by_gap: Collection[str] = (),
) -> str:
    """Return by how much the mean gaps of A and B differ, in errors that hold the spread within each; or why not.

    The means are those of `intrinsic_spread`: of the population that a region samples, its pixels taken as independent.
    Regions that were chosen by their gap differ because they were chosen so: they get no significance.
    """
    if set(regions) != {"A", "B"}:
        return ""
    shared = int((regions["A"] & regions["B"]).sum())
    if shared:
        return f"A and B share {shared} pixels: their means are not independent and are not compared"
    a, b = (intrinsic_spread(gap[regions[name]], error[regions[name]]) for name in "AB")
    difference, stderr = a.mean - b.mean, float(np.hypot(a.mean_stderr, b.mean_stderr))
    if not np.isfinite(stderr):
        return "A and B are compared from two pixels each"
    line = f"A \N{MINUS SIGN} B: {difference:.2f} \N{PLUS-MINUS SIGN} {stderr:.2f} meV"
    if chosen_by_gap:
        return f"{line}; no significance, for {' and '.join(sorted(chosen_by_gap))} was chosen by the gap itself"
    return f"{line}, {abs(difference) / stderr:.1f} \N{GREEK SMALL LETTER SIGMA} (intrinsic spread in the error)"


def mask_line(choices: Choices) -> str:
    """Return how many pixels the thresholds hide, and what was kept with the run, here or on another page."""
    limits, kept = limits_text(choices.max_error, choices.max_goodness), choices.kept
    same = kept is not None and (kept.max_error, kept.max_goodness) == (choices.max_error, choices.max_goodness)
    told = [f"masked: {int(choices.masked().sum())} pixels with a gap, {limits}"] if limits else []
    if kept is not None and same and limits:
        told.append(f"kept with the run by {kept.kept_by}, {kept.kept_on}")
    elif kept is not None and not same:
        told.append(f"another mask is kept with the run: {kept.limits}, by {kept.kept_by}, {kept.kept_on}")
    return "; ".join(told)


def html_table(caption: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML; the first row and the first cell of each are headings."""
    lines = []
    for number, (first, *others) in enumerate(rows):
        scope, cell = ("col", "th scope='col'") if number == 0 else ("row", "td")
        cells = "".join(f"<{cell}>{html.escape(text)}</{cell[:2]}>" for text in others)
        lines.append(f"<tr><th scope='{scope}'>{html.escape(first)}</th>{cells}</tr>")
    return f"<table><caption>{html.escape(caption)}</caption>{''.join(lines)}</table>"
