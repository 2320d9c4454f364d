"""The time line of the page: E_F, ring current, temperature, pressure, and where points were refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BasicTickFormatter, ColumnDataSource, DataRange1d

from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_style import PageStyle, new_figure, style_axis

#: Points of a line on the screen.
MOST = 600
LINES = (
    ("ef", "E_F (eV)"),
    ("ring_current", "ring (mA)"),
    ("sample_temperature", "T (K)"),
    ("pressure", "p (mbar)"),
)


class TimeLinePanel:
    """Four narrow figures on one time axis."""

    def __init__(self, feed: RunFeed, style: PageStyle) -> None:
        self.feed = feed
        shared = DataRange1d(range_padding=0.02)
        self.sources = {name: ColumnDataSource({"time": [], "value": []}) for name, _ in LINES}
        self.refused = ColumnDataSource({"time": [], "value": []})
        self.figures = []
        for name, label in LINES:
            plot = new_figure(
                style, "", 590, 44, min_border_left=130, x_range=shared, x_axis_type="datetime", name=f"time {name}"
            )
            plot.step("time", "value", source=self.sources[name], line_color=style.accent, line_width=2, mode="after")
            plot.yaxis.axis_label, plot.yaxis.ticker.desired_num_ticks = label, 3
            plot.yaxis.axis_label_text_font_size = "13px"
            plot.yaxis.axis_label_orientation = "horizontal"
            plot.yaxis.formatter = BasicTickFormatter(precision=1 if name == "pressure" else 3)
            plot.xaxis.visible = name == LINES[-1][0]
            self.figures.append(plot)
        self.figures[1].scatter(
            "time", "value", source=self.refused, marker="x", size=11, line_color=style.alarm, line_width=2,
        )  # fmt: skip
        style_axis(self.figures[-1].xaxis[0], style)
        self._length = -1

    def update(self) -> None:
        """Draw what has been measured so far."""
        history = self.feed.history
        length = len(history["time"])
        if length == self._length or not length:
            return
        self._length = length
        time = 1000.0 * np.asarray(history["time"])
        kept = np.unique(np.linspace(0, length - 1, min(MOST, length)).astype(int))
        for name, _ in LINES[1:]:
            self.sources[name].data = {"time": time[kept], "value": np.asarray(history[name])[kept]}
        self.sources["ef"].data = fermi_energies(self.feed, time[-1])
        refused = np.flatnonzero(np.asarray(history["attempt"]) > 1)
        self.refused.data = {"time": time[refused], "value": np.asarray(history["ring_current"])[refused]}


def fermi_energies(feed: RunFeed, until: float) -> dict[str, Any]:
    """Return the reference E_F (eV kinetic, mean of the windows) as it held, up to a time in ms."""
    times = [1000.0 * record["since"] for record in feed.calibrations]
    values = [float(np.mean(record["ef"])) for record in feed.calibrations]
    return {"time": [*times, max(until, times[-1])], "value": [*values, values[-1]]}
