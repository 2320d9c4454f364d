"""Looks at control pixels on their way from the journal to fits, report and page; never onto the map."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from microarpes.analysis import GapMap
from microarpes.analysis.ageing import Slope
from microarpes.beamline.control_fits import ageing_of_map, alarm_lines, looks_of_map, read_looks, slope_text
from microarpes.beamline.follow_fit import follow_fit
from microarpes.beamline.html_report import report_html, stored_numbers
from microarpes.beamline.journal import encode_record, read_documents
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_header import Header
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.progress import Progress
from microarpes.beamline.report_material import gather
from microarpes.beamline.report_results import ageing
from microarpes.beamline.resume import HELD, raster_so_far
from microarpes.beamline.run_chain import read_chain
from microarpes.beamline.stored_run import read_run
from microarpes.plans.control_looks import SpotDoses
from microarpes.plans.grid import RasterPoint

#: After which events of the map two pixels are looked at: four rounds, the last behind the last pixel.
ROUNDS = {0: 1, 5: 2, 10: 3, 14: 4}
PIXELS = (5, 6)


def one_calibration(raster):
    """The documents of a run without the change of E_F half way, which would look like ageing."""
    for name, doc in raster.documents():
        if name == "event" and doc["descriptor"] == "primary-uid":
            doc["data"] |= {"acquire_time": 0.02, **{f"manipulator_{name}": 0.0 for name in HELD}}
        if doc.get("descriptor") != "calibration-uid":
            yield name, doc


def with_looks(raster, gaps=(35.0,) * 4, resumes=None):
    """The documents of a run with control pixels whose gap is another one at each look."""
    rng, edcs = np.random.default_rng(4), {}
    from conftest import spectrum

    for number, gap in enumerate(gaps, start=1):
        line = spectrum(gap)
        edcs[number] = rng.poisson(500.0 * line / line.max(), (len(PIXELS), 2, line.size)).astype(float)
    seq_num = 0
    for name, doc in one_calibration(raster):
        if name == "start":
            doc = {
                **doc,
                "control_pixels": {"pixels": list(PIXELS)},
                **({} if resumes is None else {"resumes": resumes}),
            }
        if name == "stop":
            doc = {**doc, "num_events": {"primary": 15, "control": 8}}
        yield name, doc
        if name == "descriptor" and doc["name"] == "calibration":
            yield "descriptor", {"uid": "control-uid", "run_start": raster.uid, "name": "control", "data_keys": {}}
        if name != "event" or doc["descriptor"] != "primary-uid" or doc["data"]["pixel"] not in ROUNDS:
            continue
        number = ROUNDS[doc["data"]["pixel"]]
        for i, pixel in enumerate(PIXELS):
            seq_num += 1
            place = {"manipulator_x": 10.0 * (pixel % 4), "manipulator_y": 10.0 * (pixel // 4)}
            told = {"pixel": pixel, "edc": edcs[number][i], "total_counts": 1e5, "i0": 10.0, "dose": 7.0 * number + i}
            told |= {"look": number, "acquire_time": 0.1, "attempt": 1, "live_time": 0.1, **place}
            yield "event", raster.event("control", seq_num, doc["time"] + 0.1 * i, {**doc["data"], **told})


@pytest.fixture
def taken(own_raster):
    """A run whose control pixels have lost 3 meV, with its live fit."""
    own_raster.write(with_looks(own_raster, (35.0, 34.0, 33.0, 32.0)))
    follow_fit(own_raster.directory, own_raster.uid)
    return own_raster


def section_of(raster):
    """What a report says of ageing; without its pictures, which take longest."""
    return ageing(gather(read_run(raster.folder), {}))


def test_looks_are_fitted_in_a_stream_of_their_own_and_the_map_is_that_of_a_run_without_them(taken, live):
    looks = read_looks(taken.folder / "gap.journal")
    assert [(look["pixel"], look["dose"]) for look in looks[:4]] == [(5, 7.0), (6, 8.0), (5, 14.0), (6, 15.0)]
    # 500 counts at the peak in each of two windows, two looks a round: some 0.2 meV.
    gaps = [np.mean([look["joint_delta"] for look in looks[i : i + 2]]) for i in (0, 2, 4, 6)]
    assert gaps == pytest.approx([35.0, 34.0, 33.0, 32.0], abs=0.8)
    assert looks[0]["beam"] == 10.0
    run = read_run(taken.folder)
    assert len(run.events) == 15
    derived = list(read_documents(taken.folder / "gap.journal"))
    without = [
        encode_record("event", doc["data"]) for name, doc in derived if name == "event" and "dose" not in doc["data"]
    ]
    assert without == live(one_calibration(taken))
    assert (GapMap.from_documents(derived).seq_num > 0).sum() == 15


@pytest.mark.parametrize("size", [4, 5, 1000])
def test_a_refit_fits_them_as_they_were_fitted_live_also_those_behind_the_last_pixel(taken, fitted_here, size):
    outcome = fitted_here(taken, size)
    refitted = read_looks(outcome.journal)
    assert [encode_record("event", look) for look in refitted] == [
        encode_record("event", look) for look in read_looks(taken.folder / "gap.journal")
    ]
    assert (len(refitted), outcome.events) == (8, 15)
    stop = list(read_documents(outcome.journal))[-1][1]
    assert stop["num_events"] == {"primary": 15, "control": 8}


def test_other_windows_have_no_looks_for_their_frames_are_not_kept(taken, fitted_here):
    job = dataclasses.replace(taken.job, windows=(("-k_F", -1.05, -0.6), ("+k_F", 0.6, 1.05)))
    looks = read_looks(fitted_here(taken, 1000, job=job).journal)
    assert {look["joint_status"] for look in looks} == {"bad-input"}


def test_report_and_page_raise_the_alarm(taken):
    (line,) = alarm_lines(ageing_of_map(taken.folder))
    assert line.startswith("the sample ages: gap \N{MINUS SIGN}")
    assert "time and dose are not told apart" in line  # both spots had beam at the same pace
    run = read_run(taken.folder)
    text = report_html(gather(run, stored_numbers(run)), b"")
    assert "ALARM: the sample ages: gap" in text
    assert "Slopes of the control pixels" in text
    feed = RunFeed(taken.folder)
    while feed.advance():
        pass
    assert feed.n_measured == 15
    assert line in Header(Choices(feed)).alarms(taken.time)


def test_a_sample_that_stays_as_it_is_raises_none_and_a_run_without_control_pixels_says_nothing(own_raster):
    own_raster.write(with_looks(own_raster))
    follow_fit(own_raster.directory, own_raster.uid)
    found = section_of(own_raster)
    assert found.sentences[0] == "No quantity changes by more than 2 sigma with time or with dose."
    # Gap, rate and intensity, against time and against dose; no k_F centre is known.
    assert [row[:2] for row in found.tables[0].rows] == [
        (quantity, against) for quantity in ("gap", "rate", "intensity") for against in ("time", "dose")
    ]
    own_raster.write(own_raster.documents())
    assert section_of(own_raster) is None


def test_a_resumed_run_has_the_looks_of_the_run_before(taken, make_raster):
    later = make_raster(taken.directory, time=taken.time + 1000.0)
    later.write(with_looks(later, (32.0, 31.0, 30.0, 29.0), resumes=taken.uid))
    follow_fit(later.directory, later.uid)
    looks = looks_of_map(later.folder)
    assert len(looks) == 16
    assert [look["time"] for look in looks] == sorted(look["time"] for look in looks)
    assert looks[0]["time"] < later.time < looks[-1]["time"]
    feed = RunFeed(later.folder)
    while feed.advance():
        pass
    assert len(feed.looks) == 16


def test_a_resumed_run_knows_where_the_beam_was_and_how_often_it_was_looked(taken):
    chain = read_chain(taken.folder, lean=True)
    chain[-1].start.update(region={}, gate={})  # what a raster has that is taken by the plan
    before = raster_so_far(chain).looked_at
    assert before.rounds == 4
    # 15 pixels of 0.02 s and 8 looks of 0.1 s; pixel 5 is at x = y = 10 um and was looked at four times.
    assert sum(seconds for *_, seconds in before.exposures) == pytest.approx(15 * 0.02 + 8 * 0.1)
    doses = SpotDoses([RasterPoint(5, 10.0, 10.0)], (1.0, 1.0))
    for exposure in before.exposures:
        doses.add(*exposure)
    assert doses.seconds[5] == pytest.approx(0.02 + 4 * 0.1)
    chain[-1].start.pop("control_pixels")
    assert raster_so_far(chain).looked_at is None


def test_progress_counts_pixels_and_not_looks(taken):
    progress = Progress()
    for name, doc in read_documents(taken.folder / "raw.journal"):
        progress.raw(name, doc)
        if name == "event" and doc["descriptor"] == "control-uid":
            assert len(progress.done) <= 15
    for name, doc in read_documents(taken.folder / "gap.journal"):
        progress.derived(name, doc)
    assert (len(progress.done), len(progress.statuses)) == (15, 15)
    # Pixel 6 of the map was not overwritten by the looks at it.
    assert progress.gaps[6] == read_run(taken.folder).gap_map.joint_delta.flat[6]


def test_a_slope_is_written_with_its_error_and_unit():
    assert slope_text(Slope(-0.123, 0.045, 0.01), "meV", "h") == "\N{MINUS SIGN}0.12 \N{PLUS-MINUS SIGN} 0.04 meV/h"
    assert slope_text(Slope(1234.5, 60.0, 0.0), "meV", "h") == "1234 \N{PLUS-MINUS SIGN} 60 meV/h"
