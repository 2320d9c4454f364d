"""Recordings behind the simulated devices: the unchanged plan finds in them what was recorded."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from microarpes.analysis import GapMap, LiveGapMap
from microarpes.beamline.journal import JournalWriter, read_documents
from microarpes.beamline.open_run import open_run
from microarpes.beamline.stored_run import read_run

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "replay.json"
REALDATA = os.environ.get("MICROARPES_REALDATA")
needs_recordings = pytest.mark.skipif(
    not REALDATA, reason="MICROARPES_REALDATA names no folder of recordings; generated ones are used instead"
)


def replay(command_line, folder, recording, *arguments):
    done = command_line(folder)(
        "replay", recording, "--speed", "100", "--directory", "runs", "--summary", "s.json", *arguments, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((folder / "s.json").read_text())
    return read_run(folder / "runs" / summary["run_uid"]), summary


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A small recording of a metal: 3 x 4 points, 24 angles, an edge at 95.6 eV, counts of a real detector's gain 1."""
    folder = tmp_path_factory.mktemp("recording")
    rng = np.random.default_rng(11)
    energy = 95.35 + np.arange(300) * 1e-3
    edge = 40.0 / (1 + np.exp((energy - 95.6) / 0.0035)) + 0.5
    x, y = np.meshgrid(100.0 + 12.0 * np.arange(4), -50.0 + 12.0 * np.arange(3))
    path = folder / "recording.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(format="microarpes-recording", version=1, title="a metal", photon_energy=100.0)
        file.attrs.update(pass_energy=10.0, lens_mode="Angular14", acquire_time=1.0, temperature=20.0)
        file.attrs.update(source="generated", licence="", assumed="")
        points = file.create_group("points")
        jitter = rng.uniform(-0.3, 0.3, (2, 12))
        for name, values in (("x", x.ravel() + jitter[0]), ("y", y.ravel() + jitter[1])):
            points[name] = values
            points[name].attrs["units"] = "um"
        points["i0"] = rng.uniform(0.9, 1.1, 12)
        points["i0"].attrs["units"] = "nA"
        file["frames"] = rng.poisson(np.broadcast_to(edge, (12, 24, 300))).astype(np.int32)
        file["energy"] = energy
        file["energy"].attrs["units"] = "eV"
        file["angle"] = np.linspace(-6, 6, 24)
        file["angle"].attrs["units"] = "deg"
    return path


@pytest.fixture(scope="module")
def metal(generated, command_line, tmp_path_factory):
    """The run of the generated recording, and its summary."""
    return replay(command_line, tmp_path_factory.mktemp("metal"), generated)


@pytest.fixture(scope="module")
def core_level(command_line, tmp_path_factory):
    """The run of a real raster of a window 26 eV below E_F, and its summary."""
    return replay(command_line, tmp_path_factory.mktemp("core level"), Path(REALDATA) / "MAESTRO_13.fits")


def test_a_recording_comes_out_of_the_devices_as_it_was_recorded(generated, metal):
    run, _ = metal
    with h5py.File(generated) as recorded, h5py.File(run.folder / "frames.h5") as stored:
        events = sorted(run.events.values(), key=lambda event: event["seq_num"])
        for axis in ("x", "y"):
            found = [event["data"][f"manipulator_{axis}"] for event in events]
            assert found == recorded["points"][axis][:].tolist()
        assert [event["data"]["i0"] for event in events] == recorded["points/i0"][:].tolist()
        assert np.array_equal(stored["entry/data/data"][:], recorded["frames"][:])
        assert np.array_equal(np.array(run.start["energy_axis"]), recorded["energy"][:])


def assert_the_same(live, again, but=()):
    """Clocks alone may differ: a hundred times the pace makes exposures a hundredth."""
    for name in set(live) | set(again):
        if not name.startswith("time") and name not in ("acquire_time", "live_time", *but):
            assert live[name].equals(again[name]), name
    assert live["edc"].sum() > 0
    assert (live["status"] == "ok").any()


