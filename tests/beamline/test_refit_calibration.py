"""A refit between the references: all of them known to every worker, told by the derived run."""

import dataclasses
import io

import numpy as np
import pytest

from microarpes.beamline.journal import read_documents
from microarpes.beamline.refit import refit_run
from microarpes.beamline.refit_calibration import RefitRefused, told_of, track_of_run
from microarpes.devices.region import AngleWindow


def start_of(raster):
    return next(raster.documents())[1]


def with_references(raster):
    """Write the run anew with a second record at its end, 2 meV above the one half way."""

    def documents():
        for name, doc in raster.documents():
            if name == "stop":
                late = dict(raster.records[1], time=raster.time + 14.0, ef=[95.604, 95.6043])
                yield "event", raster.event("calibration", 2, raster.time + 14.5, late)
            yield name, doc

    raster.write(documents())
    return track_of_run(raster.folder / "raw.journal", start_of(raster))


@pytest.mark.parametrize("size", [2, 1000])
def test_chunks_are_fitted_with_all_records_also_those_that_come_later(own_raster, size, live, derived, fitted_here):
    track = with_references(own_raster)
    outcome = fitted_here(own_raster, size, job=dataclasses.replace(own_raster.job, track=track))
    interpolated = derived(outcome.journal)
    assert interpolated == live(own_raster.documents(), track=track)
    assert interpolated != live(own_raster.documents())


def test_the_derived_run_says_between_what_it_interpolated_and_how_fast_e_f_drifted(own_raster, monkeypatch, here):
    monkeypatch.setattr("microarpes.beamline.refit.LocalWorkers", lambda processes: here())
    with_references(own_raster)
    stream = io.StringIO()
    outcome = refit_run(own_raster.directory, "-1", calibration="interpolated", processes=1, stream=stream)
    documents = list(read_documents(outcome.journal))
    start = documents[0][1]
    assert start["calibration"] == "interpolated"
    assert [record["ef"] for record in start["calibration_records"]] == [[95.602, 95.6023], [95.604, 95.6043]]
    # 2 meV in 5 s, each end known to 0.3 / sqrt(2) meV as the mean of two windows
    assert start["ef_drift"]["rate"] == pytest.approx(2.0 / 5.0 * 3600.0)
    assert start["ef_drift"]["error"] == pytest.approx(0.3 / 5.0 * 3600.0)
    # an event half way between the records, at time + 11.5, would have 95.603 eV; each has the time it was counted
    times = [doc["data"]["calibration_time"] for name, doc in documents if name == "event"]
    assert times == [own_raster.time + i for i in range(len(own_raster.frames))]


def test_moved_windows_take_the_edges_of_theirs(own_raster):
    with_references(own_raster)
    windows = [AngleWindow(name="middle", angle_low=0.4, angle_high=0.6)]
    track = track_of_run(own_raster.folder / "raw.journal", start_of(own_raster), windows)
    assert [record.ef for record in track.records] == [(95.6023,), (95.6043,)]


def test_a_live_refit_says_so_and_keeps_to_the_records_as_they_held():
    assert told_of(None) == {"calibration": "live"}


def test_what_cannot_be_interpolated_is_refused(own_raster):
    path = own_raster.folder / "raw.journal"
    own_raster.write(pair for pair in own_raster.documents() if pair[1].get("descriptor") != "calibration-uid")
    with pytest.raises(RefitRefused, match="nothing to interpolate; refit with --calibration live"):
        track_of_run(path, start_of(own_raster))
    own_raster.records[1]["ef"] = [np.nan, 95.6]
    own_raster.write(own_raster.documents())
    with pytest.raises(RefitRefused, match="cannot be used"):
        track_of_run(path, start_of(own_raster))
    with pytest.raises(RefitRefused, match="'best' is unknown"):
        refit_run(own_raster.directory, "-1", calibration="best")
