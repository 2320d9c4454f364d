"""A browser is sent the next panel when it has drawn the last one, or does not say whether it has."""

import pytest
from bokeh.document import Document
from bokeh.models import Div

from microarpes.beamline.page_pace import PATIENCE, BrowserPace


class Viewer:
    """A page of one piece of text, its browser and a clock."""

    def __init__(self):
        self.now, self.doc, self.text = 100.0, Document(), Div(text="")
        self.doc.add_root(self.text)
        self.pace = BrowserPace(self.doc, self.text, clock=lambda: self.now)

    def write(self, text):
        self.pace.watch(lambda: self.text.update(text=text))

    def draws(self):
        model = self.doc.get_model_by_name("drawn")
        model.end = model.start


@pytest.fixture
def viewer():
    return Viewer()


def test_what_was_sent_is_to_be_drawn_before_more_is_sent(viewer):
    assert viewer.pace.keeps_up
    viewer.write("a panel")
    assert not viewer.pace.keeps_up
    viewer.draws()
    assert viewer.pace.keeps_up


def test_a_browser_that_drew_only_what_was_before_does_not_keep_up(viewer):
    viewer.write("a panel")
    viewer.write("another")
    viewer.doc.get_model_by_name("drawn").end = 1
    assert not viewer.pace.keeps_up


def test_what_changes_nothing_is_not_waited_for(viewer):
    viewer.write("a panel")
    viewer.draws()
    viewer.write("a panel")
    assert viewer.pace.keeps_up


def test_a_browser_that_is_hidden_draws_nothing_and_is_sent_on(viewer):
    viewer.write("a panel")
    viewer.now += 0.9 * PATIENCE
    assert not viewer.pace.keeps_up
    viewer.now += 0.2 * PATIENCE
    assert viewer.pace.keeps_up
