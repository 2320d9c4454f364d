"""A reference between the rows: when it is due, what is believed, and no half record whatever interrupts it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted
from pydantic import ValidationError

from microarpes.devices.evidence import Evidence
from microarpes.devices.region import AngleWindow
from microarpes.plans.grid import RasterGrid
from microarpes.plans.reference import Reference
from microarpes.plans.reference_edge import EdgeFit
from microarpes.plans.reference_measurement import ReferenceMeasurement
from microarpes.plans.rows import take_rows
from microarpes.plans.surface_temperature import SurfaceTemperature, surface_alarm, surface_deviation, surface_told
from microarpes.plans.targets import planned_position

GOLD = {"x": 150.0, "y": 0.0, "z": 40.0}
RECORD = {
    "time": 1.0, "row_shift": [0, 0, 0], "ef": [2.0], "ef_error": [0.0005], "resolution": 0.010,
    "resolution_error": 0.0003, "temperature": 10.0, "temperature_error": 0.5, "gain": 1.0,
}  # fmt: skip


class Edge:
    """A fit that finds E_F where it is told, with 0.25 meV for one exposure and 1/sqrt(n) of that for n."""

    def __init__(self, ef=(2.0,), problem=""):
        self.ef, self.problem, self.calls = list(ef), problem, 0
        self.single = None

    def __call__(self, energy, edcs, temperature, record):
        self.calls += 1
        # frame i has 2**i counts in each channel: as many exposures as bits
        number = int(edcs[0][0] / 3).bit_count()
        ef = self.ef.pop(0) if len(self.ef) > 1 else self.ef[0]
        return EdgeFit([ef], [0.00025 / number**0.5], 0.010, 0.0003, 100.0, 90.0, self.problem)


def equip(b, reference, fit, surface=None):
    """Give the bench what a reference asks of its station; return the measurement and the taker."""
    station = b.station
    station.counts = lambda number: 2**number
    station.analyser = SimpleNamespace(axes=(np.arange(4.0), np.arange(3.0)))
    axis = SimpleNamespace(requested=7.0, tolerance=2.0)
    station.manipulator = SimpleNamespace(axes={"z": axis}, positions=lambda: {"z": {"readback": {"value": 7.2}}})

    def read():
        frame = np.full((3, 4), station.counts(station.exposed), dtype=np.int32)
        slow = {"sample_temperature": 10.5, "photon_energy": 100.0, "ring_current": 300.0}
        readings = {name: {"value": value} for name, value in slow.items()}
        readings["frame_id"] = {"value": station.exposed, "timestamp": 1000.0 + station.exposed}
        evidence = Evidence(readings=readings, frame=frame, acquire_time=1.0)
        return {"evidence": {"value": evidence, "timestamp": 0.0}}

    station.read = read
    told = []
    taker = dataclasses.replace(b.taker, calibration=RECORD, announce=told.append)
    window = AngleWindow(name="all", angle_low=-0.5, angle_high=2.5)
    return ReferenceMeasurement(reference, [window], fit, lambda: 0.0, surface), taker, told


def plan(b, measurement, taker, rows):
    yield from bps.open_run()
    yield Msg("stage", taker.accepted)
    yield from bps.declare_stream(taker.accepted, name="primary")
    yield from take_rows(taker, rows, lambda: False, [measurement], measurement.returning(planned_position))
    yield Msg("unstage", taker.accepted)
    yield from bps.close_run()


class Run:
    """One raster of `ny` rows of two with a reference, over the bench."""

    def __init__(self, b, fit=None, ny=1, surface=None, **reference):
        self.b, self.fit = b, fit or Edge()
        self.measurement, self.taker, self.told = equip(b, Reference(**{**GOLD, **reference}), self.fit, surface)
        self.rows = RasterGrid.centred(2, ny, 10.0).rows()

    def plan(self):
        return plan(self.b, self.measurement, self.taker, self.rows)

    def of_stream(self, wanted):
        names = {doc["uid"]: doc["name"] for name, doc in self.b.documents if name == "descriptor"}
        events = [doc for name, doc in self.b.documents if name == "event" and names[doc["descriptor"]] == wanted]
        last = {doc["seq_num"]: doc["data"] for doc in events}
        return [last[number] for number in sorted(last)]

    @property
    def records(self):
        return self.of_stream("calibration")

    def kept(self):
        """Frame ids in each kept sum, number of exposures and status of it."""
        with h5py.File(self.b.frames.path) as file:
            group = file["entry/reference"]
            sums = group["data"][:, 0, 0].tolist()
            ids = [{i for i in range(32) if total >> i & 1} for total in sums]
            return ids, group["exposures"][:].tolist(), [status.decode() for status in group["status"][:]]


def test_the_record_of_a_run_is_what_was_measured_and_its_frames_are_kept(bench, engine):
    run = Run(bench(), Edge([2.001]), at_end=False)
    engine(run.plan())
    (record,) = run.records
    # 0.25 meV in one exposure, 0.177 meV in two; 0.2 meV was asked for.
    assert (record["exposures"], record["ef"], record["status"]) == (2, [2.001], "ok")
    assert record["ef_error"] == pytest.approx([0.000177], abs=1e-6)
    # Exposures of 1 s that ended at 1001 and 1002: middles at 1000.5 and 1001.5.
    assert (record["time"], record["temperature"], record["photon_energy"]) == (1001.0, 10.5, 100.0)
    assert (record["row_shift"], record["reference"], record["gain"]) == ([0, 0, 0], "gold", 1.0)
    assert run.kept() == ([{1, 2}], [2], ["ok"])
    assert [event["pixel"] for event in run.of_stream("primary")] == [0, 1]


def test_the_focus_of_the_metal_is_left_again_for_the_pixels_and_after_the_last_reference(bench, engine):
    run = Run(bench())
    engine(run.plan())
    moves = [request for command, request in run.b.station.journal if command == "set" and request]
    assert moves[0] == GOLD
    assert moves[2] == {"x": -5.0, "y": 0.0, "z": 7.0}
    assert moves[-2:] == [GOLD, {"z": 7.0}]


@pytest.mark.parametrize(
    ("schedule", "before"),
    [
        ({}, [0, 6]),
        ({"every_rows": 2}, [0, 2, 4, 6]),
        ({"every_rows": 4, "at_end": False}, [0, 4]),
        ({"at_start": False, "at_end": False, "every_minutes": 2.5}, [3]),
    ],
)
def test_it_is_due_at_start_by_rows_by_time_and_at_end(bench, engine, schedule, before):
    run = Run(bench(), ny=6, **schedule)
    measured = []
    # A minute a row.
    run.measurement._clock = lambda: 60.0 * run.measurement._asked

    def measure(taker):
        measured.append(run.measurement._asked)
        run.measurement._row, run.measurement._time = measured[-1], 60.0 * measured[-1]
        yield Msg("null")

    run.measurement.measure = measure
    engine(run.plan())
    assert measured == before


def test_a_reference_that_is_never_due_or_wants_too_little_is_no_reference():
    with pytest.raises(ValidationError, match="never due"):
        Reference(**GOLD, at_start=False, at_end=False)
    with pytest.raises(ValidationError, match="target_error"):
        Reference(**GOLD, target_error=0.0005)


def test_a_place_within_the_raster_or_beyond_the_limits_is_refused_before_anything_moves():
    def check_value(position):
        if abs(position) > 1000.0:
            raise ValueError(f"{position:g} um is outside [-1000, 1000] um")

    axes = dict.fromkeys(("x", "y", "z"), SimpleNamespace(check_value=check_value))
    station, grid = SimpleNamespace(manipulator=SimpleNamespace(axes=axes)), RasterGrid.centred(3, 3, 10.0)
    assert Reference(**GOLD).refusals(station, grid, spot=12.0) == []
    (problem,) = Reference(x=20.0, y=0.0, z=0.0).refusals(station, grid, spot=12.0)
    assert "a nodal" in problem
    assert "x = 20" in problem
    assert Reference(x=20.0, y=0.0, z=0.0).refusals(station, grid, spot=5.0) == []
    (problem,) = Reference(x=2000.0, y=0.0, z=0.0).refusals(station, grid)
    assert problem == "reference gold: 2000 um is outside [-1000, 1000] um"


def test_too_few_exposures_for_the_target_make_a_record_that_says_so(bench, engine, caplog):
    run = Run(bench(), max_exposures=1, at_end=False)
    engine(run.plan())
    (record,) = run.records
    assert (record["status"], record["ef_error"]) == ("imprecise", [0.00025])
    assert "0.2 meV was asked for" in caplog.text


@pytest.mark.parametrize(
    ("fit", "reason"),
    [(Edge(problem="window 0 shows no Fermi edge"), "no Fermi edge"), (Edge([2.015]), "by 15.0 meV")],
)
def test_a_reference_that_fails_gives_no_record_and_is_told_and_the_pixels_go_on(bench, engine, fit, reason):
    run = Run(bench(), fit, at_end=False, max_exposures=2, on_failure="continue")
    engine(run.plan())
    assert run.records == []
    (told,) = run.told
    assert reason in told
    assert "failed 2 times" in told
    assert [event["pixel"] for event in run.of_stream("primary")] == [0, 1]
    ids, _, statuses = run.kept()
    assert len(ids) == 2
    assert all(reason in status for status in statuses)


def test_a_bad_deviance_is_no_edge(bench, engine):
    def poor(*given):
        return dataclasses.replace(Edge()(*given), deviance=200.0)

    run = Run(bench(), poor, at_end=False, on_failure="continue")
    engine(run.plan())
    assert run.records == []
    assert "deviance 200 for 90" in run.told[0]


def test_a_jump_pauses_and_who_resumes_takes_it_as_real(bench, engine):
    run = Run(bench(), Edge([2.015]), at_end=False)
    with pytest.raises(RunEngineInterrupted):
        engine(run.plan())
    assert run.records == []
    assert "take it as real" in run.told[0]
    engine.resume()
    (record,) = run.records
    assert record["ef"] == [2.015]


def whole(run, at):
    """Every record has its sum of judged frames, which no pixel has too; nothing is there by half."""
    ids, exposures, statuses = run.kept()
    assert [len(each) for each in ids] == exposures, at
    taken = [event["frame_id"] for event in run.of_stream("primary")]
    assert len(set(taken).union(*ids)) == len(taken) + sum(exposures), at
    assert set(taken).union(*ids) <= set(run.b.gate.judged_good), at
    assert all(set(record) == set(run.measurement._device.describe()) for record in run.records), at
    assert [record["exposures"] for record in run.records] == exposures[: len(run.records)], at
    return statuses


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("pause", 2), ("suspend", 0)])
def test_interrupted_at_any_message_there_is_one_whole_record_for_each_reference(bench, engine, how, later):
    run, messages = Run(bench()), []
    engine.msg_hook = messages.append
    engine(run.plan())
    run.b.forget()
    assert len(messages) > 40
    for index in range(len(messages) - 2):
        run = Run(bench())
        run.b.interrupt(index, how, later)
        try:
            engine(run.plan())
        except RunEngineInterrupted:
            while engine.state == "paused":
                engine.resume()
        finally:
            run.b.forget()
        at = (how, later, index)
        assert whole(run, at) == ["ok", "ok"], at
        assert len(run.records) == 2, at
        assert [event["pixel"] for event in run.of_stream("primary")] == [0, 1], at
        assert [doc["exit_status"] for name, doc in run.b.documents if name == "stop"] == ["success"], at


def test_aborted_at_any_message_of_a_reference_there_is_no_half_record(bench, engine):
    run, messages = Run(bench(), at_end=False), []
    engine.msg_hook = messages.append
    engine(run.plan())
    run.b.forget()
    records = set()
    for index in range(len(messages) - 2):
        run = Run(bench(), at_end=False)
        run.b.interrupt(index, "pause")
        try:
            engine(run.plan())
        except RunEngineInterrupted:
            if engine.state == "paused":
                engine.abort("by the test")
        finally:
            run.b.forget()
        if run.b.frames._h5:
            run.b.frames.close()
        if any(name == "start" for name, _ in run.b.documents):
            whole(run, index)
            records.add(len(run.records))
    assert records == {0, 1}


class Surface:
    """An edge of known resolution that tells the temperature it is made with."""

    def __init__(self, temperature, error, limit=float("nan")):
        self.found, self.asked = SurfaceTemperature(temperature, error, limit), []

    def __call__(self, energy, edcs, resolution, resolution_error, record):
        self.asked.append((float(edcs[0][0]), resolution, resolution_error))
        return self.found


def test_an_edge_tells_the_resolution_or_the_temperature_and_the_record_says_which(bench, engine):
    plain = Run(bench(), at_end=False)
    engine(plain.plan())
    (record,) = plain.records
    assert (record["edge_assumed"], record["temperature"], record["resolution"]) == ("temperature", 10.5, 0.010)
    assert "edge_temperature" not in record
    surface = Surface(12.0, 1.0)
    known = Run(bench(), at_end=False, surface=surface, resolution=0.009, resolution_error=0.0002)
    engine(known.plan())
    (record,) = known.records
    assert record["edge_assumed"] == "resolution"
    assert (record["resolution"], record["resolution_error"]) == (0.009, 0.0002)
    # both exposures, of three angle channels; 0.5 K is how far the surface may be from the sensor
    assert surface.asked == [(3.0 * (2 + 4), 0.009, 0.0002)]
    assert (record["edge_temperature"], record["edge_temperature_error"]) == (12.0, 1.0)
    assert (record["sensor_temperature"], record["sensor_temperature_error"], record["temperature"]) == (
        10.5,
        0.5,
        10.5,
    )
    assert known.told == []


def test_a_surface_that_is_not_as_warm_as_its_sensor_is_announced(bench, engine):
    run = Run(bench(), at_end=False, surface=Surface(31.0, 2.0), resolution=0.010, fit_temperature="edge")
    engine(run.plan())
    (record,) = run.records
    (told,) = run.told
    # 20.5 K of sqrt(2.0^2 + 0.5^2)
    assert "surface and sensor differ by 9.9 of their errors: surface 31.0 ± 2.0 K by its edge at 10.0 meV" in told
    assert (record["temperature"], record["temperature_error"]) == (31.0, 2.0)
    assert record["sensor_temperature"] == 10.5


def test_an_edge_as_sharp_as_its_resolution_limits_the_temperature():
    nan = float("nan")
    edge = {"edge_temperature": nan, "edge_temperature_error": nan, "edge_temperature_limit": 14.0}
    sensor = {"sensor_temperature": 10.0, "sensor_temperature_error": 0.5}
    record = {"edge_assumed": "resolution", "resolution": 0.01, **edge, **sensor}
    assert surface_told(record) == "surface below 14.0 K (95 %) by its edge at 10.0 meV, sensor 10.0 ± 0.5 K"
    # 0 K with 14 / 1.645
    assert surface_deviation(record) == pytest.approx(-10.0 / np.hypot(14.0 / 1.645, 0.5))
    assert surface_alarm(record) == ""
    assert "differ by 3.6" in surface_alarm(record | {"sensor_temperature": 31.0})
    assert np.isnan(surface_deviation({"edge_assumed": "temperature"}))


def test_a_temperature_by_an_edge_of_unknown_resolution_is_refused():
    for wrong in ({"fit_temperature": "edge"}, {"resolution_error": 0.0002}):
        with pytest.raises(ValidationError, match="only where the resolution is known"):
            Reference(**GOLD, **wrong)