#: Points that the demo had measured when the beam was lost for 80 s, and the guard that saw it.
BEFORE_DUMP = 40
GUARD = {"ring_current": {"low": 200.0, "resume_low": 250.0, "delay": 30.0, "close_shutter": True}}
HELD = {"reason": "ring_current is 0, at least 200 is asked for", "guard": "ring_current", "duration": 80.0}


def with_a_dump(folder, copied):
    """Copy a run, held up once: the documents are those of the stream ``interruptions``, as its plan writes them."""
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("raw.journal"))
    journal, taken = JournalWriter(copied / "raw.journal"), 0
    for name, doc in read_documents(folder / "raw.journal"):
        if name == "start":
            doc = doc | {"guards": GUARD}
            stream = {"uid": "held-up", "run_start": doc["uid"], "name": "interruptions"}
        elif name == "event" and "pixel" in doc["data"]:
            if taken == BEFORE_DUMP:
                # Told just before the exposure that follows: this event is stamped some milliseconds later.
                moment = doc["time"] - 1e-3
                told = HELD | {"began": moment - HELD["duration"]}
                journal("descriptor", stream | {"time": moment, "data_keys": {key: {} for key in told}})
                journal("event", {"uid": "dump", "descriptor": "held-up", "seq_num": 1, "time": moment, "data": told})
            taken += 1
        journal(name, doc)
    journal.close()
    return copied


def last_before(run):
    """Return the pixel that was measured last before the only interruption was over."""
    (held,) = run.interruptions
    assert held["guard"] == "ring_current"
    over = held["began"] + held["duration"]
    return max((event["time"], pixel) for pixel, event in run.events.items() if event["time"] < over)[1]


def test_a_run_of_our_own_measured_again_is_the_same_to_the_last_bit(demo_run, command_line, tmp_path):
    directory, demo, _ = demo_run
    recorded = read_run(with_a_dump(directory / demo["run_uid"], tmp_path / demo["run_uid"]))
    again, summary = replay(command_line, tmp_path, recorded.folder)
    maps = [open_run("-1", runs).to_xarray() for runs in (directory, tmp_path / "runs")]
    assert_the_same(*maps, but=["attempt"])
    # The beam is lost in the exposure of the same pixel, which is taken again when the guard of the plan lets it.
    assert last_before(again) == last_before(recorded)
    retaken = maps[1]["attempt"] - maps[0]["attempt"]
    assert (retaken.sum(), retaken.max()) == (1, 1)
    assert again.interruptions[0]["reason"] == HELD["reason"]
    assert summary["n_acquired"] == demo["n_acquired"]
    # 50 s without beam and 30 s of settling, a hundred times as fast: under what a guard needs to look twice, which is
    # what it gets, and settles as it did.
    assert again.interruptions[0]["duration"] >= 0.3
    assert again.start["guards"]["ring_current"]["delay"] == 0.3
    assert "interruptions_not_replayed" not in again.start


@pytest.mark.skipif("MICROARPES_REPLAY_SIDE" not in os.environ, reason="set MICROARPES_REPLAY_SIDE=30 to measure")
@pytest.mark.timeout(1800)
def test_live_batch_documents_and_devices_give_one_map(command_line, tmp_path):
    """A map as it was fitted live, in one go, from its documents, and measured again at 1 and 10 times its pace."""
    side = os.environ["MICROARPES_REPLAY_SIDE"]
    run = command_line(tmp_path)
    done = run(
        "demo", "--points", f"{side}x{side}", "--exposure", "0.02", "--no-page", "--directory", "live", timeout=900
    )
    assert done.returncode == 0, done.stderr
    live = open_run("-1", tmp_path / "live")
    for speed in (1, 10):
        again = run("replay", live.folder, "--speed", speed, "--directory", f"pace-{speed}", timeout=900)
        assert again.returncode == 0, again.stderr
        assert_the_same(live.to_xarray(), open_run("-1", tmp_path / f"pace-{speed}").to_xarray())
    documents = LiveGapMap()
    for name, doc in read_documents(live.folder / "raw.journal"):
        documents(name, doc)
    refitted = run("refit", live.folder, timeout=900)
    assert refitted.returncode == 0, refitted.stderr
    (batch,) = live.folder.glob("refit-*.gap.journal")
    stored = GapMap.from_documents(read_documents(live.folder / "gap.journal"))
    for other in (documents.gap_map, GapMap.from_documents(read_documents(batch))):
        for name in ("delta", "delta_stderr", "joint_delta", "joint_delta_stderr", "joint_delta_systematic"):
            assert np.array_equal(getattr(stored, name), getattr(other, name), equal_nan=True), name
        assert np.array_equal(stored.joint_status, other.joint_status)
    report = {
        "what": "maps of microarpes demo --exposure 0.02 that are equal to the last bit in counts, readbacks and fits",
        "pixels": int(side) ** 2,
        "maps": ["live", "from its documents", "refit", "devices at its own pace", "devices at 10 times its pace"],
    }
    MEASURED.write_text(json.dumps(report, indent=1) + "\n")


