"""What a viewer waits for who opens the page."""

from __future__ import annotations

from bokeh.document import Document
from bokeh.document.models import DocumentModelManager

from microarpes.beamline.page import Page
from microarpes.beamline.page_server import Runs
from microarpes.beamline.page_spectrum import SpectrumFits


def test_what_is_on_a_page_is_looked_through_once_and_not_once_for_each_root(fitted_raster, monkeypatch):
    # 600 models on 39 roots: to look through all of them each time a root is added took most of the opening.
    monkeypatch.setattr(SpectrumFits, "_warm_up", lambda self: None)
    looked, recompute = [], DocumentModelManager.recompute
    monkeypatch.setattr(DocumentModelManager, "recompute", lambda self: looked.append(1) or recompute(self))
    runs, doc = Runs(fitted_raster.directory), Document()
    feed = runs.feed(fitted_raster.uid)
    page = Page(doc, feed, SpectrumFits(), runs.findings(feed), runs.engine, None, "light")
    try:
        assert doc.get_model_by_name("map_delta") in doc.roots
        # what is drawn first replaces some models
        assert len(looked) < 5 < len(doc.roots)
    finally:
        page.close()
