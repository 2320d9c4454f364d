"""A refit that brings the gaps back to the start of the map, beside the map as it was measured."""

import io

import numpy as np
import pytest
from test_control_fits import taken, with_looks  # noqa: F401 - a fixture

from microarpes.analysis import GapMap
from microarpes.beamline.follow_fit import follow_fit
from microarpes.beamline.journal import read_documents
from microarpes.beamline.open_run import open_run
from microarpes.beamline.refit import refit_run
from microarpes.beamline.refit_calibration import RefitRefused


def refitted(raster, **more):
    """Return what was told and the documents of the corrected run."""
    told = io.StringIO()
    outcome = refit_run(raster.directory, raster.uid, correct_ageing=True, processes=1, stream=told, **more)
    return told.getvalue(), outcome


def test_the_gaps_of_the_map_get_back_what_the_control_pixels_have_lost(taken):  # noqa: F811
    before = (taken.folder / "gap.journal").read_bytes()
    told, outcome = refitted(taken)
    documents = list(read_documents(outcome.journal))
    (start,) = (doc for name, doc in documents if name == "start")
    correction = start["ageing_correction"]
    assert correction["slope"] < -4 * correction["error"]
    assert (correction["looks"], correction["places"], correction["told_apart"]) == (8, 2, False)
    assert correction["reference_time"] == taken.time
    live, corrected = (
        GapMap.from_documents(read_documents(path)) for path in (taken.folder / "gap.journal", outcome.journal)
    )
    ok = live.joint_status == "ok"
    assert ok.sum() >= 10
    assert np.array_equal(corrected.joint_delta, live.joint_delta + corrected.ageing_shift, equal_nan=True)
    events = [doc for name, doc in documents if name == "event" and "dose" not in doc["data"]]
    hours = [(doc["timestamps"]["raw_seq_num"] - taken.time) / 3600.0 for doc in events]
    added = [doc["data"]["ageing_shift"] for doc in events]
    assert added == pytest.approx([-correction["slope"] * passed for passed in hours])
    assert (corrected.joint_delta_systematic >= live.joint_delta_systematic)[ok].all()
    assert (taken.folder / "gap.journal").read_bytes() == before
    assert "gaps brought back to the start of the map by" in told
    assert "time and dose are not told apart" in told
    dataset = open_run(taken.folder, fit=outcome.uid).to_xarray(edcs=False)
    assert dataset["ageing_shift"].attrs["units"] == "meV"
    assert "ageing_shift" not in open_run(taken.folder).to_xarray(edcs=False)


def test_a_sample_that_does_not_age_is_not_corrected_and_nothing_is_written(own_raster):
    own_raster.write(with_looks(own_raster))
    follow_fit(own_raster.directory, own_raster.uid)
    with pytest.raises(RefitRefused, match=r"sigma from none.*refit without it"):
        refitted(own_raster)
    assert not list(own_raster.folder.glob("*refit*"))


def test_what_has_no_looks_of_these_windows_is_refused_before_anything_is_fitted(own_raster):
    own_raster.write(own_raster.documents())
    with pytest.raises(RefitRefused, match="needs control pixels"):
        refitted(own_raster)
    own_raster.write(with_looks(own_raster))
    with pytest.raises(RefitRefused, match="leave one out"):
        refitted(own_raster, windows=["-k_F,-1.05,-0.6", "+k_F,0.6,1.05"])
