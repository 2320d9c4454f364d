"""How far below the gap the fits look: from the configuration to the start document, to the live fit and to a refit."""

import dataclasses
import io

import pytest

from microarpes.beamline.config import ConfigError, parse_config, simulated_config
from microarpes.beamline.journal import read_documents
from microarpes.beamline.refit import RefitRefused, refit_run
from microarpes.beamline.refit_depth import depth_lines, shift_of_depth
from microarpes.beamline.run_metadata import start_metadata


def with_depth(documents, depth):
    for name, doc in documents:
        yield name, doc | {"fit_depth": depth} if name == "start" else doc


def test_the_configuration_says_how_deep_and_the_start_document_after_it():
    data = simulated_config().model_dump()
    assert "fit_depth" not in start_metadata(simulated_config())
    data["analysis"] = {"fit_depth": 0.04}
    assert start_metadata(parse_config(data, "test"))["fit_depth"] == 0.04
    data["analysis"] = {"fit_depth": 40.0}
    with pytest.raises(ConfigError, match="fit_depth"):
        parse_config(data, "test")


def test_a_refit_with_a_depth_is_the_live_fit_of_a_run_with_that_depth_and_another_than_without(
    raster, live, derived, fitted_here
):
    outcome = fitted_here(raster, 4, job=dataclasses.replace(raster.job, fit_depth=0.03))
    assert derived(outcome.journal) == live(with_depth(raster.documents(), 0.03))
    assert derived(outcome.journal) != live(raster.documents())
    start = next(doc for _, doc in read_documents(outcome.journal))
    assert start["fit_depth"] == 0.03


def test_a_depth_in_ev_is_taken_for_one_in_mev_and_refused(raster):
    with pytest.raises(RefitRefused, match=r"fit_depth = 0.03 meV is outside \[10, 300\] meV"):
        refit_run(raster.directory, "-1", fit_depth=0.03, processes=1, stream=io.StringIO())


@pytest.fixture(scope="module")
def told_by_refits(tmp_path_factory, make_raster, fitted_here):
    """What refits tell of a run that was fitted live to the usual depth: to 30 meV, with another model, and to none."""
    run = make_raster(tmp_path_factory.mktemp("deep"))
    list(run.grow())
    told = {}
    for name, asked in {"less": {"fit_depth": 0.03}, "other": {"fit_depth": 0.03, "model": "bcs"}, "same": {}}.items():
        journal = fitted_here(run, 4, job=dataclasses.replace(run.job, **asked)).journal
        start = next(doc for _, doc in read_documents(journal))
        told[name] = shift_of_depth(run.folder, start, journal)
    return told


def test_a_refit_of_less_depth_tells_by_how_much_the_gaps_moved_against_the_live_fit(told_by_refits):
    shift = told_by_refits["less"]
    # The raster is made of the very line of the fit.
    assert shift["model_is_wrong"] is False
    assert 0 < abs(shift["mean"]) < 3 * shift["error"] + 0.1
    (line,) = depth_lines(shift)
    assert f"gaps moved by {shift['mean']:+.2f} ± {shift['error']:.2f} meV on the mean of {shift['pixels']}" in line


@pytest.mark.parametrize("refit", ["other", "same"])
def test_a_refit_that_differs_otherwise_or_not_at_all_says_nothing_of_depth(told_by_refits, refit):
    assert told_by_refits[refit] is None
    assert depth_lines(told_by_refits[refit]) == []


def test_a_run_without_a_live_fit_has_nothing_to_compare_with(raster, fitted_here):
    journal = fitted_here(raster, 4, job=dataclasses.replace(raster.job, fit_depth=0.03)).journal
    start = next(doc for _, doc in read_documents(journal))
    assert shift_of_depth(raster.folder, start, journal) is None


def test_gaps_that_move_are_told_as_the_model_s_failure():
    (line,) = depth_lines({"mean": -0.4, "error": 0.04, "pixels": 120, "model_is_wrong": True})
    assert line.endswith("against the live fit: the model does not describe the spectra")
