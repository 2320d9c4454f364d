"""Colours, letters and empty figures of the page, in light and in dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bokeh.plotting import figure


@dataclass(frozen=True)
class PageStyle:
    """Colours of one theme; contrast of letters on the panel is at least 7 to 1.

    Attributes
    ----------
    name : str
        ``light`` or ``dark``.
    panel, ink, faint, accent, second, alarm : str
        Panel, letters, lines of axes and hatches, what is measured, what is fitted, what is wrong.
    """

    name: str
    panel: str
    ink: str
    faint: str
    grid: str
    accent: str
    second: str
    alarm: str


#: Of axes and ticks: read from three metres on a screen of 24 inches.
LETTERS = "16px"
STYLES = {
    "light": PageStyle("light", "#ffffff", "#1b1f24", "#6a737d", "#d9dee3", "#1f5fa8", "#b3470f", "#b3131b"),
    "dark": PageStyle("dark", "#14181d", "#eef1f4", "#9aa5b1", "#343b43", "#6db3f8", "#ffa661", "#ff7b82"),
}


def new_figure(style: PageStyle, title: str, frame: tuple[int, int] | None = None, **options: Any) -> Any:
    """Return an empty figure in the style of the page, as large as its place on the page.

    `frame` is the width and height of the frame, px, where it does not follow its place.
    """
    options = {"tools": "", "toolbar_location": None, "min_border": 4, **options}
    size: dict[str, Any] = {"sizing_mode": "stretch_both"}
    if frame is not None:
        size = {"frame_width": frame[0], "frame_height": frame[1]}
    plot = figure(title=title, **size, **options)
    plot.background_fill_color = plot.border_fill_color = style.panel
    plot.outline_line_color = style.faint
    plot.title.text_color, plot.title.text_font_size = style.ink, "17px"
    plot.title.text_font_style = "bold"
    plot.toolbar.logo = None
    for axis in (*plot.xaxis, *plot.yaxis):
        style_axis(axis, style)
    plot.grid.grid_line_color = style.grid
    return plot


def style_axis(axis: Any, style: PageStyle) -> None:
    """Give an axis the letters and lines of the page."""
    axis.axis_label_text_color = axis.major_label_text_color = style.ink
    axis.axis_label_text_font_size, axis.major_label_text_font_size = LETTERS, LETTERS
    axis.axis_label_text_font_style = "normal"
    axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = style.faint


def style_legend(legend: Any, style: PageStyle) -> None:
    """Give the legend of a figure the letters of the page, and no box."""
    legend.background_fill_alpha, legend.border_line_color = 0.0, None
    legend.label_text_color, legend.label_text_font_size = style.ink, LETTERS
    legend.padding, legend.spacing, legend.margin = 0, 0, 4
    legend.glyph_width, legend.glyph_height, legend.label_standoff = 18, 18, 4


def style_colour_bar(bar: Any, style: PageStyle) -> None:
    """Give a colour bar the letters and lines of the page."""
    bar.background_fill_color = style.panel
    bar.title_text_color = bar.major_label_text_color = style.ink
    bar.title_text_font_size, bar.major_label_text_font_size = LETTERS, LETTERS
    bar.title_text_font_style = "normal"
    bar.bar_line_color = bar.major_tick_line_color = style.faint
