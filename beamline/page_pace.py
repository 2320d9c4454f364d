"""Whether a browser has drawn what it was sent: one that is slow, or far away, is sent less, and the map first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bokeh.document import Document as BokehDocument
from bokeh.model import Model
from bokeh.models import Range1d

#: Seconds after which a browser that does not answer is sent on: it may be hidden, and draws nothing.
PATIENCE = 2.0


class BrowserPace:
    """Tells whether the browser of a page keeps up.

    Parameters
    ----------
    doc : bokeh Document
        Of the page.
    carrier : bokeh Model
        A root of it, which carries what the browser answers by: a browser draws every root.
    clock : callable
        Seconds.
    """

    def __init__(self, doc: BokehDocument, carrier: Model, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._asked = clock, 0.0
        self._changes = 0
        # What was sent and what is drawn, two numbers in a model that is never shown; page.js answers.
        self.model = Range1d(start=0, end=0, name="drawn")
        carrier.tags = [self.model]
        doc.on_change(self._changed)

    def _changed(self, _: Any) -> None:
        self._changes += 1

    @property
    def keeps_up(self) -> bool:
        """Whether all that was asked for is drawn, or the browser does not say so."""
        return bool(self.model.end >= self.model.start) or self._clock() - self._asked > PATIENCE

    def watch(self, call: Callable[[], None]) -> None:
        """Do something that may change the page, and if it has, ask the browser to say when that is drawn."""
        before = self._changes
        call()
        if self._changes != before:
            self._asked = self._clock()
            self.model.start += 1
