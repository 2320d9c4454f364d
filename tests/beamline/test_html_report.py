"""The report of a run: all it says is true, harmless and there, whatever the run lacks."""

import dataclasses
import html.parser
import logging
import re

import h5py
import numpy as np
import pytest

from microarpes.beamline import html_report, report_spectra
from microarpes.beamline.html_report import report_html, report_run, size, stored_numbers, try_report
from microarpes.beamline.journal import JournalWriter
from microarpes.beamline.report_material import clock, gather, mean_and_range, number
from microarpes.beamline.report_settings import pauses, rejections
from microarpes.beamline.report_spectra import chosen_pixels, pixel_fits
from microarpes.beamline.stored_run import read_run

#: Elements that never have an end tag.
VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


class Outline(html.parser.HTMLParser):
    """Tags, attributes and text of a page; fails where tags do not close in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.declaration = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_decl(self, decl):
        self.declaration = decl

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def fitted(raster, live, documents=None):
    """Put the derived run of the live fit beside the raw one, as the follower does."""
    from microarpes.analysis import LiveGapMap

    journal = JournalWriter(raster.folder / "gap.journal")
    router = LiveGapMap(journal)
    for name, doc in documents or raster.documents():
        router(name, doc)
    journal.close()
    return raster


def page_of(raster):
    run = read_run(raster.folder)
    return report_html(gather(run, stored_numbers(run)))


@pytest.fixture(scope="module")
def fitted_raster(make_raster, tmp_path_factory, live):
    return fitted(make_raster(tmp_path_factory.mktemp("runs")), live)


@pytest.fixture(scope="module")
def run(fitted_raster):
    return read_run(fitted_raster.folder)


@pytest.fixture(scope="module")
def page(fitted_raster):
    return page_of(fitted_raster)


def rewritten(raster, change):
    """Write the raw journal of a run again with documents changed, or left out where `change` returns None."""
    documents = [(name, change(name, doc)) for name, doc in raster.documents()]
    raster.write([(name, doc) for name, doc in documents if doc is not None])
    return raster


def test_the_page_is_whole_html_with_a_language_a_title_and_words_for_each_picture(page):
    outline = Outline(page)
    assert outline.declaration.lower() == "doctype html"
    assert outline.all("html")[0]["lang"] == "en"
    assert len(outline.all("h1")) == len(outline.all("title")) == len(outline.all("main")) == 1
    assert len(outline.all("img")) == 2
    assert all(len(image["alt"]) > 20 for image in outline.all("img"))
    named = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert sorted(set(named)) == sorted(named)
    assert {section["aria-labelledby"] for section in outline.all("section")} <= set(named)


def test_the_page_asks_no_network_for_anything_and_runs_no_script(page):
    outline = Outline(page)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in outline.tags}
    for _, attributes in outline.tags:
        assert all(attributes[key].startswith("data:image/") for key in ("src", "href") if key in attributes)
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"https?://|[\"'(]//", re.sub(r"data:image/[^\"]*", "", page))


def test_pictures_stay_on_white_and_both_colour_schemes_are_there(page):
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert re.search(r"figure img {[^}]*background: #fff", page)


def test_the_numbers_are_those_of_the_summary(run, page):
    numbers, text = stored_numbers(run), Outline(page).text
    # 15 of 16 pixels were taken; the one without counts has a verdict and no gap.
    assert numbers["n_acquired"] == 15
    assert f"15 of 16 pixels were measured; {numbers['n_ok']} of them have a gap at k_F" in text
    for key in ("delta_mean", "delta_std", "delta_stderr_median"):
        assert f"{numbers[key]:.2f} meV" in text
    for verdict, pixels in numbers["status_counts"].items():
        assert f"{verdict} {pixels}" in text
    assert "exit status success" in text
    assert "resolution (FWHM) 10.00 0.40 meV" in text
    assert "95.6000 0.0003 eV kinetic" in text
    assert "95.6020 0.0003 eV kinetic" in text  # the calibration that came half way


def test_it_is_a_gap_at_k_f_and_nothing_more_is_claimed(page):
    assert "gap at k_F" in page
    assert "superconducting" not in page.lower()


def test_what_documents_say_is_text_and_never_markup(own_raster, live):
    evil = '<script>alert("1")</script><img src="//evil.example/x">$\\frac{$'

    def change(name, doc):
        if name == "start":
            windows = [{**window, "name": f"{evil}{i}"} for i, window in enumerate(doc["windows"])]
            return doc | {"sample": {"id": evil}, "operator": evil, "beamline": evil, "windows": windows,
                          "versions": {evil: evil}}  # fmt: skip
        return doc | {"exit_status": "abort", "reason": evil} if name == "stop" else doc

    raster = rewritten(own_raster, change)
    with h5py.File(raster.folder / "frames.h5", "a") as file:
        file["entry/rejected/pixel"] = [3]
        file["entry/rejected/reason"] = np.array([evil.encode()], dtype="S200")
    outline = Outline(page_of(raster))
    assert outline.all("script") == []
    assert all(image["src"].startswith("data:") for image in outline.all("img"))
    assert outline.text.count("<script>") >= 7


def test_the_chosen_pixels_are_fitted_again_to_the_stored_bits(run):
    material = gather(run, stored_numbers(run))
    chosen, fits = chosen_pixels(material), pixel_fits(material)
    assert list(chosen) == ["best", "median", "worst"]
    goodness = run.gap_map.joint_deviance.ravel() / run.gap_map.joint_dof.ravel()
    ok = run.gap_map.joint_status.ravel() == "ok"
    assert goodness[chosen["best"]] == goodness[ok].min()
    assert goodness[chosen["worst"]] == goodness[ok].max()
    for one in fits:
        assert one.fit.delta == one.stored
        # Poisson counts about a true model: where there are some, the residuals in sigma have a mean square of 1. Some
        # 300 channels scatter it by 8 %, and the extremes of 14 pixels lie two of these off.
        counted = (one.fit.model_counts > 5.0) & (np.abs(one.energy) < 100.0)
        assert np.count_nonzero(counted) > 150
        assert 0.6 < np.mean(one.residuals[counted] ** 2) < 1.5


def test_a_run_that_was_cut_off_says_so(own_raster, live):
    cut = rewritten(own_raster, lambda name, doc: None if name == "stop" else doc)
    text = Outline(page_of(cut)).text
    assert "no stop document" in text
    assert "15 of 16 measured" in text


def test_a_run_without_a_fit_or_a_frame_file_leaves_out_what_it_lacks(own_raster):
    (own_raster.folder / "frames.h5").unlink()
    outline = Outline(page_of(own_raster))
    assert "There is no pixel with a gap." in outline.text
    assert "What was refused is not known" in outline.text
    assert "Best, median and worst" not in outline.text
    assert "not-fitted 15" in outline.text
    assert len(outline.all("img")) == 1


def test_a_run_of_nothing_but_a_start_document_has_a_page(own_raster):
    rewritten(own_raster, lambda name, doc: doc if name == "start" else None)
    assert "0 of 16 measured" in Outline(page_of(own_raster)).text


@pytest.mark.parametrize(
    "key", ["sample", "calibration", "windows", "region", "source", "versions", "beam", "detector"]
)
@pytest.mark.parametrize("value", [None, 7, "odd", [1, "x"], {"ef": "x", "id": {}, "name": [], "footprint": "ab"}])
def test_odd_documents_never_keep_the_page_from_being_written(run, monkeypatch, key, value):
    monkeypatch.setattr(report_spectra, "data_uri", lambda drawing: "data:image/png;base64,")  # a second each
    numbers = stored_numbers(run)
    material = gather(dataclasses.replace(run, start=run.start | {key: value}), numbers)
    outline = Outline(report_html(material, b"picture"))
    assert f"{numbers['delta_mean']:.2f} meV" in outline.text


def test_refused_frames_are_counted_by_reason(own_raster):
    with h5py.File(own_raster.folder / "frames.h5", "a") as file:
        file["entry/rejected/pixel"] = [3, 3, 5]
        file["entry/rejected/reason"] = np.array([b"no beam", b"no beam", "0.9 µm off".encode()], dtype="S200")
    run = read_run(own_raster.folder)
    assert rejections(gather(run, stored_numbers(run))) == [(3, "no beam"), (3, "no beam"), (5, "0.9 µm off")]
    text = Outline(page_of(own_raster)).text
    assert "3 frames were refused" in text
    assert "no beam 2 3, 3" in text


def test_a_link_out_of_the_frame_file_is_not_followed(own_raster, tmp_path):
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["pixel"], file["reason"] = [1], np.array([b"secret"], dtype="S200")
    with h5py.File(own_raster.folder / "frames.h5", "a") as file:
        file["entry/rejected"] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/")
    run = read_run(own_raster.folder)
    assert rejections(gather(run, stored_numbers(run))) is None


def test_a_long_wait_between_two_points_is_told(own_raster):
    def change(name, doc):
        # points come once a second; from the 6th on, 300 s later
        late = name == "event" and doc["descriptor"] == "primary-uid" and doc["seq_num"] > 5
        return doc | {"time": doc["time"] + 300.0} if late else doc

    rewritten(own_raster, change)
    run = read_run(own_raster.folder)
    material = gather(run, stored_numbers(run))
    assert pauses(material) == [(own_raster.time + 4, 301.0, 5)]
    assert "no point for 301 s" in Outline(report_html(material)).text


def test_a_report_that_cannot_be_written_is_one_line_and_no_failure(run, tmp_path, caplog):
    (tmp_path / "picture.png").write_bytes(b"picture")
    with caplog.at_level(logging.WARNING):
        path, numbers = tmp_path / "missing" / "report.html", stored_numbers(run)
        assert try_report(path, lambda: gather(run, numbers), tmp_path / "picture.png") is None
    assert len(caplog.records) == 1
    assert "was not written" in caplog.text
    assert "the run is whole" in caplog.text
    assert len(caplog.records[0].getMessage().splitlines()) == 1


def test_a_part_that_fails_takes_no_other_part_away(run, monkeypatch):
    def fail(material):
        raise RuntimeError("odd <frame>")

    monkeypatch.setattr(html_report, "spectra", fail)
    text = Outline(report_html(gather(run, stored_numbers(run)), b"picture")).text
    assert "This part could not be made: RuntimeError: odd <frame>" in text
    assert "Versions" in text


def test_a_lean_run_gives_the_same_fits_from_the_journal(run):
    numbers = stored_numbers(run)
    lean = read_run(run.folder, lean=True)
    assert all("edc" not in event["data"] for event in lean.events.values())
    lean_fits = pixel_fits(gather(dataclasses.replace(lean, gap_map=run.gap_map), numbers))
    fits = pixel_fits(gather(run, numbers))
    assert [(one.pixel, one.fit.delta) for one in lean_fits] == [(one.pixel, one.fit.delta) for one in fits]
    assert len(fits) == 3


def test_the_verb_writes_the_page_where_it_is_asked_to_and_never_half_of_it(fitted_raster, tmp_path):
    assert report_run(fitted_raster.directory, "-1") == fitted_raster.folder / "report.html"
    asked = tmp_path / "page.html"
    assert report_run(fitted_raster.directory, fitted_raster.uid[:8], asked) == asked
    assert asked.read_text().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_numbers_are_written_as_people_read_them():
    assert number(-0.126) == "−0.13"
    assert number(None) == number(float("nan")) == number("odd") == "–"
    assert mean_and_range([1.0, None, 3.0]) == ("2", "1", "3")
    assert clock(None) == "–"
    assert [size(n) for n in (999, 1000, 69_145_224)] == ["999 B", "1.0 kB", "69.1 MB"]
