"""Processes and Dask workers: the same bits, few chunks in hand, and clear words when there are no workers."""

import dataclasses
import io
import multiprocessing
import signal
import sys
import threading

import pytest

from microarpes.beamline import refit_workers
from microarpes.beamline.chunk_fit import FittedChunk, fit_chunk
from microarpes.beamline.journal_chunks import Chunk, JournalChunks
from microarpes.beamline.refit import refit_run
from microarpes.beamline.refit_workers import DaskWorkers, LocalWorkers, WorkersError, fit_in_order
from microarpes.sim.process import free_port


@pytest.mark.parametrize("processes", [0, -1, 10**6])
def test_a_number_of_processes_out_of_range_is_refused(processes):
    with pytest.raises(WorkersError, match=str(processes)):
        LocalWorkers(processes)


def test_only_so_many_chunks_are_in_hand_as_keep_the_workers_busy(here):
    in_hand = []

    class Counting(here):
        count = 2

        def submit(self, fit, job, chunk):
            in_hand.append(chunk)
            return super().submit(fit, job, chunk)

    chunks = [Chunk(i, (), (0, 0), 1, i) for i in range(100)]
    fits = FittedChunk([], [], 0, "")
    order = []
    for chunk, _ in fit_in_order(Counting(), lambda job, chunk: fits, None, iter(chunks)):
        order.append(chunk)
        assert len(in_hand) - len(order) < refit_workers.CHUNKS_PER_WORKER * 2
    assert order == chunks


def test_a_worker_that_dies_takes_only_its_own_chunk_with_it():
    workers = LocalWorkers(2)
    # eval(text, names) in place of fit_chunk(job, chunk): it kills the process at chunk 5, as a lack of memory would.
    job = "__import__('os')._exit(9) if number == 5 else number * 10"
    try:
        results = [result for _, result in fit_in_order(workers, eval, job, ({"number": i} for i in range(12)))]
    finally:
        workers.close()
    assert [result for i, result in enumerate(results) if i != 5] == [10 * i for i in range(12) if i != 5]
    assert isinstance(results[5], WorkersError)


def test_ctrl_c_while_the_processes_are_being_started_leaves_none_behind(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    workers = LocalWorkers(1)
    start = threading.Thread.start

    def interrupted(thread):
        # The pool's own thread starts others, perhaps when the Ctrl-C is long over.
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGINT)
        start(thread)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                workers.submit(eval, "1 + number", {"number": 1})
    finally:
        signal.signal(signal.SIGINT, before)
        workers.close()
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of one thread each, as on two machines with a shared file system."""
    from distributed import LocalCluster

    with LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster:
        yield cluster


def test_a_dask_cluster_gives_the_same_bits_also_from_the_frames(raster, cluster, live, derived, fitted_here):
    stream = io.StringIO()
    address = cluster.scheduler_address
    outcome = refit_run(raster.directory, raster.uid, scheduler=address, stream=stream, chunk_events=4)
    assert derived(outcome.journal) == live(raster.documents())
    assert "2 threads of the Dask scheduler" in stream.getvalue()
    moved = (("-k_F", -0.7, -0.2), ("centre", -0.2, 0.2))
    job = dataclasses.replace(raster.job, windows=moved)
    workers = DaskWorkers(address, job.journal)
    try:
        far = fitted_here(raster, 4, workers, job)
    finally:
        workers.close()
    assert derived(far.journal) == derived(fitted_here(raster, 4, job=job).journal)


def test_an_error_of_a_far_worker_is_told_with_its_chunk(own_raster, cluster):
    workers = DaskWorkers(cluster.scheduler_address, own_raster.job.journal)
    chunks = list(JournalChunks(own_raster.folder / "raw.journal", 4))
    chunks[2] = dataclasses.replace(chunks[2], events=99)
    try:
        outcomes = list(fit_in_order(workers, fit_chunk, own_raster.job, iter(chunks)))
    finally:
        workers.close()
    assert [isinstance(result, FittedChunk) for _, result in outcomes] == [True, True, False, True]
    assert "99 events were expected" in str(outcomes[2][1])


def test_a_journal_the_workers_cannot_see_is_told_at_once(cluster):
    with pytest.raises(WorkersError, match=r"cannot read /far/raw\.journal"):
        DaskWorkers(cluster.scheduler_address, "/far/raw.journal")


@pytest.mark.parametrize("address", ["", "localhost:8786", "http://localhost:8786", "tcp://localhost", "tcp://a b:1"])
def test_a_scheduler_that_has_no_address_is_refused(address):
    with pytest.raises(WorkersError, match="tcp://HOST:PORT"):
        DaskWorkers(address, "raw.journal")


def test_a_scheduler_that_does_not_answer_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(refit_workers, "SCHEDULER_TIMEOUT", 0.5)
    with pytest.raises(WorkersError, match="no Dask scheduler answers") as refused:
        DaskWorkers(f"tcp://127.0.0.1:{free_port()}", "raw.journal")
    assert "\n" not in str(refused.value)


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkersError, match=r"pip install 'microarpes\[dask\]'"):
        DaskWorkers("tcp://127.0.0.1:8786", "raw.journal")
