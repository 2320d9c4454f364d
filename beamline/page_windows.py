"""Other k_F windows on the page: dragged on the frame or typed, previewed on the EDC, saved for a later run."""

from __future__ import annotations

import html
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from bokeh.models import (
    BoxAnnotation,
    Button,
    CheckboxGroup,
    Column,
    ColumnDataSource,
    Div,
    ImportedStyleSheet,
    NumericInput,
    Row,
    TextAreaInput,
    TextInput,
)

from microarpes.beamline.moved_windows import WindowError
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_frame import FramePanel, edges
from microarpes.beamline.page_operator import OperatorPanel
from microarpes.beamline.page_preview import Measured, PreviewThread, tried_windows
from microarpes.beamline.page_run import Document
from microarpes.beamline.page_spectrum import PixelSpectrum, SpectrumFits, SpectrumPanel, columns
from microarpes.beamline.page_style import PageStyle
from microarpes.beamline.window_file import SaveRefused, save_windows, windows_toml
from microarpes.devices.region import AngleWindow

#: Part of the frame's width below which an edge was not dragged: far less than a pixel of a screen.
ROUNDING = 1e-6
#: What is drawn of a preview.
DRAWN = ("energy", "counts", "model")
NOTHING = {name: np.empty(0) for name in DRAWN}


