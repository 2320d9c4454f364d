"""The maps of the page: gap, scattering rate, error and intensity, with all that lies on them."""

from __future__ import annotations

from collections.abc import Mapping
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
from microarpes.beamline.page_marks import Marks
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_style import PageStyle, new_figure, style_axis, style_colour_bar
from microarpes.beamline.pixel_classes import robust_levels, wide_enough
from microarpes.beamline.planned import visit_of
from microarpes.beamline.raster_view import RasterView

#: Plane, title, unit; what the gap's is called is for the run to say.
SHOWN = (
    ("delta", "", "meV"),
    ("gamma1", "\N{GREEK CAPITAL LETTER GAMMA}\N{SUBSCRIPT ONE} incl. in-spot gap spread", "meV"),
    ("delta_stderr", "error of the gap (1 \N{GREEK SMALL LETTER SIGMA})", "meV"),
    ("total_counts", "intensity of the frame", "counts"),
)
#: The same of a run whose windows follow k_F.
K_F_CENTRE = ("k_f_centre", "k_F centre", "deg")
#: What a source of the maps holds, for the picture and for what is told under the pointer.
PLANES = (
    "delta", "gamma1", "delta_stderr", "total_counts", "gamma1_stderr", "delta_systematic", "manipulator_x",
    "manipulator_y",
)  # fmt: skip
ERRORS = {"delta": "delta_stderr", "gamma1": "gamma1_stderr"}
#: Room for the frames at first, px; page.js then makes them as large as the page has room for, in the same shape.
LARGE, SMALL = (560, 480), (200, 160)
PALETTES = {"viridis": "Viridis256", "cividis": "Cividis256", "grey": "Greys256"}
#: Fewer new pixels than this are sent one by one, more with the whole map.
FEW = 24


class Maps:
    """Four maps on the same axes, five where windows follow k_F, their marks, and what clicking and drawing there does.

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
        self.marks = Marks(choices, self.raster, style)
        self.mappers: dict[str, LinearColorMapper] = {}
        self.figures = {
            name: self._figure(name, title or gap_title(start), unit) for name, title, unit in shown_of(self.feed)
        }

    def _planes(self) -> dict[str, Any]:
        planes = (*PLANES, K_F_CENTRE[0]) if self.feed.follows_k_f else PLANES
        return {name: [self._upright(name)] for name in planes}

    def _upright(self, name: str) -> NDArray[np.float32]:
        values = self.feed.plane(name)
        if name not in ("total_counts", "manipulator_x", "manipulator_y", K_F_CENTRE[0]):
            values = np.where(self.choices.good(), values, np.nan)
        return self.raster.upright(values).astype(np.float32)

    def _figure(self, name: str, title: str, unit: str) -> Any:
        left, right, bottom, top = self.raster.extent
        room = LARGE if name == "delta" else SMALL
        scale = min(room[0] / (right - left), room[1] / (top - bottom))
        width, height = max(round(scale * (right - left)), 60), max(round(scale * (top - bottom)), 40)
        plot = new_figure(
            self.style, title, (width, height), x_range=self._ranges[0], y_range=self._ranges[1],
            toolbar_location="right" if name == "delta" else None, name=f"map {name}", min_border_left=50,
        )  # fmt: skip
        if name != "delta":
            plot.xaxis.ticker.desired_num_ticks, plot.yaxis.ticker.desired_num_ticks = 3, 4
            plot.title.offset, plot.title.text_font_size = -46, "16px"  # from the left of the figure, or it is cut off
            plot.min_border_right = 94  # for any number beside the bar: its place is not made wider later
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
        self.marks.put_on(plot, name)
        self._tools(plot, image, name)
        if name == "delta":
            plot.xaxis.axis_label, plot.yaxis.axis_label = "x (\N{MICRO SIGN}m)", "y (\N{MICRO SIGN}m)"
            style_axis(plot.xaxis[0], self.style)
        return plot

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
            inside = self.inside(event.geometry)
            chosen = None if inside is None else inside & self.raster.visited
            self.choices.set_region(self.choices.region_drawn, chosen)

    def inside(self, geometry: dict[str, Any]) -> NDArray[np.bool_] | None:
        """Return the cells whose centres lie within a drawn box or lasso, shape (ny, nx)."""
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
        """Send the large map what is new since the last call, and where the beam is."""
        if self.feed.resets != self._resets:
            self._seen, self._resets, self._choice = 0, self.feed.resets, -1
        fresh = set(self.feed.changed[self._seen :])
        self._seen = len(self.feed.changed)
        if self._choice != self.choices.version or len(fresh) > FEW:
            self._choice = self.choices.version
            self.image.data = self._planes()
        elif fresh:
            self._send(fresh)
        # In the frame in which the new pixels are drawn anyway.
        self.marks.draw_beam()

    def update_others(self) -> None:
        """Bring the other maps, hatches, levels and the path ahead up to date."""
        seen = (len(self.feed.changed), self.feed.resets, self.feed.stop is not None)
        state = (*seen, self.choices.version, self.choices.pixel)
        if state == self._others:
            return
        self._others = state
        self.others.data = self._planes()
        self.marks.draw_classes()
        self.marks.draw_path()
        self.marks.draw_choices()
        self.set_levels()

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


def shown_of(feed: RunFeed) -> tuple[tuple[str, str, str], ...]:
    """Return plane, title and unit of the maps a run has."""
    return (*SHOWN, K_F_CENTRE) if feed.follows_k_f else SHOWN


def gap_title(start: Mapping[str, Any]) -> str:
    """Return what the map of the gap is called: with the Fermi-surface angle where the run knows it.

    Parameters
    ----------
    start : mapping
        Start document; ``momentum`` has ``phi``, deg, of each window.

    Examples
    --------
    >>> gap_title({"momentum": {"phi": [12.04, 12.02]}})
    'spectral gap at k_F, phi = 12.0°'
    >>> gap_title({})
    'spectral gap at k_F'
    """
    phi = (start.get("momentum") or {}).get("phi")
    if phi is None or not np.isfinite(angles := np.atleast_1d(np.asarray(phi, dtype=np.float64))).all():
        return "spectral gap at k_F"
    told = dict.fromkeys(f"{angle:.1f}\N{DEGREE SIGN}" for angle in angles)
    return f"spectral gap at k_F, phi = {', '.join(told)}"
