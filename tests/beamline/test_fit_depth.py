"""How far below the gap the fits look: from the configuration to the start document, to the live fit and to a refit."""

import dataclasses
import io

import pytest

from microarpes.beamline.config import ConfigError, parse_config, simulated_config
from microarpes.beamline.journal import read_documents
from microarpes.beamline.raster_run import start_metadata
from microarpes.beamline.refit import RefitRefused, refit_run


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
