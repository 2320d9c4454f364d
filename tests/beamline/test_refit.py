"""A refit gives the bits of the live fit, leaves nothing half-written, and says what failed."""

import dataclasses
import io
import json
import tracemalloc

import numpy as np
import pytest

from microarpes.analysis import GapMap, LiveGapMap
from microarpes.analysis.models import LINE_SHAPES
from microarpes.beamline.catalog import list_runs, open_catalog, show_run
from microarpes.beamline.journal import encode_record, read_documents
from microarpes.beamline.journal_chunks import Chunk, JournalChunks
from microarpes.beamline.refit import RefitFailed, RefitRefused, refit_run
from microarpes.beamline.refit_outcome import truth_of
from microarpes.beamline.refit_progress import RefitDisplay
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_run import NoSuchRun


@pytest.fixture(scope="module")
def refitted(raster):
    """One refit in processes, with its figures in a file."""
    stream = io.StringIO()
    summary = raster.directory / "summary.json"
    outcome = refit_run(raster.directory, "-1", processes=2, summary=summary, stream=stream, chunk_events=4)
    return outcome, json.loads(summary.read_text()), stream.getvalue()


def test_the_raster_of_these_tests_has_gaps_and_a_pixel_without(raster):
    router = LiveGapMap()
    for name, doc in raster.documents():
        router(name, doc)
    assert router.problem == ""
    assert router.gap_map.status_counts() == {"ok": len(raster.frames) - 1, "empty": 1}
    # 60 counts at the peak in 3 rows a window: sigma some 0.4 meV a pixel, so the mean is good to 0.3 meV with margin.
    assert np.nanmean(router.gap_map.joint_delta) == pytest.approx(35.0, abs=1.0)


def test_processes_give_the_bits_of_the_live_fit_also_across_a_change_of_the_calibration(
    raster, refitted, live, derived
):
    outcome, _, _ = refitted
    assert derived(outcome.journal) == live(raster.documents())


@pytest.mark.parametrize("size", [1, 4, 9, 1000])
def test_the_size_of_the_chunks_changes_no_bit(own_raster, size, live, derived, fitted_here):
    outcome = fitted_here(own_raster, size)
    assert derived(outcome.journal) == live(own_raster.documents())


def test_the_derived_run_names_its_original_and_ends_as_it_did(raster, refitted):
    outcome, _, _ = refitted
    documents = list(read_documents(outcome.journal))
    start, stop = documents[0][1], documents[-1][1]
    assert outcome.journal.name == f"refit-{outcome.uid[:8]}.gap.journal"
    assert (start["uid"], start["original_run_uid"]) == (outcome.uid, raster.uid)
    assert (start["plan_name"], start["model"], start["edc_source"]) == ("gap_fit", "norman", "events")
    assert (stop["exit_status"], stop["num_events"]) == ("success", {"primary": len(raster.frames)})
    assert GapMap.from_documents(documents).n_filled == len(raster.frames)


def test_the_catalog_lists_the_derived_run(raster, refitted):
    outcome, _, _ = refitted
    with open_catalog(raster.directory) as client:
        (listed,) = [run for run in list_runs(client, derived=True) if run.uid == outcome.uid]
        assert (listed.original_run, listed.points) == (raster.uid, len(raster.frames))
        assert "joint_delta" in show_run(client, outcome.uid[:8]).streams["primary"]
        assert client[outcome.uid]["primary"].read()["delta"].dtype == "<f8"


