"""A small raster as the engine leaves it on disk, with frames, for everything that reads stored runs."""

import contextlib
import io
import socket
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from page_viewing import stored, view  # noqa: F401 - fixtures
from scipy.special import expit

from microarpes.analysis import LiveGapMap
from microarpes.beamline.chunk_fit import RefitJob
from microarpes.beamline.control import ControlServer
from microarpes.beamline.control_client import ControlClient, ControlError, find_engine
from microarpes.beamline.journal import JournalWriter, encode_record, read_documents
from microarpes.beamline.journal_chunks import JournalChunks
from microarpes.beamline.raster_run import drive
from microarpes.beamline.refit import derived_metadata, fit_run
from microarpes.devices.spectra import sum_windows

NX, NY = 4, 4
ENERGY = 95.6 + np.arange(-150.0, 60.0) / 1000
ANGLE = np.linspace(-1.0, 1.0, 12)
WINDOWS = [
    {"name": "-k_F", "angle_low": -1.05, "angle_high": -0.5},
    {"name": "+k_F", "angle_low": 0.5, "angle_high": 1.05},
]
#: Event at which the energy calibration changes, the analyser restarts and counts its frames from 1 again.
CHANGE = 9


def spectrum(delta, temperature=10.0, gamma1=15.0):
    """Norman's line times the Fermi function, 10 meV FWHM: the shape of a real EDC is enough here."""
    w = np.arange(-220.0, 130.0, 0.5)
    cut = expit(-w / (0.0862 * temperature))
    line = (-(1.0 / (w + gamma1 * 1j - delta**2 / (w + 2j))).imag / np.pi + 0.002) * cut
    kernel = np.exp(-0.5 * (((ENERGY - 95.6) * 1000)[:, None] - w) ** 2 / 4.25**2)
    return kernel @ line / kernel.sum(axis=1)


def calibration(time, ef, shift, temperature=10.0):
    return {
        "time": time, "row_shift": [shift * (i % 2) for i in range(ANGLE.size)], "ef": [ef, ef + 0.0003],
        "ef_error": [0.0003, 0.0003], "resolution": 0.010, "resolution_error": 0.0004, "temperature": temperature,
        "temperature_error": 0.5, "gain": 1.0,
    }  # fmt: skip


