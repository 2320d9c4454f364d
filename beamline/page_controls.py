"""What a viewer sets on the page: pixel, levels, palette, thresholds, regions; and the lines that open it in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Button, CheckboxGroup, ImportedStyleSheet, NumericInput, Select, TextAreaInput, TextInput

from microarpes.beamline.page_choices import LEVELS, Choices
from microarpes.beamline.page_maps import PALETTES, Maps
from microarpes.beamline.page_plan import plan_line
from microarpes.beamline.page_python import stored_lines, tiled_lines


class ViewControls:
    """Widgets of one viewer; nothing here moves anything but the picture."""

    def __init__(self, choices: Choices, maps: Maps, theme: str) -> None:
        self.choices, self.maps = choices, maps
        sheet = ImportedStyleSheet(url="/assets/page.css")
        look: dict[str, Any] = {"stylesheets": [sheet], "css_classes": [theme]}
        self.pixel = TextInput(title="pixel", value="", width=80, **look)
        self.follow = CheckboxGroup(labels=["follow the newest pixel"], active=[0], **look)
        self.levels = Select(title="levels", value="robust", options=list(LEVELS), width=100, **look)
        self.low = NumericInput(title="gap from (meV)", mode="float", width=130, **look)
        self.high = NumericInput(title="gap to (meV)", mode="float", width=130, **look)
        self.lock = CheckboxGroup(labels=["lock the levels"], active=[], **look)
        self.force = CheckboxGroup(labels=["levels below 4 x the error"], active=[], **look)
        self.palette = Select(title="colours", value="viridis", options=list(PALETTES), width=100, **look)
        self.region = Select(title="region drawn", value="A", options=["A", "B"], width=120, **look)
        self.clear = Button(label="clear regions", width=135, **look)
        self.max_error = NumericInput(title="mask error above (meV)", mode="float", width=205, **look)
        self.max_goodness = NumericInput(title="mask deviance/dof above", mode="float", width=205, **look)
        self.plan = TextAreaInput(title="region A to plan", value="", rows=2, width=330, max_length=None, **look)
        self.python, self.tiled = (
            TextAreaInput(title=title, value="", rows=6, width=620, max_length=None, **look)
            for title in ("this pixel in Python, from the run's folder", "this pixel in Python, from the catalog")
        )
        for widget, limit in ((self.max_error, choices.max_error), (self.max_goodness, choices.max_goodness)):
            widget.value = limit if np.isfinite(limit) else None
        self._connect()

    @property
    def roots(self) -> dict[str, Any]:
        """Widgets by name."""
        names = (
            "pixel follow levels low high lock force palette region clear max_error max_goodness plan python tiled"
        ).split()
        return {f"set_{name}": getattr(self, name) for name in names}

    def _connect(self) -> None:
        self.pixel.on_change("value", self._set_pixel)
        self.follow.on_change("active", self._set_follow)
        for widget, name in (
            (self.levels, "value"),
            (self.low, "value"),
            (self.high, "value"),
            (self.force, "active"),
            (self.lock, "active"),
        ):
            widget.on_change(name, self._set_levels)
        self.palette.on_change("value", self._set_palette)
        self.region.on_change("value", self._set_region)
        self.clear.on_click(self._clear)
        for widget in (self.max_error, self.max_goodness):
            widget.on_change("value", self._set_thresholds)

    def _set_pixel(self, attr: str, old: str, value: str) -> None:
        """Take a pixel number, or one of the steps that the arrow keys send."""
        steps = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
        word = value.split()[0] if value.split() else ""
        if word in steps:
            columns, rows = steps[word]
            # Keys go by what is seen, and rows or columns may run against it.
            columns *= 1 if self.maps.raster.x[-1] >= self.maps.raster.x[0] else -1
            rows *= 1 if self.maps.raster.y[-1] >= self.maps.raster.y[0] else -1
            self.choices.go(columns, rows)
        elif word.isdecimal() and int(word) != self.choices.pixel:
            self.choices.choose(int(word))
        self.update()

    def _set_follow(self, attr: str, old: list[int], active: list[int]) -> None:
        if active and not self.choices.follow:
            self.choices.follow_newest()
        elif not active and self.choices.follow and self.choices.pixel is not None:
            self.choices.choose(self.choices.pixel)

    def _set_levels(self, attr: str, old: Any, new: Any) -> None:
        self.maps.levels, self.maps.locked, self.maps.forced = (
            self.levels.value,
            bool(self.lock.active),
            bool(self.force.active),
        )
        limits = self.low.value, self.high.value
        self.maps.manual = (
            (float(limits[0]), float(limits[1])) if None not in limits and limits[0] < limits[1] else None
        )
        self.maps.set_levels()

    def _set_palette(self, attr: str, old: str, value: str) -> None:
        for mapper in self.maps.mappers.values():
            mapper.palette = PALETTES[value]

    def _set_region(self, attr: str, old: str, value: str) -> None:
        self.choices.region_drawn = value

    def _clear(self) -> None:
        for name in ("A", "B"):
            self.choices.set_region(name, None)

    def _set_thresholds(self, attr: str, old: Any, new: Any) -> None:
        error, goodness = self.max_error.value, self.max_goodness.value
        self.choices.set_thresholds(
            np.inf if error is None else float(error), np.inf if goodness is None else float(goodness)
        )

    def update(self) -> None:
        """Show what was chosen elsewhere: by a click, by the arrow keys, by drawing."""
        pixel = self.choices.pixel
        _set(self.pixel, value="" if pixel is None else str(pixel))
        _set(self.follow, active=[0] if self.choices.follow else [])
        _set(self.plan, value=plan_line(self.choices.feed.start or {}, self.maps.raster, self.choices.regions.get("A")))
        measured = pixel is not None and self.choices.feed.status.flat[pixel] != ""
        for widget, lines in ((self.python, stored_lines), (self.tiled, tiled_lines)):
            _set(widget, value=lines(self.choices.feed, pixel) if measured and pixel is not None else "")


def _set(widget: Any, **values: Any) -> None:
    for name, value in values.items():
        if getattr(widget, name) != value:
            setattr(widget, name, value)
