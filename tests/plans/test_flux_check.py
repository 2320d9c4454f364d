"""The edge at several fluxes: each judged by a gate of its own, and the attenuator back however it ends."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import Msg, RunEngineInterrupted
from pydantic import ValidationError

from microarpes.beamline.flux_shift import fit_flux
from microarpes.devices.evidence import Evidence
from microarpes.devices.outcome import Outcome
from microarpes.devices.region import AngleWindow
from microarpes.plans.flux_check import take_flux_steps
from microarpes.plans.flux_steps import FluxSteps
from microarpes.plans.reference import Reference
from microarpes.plans.reference_edge import EdgeFit

WINDOWS = [AngleWindow(name=name, angle_low=low, angle_high=low + 1.0) for name, low in (("a", -0.5), ("b", 0.5))]
GOLD = Reference(x=150.0, y=0.0, z=40.0)
RECORD = {"time": 1.0, "row_shift": [0, 0, 0], "ef": [2.0, 2.0], "ef_error": [0.0005, 0.0005], "gain": 1.0}
ORDER = [0.5, 1.0, 0.25, 1.0, 0.5]


class Attenuator:
    """Goes where it is asked to at once, but to what it does not reach."""

    name = "source"
    parent = None

    def __init__(self, transmission):
        self.transmission, self.asked, self.error, self.stuck_below = transmission, [], "", 0.0

    def resting_transmission(self):
        return self.transmission

    def set(self, value):
        self.asked.append(value)
        self.error = f"it did not go to {value:g}" if value < self.stuck_below else ""
        if not self.error:
            self.transmission = value
        return Outcome.reached()


class Check:
    """A check over the bench: 150 nA and 3 meV of shift at full transmission, E_F of the windows 5 meV apart.

    What an exposure shows is in its counts: the transmission in 1/1000.
    """

    def __init__(self, b, engine, working=1.0, **options):
        self.b, self.engine, self.options = b, engine, options
        self.source = b.station.source = Attenuator(working)
        b.station.analyser = SimpleNamespace(axes=(np.arange(4.0), np.arange(3.0)))
        b.station.beam = SimpleNamespace(check="gated")
        axis = SimpleNamespace(requested=7.0, tolerance=2.0)
        at = {name: {"readback": {"value": 7.2}} for name in "xyz"}
        b.station.manipulator = SimpleNamespace(axes=dict.fromkeys("xyz", axis), positions=lambda: at)
        b.station.read = self.read
        self.gates, self.bend, self.problem, self.found = [], 0.0, "", None
        self.rng = np.random.default_rng(4)
        self.taker = dataclasses.replace(b.taker, calibration=RECORD)

    def read(self):
        part = self.source.transmission
        slow = {"sample_temperature": 10.5, "photon_energy": 100.0, "ring_current": 300.0, "i0_integral": 150.0 * part}
        readings = {name: {"value": value} for name, value in slow.items()}
        exposed = self.b.station.exposed
        readings["frame_id"] = {"value": exposed, "timestamp": 1000.0 + exposed}
        frame = np.full((3, 4), round(1000 * part), dtype=np.int32)
        evidence = Evidence(readings=readings, frame=frame, acquire_time=1.0)
        return {"evidence": {"value": evidence, "timestamp": 0.0}}

    def fit(self, energy, edcs, temperature, record):
        part = float(edcs[0][0]) / 1000
        lift = 0.003 * part + self.bend * part * (1.0 - part)
        errors = [0.00015, 0.00015]
        return EdgeFit([2.0 + lift, 2.005 + lift], errors, 0.01, 0.0003, 90.0, 90.0, self.problem)

    def make_gate(self, station, limits):
        self.gates.append(self.source.transmission)
        return self.b.gate

    def plan(self):
        yield from bps.open_run()
        yield Msg("stage", self.taker.accepted)
        yield from bps.declare_stream(self.taker.accepted, name="primary")
        self.found = yield from take_flux_steps(
            self.taker, GOLD, WINDOWS, self.fit, fit_flux, FluxSteps(), make_gate=self.make_gate, **self.options
        )
        yield Msg("unstage", self.taker.accepted)
        yield from bps.close_run()

    def run(self):
        self.engine(self.plan())
        return self.found

    def of_stream(self, wanted):
        names = {doc["uid"]: doc["name"] for name, doc in self.b.documents if name == "descriptor"}
        events = [doc for name, doc in self.b.documents if name == "event" and names[doc["descriptor"]] == wanted]
        last = {doc["seq_num"]: doc["data"] for doc in events}
        return [last[number] for number in sorted(last)]


def test_the_shift_of_the_flux_that_is_worked_with_is_found_and_all_is_put_back(bench, engine):
    check = Check(bench(), engine, working=0.4)
    found = check.run()
    assert not found.shift.problem
    # 3 meV at full transmission, 1.2 at the 0.4 of it that a map would have, 60 nA; never more of it.
    assert (found.shift.shift, found.flux) == (pytest.approx(0.0012), pytest.approx(60.0))
    assert found.shift.slope == pytest.approx(0.003 / 150.0)
    assert check.source.asked == pytest.approx([*(0.4 * part for part in ORDER), 0.4])
    assert check.gates == pytest.approx([0.4 * part for part in ORDER])
    moves = [request for command, request in check.b.station.journal if command == "set" and request]
    assert moves == [*[GOLD.position] * 5, {"x": 7.0, "y": 7.0, "z": 7.0}]
    told = check.of_stream("flux_edge")
    assert [one["fraction"] for one in told] == ORDER
    assert told[2]["ef"] == pytest.approx([2.0003, 2.0053])
    # 0.15 meV in each of two windows
    assert [edge.edge_error for edge in found.edges] == pytest.approx([0.00015 / 2**0.5] * 5)
    (shift,) = check.of_stream("flux_shift")
    assert (shift["shift"], shift["status"]) == (found.shift.shift, "ok")
    assert check.of_stream("primary") == []


def test_where_i0_is_not_gated_the_flux_is_that_of_the_ring_behind_the_attenuator(bench, engine):
    check = Check(bench(), engine, working=0.4)
    check.b.station.beam.check, read = "delayed", check.read

    def without_i0():
        found = read()
        del found["evidence"]["value"].readings["i0_integral"]
        return found

    check.b.station.read = without_i0
    assert check.run().flux == pytest.approx(300.0 * 0.4)
    assert check.found.shift.shift == pytest.approx(0.0012)


def test_a_shift_that_is_not_in_proportion_is_none(bench, engine):
    check = Check(bench(), engine)
    check.bend = 0.004
    found = check.run()
    assert "no straight line" in found.shift.problem
    assert np.isnan(found.shift.shift)
    assert check.of_stream("flux_shift")[0]["status"] == found.shift.problem


def test_what_shows_no_edge_ends_the_check_and_is_kept(bench, engine):
    check = Check(bench(), engine)
    check.problem = "window 0 shows no Fermi edge"
    found = check.run()
    assert "shows no Fermi edge; fewer than 4 edges" in found.shift.problem
    assert check.source.asked == [0.5, 1.0]
    assert check.of_stream("flux_edge") == []
    assert check.b.frames.path.exists()


def test_an_attenuator_that_does_not_go_ends_the_check_with_its_own_words(bench, engine):
    check = Check(bench(), engine)
    check.source.stuck_below = 0.3
    found = check.run()
    assert "it did not go to 0.25; fewer than 4 edges" in found.shift.problem
    assert check.source.transmission == 1.0
    assert len(found.edges) == 2


def test_an_operator_ends_it_after_an_edge(bench, engine):
    check = Check(bench(), engine, row_stop=lambda: True)
    assert "stopped by the operator" in check.run().shift.problem
    assert check.source.asked == [0.5, 1.0]


@pytest.mark.parametrize(("how", "later"), [("pause", 0), ("suspend", 0)])
def test_interrupted_at_any_message_every_edge_is_of_its_own_flux(bench, engine, how, later):
    check, messages = Check(bench(), engine), []
    engine.msg_hook = messages.append
    check.run()
    check.b.forget()
    for index in range(0, len(messages) - 2, 2):
        check = Check(bench(), engine)
        check.b.interrupt(index, how, later)
        try:
            engine(check.plan())
        except RunEngineInterrupted:
            while engine.state == "paused":
                engine.resume()
        finally:
            check.b.forget()
        at = (how, index)
        assert [one["fraction"] for one in check.of_stream("flux_edge")] == ORDER, at
        assert check.found.shift.shift == pytest.approx(0.003), at
        assert check.source.transmission == 1.0, at


@pytest.mark.parametrize("end", ["abort", "stop", "halt"])
def test_ended_at_any_message_the_attenuator_is_put_back(bench, engine, end):
    check, messages = Check(bench(), engine), []
    engine.msg_hook = messages.append
    check.run()
    check.b.forget()
    attenuated = 0
    for index in range(1, len(messages) - 2, 3):
        check = Check(bench(), engine)
        check.b.interrupt(index, "pause")
        try:
            engine(check.plan())
        except RunEngineInterrupted:
            attenuated += check.source.transmission < 1.0
            if engine.state == "paused":
                getattr(engine, end)()
        finally:
            check.b.forget()
        if check.b.frames._h5:
            check.b.frames.close()
        assert check.source.transmission == 1.0, index
    assert attenuated > 5


def test_an_order_forth_and_back_has_each_flux_at_the_same_mean_time():
    for fractions in ((1.0, 0.5, 0.25), (0.1, 1.0, 0.5, 0.25)):
        order = FluxSteps(fractions=fractions).order()
        assert order == order[::-1]
        assert order[len(order) // 2] == min(fractions)
        assert set(order) == set(fractions)


@pytest.mark.parametrize("wrong", [(1.0, 0.5), (0.5, 0.25, 0.1), (1.0, 1.0, 0.5), (1.0, 0.5, 0.0), (2.0, 1.0, 0.5)])
def test_fractions_that_tell_nothing_or_burn_the_sample_are_refused(wrong):
    with pytest.raises(ValidationError):
        FluxSteps(fractions=wrong)
