"""References over Channel Access: E_F of the metal as the simulation has it, and everything that is no reference."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from microarpes.beamline.journal import read_documents

#: Beside the flake, which ends at x of about 95 um, and out of the focus of the raster.
GOLD = {"x": 150.0, "y": 0.0, "z": 40.0}
#: On the flake, beside the raster: its antinodal cut.
FLAKE = {"x": -20.0, "y": -60.0, "z": 0.0}


@pytest.fixture
def put(ioc, station):
    from epics import caput

    changed = []

    def put(name, value, afterwards):
        changed.append((name, afterwards))
        assert caput(ioc.prefix + name, value, wait=True, timeout=20.0) == 1

    yield put
    for name, value in changed:
        assert caput(ioc.prefix + name, value, wait=True, timeout=20.0) == 1


class Taken:
    def __init__(self, folder, status, asked):
        self.folder, self.status, self.asked = folder, status, asked
        self.start, self.streams = {}, {}
        names = {}
        for name, doc in read_documents(folder / "raw.journal"):
            if name == "start":
                self.start = doc
            elif name == "descriptor":
                names[doc["uid"]] = doc["name"]
            elif name == "event":
                self.streams.setdefault(names[doc["descriptor"]], []).append(doc)
        with h5py.File(folder / "frames.h5") as file:
            self.references = {name: file["entry/reference"][name][:] for name in file["entry/reference"]}
            self.rejected = [reason.decode() for reason in file["entry/rejected/reason"][:]]

    @property
    def records(self):
        return [event["data"] for event in self.streams.get("calibration", [])]


@pytest.fixture
def take(station, config, tmp_path):
    """Take two pixels with a reference; `question` answers the pauses."""
    from microarpes.beamline.engine import make_engine
    from microarpes.beamline.raster_run import configured_raster, drive
    from microarpes.plans.grid import RasterGrid

    def take(reference, question=lambda: "abort", **gate):
        chosen = config.changed(region={"acquire_time": 0.1}, reference=reference, gate=gate)
        engine, journals = make_engine(tmp_path / "runs")
        asked = []

        def answer():
            asked.append(True)
            return question()

        plan = configured_raster(chosen, station, RasterGrid.centred(2, 1, 10.0, (-20.0, -30.0)), journals)
        status = drive(engine, plan, answer)
        return Taken(journals.directory / journals.run_uid, status, asked)

    return take


def test_e_f_resolution_and_drift_are_those_of_the_simulation(take, put, station):
    put("FAULT:EF_DRIFT:AMOUNT", 3600.0, 10.0)
    before = float(station.manipulator.z.readback.get(use_monitor=False))
    put("FAULT:EF_DRIFT:ENABLE", "Enable", "Disable")
    taken = take(GOLD)
    assert (taken.status, len(taken.streams["primary"]), len(taken.records)) == ("success", 2, 2)
    first, last = taken.records
    # 1 meV/s; the errors of the difference of two means of two windows are 0.2 meV each at most
    drifted = 1e3 * (np.mean(last["ef"]) - np.mean(first["ef"]))
    assert drifted == pytest.approx(last["time"] - first["time"], abs=4 * 0.2)
    assert drifted > 1.0
    for record in taken.records:
        assert max(record["ef_error"]) <= 0.0002
        assert record["status"] == "ok"
        assert record["resolution"] == pytest.approx(0.010, abs=5 * record["resolution_error"])
        assert (record["reference"], record["photon_energy"]) == ("gold", 100.0)
    assert taken.start["reference"]["z"] == GOLD["z"]
    assert taken.references["time"].tolist() == [record["time"] for record in taken.records]
    assert taken.references["exposures"].tolist() == [record["exposures"] for record in taken.records]
    assert (taken.references["data"].sum(axis=(1, 2)) > 0).all()
    # the pixels are in the focus they were in, and so is what comes after
    assert [event["data"]["manipulator_z"] for event in taken.streams["primary"]] == pytest.approx(
        [before] * 2, abs=2.0
    )
    assert float(station.manipulator.z.readback.get(use_monitor=False)) == pytest.approx(before, abs=2.0)


def test_the_flake_is_no_reference_and_the_pixels_keep_the_record_they_began_with(take):
    taken = take({**FLAKE, "at_end": False, "on_failure": "continue", "attempts": 1, "max_exposures": 3})
    assert (taken.status, len(taken.streams["primary"]), taken.records) == ("success", 2, [])
    (status,) = taken.references["status"]
    assert b"this is a crystal; a nodal cut is a check, not a reference" in status


def test_a_slit_that_somebody_changed_is_refused_with_what_the_run_began_with(take, put):
    def question():
        put("SLIT:EXIT", 20.0, 20.0)
        return "resume"

    from microarpes.plans import reference_edge

    expose = reference_edge.take_exposures

    def change_first(*arguments):
        if not changed:
            changed.append(True)
            put("SLIT:EXIT", 40.0, 20.0)
        return (yield from expose(*arguments))

    changed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference_edge, "take_exposures", change_first)
        taken = take({**GOLD, "at_end": False}, question, max_attempts=2)
    assert (taken.status, len(taken.asked), len(taken.records)) == ("success", 1, 1)
    assert taken.rejected == ["exit_slit is 40, the run began with 20"] * 2


def test_a_place_within_the_raster_is_refused_and_nothing_moves(take):
    with pytest.raises(ValueError, match="that is the sample, and an edge of the sample"):
        take({"x": -20.0, "y": -30.0, "z": 0.0})