def test_figures_and_picture_are_those_of_the_refit(raster, refitted):
    outcome, summary, text = refitted
    assert (summary["run_uid"], summary["derived_run_uid"]) == (raster.uid, outcome.uid)
    assert (summary["n_points"], summary["n_acquired"], summary["n_ok"]) == (16, 15, 14)
    assert summary["pull_std"] is None  # nobody knows the truth of this sample
    picture = raster.folder / f"refit-{outcome.uid[:8]}.gap_map.png"
    assert summary["files"]["gap_map"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert outcome.uid in text
    assert "\x1b" not in text


def test_another_policy_or_model_gives_another_run_beside_the_first(own_raster, live, derived, fitted_here):
    others = [name for name in sorted(LINE_SHAPES) if name != "norman"][:1]
    jobs = [own_raster.job, dataclasses.replace(own_raster.job, gamma0="zero")]
    jobs += [dataclasses.replace(own_raster.job, model=name) for name in others]
    outcomes = [fitted_here(own_raster, 100, job=job) for job in jobs]
    assert len(own_raster.left_behind()) == len(jobs)
    assert len({tuple(derived(outcome.journal)) for outcome in outcomes}) == len(jobs)
    for outcome, job in zip(outcomes, jobs, strict=True):
        assert derived(outcome.journal) == live(own_raster.documents(), model=job.model, gamma0=job.gamma0)


def test_a_failed_chunk_is_named_and_the_rest_is_kept(own_raster, live, derived, here, fitted_here):
    outcome = fitted_here(own_raster, 4, here(OSError("stale file handle")))
    (problem,) = outcome.problems
    assert "chunk 1 (events 5 to 8)" in problem
    assert "stale file handle" in problem
    expected = live(own_raster.documents())
    assert derived(outcome.journal) == expected[:4] + expected[8:]
    stop = list(read_documents(outcome.journal))[-1][1]
    assert (stop["exit_status"], stop["reason"]) == ("fail", problem)


def test_a_refit_with_a_failed_chunk_does_not_end_as_if_all_were_well(own_raster, monkeypatch, here):
    monkeypatch.setattr("microarpes.beamline.refit.LocalWorkers", lambda processes: here(OSError("stale file handle")))
    with pytest.raises(RefitFailed, match="chunk 1"):
        refit_run(own_raster.directory, own_raster.uid, stream=io.StringIO(), chunk_events=4)
    assert [name.rpartition(".")[2] for name in own_raster.left_behind()] == ["journal", "png", "html"]


def test_fits_of_other_code_are_not_mixed_in(own_raster, here, fitted_here):
    class Older(here):
        def submit(self, fit, job, chunk):
            return super().submit(lambda *work: dataclasses.replace(fit(*work), code="microarpes 0.0.1"), job, chunk)

    with pytest.raises(RefitFailed, match=r"microarpes 0\.0\.1"):
        fitted_here(own_raster, 4, Older())
    assert own_raster.left_behind() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError("not an Exception of a chunk: of the client")])
def test_what_interrupts_a_refit_leaves_nothing_that_looks_whole(own_raster, error, monkeypatch, fitted_here):
    def interrupted(self, events):
        if self.done:
            raise error
        self.done += events

    monkeypatch.setattr(RefitDisplay, "advance", interrupted)
    with pytest.raises(type(error)):
        fitted_here(own_raster, 4)
    assert own_raster.left_behind() == []