def test_a_metal_is_never_given_a_gap(metal):
    _, summary = metal
    assert summary["n_acquired"] == 12
    assert summary["n_ok"] == 0


def test_a_claimed_fermi_energy_is_the_runs_and_changes_nothing_else_of_a_metal(
    generated, metal, command_line, tmp_path
):
    # The edge of the recording is at 95.6 eV; fitted to noisy counts it is never this number to the last bit.
    run, summary = replay(command_line, tmp_path, generated, "--fermi-energy", "95.6")
    assert run.start["calibration"]["ef"] == [95.6]
    assert metal[0].start["calibration"]["ef"] != [95.6]
    assert summary["n_ok"] == 0


@needs_recordings
def test_a_real_raster_comes_out_as_recorded_and_has_no_edge(core_level):
    # 225 angle-integrated spectra of a window 26 eV below E_F: an honest gap fit refuses each of them.
    from astropy.io import fits

    run, summary = core_level
    with fits.open(Path(REALDATA) / "MAESTRO_13.fits") as hdus:
        table = hdus[1].data
        events = sorted(run.events.values(), key=lambda event: event["seq_num"])
        spectra = np.asarray(table["Fixed_Spectra254"], dtype=np.float64)
        assert np.array_equal(np.stack([event["data"]["edc"][0] for event in events]), spectra)
    assert summary["status_counts"] == {"no-edge": 225}


@needs_recordings
@pytest.mark.parametrize("fermi_energy", [33.5, 36.0, 39.0])
def test_a_fermi_energy_claimed_inside_the_window_deceives_nobody(core_level, fermi_energy):
    # As with --fermi-energy: where no edge was found, E_F in the calibration is all that the option changes.
    run, _ = core_level
    live = LiveGapMap()
    for name, doc in read_documents(run.folder / "raw.journal"):
        if name == "start":
            doc = doc | {"calibration": doc["calibration"] | {"ef": [fermi_energy]}}
        live(name, doc)
    assert live.gap_map.joint_status.ravel().tolist() == ["no-edge"] * 225


@needs_recordings
def test_a_real_raster_of_a_metal_has_no_gap(command_line, tmp_path):
    run, summary = replay(command_line, tmp_path, Path(REALDATA) / "bloch_raster.h5")
    assert summary["n_acquired"] == 9
    assert summary["n_ok"] == 0
    with h5py.File(Path(REALDATA) / "bloch_raster.h5") as source:
        recorded = sum(float(np.sum(item[()], dtype=np.float64)) for item in frames_of(source))
    assert sum(event["data"]["total_counts"] for event in run.events.values()) == pytest.approx(recorded, rel=1e-12)


def frames_of(file):
    found = []
    file.visititems(lambda _, item: found.append(item) if getattr(item, "ndim", 0) >= 3 else None)
    return found


def test_a_file_that_is_no_recording_is_refused_in_one_line(microarpes):
    (microarpes.folder / "notes.txt").write_text("not a recording")
    done = microarpes("replay", "notes.txt")
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert "notes.txt" in done.stderr
