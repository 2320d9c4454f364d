"""An end station without hardware: what it does when something does not go as it should."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from ophyd.sim import make_fake_device
from ophyd.status import Status

from microarpes.devices.end_station import EndStation
from microarpes.devices.environment import OPEN, SOURCE_SETTINGS
from microarpes.devices.evidence import Flown
from microarpes.devices.exposure_time import ExposureTime
from microarpes.devices.manipulator import AXES
from microarpes.devices.over_count_guard import OverCountGuard
from microarpes.devices.region import Region

REGION = Region(centre_energy=95.5, iterations=2, acquire_time=0.5)
#: Seconds within which a status without hardware must have ended; a mutant without it is found that late.
SOON = 5.0


def ended(error=None):
    status = Status()
    if error is None:
        status.set_finished()
    else:
        status.set_exception(error)
    return status


class Signal:
    """A process variable of this test."""

    def __init__(self, value=0.0):
        self.value = value
        self.timestamp, self.alarm_severity = 1000.0, 0
        # nothing is sent ahead in a batch
        self._read_pv = SimpleNamespace(connected=False)
        self.puts, self.callbacks, self.away = [], [], None
        self.SUB_META = "meta"

    def get(self, **_):
        return self.value

    def put(self, value, **_):
        if self.away:
            raise self.away
        self.puts.append(value)

    def subscribe(self, callback, **_):
        self.callbacks.append(callback)

    def tell(self, **news):
        for callback in self.callbacks:
            callback(**news)


def signals(**values):
    return SimpleNamespace(**{name: Signal(value) for name, value in values.items()})


class Axis:
    def __init__(self):
        self.readback, self.done, self.setpoint = Signal(0.0), Signal(1), Signal(0.0)
        self.moves, self.outcome, self.stopped, self.distance = [], None, [], 0.0
        self.units_error = self.away = None
        self.name = "axis"

    def set(self, position):
        if isinstance(self.outcome, ValueError):
            raise self.outcome
        self.moves.append(position)
        self.distance = 10.0
        self.move = Status() if self.outcome == "under way" else ended(self.outcome)
        return self.move

    def kinematic_time(self, distance):
        return distance / 100.0

    def check_units(self):
        if self.units_error:
            raise self.units_error

    def stop(self, *, success=False):
        if self.away:
            raise self.away
        self.stopped.append(success)


class Exposing:
    """An analyser that does as it is told."""

    def __init__(self):
        self.region, self.axes = REGION, (np.arange(4.0), np.arange(3.0))
        self.state = signals(acquire=0, message="HV tripped")
        # a sweep: half of the time it takes is counted
        self.exposure_time = ExposureTime(real=1.5, counted=0.75)
        self.aborted = self.set_to = 0
        self.away = None
        self.outcome, self.counters_error, self.frame_error = None, None, None
        self.detector_state = 0
        self.frame = np.zeros((3, 4))
        self.changed = []
        self.exposure_status = None
        self.name = "analyser"

    def walk_signals(self, **_):
        return ()

    def set(self, region):
        self.set_to += 1
        return ended()

    def counters(self):
        return {"frame_id": {"value": 7, "timestamp": 1000.0}}

    def ask_counters(self):
        if self.counters_error:
            raise self.counters_error
        return self.counters

    def trigger(self):
        self.exposure_status = Status() if self.outcome == "under way" else ended(self.outcome)
        return self.exposure_status

    def acquire_edge_time(self):
        return 999.0

    def read_frame(self, others):
        if self.frame_error:
            raise self.frame_error
        readings = {
            name: {"value": s.get(), "timestamp": s.timestamp, "alarm_severity": 0} for name, s in others.items()
        }
        readings["detector_state"] = {"value": self.detector_state}
        return readings, self.frame

    def changed_settings(self, readings):
        assert "detector_state" in readings
        return self.changed

    def abort(self):
        if self.away:
            raise self.away
        self.aborted += 1

    def stop(self, *, success=False):
        self.abort()


class Shutter:
    name = "shutter"

    def __init__(self):
        self.state, self.open_command, self.close_command = Signal(OPEN), Signal(), Signal()
        self.last_not_open, self.asked, self.outcome = 500.0, [], None

    def set(self, value):
        self.asked.append(value)
        return ended(self.outcome)

    def walk_signals(self, **_):
        return ()


class Beam:
    name = "beam"

    def __init__(self, check="gated"):
        self.check, self.ring_current, self.open_fraction = check, Signal(299.0), Signal(1.0)
        self.since, self.news = [], threading.Event()

    def signals(self):
        gated = {"open_fraction": self.open_fraction} if self.check == "gated" else {}
        return {"ring_current": self.ring_current, **gated}

    def wait_for_news(self, since):
        self.since.append(since)
        assert self.news.wait(SOON)

    def walk_signals(self, **_):
        return ()


def silent(**parts):
    return SimpleNamespace(walk_signals=lambda **_: (), name="device", **parts)


def make_guard():
    """An over-count guard whose count rate is that of the test."""
    return make_fake_device(OverCountGuard)("COUNT_RATE", limit=1e6, name="guard")


def make_station(check="gated", **more):
    axes = {name: Axis() for name in AXES}
    station = EndStation(
        manipulator=silent(axes=axes, **axes),
        analyser=Exposing(),
        beam=Beam(check),
        shutter=Shutter(),
        cryostat=silent(temperature=Signal(10.0)),
        gauge=silent(pressure=Signal(5e-11)),
        source=silent(**{name: Signal(1.0) for name in SOURCE_SETTINGS}),
        heartbeat=silent(beat=Signal(1)),
        **more,
    )
    return station


@pytest.fixture
def station():
    return make_station()


def found(station):
    return station.read()["evidence"]["value"]


def attempt(station, **request):
    station.set(request or {"x": 1.0}).wait(SOON)
    station.trigger().wait(SOON)
    return found(station)


def test_an_undisturbed_attempt_finds_no_error_and_everything_the_gate_asks_for(station):
    evidence = attempt(station, x=1.0, y=2.0)
    assert evidence.errors == []
    assert evidence.request == {"x": 1.0, "y": 2.0}
    assert (evidence.frame_id_before, evidence.edge_time) == (7, 999.0)
    # the real time is the exposure, of which an energy is counted for a part
    assert (evidence.acquire_time, evidence.counted_fraction, station.exposure) == (1.5, 0.5, 1.5)
    assert evidence.frame.shape == (3, 4)
    assert evidence.shutter_not_open == 500.0
    wanted = {f"{name} {what}" for name in AXES for what in ("readback", "done")} | set(SOURCE_SETTINGS)
    wanted |= {"open_fraction", "ring_current", "sample_temperature", "pressure", "heartbeat", "detector_state"}
    assert set(evidence.readings) == wanted
    assert set(evidence.ledger) == {"time_kinematic", "time_overlap", "time_move", "time_expose", "time_read"}
    assert evidence.ledger["time_kinematic"] == 0.1
    assert station.analyser.aborted == 0


def test_an_axis_known_to_be_there_is_not_moved_again_until_that_is_forgotten(station):
    x = station.manipulator.x
    for _ in range(2):
        attempt(station, x=1.0)
    assert x.moves == [1.0]
    station.forget_arrivals()
    attempt(station, x=1.0)
    attempt(station, x=2.0)
    attempt(station, x=1.0)
    assert x.moves == [1.0, 1.0, 2.0, 1.0]


def test_a_failed_move_is_evidence_and_is_not_taken_for_an_arrival(station):
    x = station.manipulator.x
    attempt(station, x=1.0)
    x.outcome = RuntimeError("stalled")
    assert attempt(station, x=2.0).errors == ["move of x: stalled"]
    x.outcome = None
    attempt(station, x=2.0)
    # nor is the place it was sent away from
    x.outcome = RuntimeError("stalled")
    attempt(station, x=3.0)
    x.outcome = None
    attempt(station, x=2.0)
    assert x.moves == [1.0, 2.0, 2.0, 3.0, 2.0]


def test_an_attempt_in_flight_moves_nothing_and_trusts_no_place_of_the_flown_axis_afterwards(station):
    x, y = station.manipulator.x, station.manipulator.y
    attempt(station, x=1.0, y=1.0)
    station.set({"x": 2.0, "y": 1.0}, flown=Flown("x", 5.0)).wait(SOON)
    station.trigger().wait(SOON)
    evidence = found(station)
    assert (evidence.flown, evidence.errors) == (Flown("x", 5.0), [])
    assert {"time_kinematic", "time_overlap", "time_move"} <= set(evidence.ledger)
    assert x.moves == [1.0]
    attempt(station, x=1.0, y=1.0)
    assert (x.moves, y.moves) == ([1.0, 1.0], [1.0])


def test_an_attempt_takes_the_moves_that_set_out_ahead_of_it_for_its_own(station):
    x = station.manipulator.x
    attempt(station, x=1.0)
    x.outcome = "under way"
    station.set({"x": 2.0}, ahead=True)
    begun = station.set({"x": 2.0})
    assert not begun.done
    x.move.set_finished()
    begun.wait(SOON)
    assert x.moves == [1.0, 2.0]
    evidence = found(station)
    assert evidence.request == {"x": 2.0}
    assert 0.0 < evidence.ledger["time_overlap"] < evidence.ledger["time_move"]


def test_a_move_ahead_that_failed_is_evidence_in_the_attempt_it_was_made_for(station):
    x = station.manipulator.x
    attempt(station, x=1.0)
    x.outcome = RuntimeError("stalled")
    station.set({"x": 2.0}, ahead=True).wait(SOON)
    assert attempt(station, x=2.0).errors == ["move of x: stalled"]


def test_a_move_ahead_that_was_stopped_or_leads_elsewhere_is_made_again(station):
    x = station.manipulator.x
    assert not station.approach_stopped
    station.set({"x": 2.0}, ahead=True).wait(SOON)
    station.stop()
    assert station.approach_stopped
    station.set({}).wait(SOON)
    assert not station.approach_stopped
    attempt(station, x=2.0)
    station.set({"x": 3.0}, ahead=True).wait(SOON)
    assert attempt(station, x=4.0).errors == []
    assert x.moves == [2.0, 2.0, 3.0, 4.0]


def test_a_move_that_is_refused_is_evidence(station):
    station.manipulator.x.outcome = ValueError("beyond the limit")
    assert attempt(station, x=9e9).errors == ["move of x: beyond the limit"]


def test_coming_to_rest_waits_for_the_move_or_the_exposure_under_way(station):
    station.manipulator.x.outcome = "under way"
    station.set({"x": 1.0})
    rest = station.set({})
    assert not rest.done
    station.manipulator.x.move.set_finished()
    rest.wait(SOON)
    station.analyser.outcome = "under way"
    station.trigger()
    rest = station.set({})
    assert not rest.done
    station.analyser.exposure_status.set_finished()
    rest.wait(SOON)


def test_the_end_of_a_move_that_was_given_up_says_nothing_about_the_next_attempt(station):
    x = station.manipulator.x
    x.outcome = "under way"
    station.set({"x": 1.0})
    late = x.move
    station.set({"y": 0.0})
    late.set_finished()
    station.set({}).wait(SOON)
    x.outcome = None
    attempt(station, x=1.0)
    assert x.moves == [1.0, 1.0]


def test_an_exposure_that_cannot_begin_is_evidence(station):
    station.analyser.counters_error = TimeoutError("no answer")
    assert attempt(station).errors == ["trigger: no answer"]


def test_an_exposure_that_fails_is_evidence_and_is_aborted(station):
    station.analyser.outcome = TimeoutError("11 s passed")
    assert attempt(station).errors == ["exposure of 1.5 s: 11 s passed"]
    assert station.analyser.aborted == 1


def test_an_exposure_ends_even_if_the_analyser_it_is_to_be_aborted_at_is_away(station):
    station.analyser.outcome = TimeoutError("11 s passed")
    station.analyser.away = TimeoutError("could not connect")
    assert attempt(station).errors == ["exposure of 1.5 s: 11 s passed"]


def test_without_a_region_no_length_is_claimed(station):
    station.analyser.region = None
    assert station.exposure == 0.0
    station.analyser.outcome = RuntimeError("has no region")
    assert attempt(station).errors == ["exposure of 0 s: has no region"]


def test_a_frame_that_cannot_be_read_is_evidence(station):
    station.analyser.frame_error = TimeoutError("no answer")
    evidence = attempt(station)
    assert evidence.errors == ["reading: no answer"]
    assert evidence.frame is None
    assert "time_read" in evidence.ledger


def test_a_region_that_somebody_changed_spoils_the_attempt(station):
    station.analyser.changed = ["somebody changed the region: lens_mode"]
    assert attempt(station).errors == ["somebody changed the region: lens_mode"]


def test_a_driver_that_is_not_idle_is_asked_why(station):
    assert attempt(station).message == ""
    station.analyser.detector_state = 6
    assert attempt(station).message == "HV tripped"


@pytest.mark.parametrize("of", ["analyser", "shutter", "heartbeat", "manipulator"])
def test_a_lost_connection_spoils_the_attempt_and_those_after_it(station, of):
    signal = {
        "analyser": station.analyser.state.acquire,
        "shutter": station.shutter.open_command,
        "heartbeat": station.heartbeat.beat,
        "manipulator": station.manipulator.x.setpoint,
    }[of]
    station.set({"x": 1.0}).wait(SOON)
    signal.tell(connected=True)
    assert not station.lost
    signal.tell(connected=False)
    # connections that come back do not bring back what the IOC has forgotten
    signal.tell(connected=True)
    station.trigger().wait(SOON)
    assert found(station).errors == ["a connection to the beamline was lost during the attempt"]
    assert attempt(station).errors[0] == "a connection to the beamline was lost and it is not restored"


def lose(station):
    station.heartbeat.beat.tell(connected=False)
    return station


def test_a_beamline_that_came_back_is_set_as_it_was_and_moved_again(station):
    attempt(station, x=1.0)
    lose(station).prepare(SOON).wait(SOON)
    assert not station.lost
    assert station.analyser.set_to == 1
    assert station.shutter.asked == ["open"]
    assert attempt(station, x=1.0).errors == []
    assert station.manipulator.x.moves == [1.0, 1.0]


@pytest.mark.parametrize("what", ["connection", "axes", "units", "shutter"])
def test_a_beamline_that_is_not_as_it_was_stays_lost(station, what, monkeypatch):
    if what == "connection":
        # a process variable that does not come back
        dead = SimpleNamespace(connected=False, pvname="TEST:DEAD")
        monkeypatch.setattr("microarpes.devices.channel_access.epics_signals", lambda device: [dead])
    elif what == "axes":
        monkeypatch.setattr(station.analyser, "set", lambda region: shifted(station.analyser))
    elif what == "units":
        station.manipulator.axes["polar"].units_error = ValueError("mdeg")
    else:
        station.shutter.outcome = TimeoutError("interlock")
    lose(station).prepare(0.05).wait(SOON)
    assert station.lost


@pytest.mark.parametrize("error", [None, ValueError("refused")])
def test_trying_again_to_restore_compares_with_the_axes_before_the_loss(station, monkeypatch, error):
    energy, angle = station.analyser.axes

    def sets(energy, error=None):
        def set_region(region):
            # read anew every time, as the analyser does
            station.analyser.axes = (energy.copy(), angle.copy())
            return ended(error)

        monkeypatch.setattr(station.analyser, "set", set_region)

    lose(station)
    # an analyser that came back with other axes has them the second time too
    for outcome in (error, None):
        sets(energy + 0.001, outcome)
        station.prepare(SOON).wait(SOON)
        assert station.lost
    sets(energy)
    station.prepare(SOON).wait(SOON)
    assert not station.lost


def test_a_region_set_after_a_loss_is_what_is_restored(station, monkeypatch):
    monkeypatch.setattr(station.analyser, "set", lambda region: shifted(station.analyser))
    lose(station).prepare(SOON).wait(SOON)
    assert station.lost
    # the next run sets a region of its own, and its axes are those it begins with
    station.analyser.axes = (np.arange(9.0), np.arange(3.0))
    monkeypatch.setattr(station.analyser, "set", lambda region: ended())
    station.prepare(SOON).wait(SOON)
    assert not station.lost


def test_a_station_without_a_region_is_restored_without_one(station):
    station.analyser.region = None
    lose(station).prepare(SOON).wait(SOON)
    assert not station.lost
    assert station.analyser.set_to == 0


def shifted(analyser):
    analyser.axes = (analyser.axes[0] + 0.001, analyser.axes[1])
    return ended()


def test_the_over_count_guard_watches_each_exposure_and_spares_the_detector():
    guard = make_guard()
    station = make_station(guard=guard)
    station.set({"x": 1.0}).wait(SOON)
    station.trigger().wait(SOON)
    guard.rate.sim_put(2e6)
    assert station.analyser.aborted == 1
    assert station.shutter.close_command.puts == [1]
    assert "2e+06 counts/s, its limit is 1e+06" in station.over_counted
    assert found(station).errors == [station.over_counted]
    assert attempt(station).errors == []


#: 300 x 400 channels of 20 counts in 1.5 s are 1.6e6 counts/s.
BRIGHT = np.full((300, 400), 20, dtype=np.uint16)


def test_a_frame_that_holds_too_much_spares_the_detector_before_the_rate_is_heard_of():
    station = make_station(guard=make_guard())
    station.analyser.exposure_time = ExposureTime(real=1.5, counted=1.5)
    station.analyser.frame = BRIGHT
    evidence = attempt(station)
    assert "1.6e+06 counts/s, its limit is 1e+06" in station.over_counted
    assert evidence.errors == [station.over_counted]
    assert station.shutter.close_command.puts == [1]


def test_the_frame_of_a_sweep_is_not_taken_for_one_exposure():
    station = make_station(guard=make_guard())
    station.analyser.exposure_time = ExposureTime(real=1.5, counted=0.75)
    station.analyser.frame = BRIGHT
    assert attempt(station).errors == []
    assert station.over_counted == ""


@pytest.mark.parametrize("away", ["analyser", "shutter"])
def test_the_detector_is_spared_by_whichever_answers(away):
    guard = make_guard()
    station = make_station(guard=guard)
    station.set({"x": 1.0}).wait(SOON)
    station.trigger().wait(SOON)
    if away == "analyser":
        station.analyser.away = TimeoutError("could not connect")
        guard.rate.sim_put(2e6)
        assert station.shutter.close_command.puts == [1]
    else:
        station.shutter.close_command.away = TimeoutError("could not connect")
        guard.rate.sim_put(2e6)
        assert station.analyser.aborted == 1


def test_a_stop_stops_whatever_can_be_reached(station):
    x, *others = station.manipulator.axes.values()
    x.away = TimeoutError("could not connect")
    station.stop()
    assert all(axis.stopped == [False] for axis in others)
    assert station.analyser.aborted == 1


def test_a_stop_ends_moves_and_exposure_and_trusts_no_position_afterwards(station):
    attempt(station, x=1.0)
    station.stop(success=True)
    assert all(axis.stopped == [True] for axis in station.manipulator.axes.values())
    assert station.analyser.aborted == 1
    attempt(station, x=1.0)
    assert station.manipulator.x.moves == [1.0, 1.0]


def test_an_exposure_that_is_void_is_stopped_though_the_analyser_may_be_away(station):
    station.stop_exposure()
    assert station.analyser.aborted == 1


def test_a_pause_closes_the_shutter_only_where_it_is_to():
    for close in (True, False):
        paused = make_station(close_when_paused=close)
        paused.pause()
        assert paused.shutter.close_command.puts == ([1] if close else [])
        assert paused.kept_shutter.closed is close


def test_the_shutter_is_only_read_where_beam_was_missing(station):
    assert "shutter" not in attempt(station).readings
    station.beam.open_fraction.value = 0.97
    assert attempt(station).readings["shutter"]["value"] == OPEN


def test_without_gated_i0_an_exposure_ends_when_the_beam_was_heard_of():
    station = make_station("delayed")
    station.set({"x": 1.0}).wait(SOON)
    status = station.trigger()
    deadline = time.monotonic() + SOON
    while not station.beam.since and time.monotonic() < deadline:
        time.sleep(0.001)
    # since the time stamp of the frame, which is the end of the exposure
    assert station.beam.since == [1000.0]
    rest = station.set({})
    assert not status.done
    assert not rest.done
    station.beam.news.set()
    status.wait(SOON)
    rest.wait(SOON)
    evidence = found(station)
    assert "open_fraction" not in evidence.readings
    assert evidence.readings["shutter"]["value"] == OPEN
    assert evidence.shutter_not_open == 500.0


def test_news_of_the_beam_that_cannot_be_had_end_the_exposure_too():
    station = make_station("delayed")
    station.set({"x": 1.0}).wait(SOON)
    station.beam.wait_for_news = lambda since: 1 / 0
    station.trigger().wait(SOON)
    assert found(station).errors == []


def test_where_injections_matter_their_countdown_is_read_before_and_after():
    countdown = Signal(30.0)
    top_up = silent(countdown=countdown, reading=lambda: {"value": 31.0})
    station = make_station(top_up=top_up)
    assert top_up in station.devices
    evidence = attempt(station)
    assert evidence.countdown_before == {"value": 31.0}
    assert evidence.readings["countdown"]["value"] == 30.0


def test_all_devices_are_connected_and_checked(station):
    names = ("manipulator", "analyser", "beam", "shutter", "cryostat", "gauge", "source", "heartbeat")
    assert station.devices == tuple(getattr(station, name) for name in names)
