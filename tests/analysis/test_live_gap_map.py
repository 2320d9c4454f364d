import math

import event_model
import numpy as np
import pytest

from microarpes.analysis import Calibration, GapFitter, GapMap, LiveGapMap
from microarpes.analysis.units import energy_from_kinetic

EF = (95.0, 95.0004)
WINDOWS = [
    {"name": "minus", "angle_low": -1.0, "angle_high": 0.0},
    {"name": "plus", "angle_low": 0.0, "angle_high": 1.0},
]


def calibration(time=1.0, ef=EF, **changes):
    return {
        "time": time, "row_shift": [0, 1], "ef": list(ef), "ef_error": [0.0003, 0.0003], "resolution": 0.012,
        "resolution_error": 0.0004, "temperature": 10.0, "temperature_error": 0.5, "gain": 1.0,
    } | changes  # fmt: skip


class Raster:
    """Documents of a small raster with known truth."""

    def __init__(self, edc, n=6, seed=3):
        self.rng = np.random.default_rng(seed)
        self.edc = edc
        self.axis = EF[0] + np.arange(-320.0, 80.0) / 1000
        axes = {"x": {"start": 0.0, "stop": 20.0, "num": 3}, "y": {"start": 0.0, "stop": 10.0, "num": 2}}
        metadata = {
            "plan_name": "gap_raster", "grid": axes | {"snake": True, "fast_axis": "x", "units": "um"},
            "windows": WINDOWS, "energy_axis": self.axis.tolist(), "calibration": calibration(), "shape": [2, 3],
        }  # fmt: skip
        run = event_model.compose_run(metadata=metadata)
        keys = ["pixel", "manipulator_x", "manipulator_y", "angular_contrast", "total_counts", "edc"]
        data_keys = {k: {"dtype": "number", "shape": [], "source": "test"} for k in keys}
        data_keys["edc"] = {"dtype": "array", "shape": [2, 400], "source": "test"}
        stream = run.compose_descriptor(name="primary", data_keys=data_keys, object_keys={"all": keys})
        records = run.compose_descriptor(
            name="calibration",
            data_keys={k: {"dtype": "array", "shape": [2], "source": "test"} for k in calibration()},
            object_keys={"all": list(calibration())},
        )
        self.start, self.descriptors = run.start_doc, [stream.descriptor_doc, records.descriptor_doc]
        self.events = [self.event(stream, i) for i in range(n)]
        self.recalibration = {
            "uid": "c", "descriptor": records.descriptor_doc["uid"], "seq_num": 1, "time": self.start["time"] + 3.5,
            "data": calibration(time=self.start["time"] + 3.5, ef=(95.002, 95.0024)), "timestamps": {},
            "filled": {},
        }  # fmt: skip
        self.stop = run.compose_stop()

    def event(self, stream, i):
        energies = [energy_from_kinetic(self.axis, ef) for ef in EF]
        edc = self.rng.poisson([self.edc(e, peak=120.0, delta=31.0 + 1.5 * i) for e in energies]).astype(float)
        data = {
            "pixel": i, "manipulator_x": 10.0 * (i % 3) + 0.1, "manipulator_y": 10.0 * (i // 3) - 0.2,
            "angular_contrast": 0.7, "total_counts": 2e5, "edc": edc,
        }  # fmt: skip
        doc = stream.compose_event(data=data, timestamps=dict.fromkeys(data, 0.0), validate=False)
        return {**doc, "time": self.start["time"] + 1.0 + i}

    def documents(self, events=None, records=()):
        yield "start", self.start
        for descriptor in self.descriptors:
            yield "descriptor", descriptor
        for record in records:
            yield "event", record
        for event in self.events if events is None else events:
            yield "event", event
        yield "stop", self.stop


@pytest.fixture(scope="module")
def raster(edc):
    return Raster(edc)


def follow(documents):
    """Map and derived run made from documents."""
    derived = []
    live = LiveGapMap(lambda name, doc: derived.append((name, doc)))
    for name, doc in documents:
        live(name, doc)
    return live.gap_map, derived


def assert_same_bits(left, right):
    for name in ("delta", "delta_stderr", "delta_systematic", "gamma1", "gamma0", "deviance", "upper_limit"):
        for prefix in ("", "joint_"):
            assert getattr(left, prefix + name).tobytes() == getattr(right, prefix + name).tobytes(), prefix + name
    assert left.status.tolist() == right.status.tolist()
    assert left.joint_status.tolist() == right.joint_status.tolist()
    for name in ("manipulator_x", "manipulator_y", "calibration_time", "seq_num", "total_counts"):
        assert getattr(left, name).tobytes() == getattr(right, name).tobytes(), name


def test_the_map_shows_the_gap_of_each_pixel_with_its_measured_position(raster):
    gap_map, _ = follow(raster.documents())
    truth = 31.0 + 1.5 * np.arange(6).reshape(2, 3)
    assert (gap_map.joint_status == "ok").all()
    assert np.abs((gap_map.joint_delta - truth) / gap_map.joint_delta_stderr).max() < 4
    assert gap_map.delta.shape == (2, 2, 3)
    assert gap_map.manipulator_x[1, 2] == 20.1
    assert gap_map.status_counts() == {"ok": 6}
    assert gap_map.n_filled == 6
    assert (gap_map.joint_delta_systematic > 0.2).all()  # E_F is known to 0.3 meV


def test_streamed_equals_batch(raster):
    gap_map, _ = follow(raster.documents())
    for i, ef in enumerate(EF):
        fitter = GapFitter(energy_from_kinetic(raster.axis, ef), resolution=12.0, temperature=10.0)
        batch = fitter.fit_many(np.stack([event["data"]["edc"][i] for event in raster.events]))
        assert batch.delta.tobytes() == gap_map.delta[i].ravel().tobytes()
        assert batch.delta_stderr.tobytes() == gap_map.delta_stderr[i].ravel().tobytes()


def test_replayed_and_shuffled_documents_give_the_same_map(raster):
    first, _ = follow(raster.documents())
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(raster.events))
        assert_same_bits(first, follow(raster.documents([raster.events[i] for i in order]))[0])