class Raster:
    """Documents and frames of a small raster, with a change of the calibration and of the frame count half way."""

    windows = WINDOWS

    def __init__(self, directory, n=NX * NY - 1, time=1.8e9, gaps=None, temperature=10.0, gamma1=15.0):
        rng = np.random.default_rng(11)
        self.uid = str(uuid.uuid4())
        self.directory, self.folder = directory, directory / self.uid
        self.folder.mkdir(parents=True)
        self.time, self.temperature = time, temperature
        lines = [spectrum(gap, temperature, gamma1) for gap in (np.full(n, 35.0) if gaps is None else gaps)]
        expected = np.array([60 * line / line.max() for line in lines])[:, None, :]
        self.frames = rng.poisson(expected, (n, ANGLE.size, ENERGY.size)).astype("<i4")
        self.frames[3:4] = 0  # a pixel without counts has a verdict and no number
        self.ids = np.array([i + 1 if i < CHANGE else i + 1 - CHANGE for i in range(n)])
        with h5py.File(self.folder / "frames.h5", "w", libver="latest") as file:
            file["entry/data/data"], file["entry/data/frame_id"] = self.frames, self.ids
        self.records = [calibration(time, 95.6, 0, temperature), calibration(time + CHANGE, 95.602, 1, temperature)]
        self.write(self.documents())

    def record(self, i):
        return self.records[i >= CHANGE]

    def edc(self, i, windows=WINDOWS):
        channels = [np.flatnonzero((w["angle_low"] <= ANGLE) & (w["angle_high"] > ANGLE)) for w in windows]
        return sum_windows(self.frames[i], channels, np.array(self.record(i)["row_shift"]))

    def documents(self, windows=WINDOWS, sources=(0, 1)):
        """The journal as it is written, or as it would have been with other windows."""

        def placed(record):
            return record | {key: [record[key][source] for source in sources] for key in ("ef", "ef_error")}

        lines = {axis: {"start": 0.0, "stop": 30.0, "num": n} for axis, n in (("x", NX), ("y", NY))}
        yield "start", {
            "uid": self.uid, "time": self.time, "plan_name": "gap_raster", "num_points": NX * NY, "shape": [NY, NX],
            "grid": lines | {"snake": True, "fast_axis": "x", "units": "um"}, "windows": list(windows),
            "energy_axis": ENERGY.tolist(), "angle_axis": ANGLE.tolist(), "calibration": placed(self.records[0]),
            "sample": {"id": "test"}, "frame_file": "frames.h5",
        }  # fmt: skip
        for name in ("primary", "calibration"):
            yield "descriptor", {"uid": f"{name}-uid", "run_start": self.uid, "name": name, "data_keys": {}}
        yield "stream_resource", {"uid": "frames", "data_key": "analyser_frame"}
        for i in range(len(self.frames)):
            if i == CHANGE:
                yield "event", self.event("calibration", 1, self.time + i - 0.5, placed(self.records[1]))
            yield "stream_datum", {
                "uid": f"frames/{i}", "descriptor": "primary-uid", "indices": {"start": i, "stop": i + 1},
                "seq_nums": {"start": i + 1, "stop": i + 2},
            }  # fmt: skip
            data = {
                "pixel": i, "manipulator_x": 10.0 * (i % NX), "manipulator_y": 10.0 * (i // NX),
                "frame_id": self.ids[i], "angular_contrast": 0.4, "total_counts": float(self.frames[i].sum()),
                "edc": self.edc(i, windows), "attempt": 1, "ring_current": 300.0,
                "sample_temperature": self.temperature, "pressure": 5e-11,
            }  # fmt: skip
            yield "event", self.event("primary", i + 1, self.time + i, data)
        yield "stop", {"uid": "stop", "run_start": self.uid, "time": self.time + 99, "exit_status": "success"}

    def grow(self):
        """Write the journals anew, raw and derived, one document at each step, as a scan and its follower do."""
        (self.folder / "raw.journal").unlink()
        raw, derived = JournalWriter(self.folder / "raw.journal"), JournalWriter(self.folder / "gap.journal")
        router = LiveGapMap(derived)
        for name, doc in self.documents():
            raw(name, doc)
            router(name, doc)
            yield name
        raw.close()
        derived.close()

    def event(self, stream, seq_num, time, data):
        return {"uid": f"{stream} {seq_num}", "descriptor": f"{stream}-uid", "seq_num": seq_num, "time": time,
                "data": data, "timestamps": dict.fromkeys(data, time), "filled": {}}  # fmt: skip

    def write(self, documents):
        (self.folder / "raw.journal").unlink(missing_ok=True)
        journal = JournalWriter(self.folder / "raw.journal")
        for name, doc in documents:
            journal(name, doc)
        journal.close()

    @property
    def job(self):
        return RefitJob(str(self.folder / "raw.journal"))

    def left_behind(self):
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith("refit"))


def live_records(documents, **options):
    """The data of the derived events of the live fit, as bytes: NaN and all."""
    records = []
    router = LiveGapMap(lambda name, doc: records.append(doc["data"]) if name == "event" else None, **options)
    for name, doc in documents:
        router(name, doc)
    return [encode_record("event", record) for record in records]


def derived_records(journal):
    return [encode_record("event", doc["data"]) for name, doc in read_documents(journal) if name == "event"]


class Here:
    """Fits in this very process, at once; or does what a test makes go wrong at one chunk."""

    description, count = "no process", 1

    def __init__(self, wrong=None, at=1):
        self.wrong, self.at = wrong, at

    def submit(self, fit, job, chunk):
        future = Future()
        if self.wrong is not None and chunk.number == self.at:
            future.set_exception(self.wrong)
        else:
            future.set_result(fit(job, chunk))
        return future

    def close(self):
        pass


