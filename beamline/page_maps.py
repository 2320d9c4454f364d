"""The maps of the page: gap, scattering rate, error and intensity, with all that lies on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.events import SelectionGeometry, Tap
from bokeh.models import (
    BoxSelectTool,
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    HoverTool,
    LassoSelectTool,
    LinearColorMapper,
    NumeralTickFormatter,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_raster import RasterView
from microarpes.beamline.page_style import PageStyle, new_figure, style_axis, style_colour_bar
from microarpes.beamline.pixel_classes import CLASSES, robust_levels, wide_enough
from microarpes.beamline.planned import visit_of

#: Plane, title, unit, whether its span is held above the error's.
SHOWN = (
    ("delta", "gap at k_F", "meV"),
    ("gamma1", "rate \N{GREEK CAPITAL LETTER GAMMA}\N{SUBSCRIPT ONE} (with in-spot gap spread)", "meV"),
    ("delta_stderr", "error of the gap (one sigma)", "meV"),
    ("total_counts", "intensity of the frame", "counts"),
)
#: What a source of the maps holds, for the picture and for what is told under the pointer.
PLANES = (
    "delta", "gamma1", "delta_stderr", "total_counts", "gamma1_stderr", "delta_systematic", "manipulator_x",
    "manipulator_y",
)  # fmt: skip
ERRORS = {"delta": "delta_stderr", "gamma1": "gamma1_stderr"}
LARGE, SMALL = (600, 540), (290, 200)
PALETTES = {"viridis": "Viridis256", "cividis": "Cividis256", "grey": "Greys256"}
#: Fewer new pixels than this are sent one by one, more with the whole map.
FEW = 24


class Maps:
    """Four maps on the same axes, their marks, and what clicking and drawing on them does.

    Parameters
    ----------
    choices : Choices
        Of the viewer; its feed must have its start document.
    style : PageStyle
    """

    def __init__(self, choices: Choices, style: PageStyle) -> None:
        self.choices, self.feed, self.style = choices, choices.feed, style
        start = self.feed.start or {}
        self.raster = RasterView.of(start["grid"], visit_of(start))
        self.levels, self.locked, self.forced = "robust", False, False
        self.manual: tuple[float, float] | None = None
        self._seen, self._resets, self._choice = 0, self.feed.resets, -1
        self._others: tuple[Any, ...] = ()
        left, right, bottom, top = self.raster.extent
        self._ranges = Range1d(left, right), Range1d(bottom, top)
        for axis in self._ranges:
            axis.reset_start, axis.reset_end = axis.start, axis.end
        # The large map is sent pixel by pixel, the others every second: a browser draws a figure anew for each change.
        self.image = ColumnDataSource(self._planes())
        self.others = ColumnDataSource(self._planes())
        self.classes = {
            kind.label: ColumnDataSource(self.raster.stretches(np.zeros(self.feed.shape, bool))) for kind in CLASSES
        }
        self.marks = {name: ColumnDataSource({"x": [], "y": []}) for name in ("path", "beam")}
        self.cursor = ColumnDataSource({"x": [], "y": [], "width": [], "height": []})
        self.regions = {name: ColumnDataSource({"x": [], "y": [], "width": [], "height": []}) for name in ("A", "B")}
        self.spot = ColumnDataSource({"x": [], "y": [], "width": [], "height": [], "angle": []})
        self.mappers: dict[str, LinearColorMapper] = {}
        self.figures = {name: self._figure(name, title, unit) for name, title, unit in SHOWN}
        self.choices.watch(self._draw_choices)

    def _planes(self) -> dict[str, Any]:
        return {name: [self._upright(name)] for name in PLANES}

    def _upright(self, name: str) -> NDArray[np.float32]:
        values = self.feed.plane(name)
        if name not in ("total_counts", "manipulator_x", "manipulator_y"):
            values = np.where(self.choices.good(), values, np.nan)
        return self.raster.upright(values).astype(np.float32)

    def _figure(self, name: str, title: str, unit: str) -> Any:
        left, right, bottom, top = self.raster.extent
        room = LARGE if name == "delta" else SMALL
        scale = min(room[0] / (right - left), room[1] / (top - bottom))
        width, height = max(round(scale * (right - left)), 60), max(round(scale * (top - bottom)), 40)
        plot = new_figure(
            self.style, title, width, height, x_range=self._ranges[0], y_range=self._ranges[1],
            toolbar_location="right" if name == "delta" else None, name=f"map {name}",
            min_border_left=64 if name == "delta" else 50,
        )  # fmt: skip
        mapper = LinearColorMapper(palette=PALETTES["viridis"], low=0.0, high=1.0, nan_color="rgba(0,0,0,0)")
        self.mappers[name] = mapper
        image = plot.image(
            image=name, x=left, y=bottom, dw=right - left, dh=top - bottom, color_mapper=mapper,
            source=self.image if name == "delta" else self.others,
        )  # fmt: skip
        bar = ColorBar(color_mapper=mapper, title=unit, width=14, padding=4)
        if name == "total_counts":
            bar.formatter = NumeralTickFormatter(format="0.[00]a")
        style_colour_bar(bar, self.style)
        plot.add_layout(bar, "right")
        plot.grid.grid_line_color = None
        self._overlays(plot, name)
        self._tools(plot, image, name)
        if name == "delta":
            plot.xaxis.axis_label, plot.yaxis.axis_label = "x (\N{MICRO SIGN}m)", "y (\N{MICRO SIGN}m)"
            style_axis(plot.xaxis[0], self.style)
        return plot

    def _overlays(self, plot: Any, name: str) -> None:
        if name != "total_counts":
            for kind in CLASSES:
                plot.rect(
                    x="x", y="y", width="width", height="height", source=self.classes[kind.label], line_color=None,
                    fill_color=self.style.panel, hatch_pattern=kind.pattern, hatch_color=self.style.faint,
                    hatch_scale=8, hatch_weight=1, name=kind.label,
                )  # fmt: skip
        if name == "delta":
            plot.line(
                "x",
                "y",
                source=self.marks["path"],
                line_color=self.style.faint,
                line_dash="dotted",
                line_width=1,
                name="path ahead",
            )
            plot.ellipse(
                "x", "y", width="width", height="height", angle="angle", source=self.spot,
                fill_color=None, line_color=self.style.alarm, line_width=2,
            )  # fmt: skip
            plot.scatter(
                "x", "y", source=self.marks["beam"], marker="cross", size=18, line_color=self.style.alarm, line_width=3
            )
        for region, dash in (("A", "solid"), ("B", "dashed")):
            plot.rect(
                x="x", y="y", width="width", height="height", source=self.regions[region], fill_color="white",
                fill_alpha=0.18, line_color=self.style.second, line_dash=dash, line_width=2, name=f"region {region}",
            )  # fmt: skip
        plot.rect(
            x="x", y="y", width="width", height="height", source=self.cursor, fill_color=None, line_color="white",
            line_width=5,
        )  # fmt: skip
        plot.rect(
            x="x", y="y", width="width", height="height", source=self.cursor, fill_color=None, line_color="black",
            line_width=2, name="cursor",
        )  # fmt: skip

    def _tools(self, plot: Any, image: Any, name: str) -> None:
        tooltips = [
            ("x, y", "@manipulator_x{0.0}, @manipulator_y{0.0} \N{MICRO SIGN}m"),
            (
                "gap",
                "@delta{0.0} \N{PLUS-MINUS SIGN} @delta_stderr{0.0} meV (syst. @delta_systematic{0.0})",
            ),
            (
                "\N{GREEK CAPITAL LETTER GAMMA}\N{SUBSCRIPT ONE}",
                "@gamma1{0.0} \N{PLUS-MINUS SIGN} @gamma1_stderr{0.0} meV",
            ),
            ("counts", "@total_counts{0,0}"),
        ]
        plot.add_tools(HoverTool(renderers=[image], tooltips=tooltips))
        if name != "delta":
            return
        wheel, box = WheelZoomTool(maintain_focus=False), BoxSelectTool(persistent=False)
        plot.add_tools(
            PanTool(), BoxZoomTool(match_aspect=True), wheel, box, LassoSelectTool(persistent=False), ResetTool()
        )
        plot.toolbar.active_drag, plot.toolbar.active_scroll = box, None
        plot.on_event(Tap, self._tapped)
        plot.on_event(SelectionGeometry, self._selected)

    def _tapped(self, event: Any) -> None:
        pixel = self.raster.pixel_at(event.x, event.y)
        if pixel is not None:
            self.choices.choose(pixel)

    def _selected(self, event: Any) -> None:
        if event.final:
            self.choices.set_region(self.choices.region_drawn, self.inside(event.geometry))

    def inside(self, geometry: dict[str, Any]) -> NDArray[np.bool_] | None:
        """Return the pixels whose centres lie within a drawn box or lasso, shape (ny, nx)."""
        x, y = np.meshgrid(self.raster.x, self.raster.y)
        if geometry["type"] == "rect":
            across = (x >= geometry["x0"]) & (x <= geometry["x1"])
            return np.asarray(across & (y >= geometry["y0"]) & (y <= geometry["y1"]))
        if geometry["type"] == "poly" and len(geometry["x"]) > 2:
            outline = Outline(np.column_stack([geometry["x"], geometry["y"]]))
            centres = np.column_stack([x.ravel(), y.ravel()])
            return np.asarray(outline.contains_points(centres)).reshape(x.shape)
        return None

    def update(self) -> None:
        """Send the large map what is new since the last call."""
        if self.feed.resets != self._resets:
            self._seen, self._resets, self._choice = 0, self.feed.resets, -1
        fresh = set(self.feed.changed[self._seen :])
        self._seen = len(self.feed.changed)
        if self._choice != self.choices.version or len(fresh) > FEW:
            self._choice = self.choices.version
            self.image.data = self._planes()
        elif fresh:
            self._send(fresh)

    def update_others(self) -> None:
        """Bring the other maps, hatches, levels and the path ahead up to date."""
        state = (len(self.feed.changed), self.feed.resets, self.choices.version, self.feed.stop is not None)
        if state == self._others:
            return
        self._others = state
        self.others.data = self._planes()
        self._draw_classes()
        self._draw_path()
        self.set_levels()

    def update_marks(self) -> None:
        """Bring beam, cursor and regions up to date."""
        self._draw_beam()
        self._draw_choices()

    def _send(self, pixels: set[int]) -> None:
        places = [self.raster.place(pixel) for pixel in pixels]
        patches = {}
        for name in self.image.data:
            plane = self._upright(name)
            patches[name] = [
                ((0, slice(row, row + 1), slice(column, column + 1)), plane[row : row + 1, column : column + 1].ravel())
                for row, column in places
            ]
        self.image.patch(patches)

    def set_levels(self) -> None:
        """Bring the colours to the levels chosen, unless they are locked."""
        if self.locked:
            return
        for name, mapper in self.mappers.items():
            values = self.others.data[name][0]
            good = values[np.isfinite(values)]
            low, high = self._levels(name, good)
            if (mapper.low, mapper.high) != (low, high):
                mapper.update(low=low, high=high)

    def _levels(self, name: str, good: NDArray[np.float32]) -> tuple[float, float]:
        if self.levels == "manual" and name == "delta" and self.manual is not None:
            return self.manual
        least = 0.0
        if name in ERRORS and good.size and not self.forced:
            errors = self.feed.plane(ERRORS[name])
            errors = errors[np.isfinite(errors)]
            least = 4.0 * float(np.median(errors)) if errors.size else 0.0
        if self.levels == "min-max" and good.size:
            return wide_enough(float(good.min()), float(good.max()), least)
        return robust_levels(good.astype(np.float64), least)

    def _draw_classes(self) -> None:
        for kind in CLASSES:
            data = self.raster.stretches(np.isin(self.feed.status, kind.verdicts))
            if data != self.classes[kind.label].data:
                self.classes[kind.label].data = data

    def _draw_beam(self) -> None:
        newest = self.feed.newest
        if newest is None:
            return
        x, y = (float(self.feed.planes[f"manipulator_{axis}"].flat[newest]) for axis in "xy")
        if self.marks["beam"].data == (beam := {"x": [x], "y": [y]}):
            return
        self.marks["beam"].data = beam
        axes = ((self.feed.start or {}).get("beam") or {}).get("footprint_axes")
        if axes:
            self.spot.data = {
                "x": [x], "y": [y], "width": [axes["major"]], "height": [axes["minor"]],
                "angle": [np.radians(axes["orientation"])],
            }  # fmt: skip

    def _draw_path(self) -> None:
        """Draw the way ahead by its corners."""
        visit = self.raster.visit()
        ahead = visit[:0] if self.feed.stop else visit[self.feed.status.ravel()[visit] == ""]
        rows, columns = np.divmod(ahead, len(self.raster.x))
        centres = np.column_stack([self.raster.x[columns], self.raster.y[rows]])
        if len(centres) > 2:
            turns = np.abs(np.diff(np.diff(centres, axis=0), axis=0)).max(axis=1) > 1e-6
            centres = centres[np.concatenate([[True], turns, [True]])]
        self.marks["path"].data = {"x": centres[:, 0], "y": centres[:, 1]}

    def _draw_choices(self) -> None:
        pixel = self.choices.pixel
        wide, high = self.raster.pitch
        if pixel is not None:
            x, y = self.raster.centre(pixel)
            at = {"x": [x], "y": [y], "width": [wide], "height": [high]}
            if self.cursor.data != at:
                self.cursor.data = at
        for name, source in self.regions.items():
            mask = self.choices.regions.get(name)
            data = self.raster.stretches(np.zeros(self.feed.shape, bool) if mask is None else mask)
            if data != source.data:
                source.data = data