def test_the_map_is_rebuilt_from_the_derived_run(raster):
    gap_map, derived = follow(raster.documents())
    assert_same_bits(gap_map, GapMap.from_documents(derived))
    shuffled = derived[:2] + derived[2:-1][::-1] + derived[-1:]
    assert_same_bits(gap_map, GapMap.from_documents(shuffled))


def test_the_derived_run_is_valid_and_says_where_it_comes_from(raster):
    _, derived = follow(raster.documents())
    for name, doc in derived:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    start, descriptor = derived[0][1], derived[1][1]
    assert start["original_run_uid"] == raster.start["uid"]
    assert start["plan_name"] == "gap_fit"
    assert {"model", "engine", "shape", "windows"} <= set(start)
    assert all(key["units"] for key in descriptor["data_keys"].values())
    assert descriptor["data_keys"]["delta"]["units"] == "meV"
    assert [name for name, _ in derived] == ["start", "descriptor"] + ["event"] * 6 + ["stop"]
    assert derived[-1][1]["exit_status"] == "success"
    event = derived[2][1]
    assert set(event["data"]) == set(descriptor["data_keys"])
    assert event["data"]["raw_seq_num"] == 1


def test_where_two_events_name_the_same_sequence_number_the_later_wins(raster):
    # the retaken point 2 stands on pixel 5; the void one must leave pixel 1, and nothing depends on who came first
    retaken = {**raster.events[1], "time": raster.start["time"] + 50.0}
    retaken["data"] = {**retaken["data"], "pixel": 5}
    events = [*raster.events[:5], retaken]
    first, _ = follow(raster.documents(events))
    second, derived = follow(raster.documents(events[::-1]))
    assert_same_bits(first, second)
    assert_same_bits(first, GapMap.from_documents(derived))
    assert first.joint_status[0, 1] == ""
    assert math.isnan(first.joint_delta[0, 1])
    assert first.seq_num[1, 2] == 2


def test_where_two_events_name_the_same_pixel_the_later_sequence_number_wins(raster):
    late = {**raster.events[4], "data": {**raster.events[4]["data"], "pixel": 0}}
    for events in ([raster.events[0], late], [late, raster.events[0]]):
        gap_map, _ = follow(raster.documents(events))
        assert gap_map.seq_num[0, 0] == 5
        assert gap_map.joint_delta[0, 0] > 35


def test_an_event_is_fitted_with_the_calibration_that_precedes_it(raster):
    plain, _ = follow(raster.documents())
    moved, derived = follow(raster.documents(records=[raster.recalibration]))
    # events 0-2 are older than the new record, 3-5 younger: E_F 2 meV higher moves the gap by 1.5-2 meV
    assert moved.joint_delta[0].tobytes() == plain.joint_delta[0].tobytes()
    assert (np.abs(moved.joint_delta[1] - plain.joint_delta[1] - 1.8) < 0.5).all()
    assert (moved.calibration_time[0] == 1.0).all()
    assert (moved.calibration_time[1] == raster.recalibration["time"]).all()
    assert derived[0][1]["original_run_uid"] == raster.start["uid"]


@pytest.mark.parametrize(
    "change",
    [
        {"edc": None},
        {"edc": np.zeros((2, 399))},
        {"edc": np.zeros(400)},
        {"edc": "lost"},
        {"edc": np.full((2, 400), np.nan)},
        {"edc": np.full((2, 400), -1.0)},
        {"pixel": None},
        {"pixel": 99},
        {"pixel": 1.5},
        {"pixel": float("nan")},
    ],
    ids=str,
)
def test_an_odd_event_is_bad_input_and_never_an_exception(raster, change):
    data = {**raster.events[0]["data"], **change}
    data = {key: value for key, value in data.items() if value is not None}
    gap_map, derived = follow(raster.documents([{**raster.events[0], "data": data}, raster.events[1]]))
    event = derived[2][1]
    event_model.schema_validators[event_model.DocumentNames.event].validate(event)
    assert event["data"]["status"] == ["bad-input", "bad-input"]
    assert event["data"]["joint_status"] == "bad-input"
    assert gap_map.joint_status[0, 1] == "ok"