def refit_here(raster, size, workers=None, job=None):
    chunks = JournalChunks(raster.folder / "raw.journal", size)
    job = job or raster.job
    metadata = derived_metadata(job, chunks.start)
    return fit_run(raster.folder, job, chunks, metadata, workers or Here(), io.StringIO())


def poll_for(condition, what, timeout=60.0):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise TimeoutError(f"{what} did not happen within {timeout} s")


class ControlledEngine:
    """An engine that `drive` runs in a thread, and its control channel.

    Its plan comes to a point again and again, until it is let go.
    """

    def __init__(self, engine, directory):
        self.engine = engine
        self.directory = directory
        self.row_stop = threading.Event()
        self.server = ControlServer(engine, self.row_stop)
        self.client = ControlClient(directory)
        self.let_go = threading.Event()
        self.stops = []
        engine.subscribe(lambda name, doc: self.stops.append(doc), "stop")
        self.pool = ThreadPoolExecutor(1)
        self.outcome = None

    def plan(self, **md):
        yield from bps.open_run(md)
        while not self.let_go.is_set() and not self.row_stop.is_set():
            yield from bps.checkpoint()
            yield from bps.sleep(0.01)
        yield from bps.close_run()

    def begin(self, plan=None, question=None):
        plan = self.plan(grid={"x": 2, "y": 3}) if plan is None else plan
        self.outcome = self.pool.submit(drive, self.engine, plan, question or self.server.control.question)
        self.wait_for("running")
        poll_for(lambda: self.client.state()["run_uid"], "an open run")

    def wait_for(self, state):
        return poll_for(lambda: (found := self.client.state())["state"] == state and found, f"state {state}")

    def pause(self):
        self.client.pause_now()
        return self.wait_for("paused")

    def end(self):
        self.let_go.set()
        return self.outcome.result(60.0)

    def refusal(self, do, **more):
        with pytest.raises(ControlError) as refused:
            self.client.ask(do, **more)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    def connect(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(60.0)
        connection.connect(str(find_engine(self.directory).socket))
        return connection


@pytest.fixture(scope="session")
def raster(tmp_path_factory):
    """A run that tests only add to."""
    return Raster(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def fitted_raster(tmp_path_factory):
    """A run with its live fit, that tests only add to."""
    made = Raster(tmp_path_factory.mktemp("fitted runs"))
    for _ in made.grow():
        pass
    return made


@pytest.fixture(scope="session")
def resumed_raster(tmp_path_factory):
    """A map in two runs: the first was cut off after 8 pixels, the second took pixel 7 again and what was left."""
    directory = tmp_path_factory.mktemp("resumed runs")
    first, second = Raster(directory, n=8), Raster(directory, time=1.8e9 + 1000)

    def later():
        for name, doc in second.documents():
            if name == "start":
                yield name, doc | {"resumes": first.uid}
            elif name != "event" or doc["data"].get("pixel", 7) >= 7:
                yield name, doc

    second.write(later())
    return first, second


@pytest.fixture
def own_raster(tmp_path):
    """A run that a test may spoil."""
    return Raster(tmp_path)


@pytest.fixture(scope="session")
def make_raster():
    return Raster


@pytest.fixture(scope="session")
def live():
    return live_records


@pytest.fixture(scope="session")
def derived():
    return derived_records


@pytest.fixture(scope="session")
def here():
    return Here


@pytest.fixture(scope="session")
def fitted_here():
    return refit_here


@pytest.fixture
def bench(engine, tmp_path):
    made = ControlledEngine(engine, tmp_path)
    with made.server.listening(tmp_path) as there:
        assert there
        yield made
        made.let_go.set()
        if made.outcome is not None and engine.state != "idle":
            with contextlib.suppress(ControlError):  # let go, the run may be over by now
                made.client.abort("the test is over")
    made.pool.shutdown()


@pytest.fixture(scope="session")
def wait_for():
    return poll_for
