"""E_F between the references: interpolated in time with its error, and what that saves a map from."""

import itertools

import numpy as np
import pytest

from microarpes.analysis import CalibrationTrack, LiveGapMap
from microarpes.analysis.calibration_track import middle_of_exposure
from microarpes.analysis.units import energy_from_kinetic

AXIS = 95.0 + np.arange(-320.0, 80.0) / 1000
BEGAN = 1.8e9


def record(time, ef, error=0.0002, **changes):
    return {
        "time": time, "ef": [ef], "ef_error": [error], "resolution": 0.012, "resolution_error": 0.0003,
        "temperature": 10.0, "temperature_error": 0.5, "gain": 1.0, "status": "ok", "reference": "gold",
    } | changes  # fmt: skip


def track(*records):
    return CalibrationTrack.from_records(records, 1)


def test_between_two_records_everything_is_interpolated_with_its_error():
    found = track(record(0.0, 95.0, 0.0003), record(100.0, 95.004, 0.0004, resolution=0.014, temperature=12.0)).at(25.0)
    assert found.time == 25.0
    assert found.ef == pytest.approx([95.001])
    # a quarter of the way: independent errors, 0.75 x 0.3 and 0.25 x 0.4 meV
    assert found.ef_error == pytest.approx([np.hypot(0.75 * 0.0003, 0.25 * 0.0004)])
    assert (found.resolution, found.temperature) == pytest.approx((0.0125, 10.5))
    # what the sensor is wrong by it is wrong by both times
    assert found.temperature_error == 0.5


def test_the_error_in_the_middle_is_less_than_that_of_either_record():
    pair = track(record(0.0, 95.0), record(10.0, 95.0))
    assert pair.at(5.0).ef_error[0] == pytest.approx(0.0002 / np.sqrt(2))


def test_what_the_flux_does_to_e_f_is_common_to_all_records_and_does_not_average_out():
    # 3 meV of shift known to 0.4, and 0.2 meV of counting
    common = np.hypot(0.003, 0.0004)
    flux = {"flux_shift": 0.003, "flux_shift_error": 0.0004}
    records = [record(time, 95.0, np.hypot(0.0002, common), **flux) for time in (0.0, 10.0)]
    middle = track(*records).at(5.0)
    assert middle.ef_error[0] == pytest.approx(np.hypot(0.0002 / np.sqrt(2), common))
    assert (middle.flux_shift, middle.flux_shift_error, middle.common_error) == (0.003, 0.0004, pytest.approx(common))
    assert track(*records).at(10.0).ef_error[0] == pytest.approx(records[1]["ef_error"][0])
    # nor does it make a drift less certain
    alone = track(record(0.0, 95.0), record(10.0, 95.0)).drift()
    assert track(*records).drift().error == pytest.approx(alone.error)


def test_beyond_the_records_nothing_is_extrapolated_but_the_error():
    pair = track(record(0.0, 95.0), record(100.0, 95.004))
    for time, ef in ((-50.0, 95.0), (150.0, 95.004)):
        found = pair.at(time)
        assert found.ef == pytest.approx([ef])
        # half the time between the records, in which E_F may have gone on by 2 meV, or not at all
        assert found.ef_error == pytest.approx([np.hypot(0.0002, 0.002)])
    assert track(record(0.0, 95.0)).at(1e4).ef_error == (0.0002,)


def test_the_order_in_which_records_come_and_their_repetition_change_nothing():
    records = [record(0.0, 95.0), record(60.0, 95.002), record(60.0, 95.003), record(120.0, 95.001)]
    tracks = {CalibrationTrack.from_records(order, 1) for order in itertools.permutations([*records, records[0]])}
    assert len(tracks) == 1
    assert len(tracks.pop().records) == 3


def test_no_record_or_an_unreadable_one_is_no_track():
    with pytest.raises(ValueError, match="no calibration record"):
        track()
    with pytest.raises(ValueError, match="lacks resolution"):
        track({"time": 1.0, "ef": [95.0], "temperature": 10.0})


def test_the_drift_is_found_within_its_error():
    # 3 meV/h over two hours, seen every 20 minutes to 0.2 meV: sigma of the slope is 0.2 / sqrt(sum (t - mean)^2) h^-1.
    rng = np.random.default_rng(5)
    hours = np.arange(7) / 3.0
    expected = 0.2 / np.sqrt(((hours - 1.0) ** 2).sum())
    rates = []
    for _ in range(200):
        ef = 95.0 + 0.003 * hours + 0.0002 * rng.standard_normal(7)
        drift = track(*(record(3600.0 * h, e) for h, e in zip(hours, ef, strict=True))).drift()
        assert drift.error == pytest.approx(expected)
        rates.append(drift.rate)
    assert np.mean(rates) == pytest.approx(3.0, abs=4 * expected / np.sqrt(200))
    assert np.std(rates) == pytest.approx(expected, rel=0.2)
    assert np.isnan(track(record(0.0, 95.0)).drift().rate)