def test_one_window_may_be_bad_alone(raster):
    edc = raster.events[0]["data"]["edc"].copy()
    edc[1, 7] = np.nan
    event = {**raster.events[0], "data": {**raster.events[0]["data"], "edc": edc}}
    gap_map, _ = follow(raster.documents([event]))
    assert gap_map.status[:, 0, 0].tolist() == ["ok", "bad-input"]
    assert gap_map.joint_status[0, 0] == "bad-input"


def test_a_pixel_without_angular_contrast_is_off_sample(raster):
    event = {**raster.events[0], "data": {**raster.events[0]["data"], "angular_contrast": 0.0}}
    gap_map, _ = follow(raster.documents([event]))
    assert gap_map.status[:, 0, 0].tolist() == ["off-sample", "off-sample"]


@pytest.mark.parametrize(
    "broken",
    [{"ef": [95.0]}, {"resolution": -0.01}, {"temperature": float("nan")}, {"ef": "high"}, {"gain": 0}],
    ids=str,
)
def test_an_unusable_calibration_makes_bad_input_not_a_gap(raster, broken):
    start = {**raster.start, "calibration": calibration(**broken)}
    documents = [("start", start), *list(raster.documents())[1:]]
    gap_map, derived = follow(documents)
    assert (gap_map.joint_status == "bad-input").all()
    assert derived[-1][0] == "stop"


@pytest.mark.parametrize("missing", ["grid", "windows", "energy_axis"])
def test_a_run_that_is_no_raster_is_let_pass(raster, missing):
    start = {key: value for key, value in raster.start.items() if key != missing}
    live = LiveGapMap(lambda name, doc: pytest.fail(f"{name} was emitted"))
    for name, doc in [("start", start), *list(raster.documents())[1:]]:
        live(name, doc)
    assert missing in live.problem


def test_the_flat_field_of_the_record_goes_into_every_fit(raster):
    flat = np.stack([1.0 + 0.1 * np.cos(raster.axis * 700.0), np.linspace(0.9, 1.1, raster.axis.size)])
    start = {**raster.start, "calibration": calibration(flat_field=flat.tolist())}
    gap_map, derived = follow([("start", start), *list(raster.documents())[1:]])
    assert derived[0][1]["engine"] == GapFitter(raster.axis).engine
    axes = np.stack([energy_from_kinetic(raster.axis, ef) for ef in EF])
    edcs = np.stack([event["data"]["edc"] for event in raster.events])
    for i in range(2):
        batch = GapFitter(axes[i], flat_field=flat[i]).fit_many(edcs[:, i])
        assert batch.delta.tobytes() == gap_map.delta[i].ravel().tobytes()
    together = GapFitter(axes, flat_field=flat).fit_joint_many(edcs)
    assert together.delta.tobytes() == gap_map.joint_delta.ravel().tobytes()


@pytest.mark.parametrize("flat", ["flat", [1.0] * 400, [[1.0] * 400], [[1.0] * 399] * 2, [[-1.0] * 400] * 2])
def test_a_flat_field_that_does_not_fit_is_bad_input_and_never_left_out(raster, flat):
    start = {**raster.start, "calibration": calibration(flat_field=flat)}
    gap_map, _ = follow([("start", start), *list(raster.documents())[1:]])
    assert gap_map.status_counts() == {"bad-input": 6}


@pytest.mark.parametrize(("live_time", "status"), [(10.0, "ok"), (0.5, "saturated"), (None, "saturated")])
def test_pixels_beyond_the_linear_range_are_saturated(raster, live_time, status):
    # 120 + counts per channel at the peak: 12 electrons/s with 10 s, 240/s with 0.5 s, from one angle channel
    start = {**raster.start, "angle_axis": [-0.5, 0.5], "detector": {"linearity": {"linear_up_to": 50.0}}}
    events = [{**event, "data": event["data"] | {"live_time": live_time}} for event in raster.events]
    gap_map, _ = follow([("start", start), *list(raster.documents(events))[1:]])
    assert gap_map.status_counts() == {status: 6}


def test_a_calibration_record_is_read_with_its_units():
    record = Calibration.from_record(calibration(), 2)
    assert record.ef == EF
    assert record.resolution == 0.012
    with pytest.raises(ValueError, match="lacks ef"):
        Calibration.from_record({"time": 1.0, "resolution": 0.01, "temperature": 10.0}, 2)
    with pytest.raises(ValueError, match="2 windows"):
        Calibration.from_record(calibration(ef=[95.0]), 2)


def test_a_map_without_a_derived_run_is_refused():
    with pytest.raises(ValueError, match="derived run"):
        GapMap.from_documents([])
    with pytest.raises(ValueError, match="shape"):
        GapMap([0, 3], ["a"])
    with pytest.raises(AttributeError, match="joint_delta"):
        _ = GapMap([2, 3], ["a"]).gap


def test_an_unknown_model_is_refused_before_the_run():
    with pytest.raises(ValueError, match="norman"):
        LiveGapMap(model="dynes-ish")
