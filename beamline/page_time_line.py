"""The time line of the page: reference E_F, ring, temperature, pressure, refused points and interruptions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import BasicTickFormatter, ColumnDataSource, DataRange1d, HoverTool

from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_style import PageStyle, new_figure
from microarpes.beamline.progress import clock

#: Points of a line on the screen.
MOST = 600
LINES = (
    ("ef", "reference E_F (meV)"),
    ("ring_current", "ring (mA)"),
    ("sample_temperature", "T (K)"),
    ("pressure", "p (mbar)"),
)
#: What is told of an interruption under the pointer.
TOLD = (("interrupted", "@reason"), ("by", "@guard"), ("began", "@when"), ("for", "@lasted"))


class TimeLinePanel:
    """Four narrow figures on one time axis.

    Parameters
    ----------
    feed : RunFeed
    style : PageStyle
    """

    def __init__(self, feed: RunFeed, style: PageStyle) -> None:
        self.feed = feed
        shared = DataRange1d(range_padding=0.02)
        self.sources = {name: ColumnDataSource({"time": [], "value": []}) for name, _ in LINES}
        self.references = ColumnDataSource(reference_points((), 0.0))
        self.refused = ColumnDataSource({"time": [], "value": []})
        self.interruptions = ColumnDataSource(interruption_spans((), 0.0))
        self.figures = [self._figure(name, label, shared, style) for name, label in LINES]
        self.figures[0].segment(
            "time", "low", "time", "high", source=self.references, line_color=style.second, line_width=2
        )
        self.figures[0].scatter("time", "value", source=self.references, size=7, color=style.second)
        self.figures[1].scatter(
            "time", "value", source=self.refused, marker="x", size=11, line_color=style.alarm, line_width=2,
        )  # fmt: skip
        # Bokeh writes the hour of Greenwich.
        self._local = float(time.localtime((feed.start or {})["time"]).tm_gmtoff)
        self._drawn: tuple[int, ...] = ()

    def _figure(self, name: str, label: str, shared: DataRange1d, style: PageStyle) -> Any:
        plot = new_figure(style, "", min_border_left=220, x_range=shared, x_axis_type="datetime", name=f"time {name}")
        spans = plot.vstrip(
            "began", "ended", source=self.interruptions, fill_color=style.alarm, fill_alpha=0.12,
            line_color=style.alarm, hatch_pattern="right_diagonal_line", hatch_color=style.alarm, hatch_scale=7,
            hatch_weight=1, name=f"interruptions {name}",
        )  # fmt: skip
        plot.add_tools(HoverTool(renderers=[spans], tooltips=list(TOLD)))
        plot.step("time", "value", source=self.sources[name], line_color=style.accent, line_width=2, mode="after")
        plot.yaxis.axis_label, plot.yaxis.ticker.desired_num_ticks = label, 1
        plot.yaxis.axis_label_orientation = "horizontal"
        plot.yaxis.formatter = BasicTickFormatter(precision=1 if name == "pressure" else 3)
        plot.xaxis.formatter.context = None  # the day is in the title of the page
        plot.xaxis.visible = name == LINES[-1][0]
        return plot

    def update(self) -> None:
        """Draw what is new since the last call."""
        history, calibrations = self.feed.history, self.feed.calibrations
        interruptions = self.feed.interruptions
        length = len(history["time"])
        state = (length, len(calibrations), len(interruptions), self.feed.resets)
        if state == self._drawn or not length:
            return
        self._drawn = state
        times = 1000.0 * (np.asarray(history["time"]) + self._local)
        kept = np.unique(np.linspace(0, length - 1, min(MOST, length)).astype(int))
        for name, _ in LINES[1:]:
            self.sources[name].data = {"time": times[kept], "value": np.asarray(history[name])[kept]}
        points = reference_points(calibrations, self._local)
        self.references.data = points
        self.sources["ef"].data = {
            "time": np.append(points["time"], max(times[-1], points["time"][-1])),
            "value": np.append(points["value"], points["value"][-1]),
        }
        self.interruptions.data = interruption_spans(interruptions, self._local)
        refused = np.flatnonzero(np.asarray(history["attempt"]) > 1)
        self.refused.data = {"time": times[refused], "value": np.asarray(history["ring_current"])[refused]}


def reference_points(calibrations: Sequence[Mapping[str, Any]], local: float) -> dict[str, Any]:
    """Return what is drawn of the reference E_F.

    Parameters
    ----------
    calibrations : sequence of mapping
        Records with ``ef`` and ``ef_error`` [n_window] (eV) and ``since`` (s); the first is the start document's.
    local : float
        What the clock here is ahead of Greenwich's, s.

    Returns
    -------
    dict
        ``time`` (ms), and ``value``, ``low`` and ``high`` (meV), relative to the first record. The mean over the
        windows, with the mean of their errors: one measurement gives them all, so that they err together.
    """
    if not calibrations:
        return {name: np.empty(0) for name in ("time", "value", "low", "high")}
    value = 1000.0 * np.array([float(np.mean(record["ef"])) for record in calibrations])
    error = 1000.0 * np.array([float(np.mean(record.get("ef_error", np.nan))) for record in calibrations])
    value = value - value[0]
    since = 1000.0 * np.array([float(record["since"]) + local for record in calibrations])
    return {"time": since, "value": value, "low": value - error, "high": value + error}


def interruption_spans(interruptions: Sequence[Mapping[str, Any]], local: float) -> dict[str, Any]:
    """Return what is drawn and told of interruptions: ``began`` and ``ended`` (ms), and words for the pointer.

    `local` is what the clock here is ahead of Greenwich's, s.
    """
    began = np.array([float(one["began"]) for one in interruptions])
    lasted = np.array([float(one["duration"]) for one in interruptions])
    return {
        "began": 1000.0 * (began + local),
        "ended": 1000.0 * (began + lasted + local),
        "reason": [str(one["reason"]) for one in interruptions],
        "guard": [str(one["guard"]) for one in interruptions],
        "when": [time.strftime("%H:%M:%S", time.localtime(moment)) for moment in began],
        "lasted": [clock(float(duration)) for duration in lasted],
    }