def test_a_pixel_was_counted_in_the_middle_of_its_exposure():
    event = {"time": 110.0, "timestamps": {"edc": 100.0}, "data": {"acquire_time": 30.0}}
    assert middle_of_exposure(event) == 85.0
    assert middle_of_exposure({**event, "timestamps": {"edc": 0.0}}) == 110.0
    assert middle_of_exposure({**event, "data": {}}) == 110.0


class Drifting:
    """Documents of a row of pixels that all have the same gap, while E_F goes up by 1 meV, and two references.

    Without noise, so that what is found is what E_F does: 0.87 meV of gap for each meV, by sensitivity of the model.
    """

    N = 5

    def __init__(self, edc):
        self.ef = 95.0 + 0.001 * np.linspace(0.0, 1.0, self.N)
        self.times = BEGAN + 10.0 + 20.0 * np.linspace(0.0, 1.0, self.N)
        self.edcs = [edc(energy_from_kinetic(AXIS, ef), peak=2000.0, delta=35.0)[None] for ef in self.ef]

    def documents(self, records=()):
        lines = {"x": {"start": 0.0, "stop": 40.0, "num": self.N}, "y": {"start": 0.0, "stop": 0.0, "num": 1}}
        yield "start", {
            "uid": "drifting", "time": BEGAN, "shape": [1, self.N], "energy_axis": AXIS.tolist(),
            "grid": lines | {"snake": True, "fast_axis": "x", "units": "um"},
            "windows": [{"name": "k_F", "angle_low": 0.0, "angle_high": 1.0}], "calibration": record(BEGAN, 95.0),
        }  # fmt: skip
        for name in ("primary", "calibration"):
            yield "descriptor", {"uid": name, "name": name}
        for time, doc in records:
            yield "event", {"descriptor": "calibration", "seq_num": 1, "time": time, "data": doc}
        for i in range(self.N):
            data = {"pixel": i, "edc": self.edcs[i], "angular_contrast": 0.7, "total_counts": 1e5, "acquire_time": 2.0}
            stamps = {"edc": self.times[i] + 1.0}
            yield "event", {"descriptor": "primary", "seq_num": i + 1, "time": self.times[i] + 1.5, "data": data,
                            "timestamps": stamps}  # fmt: skip
        yield "stop", {"exit_status": "success"}

    def gaps(self, records=(), track=None):
        # The pair-breaking rate that went in: left free it would take up part of what E_F does to the other rate.
        router = LiveGapMap(gamma0=2.0, track=track)
        for name, doc in self.documents(records):
            router(name, doc)
        assert router.problem == ""
        assert (router.gap_map.joint_status == "ok").all()
        return router.gap_map.joint_delta[0], router.gap_map.joint_gamma1[0], router.gap_map


@pytest.fixture(scope="module")
def drifting(edc):
    return Drifting(edc)


def test_a_drift_of_1_mev_makes_a_false_gap_change_of_0_9_mev_without_references_and_none_with(drifting):
    gap, rate, _ = drifting.gaps()
    # E_F is really higher than the record says: states seem nearer to it, the gap smaller; the rate goes with it, so
    # that pixels which are all alike show a correlation of 1.
    assert gap[0] - gap[-1] == pytest.approx(0.9, abs=0.1)
    assert rate[0] - rate[-1] == pytest.approx(0.4, abs=0.1)
    assert np.corrcoef(gap, rate)[0, 1] > 0.95
    references = track(record(drifting.times[0], 95.0), record(drifting.times[-1], 95.001))
    gap, rate, gap_map = drifting.gaps(track=references)
    assert np.ptp(gap) < 0.01
    assert np.ptp(rate) < 0.01
    assert gap_map.calibration_time[0].tolist() == drifting.times.tolist()


def test_a_live_fit_with_a_record_half_way_is_wrong_by_what_drifted_since(drifting):
    half = record(drifting.times[2], 95.0005)
    gap, _, _ = drifting.gaps(records=[(drifting.times[2] + 1.0, half)])
    # Without noise: right at the record and at the beginning, 0.5 meV of E_F short just before and at the end.
    assert gap[2] == pytest.approx(gap[0], abs=0.02)
    assert gap[0] - gap[-1] == pytest.approx(0.45, abs=0.1)


def test_interpolated_the_records_of_the_stream_and_their_order_do_not_matter(drifting):
    references = track(record(drifting.times[0], 95.0), record(drifting.times[-1], 95.001))
    _, _, alone = drifting.gaps(track=references)
    _, _, among = drifting.gaps(records=[(drifting.times[1], record(drifting.times[1], 95.3))], track=references)
    assert alone.joint_delta.tobytes() == among.joint_delta.tobytes()
