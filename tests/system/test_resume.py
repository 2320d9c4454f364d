"""A map killed at random instants and resumed each time is the undisturbed map, pixel for pixel."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from microarpes.beamline.config import simulated_text
from microarpes.beamline.journal import JournalReader, read_documents
from microarpes.beamline.run_chain import read_chain, read_map
from microarpes.sim.process import running_ioc

#: Side of the map and how often it is killed; a soak asks for 40 and 20, and writes down what it has seen.
SIDE, KILLS = int(os.environ.get("MICROARPES_RESUME_SIDE", "10")), int(os.environ.get("MICROARPES_RESUME_KILLS", "5"))
MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "resume.json"


@pytest.fixture(scope="module")
def beamline(tmp_path_factory, command_line):
    """The simulated beamline giving each place the same frame every time, and a folder with its configuration."""
    folder = tmp_path_factory.mktemp("resumed")
    with running_ioc(arguments=["--seed", "7", "--rate", "3e6", "--noise", "pixel"]) as ioc:
        port = f"auto_address_list = false\nserver_port = {ioc.environment['EPICS_CA_SERVER_PORT']}"
        text = (
            simulated_text()
            .replace("auto_address_list = false", port)
            .replace("acquire_time = 0.05", "acquire_time = 0.02")
        )
        (folder / "beamline.toml").write_text(text)
        yield command_line(folder)


RASTER = ("--points", f"{SIDE}x{SIDE}", "--step", "10")


def mapped(directory, *arguments):
    return ("map", "--config", "beamline.toml", "--directory", directory, "--no-page", *arguments)


@pytest.fixture(scope="module")
def undisturbed(beamline):
    done = beamline(*mapped("whole", *RASTER))
    assert done.returncode == 0, done.stdout + done.stderr
    return read_map(next((beamline.folder / "whole").glob("*/raw.journal")).parent)


def pixels_of(directory):
    """Acknowledged pixels of each run of a directory, by uid, the oldest first."""
    runs = {}
    for journal in directory.glob("*/raw.journal"):
        documents = list(read_documents(journal))
        if not documents:
            continue
        pixels = [doc["data"]["pixel"] for name, doc in documents if name == "event" and "pixel" in doc["data"]]
        runs[documents[0][1]["time"], journal.parent] = pixels
    return [(folder, pixels) for (_, folder), pixels in sorted(runs.items())]


def children_of(pid):
    """Processes that a process has started, with any of its threads."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


class Counted:
    """How many pixels the runs of a directory have acknowledged; reads only what is new: the machine is theirs."""

    def __init__(self, directory):
        self.directory = directory
        self.readers, self.number = {}, 0

    def look(self):
        for journal in set(self.directory.glob("*/raw.journal")) - set(self.readers):
            self.readers[journal] = JournalReader(journal)
        for reader in self.readers.values():
            new = list(reader.new_documents())
            self.number += sum(name == "event" and "pixel" in doc["data"] for name, doc in new)
        return self.number

    def wait_for(self, number, process):
        deadline = time.monotonic() + 120.0
        while self.look() < number:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline, f"{number} pixels were not measured within 120 s"
            time.sleep(0.02)

    def close(self):
        for reader in self.readers.values():
            reader.close()


@pytest.fixture(scope="module")
def killed_and_resumed(beamline, undisturbed):
    """The folder of the last run of a map that was killed again and again; pixels of each run before its kill."""
    chance = random.Random(7)
    cuts = sorted(chance.sample(range(2, SIDE * SIDE - 2), KILLS))
    directory, seconds = beamline.folder / "killed", []
    counted = Counted(directory)
    for number, cut in enumerate(cuts):
        began = time.monotonic()
        process = beamline.start(*mapped("killed", *(("--resume", "-1") if number else RASTER)))
        try:
            counted.wait_for(counted.look() + 1, process)
            seconds.append(time.monotonic() - began)
            counted.wait_for(cut, process)
            # at any phase of the point after it
            time.sleep(chance.uniform(0.0, 0.05))
        finally:
            # the program alone, whose followers finish what there is, or all at once, as when a machine dies
            followers = children_of(process.pid) if number % 2 else []
            for pid in (process.pid, *followers):
                os.kill(pid, signal.SIGKILL)
            process.communicate()
    counted.close()
    seen = pixels_of(directory)
    done = beamline(*mapped("killed", "--resume", "-1", "--summary", "summary.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    if "MICROARPES_RESUME_KILLS" in os.environ:
        write_down(seconds[1:], [pixel for _, pixels in pixels_of(directory) for pixel in pixels])
    return pixels_of(directory)[-1][0], seen


def write_down(seconds, pixels):
    """Keep what a soak has seen, before any of it is judged."""
    report = {
        "what": "map killed with -9 at random instants and resumed; s from `map --resume` to its first pixel",
        "points": SIDE * SIDE, "kills": KILLS, "pixels_lost": SIDE * SIDE - len(set(pixels)),
        "acknowledged_pixels_measured_again": len(pixels) - len(set(pixels)),
        "resume_s": {"median": round(float(np.median(seconds)), 2), "max": round(max(seconds), 2)},
        "each_s": [round(took, 2) for took in seconds],
        "load_average": os.getloadavg(),
    }  # fmt: skip
    MEASURED.write_text(json.dumps(report, indent=1) + "\n")


def test_no_acknowledged_pixel_is_lost_and_none_measured_twice(killed_and_resumed):
    folder, seen = killed_and_resumed
    chain = read_chain(folder)
    assert len(chain) == KILLS + 1
    measured = [pixel for run in chain for pixel in run.events]
    # What was acknowledged when the kill came is never measured again: at most the exposure under way was for nothing.
    assert sorted(measured) == list(range(SIDE * SIDE))
    for run, (folder_then, pixels) in zip(chain, seen, strict=False):
        assert run.folder.name == folder_then.name
        assert set(pixels) <= set(run.events)


def test_the_map_is_the_undisturbed_one_pixel_for_pixel(killed_and_resumed, undisturbed):
    resumed = read_map(killed_and_resumed[0])
    assert sorted(resumed.events) == sorted(undisturbed.events)
    for pixel, event in undisturbed.events.items():
        np.testing.assert_array_equal(resumed.events[pixel]["data"]["edc"], event["data"]["edc"])
    for name in ("joint_delta", "joint_delta_stderr", "joint_gamma1"):
        np.testing.assert_array_equal(getattr(resumed.gap_map, name), getattr(undisturbed.gap_map, name))
    assert (resumed.gap_map.joint_status == undisturbed.gap_map.joint_status).all()


def test_the_runs_that_were_cut_off_say_that_they_were(killed_and_resumed):
    for run in read_chain(killed_and_resumed[0])[:-1]:
        assert run.stop["exit_status"] == "abort"
        assert "interrupted" in run.stop["reason"]
        assert run.stop["num_events"]["primary"] == len(run.events)


def test_a_complete_map_is_not_resumed(beamline, undisturbed):
    done = beamline(*mapped("whole", "--resume", "-1"))
    assert done.returncode != 0
    assert "is complete" in done.stderr
    assert len(done.stderr.splitlines()) == 1
