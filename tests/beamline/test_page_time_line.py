"""Interruptions, reference energies, and what the gap and its spread are called on the page: from documents alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from microarpes.analysis import intrinsic_spread
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_header import Header
from microarpes.beamline.page_maps import gap_title
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_statistics import intrinsic_text, moments
from microarpes.beamline.page_style import STYLES
from microarpes.beamline.page_time_line import TimeLinePanel


def feed_of(raster):
    feed = RunFeed(raster.folder)
    while feed.advance():
        pass
    return feed


def interrupted(raster, *interruptions):
    """The documents of a raster with interruptions before the last point."""
    documents = list(raster.documents())
    place = max(i for i, (name, _) in enumerate(documents) if name == "event")
    keys = {"uid": "interruptions-uid", "run_start": raster.uid, "name": "interruptions", "data_keys": {}}
    events = [
        ("event", raster.event("interruptions", number, data.get("began", raster.time), data))
        for number, data in interruptions
    ]
    return [*documents[:place], ("descriptor", keys), *events, *documents[place:]]


def test_interruptions_are_drawn_as_spans_and_counted_at_the_top(own_raster):
    began = own_raster.time + 5.25
    beam = {"reason": "ring current 0.4 mA is below 200 mA", "guard": "ring", "began": began, "duration": 40.5}
    by_hand = {"reason": "asked for", "guard": "operator", "began": began + 60, "duration": 25.0}
    # The second is written twice, as after a kill: the later of one number counts.
    own_raster.write(interrupted(own_raster, (1, beam), (2, by_hand | {"duration": 1.0}), (2, by_hand)))
    feed = feed_of(own_raster)
    panel = TimeLinePanel(feed, STYLES["light"])
    panel.update()
    drawn, ahead = panel.interruptions.data, time.localtime(own_raster.time).tm_gmtoff
    assert (np.asarray(drawn["began"]) / 1000 - ahead).tolist() == pytest.approx([began, began + 60])
    assert (np.asarray(drawn["ended"]) - drawn["began"]).tolist() == pytest.approx([40500, 25000])
    assert drawn["reason"] == [beam["reason"], "asked for"]
    assert drawn["guard"] == ["ring", "operator"]
    for figure in panel.figures:  # on every line, hatched, so that no colour is needed
        (spans,) = [one for one in figure.renderers if str(one.name).startswith("interruptions")]
        assert spans.data_source is panel.interruptions
        assert spans.glyph.hatch_pattern == "right_diagonal_line"
    # 40.5 s and 25 s are 1 min 5.5 s
    assert "2 interruptions, 00:01:06" in Header(Choices(feed)).html(own_raster.time + 200)


def test_a_run_without_interruptions_shows_none_and_words_alone_are_no_span(own_raster):
    feed = feed_of(own_raster)
    panel = TimeLinePanel(feed, STYLES["light"])
    panel.update()
    assert len(panel.interruptions.data["began"]) == 0
    assert "interruption" not in Header(Choices(feed)).html(own_raster.time)
    own_raster.write(interrupted(own_raster, (1, {"interruption": "pause"})))  # as bluesky itself records one
    assert feed_of(own_raster).interruptions == []


def test_the_reference_energy_is_drawn_from_the_first_with_the_error_of_each_record(own_raster):
    feed = feed_of(own_raster)
    panel = TimeLinePanel(feed, STYLES["light"])
    panel.update()
    drawn = panel.references.data
    # 95.600 eV, then 95.602 eV: 2 meV; known to 0.3 meV, in both windows by the same measurement.
    assert drawn["value"].tolist() == pytest.approx([0.0, 2.0], abs=1e-6)
    assert (drawn["high"] - drawn["value"]).tolist() == pytest.approx([0.3, 0.3], abs=1e-6)
    assert (drawn["value"] - drawn["low"]).tolist() == pytest.approx([0.3, 0.3], abs=1e-6)
    assert np.diff(drawn["time"]).tolist() == pytest.approx([8500.0])  # half a second before event 9
    line = panel.sources["ef"].data
    assert line["value"].tolist() == pytest.approx([0.0, 2.0, 2.0], abs=1e-6)  # it holds to the last point
    assert panel.figures[0].yaxis.axis_label == "reference E_F (meV)"


@pytest.mark.parametrize(
    ("momentum", "title"),
    [
        ({"phi": [12.04, 12.02]}, "spectral gap at k_F, phi = 12.0\N{DEGREE SIGN}"),
        ({"phi": [3.0, 42.0]}, "spectral gap at k_F, phi = 3.0\N{DEGREE SIGN}, 42.0\N{DEGREE SIGN}"),
        ({"phi": [3.0, float("nan")]}, "spectral gap at k_F"),
        ({}, "spectral gap at k_F"),
        (None, "spectral gap at k_F"),
    ],
)
def test_the_map_is_titled_by_the_angle_on_the_fermi_surface_where_the_run_knows_it(momentum, title):
    assert gap_title({"momentum": momentum}) == title
    assert gap_title({}) == "spectral gap at k_F"


def test_the_histogram_shows_mean_spread_and_the_spread_without_the_errors():
    # Population of 3 meV seen with errors of 4 meV: sqrt(9 + 16) = 5 meV is what is observed.
    rng = np.random.default_rng(5)
    gap = 35.0 + 3.0 * rng.standard_normal(2000) + 4.0 * rng.standard_normal(2000)
    spread = intrinsic_spread(gap, 4.0)
    lines = moments(spread, 100.0)
    half = {name: 0.5 * (line["x1"][0] - line["x0"][0]) for name, line in lines.items()}
    assert half["mean"] == 0.0
    assert half["std"] == pytest.approx(gap.std(ddof=1))
    assert half["std"] == pytest.approx(5.0, abs=4 * 5.0 / np.sqrt(4000))
    assert half["intrinsic std"] == pytest.approx(3.0, abs=4 * spread.intrinsic_stderr)
    assert intrinsic_text(spread) == f"{spread.intrinsic:.2f} \N{PLUS-MINUS SIGN} {spread.intrinsic_stderr:.2f}"


def test_a_spread_that_the_errors_explain_is_an_upper_limit_and_no_line():
    spread = intrinsic_spread([34.0, 35.0, 36.0, 35.0], 4.0)
    assert moments(spread, 10.0)["intrinsic std"]["x0"] == []
    assert intrinsic_text(spread) == f"< {spread.upper_limit:.2f} (95 %)"
    assert intrinsic_text(intrinsic_spread([], [])) == "-"
