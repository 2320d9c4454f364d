"""Who fits the chunks of a refit: processes of this machine, or a Dask cluster; results come back in order."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from microarpes.beamline.chunk_fit import FittedChunk, code_version, worker_report

#: Chunks in hand for each worker: enough that none waits, few enough that memory does not grow with the run.
CHUNKS_PER_WORKER = 4
#: Seconds a scheduler may take to answer.
SCHEDULER_TIMEOUT = 10.0
#: More processes than any machine has cores: a slip of the finger.
MAX_PROCESSES = 1024

Fit = Callable[[Any, Any], Any]


class WorkersError(Exception):
    """The workers asked for cannot be had; the message says what was asked and what to do."""


class Workers(Protocol):
    """Something that fits chunks."""

    #: What the user is told.
    description: str

    @property
    def count(self) -> int:
        """How many chunks can be fitted at once."""

    def submit(self, fit: Fit, job: Any, chunk: Any) -> Future[Any]:
        """Begin to fit a chunk."""

    def close(self) -> None:
        """Let them go; chunks that were not begun are dropped."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin_worker() -> None:
    """Set up a process: Ctrl-C is its parent's business, and it does not outlive a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="end with parent", daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Let a Ctrl-C wait: a pool that it finds half started, a process or a thread short, cannot be ended any more."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it is told of no signal
        return
    held: list[FrameType | None] = []
    before = signal.signal(signal.SIGINT, lambda _number, frame: held.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held and callable(before):
            before(signal.SIGINT, held[0])


class LocalWorkers:
    """Processes of this machine, started afresh so that they share nothing with their parent.

    Parameters
    ----------
    processes : int, optional
        All cores by default.

    Raises
    ------
    WorkersError
        The number is out of range.
    """

    def __init__(self, processes: int | None = None) -> None:
        self.count = available_cores() if processes is None else processes
        if not 1 <= self.count <= MAX_PROCESSES:
            raise WorkersError(f"--processes {processes} is outside [1, {MAX_PROCESSES}]; leave it out for all cores")
        self.description = f"{self.count} process{'es' if self.count > 1 else ''}"
        self._pool = self._new_pool()

    def _new_pool(self) -> Executor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.count, mp_context=context, initializer=_begin_worker)

    def submit(self, fit: Fit, job: Any, chunk: Any) -> Future[Any]:
        """Begin to fit a chunk; a pool whose worker died is replaced."""
        with _ctrl_c_held_back():
            try:
                return self._pool.submit(fit, job, chunk)
            except BrokenProcessPool:
                self.close()
                self._pool = self._new_pool()
                return self._pool.submit(fit, job, chunk)

    def close(self) -> None:
        """Let the processes go; chunks that were not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class DaskWorkers:
    """The workers of a Dask scheduler.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
    readable : str
        A file that every worker has to be able to read.

    Raises
    ------
    WorkersError
        The address is none, nobody answers there, there are no workers, or one has other code or does not see the file.
    """

    def __init__(self, address: str, readable: str) -> None:
        if re.fullmatch(r"(tcp|tls)://[^\s/:]+:[0-9]{1,5}", address) is None:
            raise WorkersError(f"--scheduler {address!r} is no address; write tcp://HOST:PORT")
        try:
            from distributed import Client
        except ImportError:
            raise WorkersError(
                "--scheduler needs Dask, which is not installed; get it with: pip install 'microarpes[dask]'"
            ) from None
        try:
            self._client = Client(address, timeout=SCHEDULER_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise WorkersError(
                f"no Dask scheduler answers at {address} within {SCHEDULER_TIMEOUT:g} s ({error}); is it running?"
            ) from None
        try:
            self._check(address, readable)
        except BaseException:
            self._client.close()
            raise
        self._pool = self._client.get_executor(pure=False)
        self.description = f"{self.count} threads of the Dask scheduler at {address}"

    def _check(self, address: str, readable: str) -> None:
        try:
            reports = self._client.run(worker_report, readable)
        except Exception as error:  # noqa: BLE001 - whatever importing microarpes raises over there
            raise WorkersError(f"a worker of {address} cannot run microarpes: {error}; install it there") from None
        if not reports:
            raise WorkersError(f"the scheduler at {address} has no workers; start some: dask worker {address}")
        for worker, (code, sees) in reports.items():
            if code != code_version():
                raise WorkersError(f"worker {worker} has microarpes {code}, this is {code_version()}; install the same")
            if not sees:
                raise WorkersError(f"worker {worker} cannot read {readable}; put the runs where all workers see them")

    @property
    def count(self) -> int:
        """Threads of all workers that are there now."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, fit: Fit, job: Any, chunk: Any) -> Future[Any]:
        """Begin to fit a chunk."""
        future: Future[Any] = self._pool.submit(fit, job, chunk)
        return future

    def close(self) -> None:
        """Drop what was not fetched and leave the scheduler, which goes on."""
        self._pool.shutdown(wait=False)
        self._client.close()


def fit_in_order(
    workers: Workers, fit: Fit, job: Any, chunks: Iterable[Any]
) -> Iterator[tuple[Any, FittedChunk | Exception]]:
    """Fit chunks on all workers and yield them in their order, each with its fits or with what went wrong.

    Only so many chunks are in hand as keep the workers busy. When a local worker process dies, all chunks in hand are
    lost with its pool; each of them is then fitted again alone, so that only the one that kills its worker fails.
    """
    pending: deque[tuple[Any, Future[Any]]] = deque()
    count = workers.count
    for chunk in chunks:
        pending.append((chunk, workers.submit(fit, job, chunk)))
        if len(pending) >= CHUNKS_PER_WORKER * count:
            yield from _oldest(workers, fit, job, pending)
            count = workers.count
    while pending:
        yield from _oldest(workers, fit, job, pending)


def _oldest(
    workers: Workers, fit: Fit, job: Any, pending: deque[tuple[Any, Future[Any]]]
) -> Iterator[tuple[Any, FittedChunk | Exception]]:
    chunk, future = pending.popleft()
    outcome = _outcome(future)
    yield_now = [(chunk, outcome)]
    if isinstance(outcome, BrokenProcessPool):
        in_hand = [*yield_now, *((later, _outcome(doomed)) for later, doomed in pending)]
        pending.clear()
        yield_now = [
            (lost, _alone(workers, fit, job, lost) if isinstance(found, BrokenProcessPool) else found)
            for lost, found in in_hand
        ]
    yield from yield_now


def _outcome(future: Future[Any]) -> FittedChunk | Exception:
    try:
        fitted: FittedChunk = future.result()
    except Exception as error:  # noqa: BLE001 - whatever a worker raised belongs to its chunk
        return error
    return fitted


def _alone(workers: Workers, fit: Fit, job: Any, chunk: Any) -> FittedChunk | Exception:
    outcome = _outcome(workers.submit(fit, job, chunk))
    if isinstance(outcome, BrokenProcessPool):
        return WorkersError("its worker process died twice; out of memory?")
    return outcome
