"""One viewer's page: the panels, what the viewer chooses on it, and the clock that brings it up to date."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bokeh.document import Document as BokehDocument
from bokeh.models import Div

from microarpes.beamline.kept_mask import MASK_FILE, starting_mask
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_controls import ViewControls
from microarpes.beamline.page_findings import Findings, FindingsThread
from microarpes.beamline.page_frame import FramePanel
from microarpes.beamline.page_header import Header, findings_html, pixel_html
from microarpes.beamline.page_maps import Maps
from microarpes.beamline.page_mask import MaskKeeper
from microarpes.beamline.page_operator import EngineWatch, OperatorPanel
from microarpes.beamline.page_pace import BrowserPace
from microarpes.beamline.page_region_sums import RegionSums
from microarpes.beamline.page_regions import RegionsPanel
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_spectrum import SpectrumFits, SpectrumPanel
from microarpes.beamline.page_statistics import StatisticsPanel
from microarpes.beamline.page_style import STYLES
from microarpes.beamline.page_time_line import TimeLinePanel
from microarpes.beamline.page_windows import WindowsPanel, tried_html

logger = logging.getLogger(__name__)

#: Milliseconds between two looks at the run.
TICK = 50
#: Seconds between two signs of life.
BEAT = 2.0


@dataclass
class Task:
    """Something to bring up to date every so often, s."""

    call: Callable[[], None]
    every: float
    due: float = field(default=0.0)


class Page:
    """The page of one viewer.

    Parameters
    ----------
    doc : bokeh Document
    feed : RunFeed
        Shared by all viewers of the run; its start document must have been read.
    fits : SpectrumFits
    findings : FindingsThread
        Of the run, shared as well.
    engine : EngineWatch
    operator : OperatorPanel or None
        None where nothing can be controlled from the page.
    theme : str
        ``light`` or ``dark``.
    viewers : callable
        How many look at the moment: each is served the more rarely, so that all of them keep up.
    clock : callable
        Seconds since the epoch, of this machine and never of the viewer's.
    """

    def __init__(
        self,
        doc: BokehDocument,
        feed: RunFeed,
        fits: SpectrumFits,
        findings: FindingsThread,
        engine: EngineWatch,
        operator: OperatorPanel | None,
        theme: str,
        viewers: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        style, self.theme, self._viewers = STYLES[theme], theme, viewers
        self.feed, self.fits, self.findings, self.clock = feed, fits, findings, clock
        self.choices = Choices(feed)
        self._kept_at = self._mask_time()
        self.choices.begin_with(starting_mask(feed.folder))
        self.header, self.operator = Header(self.choices, engine.state_of), operator
        self.maps = Maps(self.choices, style)
        self.spectrum = SpectrumPanel(self.choices, style, fits)
        self.frame = FramePanel(self.choices, style)
        self.windows = WindowsPanel(self.choices, style, self.frame, self.spectrum, fits, operator)
        self.sums = RegionSums(self.choices)
        self.regions = RegionsPanel(self.choices, style, self.sums)
        self.statistics = StatisticsPanel(self.choices, style, self.sums)
        self.time_line = TimeLinePanel(feed, style)
        self.controls = ViewControls(self.choices, self.maps, theme)
        names = ("head", "beat", "findings", "legend", "pixel", "tried", "numbers", "regions")
        self.texts = {name: text_div(name) for name in names}
        self._add_roots(doc)
        self.pace = BrowserPace(doc, self.texts["beat"])
        self._show = Task(self._show_pixel, 0.7)
        self._map = Task(self.maps.update, 0.1)
        self.panels = [
            self._show, Task(self.windows.update, 0.2), Task(self._write, 0.5), Task(self.maps.update_others, 1.0),
            Task(self._compare, 1.0), Task(self.statistics.update, 1.5), Task(self.time_line.update, 2.0),
            Task(self._reckon, 3.0), Task(self._see_mask, 3.0),
        ]  # fmt: skip
        self.feed.advance()
        for task in (self._map, *self.panels):
            task.call()
        self.choices.watch(self._hasten)
        doc.add_periodic_callback(self.tick, TICK)

    def _show_pixel(self) -> None:
        """Bring all that is shown of one pixel up to date together: cursor, EDC, frame, words."""
        self.choices.keep_up()
        self.maps.marks.draw_cursor()
        self.spectrum.update()
        self.frame.update()
        self._put("pixel", pixel_html(self.choices, self.spectrum.text))

    def _hasten(self) -> None:
        self._show.due = 0.0

    def _add_roots(self, doc: BokehDocument) -> None:
        roots: dict[str, Any] = {f"map_{name}": plot for name, plot in self.maps.figures.items()}
        roots |= {"edc": self.spectrum.figure, "residuals": self.spectrum.residuals, "frame": self.frame.figure}
        roots |= {"histogram": self.statistics.histogram, "scatter": self.statistics.scatter}
        roots["regions"] = self.regions.figure
        roots |= {f"time_{number}": plot for number, plot in enumerate(self.time_line.figures)}
        roots |= {f"text_{name}": div for name, div in self.texts.items()}
        roots |= self.controls.roots | self.windows.roots
        if self.operator is not None:
            self.texts["operator"] = roots["text_operator"] = text_div("operator")
            roots |= self.operator.roots | MaskKeeper(self.choices, self.operator, self.theme).roots
        # Looked through once for what is in them, not once more for each root: that is most of the time a page takes.
        with doc.models.freeze():
            for name, model in roots.items():
                model.name = name
                doc.add_root(model)

    def tick(self) -> None:
        """Bring the large map up to date, and the panel that has waited longest, once the last one is drawn.

        One at a time: a browser draws the pixels that come meanwhile only when it has drawn what it was sent before.
        """
        self.feed.advance()
        now = time.monotonic()
        if now >= self._map.due:
            self._bring(self._map, now)
        due = [task for task in self.panels if now >= task.due]
        if due and self.pace.keeps_up:
            first = min(due, key=lambda task: task.due)
            self.pace.watch(lambda: self._bring(first, now))

    def _bring(self, task: Task, now: float) -> None:
        task.call()
        task.due = now + task.every * max(self._viewers(), 1)

    def close(self) -> None:
        """Let the threads of this viewer end."""
        self.windows.close()
        if self.operator is not None:
            self.operator.close()

    def _reckon(self) -> None:
        self.findings.refresh(self.fits.ready.is_set())

    def _mask_time(self) -> int:
        try:
            return (self.feed.folder / MASK_FILE).stat().st_mtime_ns
        except OSError:
            return 0

    def _see_mask(self) -> None:
        """Learn of a mask that was kept on another page; what is masked on this one stays its viewer's choice."""
        if (found := self._mask_time()) != self._kept_at:
            self._kept_at = found
            self.choices.kept = starting_mask(self.feed.folder)

    def _compare(self) -> None:
        self.regions.update(self.fits.ready.is_set())

    def _write(self) -> None:
        self.controls.update()
        for name, text in self._written(self.findings.latest):
            self._put(name, text)

    def _put(self, name: str, text: str) -> None:
        if self.texts[name].text != text:
            self.texts[name].update(text=text, visible=bool(text))

    def _written(self, found: Findings | None) -> Iterator[tuple[str, str]]:
        """Yield the texts of the page by name."""
        yield "head", self.header.html(self.clock())
        # By this the page knows that it is still served, and not only that a server is there.
        yield "beat", str(int(self.clock() / BEAT))
        yield "findings", findings_html(found, self.feed.start or {})
        yield "legend", self.header.legend()
        yield "tried", tried_html(self.windows.text)
        yield "numbers", self.statistics.text + (f"<p>{found.correlation_line()}</p>" if found else "")
        yield "regions", self.regions.html()
        if self.operator is not None:
            yield "operator", self.operator.html()


def text_div(name: str) -> Div:
    """Return an empty piece of text; its letters come from the page's own style sheet."""
    from bokeh.models import ImportedStyleSheet

    return Div(text="", visible=False, css_classes=[name], stylesheets=[ImportedStyleSheet(url="/assets/page.css")])
