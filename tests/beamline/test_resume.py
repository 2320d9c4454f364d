"""What is left of a raster, what may be resumed, and what has changed since."""

from __future__ import annotations

import copy

import pytest

from microarpes.beamline.at_angles import at_angles
from microarpes.beamline.config import simulated_config
from microarpes.beamline.journal import MAGIC, JournalError, JournalWriter, encode_record, read_documents
from microarpes.beamline.map_planes import fit_journals
from microarpes.beamline.orphans import close_orphan
from microarpes.beamline.resume import Objections, ResumeError, differences, find_unfinished
from microarpes.beamline.run_chain import read_chain, read_map
from microarpes.beamline.stored_run import NoSuchRun, read_run

CONFIG = simulated_config()
REGION = {**CONFIG.region.model_dump(), "low_energy": 95.28, "high_energy": 95.679, "excitation_energy": 100.0}
AXES = {
    name: {"position": 0.0, "units": "um", "offset": 0.0, "direction": 0, "low_limit": -5000.0, "high_limit": 5000.0,
           "tolerance": 1.0}
    for name in ("x", "y", "z", "polar")
}  # fmt: skip
SOURCE = {"photon_energy": 100.0, "polarisation": "LH", "entrance_slit": 200.0, "exit_slit": 20.0, "transmission": 0.5}
START = {
    "plan_name": "gap_raster", "num_points": 6, "shape": [2, 3], "gate": CONFIG.gate.model_dump(), "region": REGION,
    "grid": {"x": {"start": 0.0, "stop": 20.0, "num": 3}, "y": {"start": 0.0, "stop": 10.0, "num": 2}, "snake": True,
             "fast_axis": "x", "units": "um"},
    "windows": [window.model_dump() for window in CONFIG.windows], "axes": AXES, "source": SOURCE,
    "calibration": {"time": 1.0, "ef": [95.6, 95.6], "ef_error": [0.0, 0.0], "resolution": 0.01, "temperature": 10.0,
                    "temperature_error": 1.0},
    "energy_axis": [95.0, 95.1], "angle_axis": [-1.0, 1.0], "sample": {"id": "flake 3"},
}  # fmt: skip


def event(seq_num, pixel, time):
    held = {f"manipulator_{name}": 0.0 for name in ("z", "tilt", "azimuth")} | {"manipulator_polar": 9.425}
    data = {"pixel": pixel, "edc": [[1.0]], **held}
    return {**document("primary", seq_num, time), "data": data}


def document(stream, seq_num, time):
    uids = {"uid": f"{stream}-{time}", "descriptor": f"{stream}-uid"}
    return {**uids, "seq_num": seq_num, "time": time, "timestamps": {}}


def write(directory, uid, pixels, *, time=1.0, stop=None, **changes):
    """A run with these pixels, as its engine leaves it; closed, as by the death of its process."""
    folder = directory / uid
    folder.mkdir()
    writer = JournalWriter(folder / "raw.journal")
    writer("start", {**copy.deepcopy(START), "uid": uid, "time": time, **changes})
    writer("descriptor", {"uid": "primary-uid", "run_start": uid, "name": "primary", "data_keys": {}})
    for number, pixel in enumerate(pixels, 1):
        writer("event", event(number, pixel, time + number))
    if stop is not None:
        writer("stop", {"uid": f"{uid}-stop", "run_start": uid, "time": time + 9, "exit_status": stop})
    writer.close()
    return folder


def test_what_is_left_is_what_no_run_of_the_chain_acknowledged(tmp_path):
    write(tmp_path, "first", [0, 1])
    write(tmp_path, "second", [2], time=100.0, resumes="first", num_points=4)
    left = find_unfinished(write(tmp_path, "third", [5], time=200.0, resumes="second", num_points=3))
    assert left.uid == "third"
    assert left.done == {0, 1, 2, 5}
    assert left.shape.num_points == 6