def test_a_run_that_was_cut_off_is_fitted_to_its_last_whole_event(own_raster, live, derived, fitted_here):
    journal = own_raster.folder / "raw.journal"
    records = [encode_record(name, doc) for name, doc in own_raster.documents()]
    # the last event torn in the middle, no stop document
    journal.write_bytes(journal.read_bytes()[: -len(records[-1]) - len(records[-2]) // 2])
    outcome = fitted_here(own_raster, 4)
    assert derived(outcome.journal) == live(own_raster.documents())[:-1]
    stop = list(read_documents(outcome.journal))[-1][1]
    assert (stop["exit_status"], stop["reason"]) == ("abort", "the raw run has no stop document")


def test_an_event_that_a_later_one_replaces_is_fitted_too_and_the_later_one_is_on_the_map(
    own_raster, live, derived, fitted_here
):
    documents = list(own_raster.documents())
    again = own_raster.event("primary", 2, own_raster.time + 50, documents[-2][1]["data"] | {"pixel": 1})
    own_raster.write([*documents[:-1], ("event", again), documents[-1]])
    outcome = fitted_here(own_raster, 4)
    assert derived(outcome.journal) == live(read_documents(own_raster.folder / "raw.journal"))
    fits = GapMap.from_documents(read_documents(outcome.journal))
    assert fits.joint_delta.flat[1] == fits.joint_delta.flat[len(own_raster.frames) - 1]


def test_a_run_without_events_or_of_another_kind_is_refused(own_raster, fitted_here):
    documents = list(own_raster.documents())
    own_raster.write([documents[0], documents[-1]])
    with pytest.raises(RefitFailed, match="holds no event"):
        fitted_here(own_raster, 4)
    own_raster.write([("start", {"uid": own_raster.uid, "time": 1.0, "plan_name": "count"})])
    with pytest.raises(RefitRefused, match="is not fitted"):
        fitted_here(own_raster, 4)
    own_raster.write([])
    with pytest.raises(NoSuchRun, match="nothing was measured"):
        fitted_here(own_raster, 4)
    assert own_raster.left_behind() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "gaussian"}, "norman"),
        ({"gamma0": "free"}, "'prior', 'zero'"),
        ({"gamma0": "-1"}, "gamma0 = -1"),
        ({"gamma0": "nan"}, "gamma0"),
        ({"gamma0": "shared"}, "prior"),
        ({"processes": 2, "scheduler": "tcp://127.0.0.1:1"}, "one of them"),
    ],
)
def test_what_no_fitter_can_do_is_refused_before_anything_is_written(raster, options, words):
    before = raster.left_behind()
    with pytest.raises(RefitRefused, match=words):
        refit_run(raster.directory, raster.uid, stream=io.StringIO(), **options)
    assert raster.left_behind() == before


def test_a_chunk_holds_places_and_no_data_and_the_journal_is_not_held(tmp_path, make_raster):
    raster = make_raster(tmp_path, n=1)
    n = 600
    documents = list(raster.documents())
    events = ((name, doc | {"seq_num": i + 1}) for i in range(n) for name, doc in (documents[-2],))
    raster.write([*documents[:-2], *events, documents[-1]])
    chunks = JournalChunks(raster.folder / "raw.journal", 32)
    tracemalloc.start()
    try:
        cut = list(chunks)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The EDCs of all events are 2 MB; the places of the chunks and one document at a time are not.
    assert sum(chunk.events for chunk in cut) == n == chunks.events
    assert held < 50_000
    assert peak < 200_000
    assert [field.type for field in dataclasses.fields(Chunk)] == ["int", "tuple[Span, ...]", "Span", "int", "int"]


def test_piped_progress_is_plain_lines():
    stream = io.StringIO()
    with RefitDisplay(stream, 10, every=0.0) as display:
        display.advance(4)
        display.advance(8)  # more events than pixels: some were taken again
    first, second = stream.getvalue().splitlines()
    assert "4/10 events" in first
    assert "12/12 events" in second


def test_only_a_simulated_run_has_a_truth(raster, refitted):
    outcome, _, _ = refitted
    fits = GapMap.from_documents(read_documents(outcome.journal))
    start = next(doc for _, doc in raster.documents())
    simulated = start | {"seed": 7, "beamline": "simulated micro-ARPES beamline"}
    windows = [{"angle_low": -1.79, "angle_high": -1.59}]
    truth, live_fraction = truth_of(simulated, windows, fits)
    assert truth.shape == live_fraction.shape == fits.shape
    for other in (start, simulated | {"recording": {}}, simulated | {"beamline": "I05"}):
        assert truth_of(other, windows, fits) == (None, None)


def test_the_name_of_a_fit_leads_to_its_run(raster, refitted):
    outcome, _, _ = refitted
    with pytest.raises(NoSuchRun, match=f"is a fit of run {raster.uid}"):
        run_folder(raster.directory, outcome.uid[:12])
