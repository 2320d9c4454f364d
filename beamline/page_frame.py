"""The frame of a pixel on the page: energy against angle, with the k_F windows on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BoxAnnotation, ColumnDataSource, LinearColorMapper, Range1d, Span
from numpy.typing import NDArray

from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_style import PageStyle, new_figure

#: Neighbouring channels summed for the screen, along angle and energy.
BINNING = 2


class FramePanel:
    """E against angle of the chosen pixel."""

    def __init__(self, choices: Choices, style: PageStyle) -> None:
        self.choices, self.feed = choices, choices.feed
        start = self.feed.start or {}
        self.angle = np.asarray(start["angle_axis"], dtype=np.float64)
        self.energy = 1000.0 * (np.asarray(start["energy_axis"]) - float(np.mean(start["calibration"]["ef"])))
        x, y = edges(self.angle), edges(self.energy)
        self.figure = new_figure(
            style,
            "frame",
            min_border_left=80,
            x_range=Range1d(*x),
            y_range=Range1d(max(y[0], -250.0), y[1]),
            name="frame",
        )
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "angle (deg)", "E \N{MINUS SIGN} E_F (meV)"
        self.figure.grid.grid_line_color, self.figure.yaxis.ticker.desired_num_ticks = None, 4
        palette = "Greys256" if style.name == "dark" else [f"#{v:02x}{v:02x}{v:02x}" for v in range(255, -1, -1)]
        self.mapper = LinearColorMapper(palette=palette, low=0.0, high=1.0)
        self.source = ColumnDataSource({"image": []})
        self.figure.image(
            image="image", x=x[0], y=y[0], dw=x[1] - x[0], dh=y[1] - y[0], color_mapper=self.mapper, source=self.source
        )
        self.figure.add_layout(
            Span(location=0.0, dimension="width", line_color=style.accent, line_dash="dashed", line_width=2)
        )
        self.windows = [self._window(window, style) for window in start["windows"]]
        self._shown: Any = None

    def _window(self, window: dict[str, Any], style: PageStyle) -> BoxAnnotation:
        box = BoxAnnotation(
            left=window["angle_low"], right=window["angle_high"], fill_color=style.second, fill_alpha=0.15,
            line_color=style.second, line_width=2, name=f"window {window['name']}",
        )  # fmt: skip
        self.figure.add_layout(box)
        return box

    def update(self) -> None:
        """Show the frame of the chosen pixel."""
        pixel = self.choices.pixel
        if pixel is None or pixel == self._shown:
            return
        frame = self.feed.frame(pixel)
        if frame is None:
            self.figure.title.text = f"frame of pixel {pixel}: none stored yet"
            self.source.data = {"image": []}
            return
        self._shown = pixel
        image = shown(frame)
        self.mapper.update(low=0.0, high=max(float(np.percentile(image, 99.8)), 1e-3))
        self.figure.title.text = f"frame of pixel {pixel}, {int(frame.sum()):,} counts"
        self.source.data = {"image": [image]}


def edges(axis: NDArray[np.float64]) -> tuple[float, float]:
    """Return the outer borders of the channels of an axis, in ascending order."""
    half = 0.5 * abs(float(axis[-1] - axis[0])) / max(len(axis) - 1, 1)
    return float(axis.min()) - half, float(axis.max()) + half


def shown(frame: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return what is drawn of a frame [n_angle, n_energy]: sums of 2 x 2 channels, their root, energy upwards."""
    n_angle, n_energy = (length // BINNING * BINNING for length in frame.shape)
    sums = (
        frame[:n_angle, :n_energy].reshape(n_angle // BINNING, BINNING, n_energy // BINNING, BINNING).sum(axis=(1, 3))
    )
    image: NDArray[np.float32] = np.sqrt(np.maximum(sums, 0)).T.astype(np.float32)
    return image