class WindowsPanel:
    """The windows that one viewer tries; nothing here changes the run.

    Parameters
    ----------
    choices : Choices
    style : PageStyle
    frame, spectrum : FramePanel and SpectrumPanel
        On which the windows and their preview are drawn.
    fits : SpectrumFits
        Tells when the fit is compiled.
    operator : OperatorPanel or None
        Who may save; without one the text is shown to be copied.

    Attributes
    ----------
    edges : list of [low, high]
        Of each window, deg; None where no number is given.
    text : str
        The preview as a line, or why there is none.
    """

    def __init__(
        self,
        choices: Choices,
        style: PageStyle,
        frame: FramePanel,
        spectrum: SpectrumPanel,
        fits: SpectrumFits,
        operator: OperatorPanel | None,
    ) -> None:
        self.choices, self.feed, self.operator = choices, choices.feed, operator
        self.start: Document = self.feed.start or {}
        self.text = ""
        self.edges: list[list[float | None]] = []
        self._limits = edges(frame.angle)
        self._previews = PreviewThread(fits.ready)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="save windows")
        self._saving: Future[str] | None = None
        self._asked: tuple[Any, ...] = ()
        self._measured: Measured | None = None
        self._pixel: int | None = None
        self._look: dict[str, Any] = {
            "stylesheets": [ImportedStyleSheet(url="/assets/page.css")],
            "css_classes": [style.name],
        }
        self.boxes = [self._box(i, window, frame, style) for i, window in enumerate(self.start["windows"])]
        self.inputs = [self._inputs(i, str(window["name"])) for i, window in enumerate(self.start["windows"])]
        self.sources = [_curves(spectrum, colour) for colour, _ in zip(_colours(style), self.boxes, strict=False)]
        self._add_widgets()
        self._reset()

    def _box(self, i: int, window: Document, frame: FramePanel, style: PageStyle) -> BoxAnnotation:
        box = BoxAnnotation(
            left=window["angle_low"], right=window["angle_high"], left_limit=self._limits[0],
            right_limit=self._limits[1], editable=True, movable="x", resizable="x", visible=False,
            fill_color=style.accent, fill_alpha=0.08, hover_fill_color=style.accent, hover_fill_alpha=0.25,
            line_color=style.accent, line_alpha=1.0, hover_line_color=style.ink, hover_line_alpha=1.0, line_width=2,
            line_dash=[6, 4], hover_line_dash=[6, 4], hover_line_width=3, name=f"tried window {window['name']}",
        )  # fmt: skip
        for edge in ("left", "right"):
            box.on_change(edge, partial(self._dragged, i))
        frame.figure.add_layout(box)
        return box

    def _inputs(self, i: int, name: str) -> tuple[NumericInput, NumericInput]:
        made = []
        for edge, word in enumerate(("low", "high")):
            widget = NumericInput(
                title=f"{name} {word} (deg)", mode="float", width=128, format="0.[0000]", name=f"try_{word}_{i}",
                **self._look,
            )  # fmt: skip
            widget.on_change("value", partial(self._typed, i, edge))
            made.append(widget)
        return made[0], made[1]

    def _add_widgets(self) -> None:
        self.shown = CheckboxGroup(labels=["try other windows"], active=[], name="try_shown", **self._look)
        self.shown.on_change("active", self._show)
        self.reset = Button(label="as in the run", width=130, name="try_reset", **self._look)
        self.reset.on_click(self._reset)
        self.name = TextInput(title="save as", width=200, name="try_name", **self._look)
        self.save = Button(label="save for the next run", width=200, name="try_save", **self._look)
        self.save.on_click(self._save)
        self.said = Div(text="", name="try_said", styles={"max-width": "640px"}, **self._look)
        self.toml = TextAreaInput(
            title="for map --windows FILE", rows=7, width=480, name="try_toml", max_length=None, **self._look
        )
        pairs = [self.inputs[i : i + 2] for i in range(0, len(self.inputs), 2)]
        rows = [Row(children=[widget for one in pair for widget in one], styles={"gap": "8px"}) for pair in pairs]
        saving = [self.toml] if self.operator is None else [self.name, self.save]
        last = Row(children=[*saving, self.reset], styles={"gap": "8px", "align-items": "end"})
        self.panel = Column(children=[*rows, last, self.said], visible=False)

    @property
    def roots(self) -> dict[str, Any]:
        """Widgets by name."""
        return {"try_shown": self.shown, "try_panel": self.panel}

    def _show(self, attr: str, old: list[int], active: list[int]) -> None:
        self.panel.visible = bool(active)
        for box in self.boxes:
            box.visible = bool(active)
        self.update()

    def _reset(self) -> None:
        """Put the windows back where the run has them."""
        self.edges = [[float(window["angle_low"]), float(window["angle_high"])] for window in self.start["windows"]]
        for i in range(len(self.edges)):
            self._show_edges(i)

    def _dragged(self, i: int, attr: str, old: Any, new: Any) -> None:
        """Take the edges of a box; it may have been turned inside out."""
        box, known = self.boxes[i], self.edges[i]
        found = sorted(np.clip([float(box.left), float(box.right)], *self._limits).tolist())
        # An edge that was not dragged comes back from the screen with its last digit changed: that may cost a column.
        same = ROUNDING * (self._limits[1] - self._limits[0])
        found = [
            old if old is not None and abs(old - new) < same else new for old, new in zip(known, found, strict=True)
        ]
        if known != found:
            self.edges[i] = found
            self._show_edges(i, box_too=False)

    def _typed(self, i: int, edge: int, attr: str, old: Any, new: float | None) -> None:
        if self.edges[i][edge] != new:
            self.edges[i][edge] = None if new is None else float(new)
            self._show_edges(i)

    def _show_edges(self, i: int, box_too: bool = True) -> None:
        low, high = self.edges[i]
        for widget, value in zip(self.inputs[i], (low, high), strict=True):
            if widget.value != value:
                widget.value = value
        first, last = self._limits
        if box_too and low is not None and high is not None and first <= low < high <= last:
            box = self.boxes[i]
            if (box.left, box.right) != (low, high):
                box.update(left=low, right=high)

    def windows(self) -> tuple[AngleWindow, ...]:
        """Return the windows that are tried.

        Raises
        ------
        WindowError
            They are none; the message says why.
        """
        return tried_windows(self.start, [(low, high) for low, high in self.edges])

    def update(self) -> None:
        """Ask for a preview when pixel or windows have changed, and show the one that is ready."""
        if self._saving is not None and self._saving.done():
            self._say(self._saving.result())
            self._saving = None
        pixel = self.choices.pixel if self.shown.active else None
        if pixel is None:
            self._empty("")
            return
        measured = (pixel, float(self.feed.planes["time"].flat[pixel]), len(self.feed.calibrations))
        state = (*measured, str(self.edges))
        if state != self._asked:
            if measured != self._asked[:-1]:
                self._measured = None
            self._asked = state
            self._ask(pixel)
        self._take(self._previews.latest())

    def _ask(self, pixel: int) -> None:
        try:
            windows = self.windows()
        except WindowError as error:
            self._empty(f"tried windows: no preview, {error}", self._asked)
            self.toml.value = ""
            return
        if self.operator is None:
            self.toml.value = self._toml(windows, pixel)
        self._measured = self._measured or Measured.of_pixel(self.feed, pixel)
        if self._measured is None:
            self._empty(f"tried windows: no frame of pixel {pixel} stored yet")  # and asked again at the next look
            return
        if pixel != self._pixel:
            self._empty("tried windows: being fitted", self._asked)
            self._pixel = pixel
        self._previews.ask(self._measured, windows)

    def _take(self, found: PixelSpectrum | str | None) -> None:
        if isinstance(found, str):
            self._empty(f"tried windows: no preview, {found}", self._asked)
        elif found is not None:
            self.text = f"tried windows: {found.text}"
            for source, *window in zip(self.sources, *found.rows, strict=True):
                drawn = columns(*window)
                source.data = {name: drawn[name] for name in DRAWN}

    def _empty(self, text: str, asked: tuple[Any, ...] = ()) -> None:
        self.text, self._asked, self._pixel = text, asked, None
        self._previews.drop()
        for source in self.sources:
            if len(source.data["energy"]):
                source.data = NOTHING

    def _toml(self, windows: tuple[AngleWindow, ...], pixel: int) -> str:
        row, column = divmod(pixel, self.feed.shape[1])
        return windows_toml(
            windows,
            (
                "k_F windows, deg, half-open [low, high); microarpes map --windows FILE takes them.",
                f"Placed on the live page on run {self.feed.uid}, pixel {pixel} (row {row}, column {column}).",
            ),
        )

    def _save(self) -> None:
        if self.operator is None or not self.operator.unlocked:
            self._say("nothing was saved: it needs the operator's token")
            return
        pixel = self.choices.pixel
        try:
            windows = self.windows()
        except WindowError as error:
            self._say(f"nothing was saved: {error}")
            return
        if pixel is None:
            self._say("nothing was saved: no pixel is measured yet")
        elif self._saving is None:
            # A directory on a slow server must not stall the page.
            self._saving = self._threads.submit(self._saved, self.name.value, self._toml(windows, pixel))

    def _saved(self, name: str, text: str) -> str:
        try:
            return f"saved as {save_windows(self.feed.folder.parent, name, text).name}"
        except SaveRefused as error:
            return f"nothing was saved: {error}"

    def _say(self, text: str) -> None:
        self.said.text = f"<p role='status'>{html.escape(text)}</p>"

    def close(self) -> None:
        """Let the viewer's threads end."""
        self._previews.close()
        self._threads.shutdown(wait=False)


def tried_html(text: str) -> str:
    """Return the line about the tried windows, as HTML."""
    return f"<p role='status'>{html.escape(text)}</p>" if text else ""


def _colours(style: PageStyle) -> list[str]:
    return [style.accent, style.second] * 32


def _curves(spectrum: SpectrumPanel, colour: str) -> ColumnDataSource:
    """Add what is drawn of one tried window: thin and broken lines, so that they are told from the measured ones."""
    source = ColumnDataSource(NOTHING)
    spectrum.figure.line("energy", "counts", source=source, line_color=colour, line_width=1, line_dash="dotted")
    spectrum.figure.line("energy", "model", source=source, line_color=colour, line_width=2, line_dash="dashed")
    return source