def test_it_is_resumed_with_the_region_windows_gate_and_place_it_had(tmp_path):
    left = find_unfinished(write(tmp_path, "first", [0]))
    assert left.region == CONFIG.region
    assert left.windows == CONFIG.windows
    assert left.limits == CONFIG.gate
    assert left.held == {"z": 0.0, "polar": 9.425, "tilt": 0.0, "azimuth": 0.0}
    assert left.described == {"sample": {"id": "flake 3"}}


def test_its_momenta_are_those_of_its_own_windows_and_edge_whatever_the_configuration_has_now(tmp_path):
    folder = write(tmp_path, "r-1", [0, 1])
    # another window, at another photon energy: 44 eV less in E_F make momenta that are a quarter shorter
    calibration = CONFIG.calibration.model_copy(update={"fermi_energy": 51.6})
    now = CONFIG.model_copy(update={"windows": CONFIG.windows[1:], "calibration": calibration})
    found, begun = (
        at_angles(each, (9.425, 0.0, 0.0))["momentum"] for each in (find_unfinished(folder).as_begun(now), CONFIG)
    )
    assert {key: pytest.approx(value) for key, value in begun.items()} == found
    assert len(at_angles(now, (9.425, 0.0, 0.0))["momentum"]["kx"]) == 1


def test_it_is_resumed_with_the_last_calibration_it_had(tmp_path):
    folder = write(tmp_path, "first", [0])
    writer = JournalWriter(folder / "raw.journal")
    writer("descriptor", {"uid": "calibration-uid", "run_start": "first", "name": "calibration", "data_keys": {}})
    record = {"time": 5.0, "ef": [95.602, 95.602], "reference": "gold", "temperature": 31.0, "temperature_error": 2.0,
              "sensor_temperature": 10.5, "sensor_temperature_error": 0.5}  # fmt: skip
    writer("event", {**document("calibration", 1, 5.0), "data": record})
    writer.close()
    calibration = find_unfinished(folder).calibration
    assert (calibration["ef"], calibration["resolution"]) == ([95.602, 95.602], 0.01)
    assert "reference" not in calibration
    # what the edge told is told anew by the next one
    assert (calibration["temperature"], calibration["temperature_error"]) == (10.5, 0.5)


def test_an_aborted_run_and_one_stopped_after_a_row_can_be_resumed(tmp_path):
    assert find_unfinished(write(tmp_path, "aborted", [0], stop="abort")).done == {0}
    assert find_unfinished(write(tmp_path, "stopped", [0, 1, 2], stop="success")).done == {0, 1, 2}


def test_a_complete_run_is_not_resumed(tmp_path):
    with pytest.raises(ResumeError, match="run whole is complete: all its 6 pixels"):
        find_unfinished(write(tmp_path, "whole", range(6), stop="success"))


def test_a_run_that_is_being_taken_is_not_resumed(tmp_path):
    folder = write(tmp_path, "running", [0])
    writer = JournalWriter(folder / "raw.journal")
    try:
        with pytest.raises(ResumeError, match="still being taken"):
            find_unfinished(folder)
        with pytest.raises(JournalError, match="being written by another process"):
            close_orphan(folder, "interrupted")
    finally:
        writer.close()


def test_a_run_that_lacks_what_it_takes_is_refused_with_what_is_missing(tmp_path):
    with pytest.raises(ResumeError, match="no region"):
        find_unfinished(without(tmp_path, "region"))


def without(directory, key):
    folder = directory / "old"
    folder.mkdir()
    writer = JournalWriter(folder / "raw.journal")
    writer("start", {**{name: value for name, value in START.items() if name != key}, "uid": "old", "time": 1.0})
    writer.close()
    return folder


def test_a_chain_that_bites_its_tail_or_lost_a_link_is_told(tmp_path):
    write(tmp_path, "a", [0], resumes="b")
    folder = write(tmp_path, "b", [1], resumes="a")
    with pytest.raises(NoSuchRun, match="resumes b, which resumes it"):
        read_chain(folder)
    with pytest.raises(NoSuchRun, match="resumes gone, which cannot be read"):
        read_chain(write(tmp_path, "c", [1], resumes="gone"))


