"""What lies on the maps of the page: hatches, the way ahead, the beam, the cursor and the regions of interest."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource

from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_style import PageStyle
from microarpes.beamline.pixel_classes import CLASSES
from microarpes.beamline.raster_view import RasterView

RECTANGLE: dict[str, list[float]] = {"x": [], "y": [], "width": [], "height": []}


class Marks:
    """Marks of one viewer, the same on all maps.

    Parameters
    ----------
    choices : Choices
    raster : RasterView
        Where the pixels lie.
    style : PageStyle
    """

    def __init__(self, choices: Choices, raster: RasterView, style: PageStyle) -> None:
        self.choices, self.feed, self.raster, self.style = choices, choices.feed, raster, style
        nothing = raster.stretches(np.zeros(self.feed.shape, bool))
        self.classes = {kind.label: ColumnDataSource(nothing) for kind in CLASSES}
        self.path, self.beam = (ColumnDataSource({"x": [], "y": []}) for _ in range(2))
        # The small maps follow more rarely than the large one: a browser draws a figure anew for each change.
        self.cursor, self.small_cursor = ColumnDataSource(RECTANGLE), ColumnDataSource(RECTANGLE)
        self.regions = {name: ColumnDataSource(RECTANGLE) for name in ("A", "B")}
        self.spot = ColumnDataSource({**RECTANGLE, "angle": []})
        choices.watch(self.draw_choices)

    def put_on(self, plot: Any, name: str) -> None:
        """Add the marks to the map of a plane: no hatches on what needs no gap, the beam on the gap alone."""
        if name not in ("total_counts", "k_f_centre"):
            for kind in CLASSES:
                plot.rect(
                    x="x", y="y", width="width", height="height", source=self.classes[kind.label], line_color=None,
                    fill_color=self.style.panel, hatch_pattern=kind.pattern, hatch_color=self.style.faint,
                    hatch_scale=8, hatch_weight=1, name=kind.label,
                )  # fmt: skip
        if name == "delta":
            plot.line(
                "x", "y", source=self.path, line_color=self.style.faint, line_dash="dotted", line_width=1,
                name="path ahead",
            )  # fmt: skip
            plot.ellipse(
                "x", "y", width="width", height="height", angle="angle", source=self.spot,
                fill_color=None, line_color=self.style.alarm, line_width=2,
            )  # fmt: skip
            plot.scatter("x", "y", source=self.beam, marker="cross", size=18, line_color=self.style.alarm, line_width=3)
        for region, dash in (("A", "solid"), ("B", "dashed")):
            plot.rect(
                x="x", y="y", width="width", height="height", source=self.regions[region], fill_color="white",
                fill_alpha=0.18, line_color=self.style.second, line_dash=dash, line_width=2, name=f"region {region}",
            )  # fmt: skip
        cursor = self.cursor if name == "delta" else self.small_cursor
        for colour, width, title in (("white", 5, None), ("black", 2, "cursor")):
            plot.rect(
                x="x", y="y", width="width", height="height", source=cursor, fill_color=None, line_color=colour,
                line_width=width, name=title,
            )  # fmt: skip

    def draw_classes(self) -> None:
        """Hatch the pixels without a gap, by class."""
        for kind in CLASSES:
            data = self.raster.stretches(np.isin(self.feed.status, kind.verdicts))
            if data != self.classes[kind.label].data:
                self.classes[kind.label].data = data

    def draw_beam(self) -> None:
        """Draw the beam and its footprint where the newest pixel was measured."""
        newest = self.feed.newest
        if newest is None:
            return
        x, y = (float(self.feed.planes[f"manipulator_{axis}"].flat[newest]) for axis in "xy")
        if self.beam.data == (beam := {"x": [x], "y": [y]}):
            return
        self.beam.data = beam
        axes = ((self.feed.start or {}).get("beam") or {}).get("footprint_axes")
        if axes:
            self.spot.data = {
                "x": [x], "y": [y], "width": [axes["major"]], "height": [axes["minor"]],
                "angle": [np.radians(axes["orientation"])],
            }  # fmt: skip

    def draw_path(self) -> None:
        """Draw the way ahead by its corners."""
        visit = self.raster.visit()
        ahead = visit[:0] if self.feed.stop else visit[self.feed.status.ravel()[visit] == ""]
        rows, columns = np.divmod(ahead, len(self.raster.x))
        centres = np.column_stack([self.raster.x[columns], self.raster.y[rows]])
        if len(centres) > 2:
            turns = np.abs(np.diff(np.diff(centres, axis=0), axis=0)).max(axis=1) > 1e-6
            centres = centres[np.concatenate([[True], turns, [True]])]
        self.path.data = {"x": centres[:, 0], "y": centres[:, 1]}

    def draw_cursor(self) -> None:
        """Draw the cursor on the large map."""
        self._put_cursor(self.cursor)

    def _put_cursor(self, source: ColumnDataSource) -> None:
        if (pixel := self.choices.pixel) is None:
            return
        (x, y), (wide, high) = self.raster.centre(pixel), self.raster.pitch
        at = {"x": [x], "y": [y], "width": [wide], "height": [high]}
        if source.data != at:
            source.data = at

    def draw_choices(self) -> None:
        """Draw the cursor on all maps, and the regions."""
        for source in (self.cursor, self.small_cursor):
            self._put_cursor(source)
        for name, source in self.regions.items():
            mask = self.choices.regions.get(name)
            data = self.raster.stretches(np.zeros(self.feed.shape, bool) if mask is None else mask)
            if data != source.data:
                source.data = data