def test_the_later_run_counts_where_two_have_a_pixel(tmp_path):
    write(tmp_path, "first", [0, 1])
    run = read_map(write(tmp_path, "second", [1, 2], time=100.0, resumes="first"))
    assert {pixel: event["time"] for pixel, event in run.events.items()} == {0: 2.0, 1: 101.0, 2: 102.0}
    assert run.start["uid"] == "second"


@pytest.mark.parametrize(
    "begun",
    [b"", MAGIC, MAGIC + encode_record("start", {"uid": "fit"})[:9]],
    ids=["nothing", "no record", "half a record"],
)
def test_a_fit_whose_follower_has_only_just_made_its_file_is_not_there_yet(tmp_path, begun):
    first = write(tmp_path, "first", [0, 1])
    second = write(tmp_path, "second", [2], time=100.0, resumes="first")
    for folder in (first, second):
        (folder / "gap.journal").write_bytes(begun)
    assert read_run(first).gap_map is None
    assert read_map(second).gap_map is None
    assert sorted(read_map(second).events) == [0, 1, 2]
    assert fit_journals([first, second]) == []


def test_a_run_that_was_cut_off_gets_its_stop_document_once(tmp_path):
    folder = write(tmp_path, "cut", [0, 1])
    with open(folder / "raw.journal", "ab") as file:
        file.write(b"\x40\x00\x00\x00 torn")
    for _ in range(2):
        close_orphan(folder, "interrupted: power failed")
    stops = [doc for name, doc in read_documents(folder / "raw.journal") if name == "stop"]
    assert [(stop["exit_status"], stop["reason"], stop["num_events"]) for stop in stops] == [
        ("abort", "interrupted: power failed", {"primary": 2})
    ]
    assert sorted(read_run(folder).events) == [0, 1]


def changed(path, value):
    now = copy.deepcopy(START)
    *way, last = path
    place = now
    for key in way:
        place = place[key]
    place[last] = value
    return now


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("axes", "x", "offset"), 12.5, "x offset was 0, is 12.5"),
        (("axes", "polar", "direction"), 1, "polar direction was 0, is 1"),
        (("axes", "y", "high_limit"), 800.0, "y high_limit was 5000, is 800"),
        (("axes", "z", "units"), "mm", "z was in um, is in mm"),
        (("source", "photon_energy"), 100.2, "photon_energy was 100.0, is 100.2"),
        (("source", "polarisation"), "LV", "polarisation was LH, is LV"),
        (("source", "exit_slit"), 50.0, "exit_slit was 20.0, is 50.0"),
        (("source", "transmission"), 0.25, "transmission was 0.5, is 0.25"),
        # a configuration that no longer names the attenuator cannot tell that it is as it was
        (("source", "transmission"), None, "transmission was 0.5, is None"),
        (("energy_axis",), [95.0, 95.1, 95.2], "the energy axis was 2 channels from 95 to 95.1, is 3 channels"),
        (("angle_axis",), [-1.0, 1.01], "the angle axis was"),
    ],
)
def test_each_difference_is_told_and_forbids_the_run_until_it_is_accepted(path, value, told):
    now = changed(path, value)
    (line,) = differences(START, now)
    assert told in line
    said = []
    before = {**START, "uid": "0123456789"}
    (refusal,) = Objections(before, False, said.append)(now)
    assert "--accept-differences" in refusal
    assert said == [f"since run 01234567: {line}"]
    assert Objections(before, True, said.append)(now) == []


def test_axes_that_stand_elsewhere_and_a_source_within_its_tolerance_are_no_difference():
    now = changed(("axes", "z", "position"), 150.0)
    now["source"]["photon_energy"] = 100.004
    assert differences(START, now) == []
